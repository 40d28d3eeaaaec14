import { withScript, answerOf } from "./append.js";
import { RedisUnavailable, refused } from "./errors.js";
import { createdBy, creationOf, listing, logKey, stateKey } from "./names.js";
import { isRefusal } from "./retry.js";

/** @import { Append, Owner } from "./append.js" */
/** @import { Address, Client } from "./address.js" */

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1000;
const SENTINEL_TIMEOUT_MS = 1000;

/**
 * What ioredis must do for this library, whatever else it is told: repeat nothing by itself and keep nothing for later,
 * so that what a call was refused can't be written afterwards, and connect again for ever.
 */
const OWN = {
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  disconnectTimeout: 100,
  enableAutoPipelining: false,
  enableOfflineQueue: false,
  enableReadyCheck: true,
  keyPrefix: "",
  lazyConnect: true,
  maxRetriesPerRequest: 0,
  readOnly: false,
  reconnectOnError: null,
  retryStrategy: (/** @type {number} */ times) =>
    Math.min(FIRST_PAUSE_MS * 2 ** Math.min(times, 10), MAX_PAUSE_MS) * (0.5 + Math.random()),
  sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
  stringNumbers: false,
};

/**
 * Runs the append script. Opened at first use, shared by any number of runs.
 *
 * Here nothing is repeated. `closings` counts how often it was closed, and `isOver` says that its `Jobs` was.
 */
export class Connection {
  closings = 0;
  isOver = false;
  #address;
  #timeoutMs;
  /** @type {Link | null} */
  #link = null;
  #isWarned = false;

  /** @param {Address} address @param {number | null} tryS longest time that a call may wait for its answer, if that is less */
  constructor(address, tryS) {
    this.#address = address;
    this.#timeoutMs = Math.min(address.timeoutS, tryS ?? Infinity) * 1000;
  }

  /**
   * Appends an event to a job's log; a JobcastError when the script refuses it.
   *
   * With `seq`, the number of the append within its run or the token of a creation, the call may be repeated: the event
   * is written once.
   *
   * @param {string} jobId
   * @param {Append} event
   * @param {number | null} attempt
   * @param {string} run
   * @param {string} seq
   */
  async append(jobId, event, attempt, run, seq) {
    const link = this.#open();
    const command = event.command(link.publish, [logKey(jobId), stateKey(jobId)], attempt, run, seq);
    try {
      let reply;
      try {
        reply = await link.call(command);
      } catch (error) {
        if (!replyOf(error).startsWith("NOSCRIPT")) throw error;
        reply = await link.call(withScript(command));
      }
      const answer = answerOf(reply);
      this.#warn(answer.receivers);
      return answer;
    } catch (error) {
      throw refused(replyOf(error)) ?? error;
    }
  }

  /** The first log entry of a job; null unless it is of exactly these owners. @param {string} jobId @param {Owner} owner */
  async created(jobId, owner) {
    return createdBy(await this.call("HMGET", stateKey(jobId), "created", "userId", "sessionId"), owner);
  }

  /**
   * Lists a job among those of its owners, for longer than it can live.
   *
   * @param {string} jobId
   * @param {string} created its first log entry
   * @param {Owner} owner
   * @param {number} retentionS
   */
  async index(jobId, created, owner, retentionS) {
    for (const command of listing(jobId, created, owner, retentionS, this.#open().publish)) await this.call(...command);
  }

  /**
   * Lists a job once more, so that its owners' streams of many jobs add it.
   *
   * @param {string} jobId
   * @param {number} retentionS
   */
  async listAgain(jobId, retentionS) {
    const { created, owner } = creationOf(await this.call("HMGET", stateKey(jobId), "created", "userId", "sessionId"));
    if (created !== null) await this.index(jobId, created, owner, retentionS);
  }

  /** Has Redis carry out a command that may be repeated. @param {string[]} command @returns {Promise<any>} */
  call(...command) {
    return this.#open().call(command);
  }

  /** Closes it; calls without an answer throw RedisUnavailable. Another call opens it again. */
  close() {
    this.closings += 1;
    this.#link?.close();
    this.#link = null;
  }

  #open() {
    this.#link ??= new Link(this.#address.open(OWN), this.#timeoutMs, this.#address.timeoutS * 1000);
    return this.#link;
  }

  /** @param {number} receivers */
  #warn(receivers) {
    if (receivers >= 0 || this.#isWarned) return;
    this.#isWarned = true;
    process.emitWarning("this Redis user may not publish: viewers get events late", "JobcastWarning");
  }
}

/** One client of ioredis: calls wait until it is connected, and for the answer, no longer than they may. */
class Link {
  #client;
  #timeoutMs;
  /** Those that wait until it is connected. @type {Set<(error?: unknown) => void>} */
  #waiting = new Set();
  /** Why it is not connected. @type {unknown} */
  #problem = undefined;
  /** @type {NodeJS.Timeout | undefined} */
  #greeting;

