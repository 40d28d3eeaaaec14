import * as event from "./event.js";
import { BufferFull, InvalidEvent, JobcastError, JobNotRunning, JobSuperseded } from "./errors.js";
import { brief, textOf } from "./failure.js";
import { willPass } from "./retry.js";

/** @import { Answer, Append } from "./append.js" */
/** @import { Limits } from "./settings.js" */

/** @typedef {(event: Append, answer: Answer) => void} Answered is called with an event that was written */

/** One event that waits for Redis, and what became of it. */
export class Waiting {
  /** Its sequence number, 0 until it is sent for the first time. */
  number = 0;
  /** Whether its caller waits for the answer. */
  isAwaited = false;
  isOver = false;
  followsRestart = false;
  /** @type {Answer | null} null if newer progress took its place */
  answer = null;
  /** @type {unknown} the refusal */
  error = undefined;
  /** @type {(() => void)[]} what is called when it is over */
  wake = [];

  /**
   * @param {Append} event
   * @param {Answered} [answered]
   * @param {Append | null} [otherwise] a smaller event that takes its place if the job allows none of its size
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
 * The events of one run that wait for Redis, oldest first: their order, their numbers, their bounds. Nothing here waits
 * or sends.
 *
 * A run has one append under way at a time, so the append script can tell a repeat by its number alone, and events stay
 * in order whatever happens to connections and servers.
 */
export class Outbox {
  /** @type {Waiting[]} */
  waiting = [];
  /** The sequence number that was used last. */
  lastNumber = 0;
  /** Whether a caller has stopped waiting for an event. */
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

  /** The event that is to be sent next, or is under way. @returns {Waiting | undefined} */
  get first() {
    return this.waiting[0];
  }

  /** Whether the end of the run is among what waits. */
  get hasEnd() {
    return this.waiting.some((each) => each.event.isEnd);
  }

  /** Remembers how the run is started, and that nothing of an earlier run waits. @param {Append} start */
  begin(start) {
    this.abandon(new JobSuperseded("The run was started again"));
    this.#start = start;
  }

  /** Remembers which entry the start is, so that it is repeated in no later job. @param {string} entryId */
  began(entryId) {
    if (this.#start) this.#start = this.#start.named(entryId);
  }

  /** The sequence number of an event, the same for each repeat. @param {Waiting} waiting */
  numbered(waiting) {
    waiting.number ||= ++this.lastNumber;
    return waiting.number;
  }

  /**
   * Puts an event behind the others; BufferFull if there is no room.
   *
   * There always is room for the run's end, and for one event. When room is short, only the newest progress is kept.
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

  /** Starts the run once more, before what waits: a failover has lost its start. */
  restart() {
    if (!this.#start) return;
    const again = new Waiting(this.#start);
    this.waiting.unshift(again);
    this.#bytes += again.size;
  }

  /** Takes out the first event, which was written. @param {Answer} answer */
  answered(answer) {
    const waiting = this.#pop();
    waiting.answered?.(waiting.event, answer);
    waiting.end(answer);
  }

  /**
   * What follows an error that the first event got: repeat it `later`, send what is first `now`, for something was put
   * in order, or it is `refused` and will never be written.
   *
   * @param {unknown} error
   * @returns {"later" | "now" | "refused"}
   */
  judge(error) {
    const first = this.waiting[0];
    if (willPass(error)) return "later";
    if (error instanceof JobNotRunning && this.#start && !first.followsRestart) {
      first.followsRestart = true; // so that a second refusal is final
      first.number = 0; // the start's comes before
      this.restart();
      return "now";
    }
    if (error instanceof InvalidEvent) {
      let smaller = first.otherwise;
      // Nobody is there who could end the job in another way.
      if (!smaller && first.event.isEnd && !first.isAwaited) smaller = event.failed(...brief(textOf(error), null));
      if (smaller && smaller.size < first.size) {
        this.#bytes += smaller.size - first.size;
        [first.event, first.size, first.otherwise] = [smaller, smaller.size, null];
        return "now";
      }
    }
    return "refused";
  }

  /** Takes out the first event, which won't be written; all, if that is true of all. @param {unknown} error */
  refused(error) {
    this.#fail(this.#pop(), error);
    if (error instanceof JobcastError && !(error instanceof InvalidEvent)) this.abandon(error);
  }

  /** Takes out all events. @param {unknown} error */
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

  /** Drops all progress but the newest, and what may have been written already. @param {boolean} isNewer */
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
