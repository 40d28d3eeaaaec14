import { JobcastError } from "./errors.js";
import { textOf } from "./failure.js";
import { ENTER, LEASES_KEY, leaseMember } from "./names.js";

/** @import { Connection } from "./connection.js" */

/** Minimum number of renewals within the length of a lease. */
const RENEWALS = 3;
/** Maximum time between two renewals, however long the lease is: a clock jump or restored data may expire it at once,
 * and the service waits 20 s for the next renewal. */
const MAX_INTERVAL_MS = 10_000;
/** Number of tries to renew a lease within its length while Redis is unavailable. */
const TRIES = 12;
/** Maximum pause between two tries: shorter than the service waits after an outage. */
const MAX_PAUSE_MS = 5000;

/** Whether an outage that lasts was reported. */
let isOut = false;

/** @typedef {{ renew(leaseMs: number): Promise<void> }} Held renews the lease in the job's state */

/**
 * Renews the lease of one run in the background, for as long as something references the run.
 *
 * Its timer does not keep the process alive. Redis may be unavailable for longer than the lease: after an outage, the
 * service gives workers time to renew their leases.
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
   * Adds the run to the index of leases, or updates its expiry there. Called before the start, so that the service also
   * detects a worker that dies right after the start.
   */
  announce() {
    return this.#connection.call("EVAL", ENTER, "1", LEASES_KEY, this.#member, `${this.#lengthMs}`);
  }

  /** Starts to renew it. @param {{ deref(): Held | undefined }} held */
  keep(held) {
    clearTimeout(this.#timer);
    this.#isKept = true;
    this.#kept.add(this);
    this.#wait(held, Math.min(this.#lengthMs / RENEWALS, MAX_INTERVAL_MS));
  }

  /** Stops renewing it: it expires unless the run has ended. */
  stop() {
    this.#isKept = false;
    this.#kept.delete(this);
    clearTimeout(this.#timer);
  }

  /** Removes the run from the index, because it has ended; the service would do so as well. */
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
      isOut = false;
    } catch (error) {
      if (!this.#isKept) return;
      if (error instanceof JobcastError) {
        process.emitWarning(`a lease is renewed no longer (${this.#member}): ${textOf(error)}`, "JobcastWarning");
        return this.end();
      }
      if (!isOut) process.emitWarning(`leases of runs can't be renewed: ${textOf(error)}`, "JobcastWarning");
      isOut = true;
      const pauseMs = Math.min(this.#lengthMs / TRIES, MAX_PAUSE_MS);
      return this.#wait(held, pauseMs * (0.5 + Math.random()));
    }
    this.#wait(held, Math.min(this.#lengthMs / RENEWALS, MAX_INTERVAL_MS));
  }
}

/** The leases of the runs of one `Jobs`; if their length is null, runs have none. */
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

  /** Stops renewing all of them. */
  close() {
    for (const lease of this.#kept) lease.stop();
  }
}
