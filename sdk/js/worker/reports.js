import { Count } from "./count.js";
import { InvalidEvent, JobCancelled } from "./errors.js";
import * as event from "./event.js";
import { merged, Pace } from "./pace.js";

/** @import { Answer, Append } from "./append.js" */
/** @import { Fields } from "./event.js" */
/** @import { Sender } from "./sender.js" */

/**
 * Fields of a progress event. The contract defines `progress` (percent), `step` and `eta` (seconds left); `current`,
 * `total` and `unit` are a count; others are your own.
 *
 * @typedef {Fields & { progress?: number | null, step?: string | null, eta?: number | null, current?: number,
 *   total?: number, unit?: string }} ProgressFields
 */

/** The calls by which a run reports, between its start and its end. */
export class Reports {
  /** Whether Redis has acknowledged the end of this run. */
  finished = false;
  /** @protected @type {Sender} */
  _sender;
  /** @type {Count | null} */
  #count = null;
  #pace;
  /** Progress held back by the rate limit; a count that is held back is newer. @type {Append | null} */
  #held = null;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #stop = new AbortController();

  /** @param {Sender} sender @param {string} jobId */
  constructor(sender, jobId) {
    this.jobId = jobId;
    this._sender = sender;
    this.#pace = new Pace(sender.senders.limits.paceMs);
  }

  /** Whether the job was asked to stop, according to the last answer or renewal of the lease. */
  get cancelRequested() {
    return this.signal.aborted;
  }

  /**
   * Aborted, with JobCancelled as the reason, when the job is asked to stop. Pass it to `fetch` and similar calls.
   *
   * @returns {AbortSignal}
   */
  get signal() {
    return this.#stop.signal;
  }

