import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { Count } from "./count.js";
import { InvalidEvent, JobCancelled, JobcastError } from "./errors.js";
import * as event from "./event.js";
import { asError, brief, describe, textOf } from "./failure.js";
import { fromJson } from "./json.js";
import { Sender } from "./sender.js";

/** @import { Answer, Append } from "./append.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Fields } from "./event.js" */
/** @import { Lease, Leases } from "./lease.js" */
/** @import { Senders } from "./sender.js" */

/**
 * Fields of a progress event. `progress` (percent), `step` and `eta` (seconds left) are the contract's, `current`,
 * `total` and `unit` count; others are your own.
 *
 * @typedef {Fields & { progress?: number | null, step?: string | null, eta?: number | null, current?: number,
 *   total?: number, unit?: string }} ProgressFields
 */

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
export class Run {
  /** Of the job; null until the start unless it was given. @type {number | null} */
  attempt;
  /** The type of the job, empty until the start. */
  type = "";
  /** What the job was created with, once it was started. @type {Record<string, any>} */
  input = {};
  /** Whether Redis has acknowledged the end of this run. */
  finished = false;
  #sender;
  #leases;
  /** @type {Lease | null} */
  #lease = null;
  /** @type {Count | null} */
  #count = null;
  /** Progress that waits for its time. @type {Append | null} */
  #noted = null;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #stop = new AbortController();

  /**
   * @param {Connection} connection
   * @param {Leases} leases
   * @param {Senders} senders
   * @param {string} jobId
   * @param {number | null} attempt
   */
  constructor(connection, leases, senders, jobId, attempt) {
    this.jobId = jobId;
    this.attempt = attempt;
    this.#sender = new Sender(connection, jobId, attempt, senders);
    this.#leases = leases;
  }

  /** Whether this run has completed or failed the job, acknowledged or not. */
  get hasEnded() {
    return this.finished || this.#sender.hasEnd;
  }

  /** Whether the job was asked to stop, as far as the last answer or renewal of the lease says. */
  get cancelRequested() {
    return this.signal.aborted;
  }

  /**
   * Is aborted, with JobCancelled as its reason, when the job was asked to stop: for `fetch` and the like.
   *
   * @returns {AbortSignal}
   */
  get signal() {
    return this.#stop.signal;
  }

