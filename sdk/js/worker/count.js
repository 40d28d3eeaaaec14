import { InvalidEvent } from "./errors.js";
import * as event from "./event.js";

/** @import { Fields } from "./event.js" */

/** Time constant of the moving average. */
const MEMORY_MS = 15_000;
/** No estimate until a step has taken this long. */
const LEAST_MS = 3000;
/** No estimate until this share of the step is done. */
const LEAST_SHARE = 0.02;
/** No estimate longer than the lifetime of a job. */
const LONGEST_S = 7 * 24 * 3600;

/** The rate of a count: an exponentially weighted moving average. */
class Rate {
  #rate = 0;
  #weight = 0;
  #count = 0;
  #atMs;

  /** @param {number} nowMs */
  constructor(nowMs) {
    this.#atMs = nowMs;
  }

  /** Records how many units are done. @param {number} count @param {number} nowMs */
  note(count, nowMs) {
    const passedMs = nowMs - this.#atMs;
    if (passedMs <= 0) return;
    const share = 1 - Math.exp(-passedMs / MEMORY_MS);
    this.#rate += share * ((count - this.#count) / passedMs - this.#rate);
    this.#weight += share * (1 - this.#weight);
    [this.#count, this.#atMs] = [count, nowMs];
  }

  /** Units per second, without the bias of an average that starts at 0. */
  get perS() {
    return this.#weight ? (1000 * this.#rate) / this.#weight : 0;
  }
}

/** Progress as a count: how much of the current step is done. Does no I/O. */
export class Count {
  /** Whether it has progress that was not sent yet. */
  isHeld = false;
  /** @type {Map<string, [lower: number, upper: number]>} */
  #plan = new Map();
  /** @type {string | null} */
  #step = null;
  #current = 0;
  /** @type {number | null} */
  #total = null;
  /** @type {string | null} */
  #unit = null;
  /** @type {Fields} */
  #more = {};
  /** @type {number | null} */
  #eta = null;
  #begunMs = performance.now();
  #rate = new Rate(this.#begunMs);

  /** Sets the steps, in order, and the share of the work that each is. @param {Record<string, number>} weights */
  plan(weights) {
    const shares = Object.values(weights ?? {});
    if (!shares.length || !shares.every((share) => isNumber(share) && share > 0)) {
      throw new InvalidEvent("a plan needs a weight above 0 for each of its steps");
    }
    const whole = shares.reduce((sum, share) => sum + share, 0);
    if (!isNumber(whole)) throw new InvalidEvent("the weights of a plan are too large");
    let done = 0;
    this.#plan = new Map(
      Object.entries(weights).map(([step, share]) => {
        const lower = done / whole;
        done += share;
        return [step, [lower, done / whole]];
      }),
    );
  }

  /**
   * Begins a step; returns its progress and its fields, including those of the plan.
   *
   * @param {string} step
   * @param {unknown} progress
   * @param {Fields} more
   * @returns {[progress: unknown, more: Fields]}
   */
  step(step, progress, more) {
    this.#begin(step);
    const { current, total, unit } = more;
    this.#take(current, total, unit);
    if (!this.#plan.has(step)) return [progress, more];
    const stepIndex = [...this.#plan.keys()].indexOf(step) + 1;
    return [progress ?? this.#percent(), { stepIndex, stepCount: this.#plan.size, ...more }];
  }

  /**
   * Sets how much is done; an undefined `current`, `total` or `unit` stays unchanged.
   *
   * @param {{ current?: unknown, total?: unknown, unit?: unknown, step?: any, eta?: any, more: Fields }} given
   */
  set({ current, total, unit, step, eta, more }) {
    // Validate now: the count may be sent later, in the background.
    event.progressed(null, step, eta, { ...more, unit });
    if (step != null && step !== this.#step) this.#begin(step);
    this.#take(current, total, unit);
    [this.#more, this.#eta] = [more, eta ?? null];
    this.isHeld = true;
  }

  /** Counts from 0 again, within the same step. */
  anew() {
    this.#begin(this.#step);
  }

  /** Increases the count. @param {unknown} count */
  advance(count) {
    if (!isNumber(count)) throw new InvalidEvent("what a run advances by must be a number");
    this.#take(this.#current + count);
    this.#eta = null;
    this.isHeld = true;
  }

  /** The event to send now. */
  event() {
    this.isHeld = false;
    const whole = this.#total === null ? { indeterminate: true } : { total: this.#total };
    const unit = this.#unit === null ? {} : { unit: this.#unit };
    const eta = this.#eta ?? this.#secondsLeft();
    return event.progressed(this.#percent(), this.#step, eta, {
      ...this.#more,
      current: this.#current,
      ...whole,
      ...unit,
    });
  }

  /** @param {string | null} step */
  #begin(step) {
    this.#step = step;
    this.#current = 0;
    this.#total = this.#unit = this.#eta = null;
    this.#more = {};
    this.#begunMs = performance.now();
    this.#rate = new Rate(this.#begunMs);
    this.isHeld = false;
  }

  /** @param {unknown} current @param {unknown} [total] @param {unknown} [unit] */
  #take(current, total, unit) {
    for (const [name, value] of Object.entries({ current, total })) {
      if (value != null && !(isNumber(value) && value >= 0))
        throw new InvalidEvent(`${name} must be a number, 0 or more`);
    }
    if (unit != null && typeof unit !== "string") throw new InvalidEvent("unit must be a string");
    this.#current = /** @type {number} */ (current ?? this.#current);
    this.#total = /** @type {number | null} */ (total ?? this.#total);
    this.#unit = unit ?? this.#unit;
  }

  /** The percentage of the whole job; null if the step has no total and is not in the plan. */
  #percent() {
    const planned = this.#plan.get(this.#step ?? "");
    if (this.#total === null && !planned) return null;
    const [lower, upper] = planned ?? [0, 1];
    const done = this.#total ? Math.min(this.#current / this.#total, 1) : 0;
    return Math.floor(100 * (lower + (upper - lower) * done) + 1e-9);
  }

  #secondsLeft() {
    const nowMs = performance.now();
    this.#rate.note(this.#current, nowMs);
    if (!this.#total || nowMs - this.#begunMs < LEAST_MS) return null;
    const { perS } = this.#rate;
    if (this.#current < LEAST_SHARE * this.#total || perS <= 0) return null;
    const leftS = Math.max(0, this.#total - this.#current) / perS;
    if (leftS > LONGEST_S) return null; // also infinite: the rate of a stalled step decays to 0
    return leftS < 10 ? Math.round(leftS * 10) / 10 : Math.round(leftS);
  }
}

/** @param {unknown} value @returns {value is number} */
function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