  /**
   * Reports progress: percent, the current step and further fields, of which `eta` is the seconds left.
   *
   * Viewers get null for what is left out. A percentage below the job's is raised to it. Throws JobCancelled, after the
   * event was written, if the job was asked to stop.
   *
   * Or reports a count, `progress({ current: 3, total: 12, unit: "page" })`: it determines the percentage and, from the
   * recent rate, the seconds left, once 3 s have passed and 2 % are done. `total` and `unit` stay as they are until the
   * next step. Without a total, viewers see that the end is unknown (`indeterminate`).
   *
   * Progress, counted or not, is sent at most 20 times a second (`progressPerS` of `connect`). Within 50 ms of the last
   * progress event, a call returns an empty id and its progress is held back. Of what is held back, the newest is sent,
   * with the highest percentage: when the 50 ms are over, or before the next event of another kind, the end of the run
   * or the closing of its `Jobs`. Throws InvalidEvent at once if an argument is invalid. Progress that is too large for
   * the job is only refused when it is sent: if it was held back, it is dropped with a process warning.
   *
   * @param {number | null | ProgressFields} [progress]
   * @param {string | null | ProgressFields} [step]
   * @param {ProgressFields} [fields]
   * @returns {Promise<string>}
   */
  progress(progress, step, fields) {
    return this.#reported(() => {
      const { progress: percent, step: its, eta, current, total, unit, ...more } = given(progress, step, fields);
      const count = withoutUndefined({ current, total, unit });
      if (percent != null) return this.#hold(event.progressed(percent, its, eta, { ...more, ...count }));
      if (!Object.keys(count).length) throw new InvalidEvent("progress needs a percentage, or current");
      this.#counting().set({ ...count, step: its, eta, more });
      return null;
    });
  }

  /**
   * Reports that a step begins. Like `progress`, but may lower the percentage; without one, the job's stays as it is.
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
      event.stepped(step, progress, eta, more); // throws before the count begins the step
      this._flush();
      if (this.#count || more.total !== undefined) [progress, more] = this.#counting().step(step, progress, more);
      return event.stepped(step, progress, eta, more);
    });
  }

  /** Increases the count of the current step. See `progress`. @param {number} [count] @returns {Promise<string>} */
  advance(count = 1) {
    return this.#reported(() => {
      this.#counting().advance(count);
      return null;
    });
  }

  /**
   * Iterates over items, and reports each as done when the next one is requested:
   * `for await (const file of run.track(files, "Hashing", { unit: "file" }))`.
   *
   * `step` begins a step. `total` defaults to the length or size of the items; if they have none, viewers see how many
   * are done and that the end is unknown.
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
    await this.#sendHeld();
    if (this.cancelRequested) throw new JobCancelled();
  }

  /**
   * Sets the steps of the job, and the share of the work that each is, in any unit.
   *
   * `{ download: 1, analyse: 4 }`: while the step `analyse` counts from 0 to its total, the job goes from 20 to 100
   * percent. The events of the steps carry `stepIndex` and `stepCount`.
   *
   * @param {Record<string, number>} weights
   */
  plan(weights) {
    this.#counting().plan(weights);
  }

  /**
   * Sends a custom event, which reaches viewers in order and is never dropped.
   *
   * `name` is `[a-z][a-z0-9-]{0,63}` and not reserved; `data` is an object of at most 1 MiB of JSON. Throws
   * JobCancelled, after the event was written, if the job was asked to stop.
   *
   * @param {string} name
   * @param {object} data
   * @returns {Promise<string>}
   */
  emit(name, data) {
    return this.#reported(() => event.emitted(name, data));
  }

  /**
   * Sends a line of text as the event `log`.
   *
   * @param {string} text
   * @param {"debug" | "info" | "warning" | "error"} [level]
   * @param {Fields} [more]
   * @returns {Promise<string>}
   */
  log(text, level = "info", more = {}) {
    return this.#reported(() => event.logged(text, level, more ?? {}));
  }

  /**
   * Sends a report of a queue's task, subject to the rate limit of progress; the last report is always sent.
   *
   * @param {import("./report.js").Report} report
   * @returns {Promise<string>}
   */
  note({ percent, step, eta, more, ...count }) {
    return this.#reported(() => {
      if (percent !== null || count.current === undefined) {
        return this.#hold(event.progressed(percent, step, eta, { ...more, ...withoutUndefined(count) }));
      }
      this.#counting().set({ ...count, step, eta, more });
      return null;
    });
  }

  /** @type {(made: Append, answer: Answer) => void} */
  #written = (made, answer) => this._answered(made, answer);

  /** @protected */
  _begin() {
    this.finished = false;
    this.#unsent(); // of an earlier run by this object
    this.#stop = new AbortController();
  }

  /** Sends progress that is held back, before another event, which is sent even if that fails. @protected */
  _flush() {
    if (this.#isHolding) this.#flushNow();
  }

  /** Called with each event that was written. @protected @param {Append} made @param {Answer} answer */
  _answered(made, answer) {
    this.finished ||= made.isEnd;
    this._noteCancel(answer.cancelRequested);
  }

  /** @protected @param {boolean} isRequested */
  _noteCancel(isRequested) {
    if (isRequested && !this.finished && !this.#stop.signal.aborted) this.#stop.abort(new JobCancelled());
  }

  /**
   * Sends the event that a function returns; if it returns none, the progress that is held back.
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
    const sent = made ? this.#report(made) : this.#progressed();
    sent.catch(() => {}); // no unhandled rejection if nobody awaits it: the next call throws the same
    return sent;
  }

  /** @param {Append} made */
  async #report(made) {
    this._flush();
    const entryId = (await this._sender.send(made, this.#written))?.entryId ?? "";
    if (this.cancelRequested) throw new JobCancelled();
    return entryId;
  }

  /** Sends the progress that is held back, now or when it is due. */
  async #progressed() {
    let entryId = "";
    if (this.#dueInMs <= 0) entryId = await this.#sendHeld();
    else this.#flushInTime();
    if (this.cancelRequested) throw new JobCancelled();
    return entryId;
  }

  /** In how many ms progress may be sent; 0 after the end of the run, so that it is refused at once. */
  get #dueInMs() {
    return this.finished ? 0 : this.#pace.dueInMs;
  }

  get #isHolding() {
    return this.#held !== null || this.#count?.isHeld === true;
  }

  /** Holds back progress, merged with any that is held back. @param {Append} made @returns {null} */
  #hold(made) {
    this.#held = merged(made, this.#unsent());
    return null;
  }

  /** Removes and returns the progress that is held back. */
  #unsent() {
    const held = this.#held;
    this.#held = null;
    return this.#count?.isHeld ? merged(this.#count.event(), held) : held;
  }

  #flushInTime() {
    this._sender.senders.unsent.add(this.#flushNow);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#flushNow();
    }, this.#dueInMs);
  }

  /** Sends the progress that is held back, outside of any call; the next call throws the same error. */
  #flushNow = async () => {
    try {
      await this.#sendHeld();
    } catch (error) {
      if (!(error instanceof InvalidEvent)) return;
      process.emitWarning(`job ${this.jobId}: progress was left out: ${error.message}`, "JobcastWarning");
    }
  };

  /** Sends the progress that is held back, and returns the id of its entry. */
  async #sendHeld() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this._sender.senders.unsent.delete(this.#flushNow);
    const unsent = this.#unsent();
    if (unsent === null) return "";
    this.#pace.note();
    return (await this._sender.send(unsent, this.#written))?.entryId ?? "";
  }

  #counting() {
    this.#count ??= new Count();
    return this.#count;
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
 * The fields of a call of `progress`, in which an object may take the place of the first or second argument.
 *
 * @param {number | null | ProgressFields} [progress]
 * @param {string | null | ProgressFields} [step]
 * @param {ProgressFields} [fields]
 * @returns {ProgressFields}
 */
function given(progress, step, fields) {
  if (typeof progress === "object" && progress !== null) return { ...checkedFields(progress) };
  if (Object.hasOwn(checkedFields(fields ?? {}), "progress")) throw ownArgument("progress");
  if (typeof step === "object" && step !== null) return { ...given(progress, undefined, step), ...fields };
  if (step != null && Object.hasOwn(fields ?? {}, "step")) throw ownArgument("step");
  return { ...(step === undefined ? {} : { step }), ...fields, progress };
}

/** @param {Fields} fields @returns {Fields} */
function withoutUndefined(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
}
