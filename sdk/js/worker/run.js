import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { InvalidEvent, JobCancelled, JobcastError } from "./errors.js";
import * as event from "./event.js";
import { asError, brief, describe, textOf } from "./failure.js";
import { fromJson } from "./json.js";
import { Reports } from "./reports.js";
import { Sender } from "./sender.js";

/** @import { Answer, Append } from "./append.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Fields } from "./event.js" */
/** @import { Lease, Leases } from "./lease.js" */
/** @import { Senders } from "./sender.js" */

/** @type {AsyncLocalStorage<Run>} */
const running = new AsyncLocalStorage();

/** The run whose `work` this is called in, null if there is none that goes on. */
export function currentRun() {
  const run = running.getStore();
  return run && !run.hasEnded ? run : null;
}

/** Calls a function in which this is the current run. @template T @param {Run} run @param {(run: Run) => T | Promise<T>} work */
export async function within(run, work) {
  return running.run(run, () => work(run));
}

/** What was thrown, or JobCancelled if that was because the signal of the run is aborted. @param {Run} run @param {any} thrown */
export function causeOf(run, thrown) {
  return run.signal.aborted && thrown?.name === "AbortError" ? run.signal.reason : thrown;
}

/**
 * One run of one job, from its start to its end. Made by `Jobs.run`.
 *
 * From its start on it holds a lease until it has ended, its `work` ends, its `Jobs` is closed, or nobody holds the run
 * any more.
 *
 * Each method returns the id of the log entry that it wrote. Each throws JobSuperseded once another run or attempt has
 * taken over, JobFinished after the job's end (JobStalled, one of its kind, if that came because the lease expired),
 * UnknownJob once the job has expired, and InvalidEvent for arguments that the contract refuses, before anything is
 * sent. Events are in the order of the calls, whether these are awaited or not; a refusal of one that nobody awaits is
 * no unhandled rejection, and is thrown by the next call too.
 *
 * While Redis is unavailable, an event is repeated until it is acknowledged, and is written once. A call waits for that
 * no longer than `blockS` of `connect`. Then it returns an empty id, and its event waits in the run's buffer; the calls
 * that follow return at once until all that waits was written, but for the end of the run, which waits for as long
 * again. When the buffer is full, only the newest progress in it is kept; if that makes no room within `blockS`, the call
 * throws BufferFull and its event is not written. The end of the run always has room. What is refused after its call
 * has returned is a warning of the process.
 */
export class Run extends Reports {
  /** Of the job; null until the start unless it was given. @type {number | null} */
  attempt;
  /** The type of the job, empty until the start. */
  type = "";
  /** What the job was created with, once it was started. @type {Record<string, any>} */
  input = {};
  #leases;
  /** @type {Lease | null} */
  #lease = null;

  /**
   * @param {Connection} connection
   * @param {Leases} leases
   * @param {Senders} senders
   * @param {string} jobId
   * @param {number | null} attempt
   */
  constructor(connection, leases, senders, jobId, attempt) {
    super(new Sender(connection, jobId, attempt, senders), jobId);
    this.attempt = attempt;
    this.#leases = leases;
  }

  /** Whether this run has completed or failed the job, acknowledged or not. */
  get hasEnded() {
    return this.finished || this._sender.hasEnd;
  }

  /**
   * Starts the job unless it was started, calls a function with this run and ends the job: completes it with what the
   * function returns, unless the function has ended it, or fails it with what the function throws, which is thrown again.
   *
   * The message and `code`, if that is a string, of what is thrown become those of the job. JobCancelled fails the job
   * with `Cancelled` and goes no further: `work` returns undefined then, and does not call the function if the job
   * was cancelled before it was taken over.
   *
   * @template T
   * @param {(run: Run) => T | Promise<T>} work
   * @returns {Promise<T | undefined>}
   */
  async work(work) {
    if (typeof work !== "function") throw new InvalidEvent("work takes a function");
    try {
      if (!this._sender.token || this.hasEnded) await this.start();
    } catch (error) {
      if (!(error instanceof JobCancelled)) throw error;
      await this.#failWith(error);
      return undefined;
    }
    try {
      return await this.#work(work);
    } finally {
      if (!this._sender.hasEnd) this.#lease?.stop();
    }
  }

