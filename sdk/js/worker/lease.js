import { JobcastError } from "./errors.js";
import { textOf } from "./failure.js";
import { ENTER, LEASES_KEY, leaseMember } from "./names.js";

/** @import { Connection } from "./connection.js" */

/** How often a lease is renewed within its length, at the least. */
const RENEWALS = 3;
/** Longest time between two renewals, however long the lease is: a clock that leaps or data that are restored end it at
 * once, and the service waits 20 s for the next renewal. */
const MAX_INTERVAL_MS = 10_000;
/** How often that is tried within its length while Redis is unavailable. */
const TRIES = 12;
/** Longest pause between two tries: less than the service waits for after an outage. */
const MAX_PAUSE_MS = 5000;

/** @typedef {{ renew(leaseMs: number): Promise<void> }} Held renews the lease in the job's state */

/**
 * Renews the lease of one run in the background, for as long as somebody holds the run.
 *
 * Its timer does not keep the process alive. Redis may be unavailable for longer than the lease: the service gives
 * workers the time to come back.
 */
export class Lease {
  #connection;
  #member;
  #lengthMs;
  #kept;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #isKept = false;

  /**
   * @param {Connection} connection
   * @param {string} jobId
   * @param {string} run
   * @param {number} lengthMs
   * @param {Set<Lease>} kept
   */
  constructor(connection, jobId, run, lengthMs, kept) {
    this.#connection = connection;
    this.#member = leaseMember(jobId, run);
    this.#lengthMs = lengthMs;
    this.#kept = kept;
  }

  /**
   * Enters the run into the index of leases, or its next renewal. Done before the start, so that a worker that dies right
   * after it is missed as well.
   */
  announce() {
    return this.#connection.call("EVAL", ENTER, "1", LEASES_KEY, this.#member, `${this.#lengthMs}`);
  }

  /** Renews it from now on. @param {{ deref(): Held | undefined }} held */
  keep(held) {
    clearTimeout(this.#timer);
    this.#isKept = true;
    this.#kept.add(this);
    this.#wait(held, Math.min(this.#lengthMs / RENEWALS, MAX_INTERVAL_MS));
  }

  /** Renews it no longer: it expires unless the run has ended. */
  stop() {
    this.#isKept = false;
    this.#kept.delete(this);
    clearTimeout(this.#timer);
  }

  /** Takes the run out of the index, for it has ended; the service would do so as well. */
  end() {
    this.stop();
    this.#connection.call("ZREM", LEASES_KEY, this.#member).catch(() => {});
  }

  /** @param {{ deref(): Held | undefined }} held @param {number} ms */
  #wait(held, ms) {
    if (!this.#isKept) return;
    this.#timer = setTimeout(() => void this.#renew(held), ms);
    this.#timer.unref();
  }

  /** @param {{ deref(): Held | undefined }} held */
  async #renew(held) {
    const run = held.deref();
    if (!run) return this.stop();
    try {
      await run.renew(this.#lengthMs);
      if (!this.#isKept) return;
      await this.announce();
    } catch (error) {
      if (!this.#isKept) return;
      if (error instanceof JobcastError) {
        process.emitWarning(`a lease is renewed no longer (${this.#member}): ${textOf(error)}`, "JobcastWarning");
        return this.end();
      }
      const pauseMs = Math.min(this.#lengthMs / TRIES, MAX_PAUSE_MS);
      return this.#wait(held, pauseMs * (0.5 + Math.random()));
    }
    this.#wait(held, Math.min(this.#lengthMs / RENEWALS, MAX_INTERVAL_MS));
  }
}

/** The leases of the runs of one `Jobs`; a length of null: there are none. */
export class Leases {
  /** @type {Set<Lease>} */
  #kept = new Set();
  #connection;

  /** @param {Connection} connection @param {number | null} lengthMs */
  constructor(connection, lengthMs) {
    this.#connection = connection;
    this.lengthMs = lengthMs;
  }

  /** The lease of a run that is about to start. @param {string} jobId @param {string} run */
  ofRun(jobId, run) {
    if (this.lengthMs === null) return null;
    return new Lease(this.#connection, jobId, run, this.lengthMs, this.#kept);
  }

  /** Renews none of them any longer. */
  close() {
    for (const lease of this.#kept) lease.stop();
  }
}
