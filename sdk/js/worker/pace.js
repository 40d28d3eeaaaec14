import { Append } from "./append.js";

/** When the next progress event may be sent, at least so many ms after the last. */
export class Pace {
  #intervalMs;
  #sentMs = -Infinity;

  /** @param {number} intervalMs */
  constructor(intervalMs) {
    this.#intervalMs = intervalMs;
  }

  /** Takes in that one is sent now. */
  note() {
    this.#sentMs = performance.now();
  }

  /** In how many ms the next one may be sent. */
  get dueInMs() {
    return this.#intervalMs ? this.#sentMs + this.#intervalMs - performance.now() : 0;
  }
}

/**
 * One progress event that leaves the job as the two would, sent one after the other. The percentage is the higher one, to
 * which the append script would have raised the newer.
 *
 * @param {Append} newer
 * @param {Append | null} older
 */
export function merged(newer, older) {
  if (!older?.number) return newer;
  if (!newer.number || Number(newer.number) < Number(older.number)) {
    return new Append(newer.operation, { ...newer, number: older.number });
  }
  return newer;
}