  /**
   * Starts the job, or takes it over from an earlier run of the same attempt.
   *
   * Sets `attempt`, `type` and `input`. Throws JobCancelled (the job was started) when an earlier run was asked to stop,
   * InvalidEvent (the job was failed) when the job's input is no JSON object, and RedisUnavailable when Redis was
   * unavailable for `blockS`.
   */
  async start() {
    this.#endLease();
    const token = randomBytes(8).toString("hex");
    const lease = this.#leases.ofRun(this.jobId, token);
    let answer;
    try {
      answer = await this._sender.start(token, event.started(this.#leases.lengthMs), async () => lease?.announce());
    } catch (error) {
      if (error instanceof JobcastError) lease?.end();
      throw error;
    }
    lease?.keep(new WeakRef(this));
    this.#lease = lease;
    this.attempt = answer.attempt;
    this.type = answer.type;
    this._begin();
    const input = inputOf(answer);
    if (input === null) {
      await this.fail("The job's input can't be read", "BAD_INPUT");
      throw new InvalidEvent("the job's input can't be read; the job was failed");
    }
    this.input = input;
    this._noteCancel(answer.cancelRequested);
    if (this.cancelRequested) throw new JobCancelled();
    return answer.entryId;
  }

  /** Ends the job well, with a result of at most 1 MiB of JSON. @param {unknown} [result] */
  async complete(result = null) {
    return this.#finish(event.completed(result));
  }

  /**
   * Ends the job badly, with a message for its viewers and a stable code for programs. What was thrown is written as
   * `work` writes it. `more` are further fields of the event, which those who watch or resume get.
   *
   * @param {unknown} error a string, or what was thrown
   * @param {string | null} [code]
   * @param {Fields} [more]
   */
  async fail(error, code = null, more = {}) {
    if (typeof error === "string") return this.#finish(event.failed(error, code, more));
    const [message, itsCode] = describe(error);
    const its = code ?? itsCode;
    // The end of a job must not hang on the length of a text.
    return this.#finish(event.failed(message, its, more), event.failed(...brief(message, its), more));
  }

  /** Keeps the lease, though nobody holds the run, until it is refused: another run will take over. */
  hold() {
    this.#lease?.keep({ deref: () => this });
  }

  /** Renews the lease; called by the timer of the lease. @param {number} leaseMs */
  async renew(leaseMs) {
    this._noteCancel(await this._sender.renew(event.renewed(leaseMs)));
  }

  /** @template T @param {(run: Run) => T | Promise<T>} work */
  async #work(work) {
    let result;
    try {
      result = await within(this, work);
    } catch (thrown) {
      const error = causeOf(this, thrown);
      if (!this.hasEnded) await this.#failWith(error);
      if (error instanceof JobCancelled) return undefined;
      throw thrown;
    }
    if (!this.hasEnded) await this.#completeWith(result);
    return result;
  }

  /** @param {unknown} result */
  async #completeWith(result) {
    try {
      await this.complete(result);
    } catch (error) {
      if (error instanceof InvalidEvent) await this.#failWith(error);
      throw error;
    }
  }

  /** Fails the job, unless it has ended or was taken over meanwhile. @param {unknown} error */
  async #failWith(error) {
    try {
      await this.fail(asError(error));
    } catch (obstacle) {
      if (obstacle instanceof JobcastError) return;
      process.emitWarning(`job ${this.jobId}: it could not be failed: ${textOf(obstacle)}`, "JobcastWarning");
      if (error instanceof JobCancelled) throw obstacle;
    }
  }

  /** @param {Append} made @param {Append | null} [otherwise] */
  async #finish(made, otherwise = null) {
    this._flush();
    return (await this._sender.send(made, (each, answer) => this._answered(each, answer), otherwise))?.entryId ?? "";
  }

  /** @protected @override @param {Append} made @param {Answer} answer */
  _answered(made, answer) {
    super._answered(made, answer);
    if (made.isEnd) this.#endLease();
  }

  #endLease() {
    this.#lease?.end();
    this.#lease = null;
  }
}

/** What the job was created with; null if that is no object. @param {Answer} answer @returns {Record<string, any> | null} */
function inputOf({ input }) {
  try {
    const value = input === "" ? {} : (fromJson(input) ?? {});
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