  /**
   * @param {Client} client
   * @param {number} timeoutMs of a call
   * @param {number} greetingMs that a server has to say that it is ready: ioredis would wait for a frozen one for ever
   */
  constructor(client, timeoutMs, greetingMs) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    /** The command that publishes: in a Cluster, channels are sharded. */
    this.publish = "nodes" in client ? "SPUBLISH" : "PUBLISH";
    client.on("connect", () => {
      this.#greeting = setTimeout(() => client.disconnect(true), greetingMs);
    });
    client.on("ready", () => this.#wake());
    for (const name of ["ready", "close"]) client.on(name, () => clearTimeout(this.#greeting));
    client.on("end", () => this.#wake(new RedisUnavailable("the connection was closed", this.#problem)));
    client.on("error", (/** @type {unknown} */ error) => {
      this.#problem = error;
      if (isRefusal(error)) this.#wake(error);
    });
  }

  /** @param {string[]} command @returns {Promise<any>} */
  async call(command) {
    const [name, ...words] = command;
    const late = new Late(this.#timeoutMs);
    try {
      if (this.#client.status !== "ready") await this.#ready(late);
      const reply = this.#client.call(name, ...words);
      late.before(() => this.#client.disconnect(true)); // or the next call may wait for the same missing answer
      return await Promise.race([reply, late.promise]);
    } catch (error) {
      if (replyOf(error).startsWith("READONLY")) this.#client.disconnect(true); // a primary that was replaced
      if (replyOf(error) || error instanceof RedisUnavailable || isRefusal(error)) throw error;
      throw new RedisUnavailable(`Redis is unavailable: ${messageOf(error)}`, this.#problem ?? error);
    } finally {
      late.clear();
    }
  }

  close() {
    this.#client.disconnect();
    this.#wake(new RedisUnavailable("the connection was closed"));
  }

  /** @param {Late} late */
  async #ready(late) {
    if (this.#client.status === "wait") this.#client.connect().catch(() => {});
    /** @type {(error?: unknown) => void} */
    let wake = () => {};
    const ready = new Promise((/** @type {(nothing: void) => void} */ resolve, reject) => {
      wake = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#waiting.add(wake);
    try {
      await Promise.race([ready, late.promise]);
    } catch (error) {
      if (!(error instanceof RedisUnavailable) || this.#problem === undefined) throw error;
      throw new RedisUnavailable(`Redis is unavailable: ${messageOf(this.#problem)}`, this.#problem);
    } finally {
      this.#waiting.delete(wake);
    }
  }

  /** @param {unknown} [error] */
  #wake(error) {
    if (error === undefined) this.#problem = undefined;
    for (const wake of this.#waiting) wake(error);
  }
}

/** The end of the time that a call may take. */
class Late {
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {() => void} */
  #first = () => {};

  /** @param {number} ms */
  constructor(ms) {
    this.promise = new Promise((_, reject) => {
      this.#timer = setTimeout(() => {
        this.#first();
        reject(new RedisUnavailable(`Redis did not answer within ${ms / 1000} s`));
      }, ms);
    });
    this.promise.catch(() => {});
  }

  /** @param {() => void} first is called before that */
  before(first) {
    this.#first = first;
  }

  clear() {
    clearTimeout(this.#timer);
  }
}

/** The text of an error reply of Redis, empty of any other error. @param {unknown} error */
function replyOf(error) {
  return error instanceof Error && error.name === "ReplyError" ? error.message : "";
}

/** @param {any} error */
function messageOf(error) {
  return `${error?.lastNodeError?.message ?? error?.message ?? error}`;
}
