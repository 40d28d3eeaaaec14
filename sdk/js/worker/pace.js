import { Append } from "./append.js";

/** Limits the rate of progress events: they are sent at least so many ms apart. */
export class Pace {
  #intervalMs;
  #sentMs = -Infinity;

  /** @param {number} intervalMs */
  constructor(intervalMs) {
    this.#intervalMs = intervalMs;
  }

  /** Records that one is sent now. */
  note() {
    this.#sentMs = performance.now();
  }

  /** In how many ms the next one may be sent. */
  get dueInMs() {
    return this.#intervalMs ? this.#sentMs + this.#intervalMs - performance.now() : 0;
  }
}

/**
 * Merges two progress events into one with the same effect on the job. The percentage is the higher one, to which the
 * append script would have raised the newer event.
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
