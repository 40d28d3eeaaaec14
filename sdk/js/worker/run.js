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

/** The run in whose `work` this is called; null outside of one, and after the end of the run. */
export function currentRun() {
  const run = running.getStore();
  return run && !run.hasEnded ? run : null;
}

/**
 * Calls a function with this as the current run.
 *
 * @template T
 * @param {Run} run
 * @param {(run: Run) => T | Promise<T>} work
 */
export async function within(run, work) {
  return running.run(run, () => work(run));
}

/**
 * What was thrown; JobCancelled instead of an AbortError that the run's signal has caused, and instead of an
 * AggregateError of nothing else, as `Promise.any` throws it.
 *
 * @param {{ signal: AbortSignal }} run
 * @param {any} thrown
 */
export function causeOf(run, thrown) {
  const errors = thrown instanceof AggregateError && Array.isArray(thrown.errors) ? thrown.errors : [];
  const isStopped = (/** @type {any} */ error) => run.signal.aborted && error?.name === "AbortError";
  if (isStopped(thrown) || (errors.length && errors.every((each) => each instanceof JobCancelled || isStopped(each)))) {
    return run.signal.aborted ? run.signal.reason : errors[0];
  }
  return thrown;
}

/**
 * One run of one job, from its start to its end. Created by `Jobs.run`.
 *
 * It holds a lease from its start until it has ended, its `work` ends, its `Jobs` is closed, or nothing references it
 * any more.
 *
 * Each method returns the id of the log entry that it wrote. Each throws JobSuperseded if another run or attempt has
 * taken over, JobFinished if the job has ended (its subclass JobStalled if that is because the lease expired),
 * UnknownJob if the job has expired, and InvalidEvent, before anything is sent, if an argument violates the contract.
 * Events are in the order of the calls, awaited or not. A refused call that nobody awaits causes no unhandled
 * rejection; the next call throws the same error.
 *
 * While Redis is unavailable, an event is repeated until Redis acknowledges it, and is written once. A call waits up to
 * `blockS` seconds (see `connect`) for that. Then it returns an empty id, and its event stays in the run's buffer.
 * Until the buffer is empty, further calls return at once, except for the end of the run, which waits up to `blockS`
 * again. When the buffer is full, only the newest progress in it is kept; if there still is no room after `blockS`, the
 * call throws BufferFull and its event is not written. There is always room for the end of the run. If an event is
 * refused after its call has returned, the process emits a warning.
 */
export class Run extends Reports {
  /** The attempt of the job; null until the start, unless it was passed to `Jobs.run`. @type {number | null} */
  attempt;
  /** The type of the job, empty until the start. */
  type = "";
  /** The input of the job, empty until the start. @type {Record<string, any>} */
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

  /** Whether this run has completed or failed the job, even if Redis has not acknowledged that. */
  get hasEnded() {
    return this.finished || this._sender.hasEnd;
  }

  /**
   * Starts the job unless that was done, calls a function with this run, and ends the job: completes it with what the
   * function returns, unless the function has ended it, or fails it with what the function throws, and rethrows that.
   *
   * The error and code of the job are the message of what is thrown and its `code`, if that is a string. JobCancelled
   * fails the job with `Cancelled` and is not rethrown: `work` then returns undefined. If the job was cancelled before
   * it was taken over, the function is not called.
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
   * Sets `attempt`, `type` and `input`. Throws JobCancelled (the job was started) if an earlier run was asked to stop,
   * InvalidEvent (the job was failed) if the job's input is no JSON object, and RedisUnavailable if Redis was
   * unavailable for `blockS` seconds.
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

  /** Completes the job, with a result of at most 1 MiB of JSON. @param {unknown} [result] */
  async complete(result = null) {
    return this.#finish(event.completed(result));
  }

  /**
   * Fails the job, with a message for viewers and a stable code for programs. For a thrown value, both are those that
   * `work` writes. `more` are further fields of the event; live and resuming viewers get them.
   *
   * @param {unknown} error a string, or what was thrown
   * @param {string | null} [code]
   * @param {Fields} [more]
   */
  async fail(error, code = null, more = {}) {
    if (typeof error === "string") return this.#finish(event.failed(error, code, more));
    const [message, itsCode] = describe(error);
    const its = code ?? itsCode;
    // A long message must not keep the job from ending.
    return this.#finish(event.failed(message, its, more), event.failed(...brief(message, its), more));
  }

  /** Renews the lease, even if nothing references the run, until that is refused because another run took over. */
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

/** The input of the job; null if it is no object. @param {Answer} answer @returns {Record<string, any> | null} */
function inputOf({ input }) {
  try {
    const value = input === "" ? {} : (fromJson(input) ?? {});
    return typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