  /**
   * Starts the job unless it was started, calls a function with this run and ends the job: completes it with what the function returns, unless
   * the function has ended it, or fails it with what the function throws, which is thrown again.
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
      if (!this.#sender.token || this.hasEnded) await this.start();
    } catch (error) {
      if (!(error instanceof JobCancelled)) throw error;
      await this.#failWith(error);
      return undefined;
    }
    try {
      return await this.#work(work);
    } finally {
      if (!this.#sender.hasEnd) this.#lease?.stop();
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
      answer = await this.#sender.start(token, event.started(this.#leases.lengthMs), async () => lease?.announce());
    } catch (error) {
      if (error instanceof JobcastError) lease?.end();
      throw error;
    }
    lease?.keep(new WeakRef(this));
    this.#lease = lease;
    this.attempt = answer.attempt;
    this.type = answer.type;
    this.#stop = new AbortController();
    const input = inputOf(answer);
    if (input === null) {
      await this.fail("The job's input can't be read", "BAD_INPUT");
      throw new InvalidEvent("the job's input can't be read; the job was failed");
    }
    this.input = input;
    this.#noteCancel(answer.cancelRequested);
    if (this.cancelRequested) throw new JobCancelled();
    return answer.entryId;
  }

  /**
   * Reports progress: percent, the current step and further fields, of which `eta` is the seconds left.
   *
   * What is left out is null for the viewers. A lower percentage than the job's is raised to it. Throws JobCancelled,
   * after the event was written, when the job was asked to stop.
   *
   * Or reports a count, `progress({ current: 3, total: 12, unit: "page" })`: then the percentage follows from it, and the
   * seconds left from how fast it went lately, once that is worth showing (after 3 s and 2 %). `total` and `unit` stay as
   * they are until the next step. Without a total, viewers see that the end is unknown (`indeterminate`). Counts are sent
   * 20 times a second at the most: one that follows another sooner returns an empty id, and the last one is sent 50 ms
   * after that other, or before the next event of another kind.
   *
   * @param {number | null | ProgressFields} [progress]
   * @param {string | null | ProgressFields} [step]
   * @param {ProgressFields} [fields]
   * @returns {Promise<string>}
   */
  progress(progress, step, fields) {
    return this.#reported(() => {
      const { progress: percent, step: its, eta, current, total, unit, ...more } = merged(progress, step, fields);
      const count = withoutUndefined({ current, total, unit });
      if (percent != null) return event.progressed(percent, its, eta, { ...more, ...count });
      if (!Object.keys(count).length) throw new InvalidEvent("progress needs a percentage, or current");
      this.#counting().set({ ...count, step: its, eta, more });
      return null;
    });
  }

  /**
   * Reports that a step begins. As `progress`, but it may lower the progress; without one the job's own stays.
   *
   * @param {string} step
   * @param {Omit<ProgressFields, "step">} [fields]
   * @returns {Promise<string>}
   */
  step(step, fields = {}) {
    return this.#reported(() => {
      if (Object.hasOwn(checkedFields(fields), "step")) throw ownArgument("step");
      const { eta, ...rest } = /** @type {ProgressFields} */ (fields);
      let { progress, ...more } = /** @type {Fields} */ (rest);
      event.stepped(step, progress, eta, more); // refused before the count begins a step
      if (this.#isHolding) this.#flush().catch(() => {});
      if (this.#count || more.total !== undefined) [progress, more] = this.#counting().step(step, progress, more);
      return event.stepped(step, progress, eta, more);
    });
  }

  /** Reports that so much more of the current step is done. See `progress`. @param {number} [count] @returns {Promise<string>} */
  advance(count = 1) {
    return this.#reported(() => {
      this.#counting().advance(count);
      return null;
    });
  }

  /**
   * Goes through items, and reports each as done when the next one is asked for:
   * `for await (const file of run.track(files, "Hashing", { unit: "file" }))`.
   *
   * `step` begins a step. Without `total`, that is the length or size of the items; if they have none, viewers see how
   * many are done and that the end is unknown.
   *
   * @template T
   * @param {Iterable<T> | AsyncIterable<T>} items
   * @param {string | null} [step]
   * @param {{ unit?: string, total?: number }} [options]
   * @returns {AsyncGenerator<T, void, undefined>}
   */
  async *track(items, step = null, { unit, total } = {}) {
    const { length, size } = /** @type {any} */ (items);
    if (step === null) this.#counting().anew();
    else await this.step(step);
    await this.progress(null, step, { current: 0, total: total ?? length ?? size, unit });
    for await (const item of items) {
      yield item;
      await this.advance();
    }
    await this.#flush();
    if (this.cancelRequested) throw new JobCancelled();
  }

  /**
   * Says which steps there will be and what share of the work each is, in any unit.
   *
   * `{ download: 1, analyse: 4 }`: while `step("analyse")` counts from 0 to its total, the job goes from 20 to 100
   * percent. The steps carry `stepIndex` and `stepCount`.
   *
   * @param {Record<string, number>} weights
   */
  plan(weights) {
    this.#counting().plan(weights);
  }

  /**
   * Sends an event of your own, which reaches viewers in order and is never dropped.
   *
   * `name` is `[a-z][a-z0-9-]{0,63}` and no reserved one; `data` is an object of at most 1 MiB of JSON. Throws
   * JobCancelled, after the event was written, when the job was asked to stop.
   *
   * @param {string} name
   * @param {object} data
   * @returns {Promise<string>}
   */
  emit(name, data) {
    return this.#reported(() => event.emitted(name, data));
  }

  /**
   * Sends a line of text, as the event `log`.
   *
   * @param {string} text
   * @param {"debug" | "info" | "warning" | "error"} [level]
   * @param {Fields} [more]
   * @returns {Promise<string>}
   */
  log(text, level = "info", more = {}) {
    return this.#reported(() => event.logged(text, level, more));
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

  /**
   * Sends what a task reports in its queue's own way when there is time for it, 20 times a second at the most; the last
   * report is always sent.
   *
   * @param {import("./report.js").Report} report
   * @returns {Promise<string>}
   */
  note({ percent, step, eta, more, ...count }) {
    return this.#reported(() => {
      if (percent === null && count.current !== undefined) this.#counting().set({ ...count, step, eta, more });
      else this.#noted = event.progressed(percent, step, eta, { ...more, ...withoutUndefined(count) });
      return null;
    });
  }

  /** Keeps the lease, though nobody holds the run, until it is refused: another run will take over. */
  hold() {
    this.#lease?.keep({ deref: () => this });
  }

  /** Renews the lease; called by the timer of the lease. @param {number} leaseMs */
  async renew(leaseMs) {
    this.#noteCancel(await this.#sender.renew(event.renewed(leaseMs)));
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

  /**
   * Sends the event that a function makes, or what is held back if it makes none.
   *
   * @param {() => Append | null} make
   */
  #reported(make) {
    let made;
    try {
      made = make();
    } catch (error) {
      return Promise.reject(error);
    }
    const sent = made ? this.#report(made) : this.#countOn();
    sent.catch(() => {}); // of a call that nobody awaits: the next one meets the same
    return sent;
  }

  /** @param {Append} made */
  async #report(made) {
    if (this.#isHolding) this.#flush().catch(() => {}); // this event meets the same
    const entryId = (await this.#sender.send(made, this.#answered))?.entryId ?? "";
    if (this.cancelRequested) throw new JobCancelled();
    return entryId;
  }

  /** @param {Append} made @param {Append | null} [otherwise] */
  async #finish(made, otherwise = null) {
    if (this.#isHolding) this.#flush().catch(() => {}); // it must not keep the job from its end
    return (await this.#sender.send(made, this.#answered, otherwise))?.entryId ?? "";
  }

  /** Sends what is held back, or has it be sent as soon as the last event is old enough. */
  async #countOn() {
    const dueInMs = this.#counting().dueInMs;
    let entryId = "";
    if (dueInMs <= 0) {
      entryId = await this.#flush();
    } else if (!this.#timer) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#flush().catch(() => {}); // the next call meets the same
      }, dueInMs);
    }
    if (this.cancelRequested) throw new JobCancelled();
    return entryId;
  }

  get #isHolding() {
    return this.#noted !== null || this.#count?.isHeld === true;
  }

  /** Sends what is held back; returns its entry. */
  async #flush() {
    const held = [];
    if (this.#count?.isHeld) held.push(this.#count.event());
    if (this.#noted) held.push(this.#noted);
    if (this.#noted) this.#counting().sent();
    this.#noted = null;
    const answers = await Promise.all(held.map((each) => this.#sender.send(each, this.#answered)));
    return answers.at(-1)?.entryId ?? "";
  }

  #counting() {
    this.#count ??= new Count();
    return this.#count;
  }

  /** @type {(made: Append, answer: Answer) => void} */
  #answered = (made, answer) => {
    if (made.isEnd) {
      this.finished = true;
      this.#endLease();
    }
    this.#noteCancel(answer.cancelRequested);
  };

  /** @param {boolean} isRequested */
  #noteCancel(isRequested) {
    if (isRequested && !this.finished && !this.#stop.signal.aborted) this.#stop.abort(new JobCancelled());
  }

  #endLease() {
    this.#lease?.end();
    this.#lease = null;
  }
}

/** @param {string} name */
function ownArgument(name) {
  return new InvalidEvent(`${name} has an argument of its own and can't be a further field`);
}

/** @param {unknown} fields @returns {ProgressFields} */
function checkedFields(fields) {
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) {
    throw new InvalidEvent("the further fields must be an object");
  }
  return /** @type {ProgressFields} */ (fields);
}

/**
 * The fields of a call of `progress`, whose first or second argument may be all that follows.
 *
 * @param {number | null | ProgressFields} [progress]
 * @param {string | null | ProgressFields} [step]
 * @param {ProgressFields} [fields]
 * @returns {ProgressFields}
 */
function merged(progress, step, fields) {
  if (typeof progress === "object" && progress !== null) return { ...checkedFields(progress) };
  if (Object.hasOwn(checkedFields(fields ?? {}), "progress")) throw ownArgument("progress");
  if (typeof step === "object" && step !== null) return { ...merged(progress, undefined, step), ...fields };
  if (step != null && Object.hasOwn(fields ?? {}, "step")) throw ownArgument("step");
  return { ...(step === undefined ? {} : { step }), ...fields, progress };
}

/** @param {Fields} fields @returns {Fields} */
function withoutUndefined(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
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
