import * as event from "./event.js";
import { BufferFull, InvalidEvent, JobcastError, JobNotRunning, JobSuperseded } from "./errors.js";
import { brief, textOf } from "./failure.js";
import { isTransient } from "./retry.js";

/** @import { Answer, Append } from "./append.js" */
/** @import { Limits } from "./settings.js" */

/** @typedef {(event: Append, answer: Answer) => void} Answered is called with an event that was written */

/** Whether an outage of Redis was reported that lasts. */
let isOut = false;

/** One buffered event, and its outcome. */
export class Waiting {
  /** Its sequence number; 0 until it is first sent. */
  number = 0;
  /** Whether its caller waits for the answer. */
  isAwaited = false;
  isOver = false;
  followsRestart = false;
  /** @type {Answer | null} null if newer progress took its place */
  answer = null;
  /** @type {unknown} the refusal */
  error = undefined;
  /** @type {(() => void)[]} called when it was written, refused or dropped */
  wake = [];

  /**
   * @param {Append} event
   * @param {Answered} [answered]
   * @param {Append | null} [otherwise] a smaller event that replaces it if it is too large for the job
   */
  constructor(event, answered, otherwise = null) {
    this.event = event;
    this.answered = answered;
    this.otherwise = otherwise;
    this.size = event.size;
  }

  result() {
    if (this.error !== undefined) throw this.error;
    return this.answer;
  }

  /** @param {Answer | null} answer @param {unknown} [error] */
  end(answer, error) {
    this.answer = answer;
    this.error = error;
    this.isOver = true;
    for (const wake of this.wake) wake();
  }
}

/**
 * The buffer of one run: keeps its events in order, oldest first, numbers them, and bounds their number and size. Does
 * no I/O.
 *
 * A run has one append in flight at a time. So the append script can detect a repeat by its sequence number alone, and
 * events stay in order, even when connections and servers fail.
 */
export class Outbox {
  /** @type {Waiting[]} */
  waiting = [];
  /** The last sequence number that was used. */
  lastNumber = 0;
  /** Whether a call has stopped waiting for its event. */
  isBehind = false;
  #bytes = 0;
  /** @type {Append | null} */
  #start = null;
  #jobId;
  #limits;

  /** @param {string} jobId @param {Limits} limits */
  constructor(jobId, limits) {
    this.#jobId = jobId;
    this.#limits = limits;
  }

  /** The event that is in flight, or is sent next. @returns {Waiting | undefined} */
  get first() {
    return this.waiting[0];
  }

  /** Whether the end of the run is buffered. */
  get hasEnd() {
    return this.waiting.some((each) => each.event.isEnd);
  }

  /** Stores the start of a run, and drops the events of an earlier run. @param {Append} start */
  begin(start) {
    this.abandon(new JobSuperseded("The run was started again"));
    this.#start = start;
  }

  /** Stores the entry of the start, so that a repeat can't start a later job. @param {string} entryId */
  began(entryId) {
    if (this.#start) this.#start = this.#start.named(entryId);
  }

  /** The sequence number of an event, the same for each repeat. @param {Waiting} waiting */
  numbered(waiting) {
    waiting.number ||= ++this.lastNumber;
    return waiting.number;
  }

  /**
   * Adds an event at the end. Throws BufferFull if there is no room.
   *
   * There is always room for the run's end, and for one event. When the buffer is full, only the newest progress is
   * kept.
   *
   * @param {Waiting} waiting
   */
  add(waiting) {
    if (this.#isFullWith(waiting)) {
      this.#conflate(waiting.event.operation === "progress");
      if (this.#isFullWith(waiting) && !waiting.event.isEnd) throw new BufferFull();
    }
    this.waiting.push(waiting);
    this.#bytes += waiting.size;
  }

  /** Adds the start of the run before the other events, because a failover has lost it. */
  restart() {
    if (!this.#start) return;
    const again = new Waiting(this.#start);
    this.waiting.unshift(again);
    this.#bytes += again.size;
  }

  /** Removes the first event, which was written. @param {Answer} answer */
  answered(answer) {
    isOut = false;
    const waiting = this.#pop();
    waiting.answered?.(waiting.event, answer);
    waiting.end(answer);
  }

  /**
   * What to do after an error of the first event: repeat it `later`; send the first event `now`, because it was
   * replaced or preceded by the start; or it is `refused` and will never be written.
   *
   * @param {unknown} error
   * @returns {"later" | "now" | "refused"}
   */
  judge(error) {
    const first = this.waiting[0];
    if (isTransient(error)) {
      if (!isOut) process.emitWarning(`Redis takes no events, so they wait here: ${textOf(error)}`, "JobcastWarning");
      isOut = true;
      return "later";
    }
    if (error instanceof JobNotRunning && this.#start && !first.followsRestart) {
      first.followsRestart = true; // a second refusal is final
      first.number = 0; // the start needs a lower one
      this.restart();
      return "now";
    }
    if (error instanceof InvalidEvent) {
      let smaller = first.otherwise;
      // The call has returned, so nobody can end the job in another way.
      if (!smaller && first.event.isEnd && !first.isAwaited) smaller = event.failed(...brief(textOf(error), null));
      if (smaller && smaller.size < first.size) {
        this.#bytes += smaller.size - first.size;
        [first.event, first.size, first.otherwise] = [smaller, smaller.size, null];
        return "now";
      }
    }
    return "refused";
  }

  /** Removes the first event, which was refused; removes all if the refusal concerns all. @param {unknown} error */
  refused(error) {
    this.#fail(this.#pop(), error);
    if (error instanceof JobcastError && !(error instanceof InvalidEvent)) this.abandon(error);
  }

  /** Removes all events. @param {unknown} error */
  abandon(error) {
    while (this.waiting.length) this.#fail(this.#pop(), error);
  }

  #pop() {
    const waiting = /** @type {Waiting} */ (this.waiting.shift());
    this.#bytes -= waiting.size;
    if (!this.waiting.length) this.isBehind = false;
    return waiting;
  }

  /** @param {Waiting} waiting @param {unknown} error */
  #fail(waiting, error) {
    if (!waiting.isAwaited) {
      const name = waiting.event.name || waiting.event.operation;
      process.emitWarning(`job ${this.#jobId}: ${name} was not written: ${textOf(error)}`, "JobcastWarning");
    }
    waiting.end(null, error);
  }

  /** @param {Waiting} waiting */
  #isFullWith(waiting) {
    const { maxEvents, maxBytes } = this.#limits;
    const { length } = this.waiting;
    return length > 0 && (length >= maxEvents || this.#bytes + waiting.size > maxBytes);
  }

  /** Drops all progress except the newest, and except events that may have been written. @param {boolean} isNewer */
  #conflate(isNewer) {
    /** @type {Waiting[]} */
    const kept = [];
    for (const waiting of [...this.waiting].reverse()) {
      const isProgress = waiting.event.operation === "progress";
      if (isProgress && isNewer && !waiting.number) {
        this.#bytes -= waiting.size;
        waiting.end(null);
      } else {
        kept.push(waiting);
      }
      isNewer ||= isProgress;
    }
    this.waiting = kept.reverse();
  }
}
