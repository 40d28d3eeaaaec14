import { withScript, answerOf } from "./append.js";
import { JobcastError, RedisUnavailable, refused } from "./errors.js";
import { createdBy, creationOf, indexCommands, logKey, stateKey } from "./names.js";
import { isRefusal } from "./retry.js";

/** @import { Append, Owner } from "./append.js" */
/** @import { Address, Client } from "./address.js" */

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1000;
const SENTINEL_TIMEOUT_MS = 1000;

/**
 * Options of ioredis that the caller can't change: it must neither repeat nor queue commands, because a command that
 * has failed for its caller could then still be executed, and it must reconnect for ever.
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
 * Sends the append script and other commands to Redis. Connects at first use; any number of runs share it.
 *
 * It repeats nothing. `closings` counts how often it was closed; `isOver` is whether its `Jobs` was closed.
 */
export class Connection {
  closings = 0;
  isOver = false;
  #address;
  #timeoutMs;
  /** @type {Link | null} */
  #link = null;
  #isWarned = false;

  /**
   * @param {Address} address
   * @param {number | null} tryS timeout of a call, unless that of the address is shorter
   */
  constructor(address, tryS) {
    this.#address = address;
    this.#timeoutMs = Math.min(address.timeoutS, tryS ?? Infinity) * 1000;
  }

  /**
   * Appends an event to a job's log. Throws a JobcastError if the script refuses it.
   *
   * With `seq`, the sequence number of the append or the token of a creation, the call may be repeated: the event is
   * written once.
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

  /**
   * A call that appends a cancel, a retry or an abandon without a number, and that may be repeated.
   *
   * A try without an answer may have written the event, and then the next one is refused. Such a refusal is not thrown
   * if the job's state shows the event: see `Append.isIn`.
   *
   * @param {string} jobId
   * @param {Append} event
   */
  repeatable(jobId, event) {
    let isUnanswered = false;
    return async () => {
      try {
        await this.append(jobId, event, null, "", "");
      } catch (error) {
        const isRefusal = error instanceof JobcastError;
        if (isRefusal && isUnanswered && event.isIn(await this.call("HMGET", stateKey(jobId), ...event.traces))) return;
        isUnanswered ||= !isRefusal;
        throw error;
      }
    };
  }

  /**
   * The first log entry of a job; null unless the job has exactly these owners.
   *
   * @param {string} jobId
   * @param {Owner} owner
   */
  async created(jobId, owner) {
    return createdBy(await this.call("HMGET", stateKey(jobId), "created", "userId", "sessionId"), owner);
  }

  /**
   * Adds a job to its owners' lists, which expire later than the job.
   *
   * @param {string} jobId
   * @param {string} created its first log entry
   * @param {Owner} owner
   * @param {number} retentionS
   */
  async index(jobId, created, owner, retentionS) {
    for (const command of indexCommands(jobId, created, owner, retentionS, this.#open().publish)) await this.call(...command);
  }

  /**
   * Lists a job again, which announces it to its owners' streams of many jobs.
   *
   * @param {string} jobId
   * @param {number} retentionS
   */
  async reindex(jobId, retentionS) {
    const { created, owner } = creationOf(await this.call("HMGET", stateKey(jobId), "created", "userId", "sessionId"));
    if (created !== null) await this.index(jobId, created, owner, retentionS);
  }

  /** Sends a command that may be repeated. @param {string[]} command @returns {Promise<any>} */
  call(...command) {
    return this.#open().call(command);
  }

  /** Closes it: pending calls throw RedisUnavailable. The next call opens it again. */
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

/** One client of ioredis. A call waits for the connection and its answer, up to a timeout. */
class Link {
  #client;
  #timeoutMs;
  /** Callbacks that wake the calls which wait for the connection. @type {Set<(error?: unknown) => void>} */
  #waiting = new Set();
  /** The last error of the connection. @type {unknown} */
  #problem = undefined;
  /** @type {NodeJS.Timeout | undefined} */
  #greeting;

  /**
   * @param {Client} client
   * @param {number} timeoutMs of a call
   * @param {number} greetingMs timeout of a new connection to become ready: ioredis waits for a frozen server for ever
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
      late.before(() => this.#client.disconnect(true)); // else the next call may wait for the same missing answer
      return await Promise.race([reply, late.promise]);
    } catch (error) {
      if (replyOf(error).startsWith("READONLY")) this.#client.disconnect(true); // the primary was demoted
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

/** The timeout of one call. */
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

  /** @param {() => void} first is called at the timeout, before the promise rejects */
  before(first) {
    this.#first = first;
  }

  clear() {
    clearTimeout(this.#timer);
  }
}

/** The text of an error reply of Redis; empty for any other error. @param {unknown} error */
function replyOf(error) {
  return error instanceof Error && error.name === "ReplyError" ? error.message : "";
}

/** @param {any} error */
function messageOf(error) {
  return `${error?.lastNodeError?.message ?? error?.message ?? error}`;
}
