import { InvalidEvent } from "./errors.js";
import { MAX_EVENT_BYTES } from "./json.js";
import { parseJobId } from "./names.js";

const DAY_S = 24 * 3600;
const MIN_ENTRIES = 2;
const MIN_EVENT_BYTES = 1024;
const MIN_S = 0.1;
const MIN_PER_S = 0.01;
const MAX_PER_S = 1000;

/**
 * @typedef {object} Settings
 * @property {number} [retentionS] how many seconds a job that is created here is kept after its end; default one day
 * @property {number} [maxEntries] how many entries its log may have; default 10,000
 * @property {number} [maxEventBytes] how many bytes the data of each event may have, also a result: from 1024 to 1 MiB
 *   (the default)
 * @property {number | null} [leaseS] seconds without a renewal after which the service fails a run; default 60. With
 *   null, runs have no lease, and lost ones are not detected.
 * @property {number | null} [blockS] how many seconds a call waits while Redis is unavailable; default 30, null: for
 *   ever
 * @property {number} [bufferEvents] how many events a run may buffer while Redis is unavailable; default 1,000
 * @property {number} [bufferBytes] and about how many bytes; default 4 MiB
 * @property {number | null} [progressPerS] maximum rate of progress events per second; default 20, null sends each
 */

/**
 * How long a call may wait for Redis (null: for ever), how much each run may buffer, and the minimum time between two
 * progress events.
 *
 * @typedef {{ blockS: number | null, maxEvents: number, maxBytes: number, paceMs: number }} Limits
 */

/**
 * The limits of a job, its leases and its calls. Throws InvalidEvent, which names the setting, if one is invalid.
 *
 * @param {Settings} settings
 */
export function checkedSettings(settings) {
  const {
    retentionS = DAY_S,
    maxEntries = 10_000,
    maxEventBytes = MAX_EVENT_BYTES,
    leaseS = 60,
    blockS = 30,
    bufferEvents = 1000,
    bufferBytes = 4 * MAX_EVENT_BYTES,
    progressPerS = 20,
    ...unknown
  } = settings;
  for (const name of Object.keys(unknown)) throw new InvalidEvent(`there is no setting ${name}`);
  checkNumber("retentionS", retentionS, 1);
  checkNumber("maxEntries", maxEntries, MIN_ENTRIES);
  checkNumber("maxEventBytes", maxEventBytes, MIN_EVENT_BYTES);
  if (maxEventBytes > MAX_EVENT_BYTES) throw new InvalidEvent(`maxEventBytes must be at most ${MAX_EVENT_BYTES}`);
  if (leaseS !== null) checkSeconds("leaseS", leaseS);
  if (blockS !== null) checkSeconds("blockS", blockS);
  checkNumber("bufferEvents", bufferEvents, 1);
  checkNumber("bufferBytes", bufferBytes, 1);
  if (progressPerS !== null && !isWithin(progressPerS, MIN_PER_S, MAX_PER_S)) {
    throw new InvalidEvent(`progressPerS must be a number from ${MIN_PER_S} to ${MAX_PER_S}, or null`);
  }
  const paceMs = progressPerS === null ? 0 : 1000 / progressPerS;
  return {
    bounds: { retentionS, maxEntries, maxEventBytes },
    leaseMs: leaseS === null ? null : Math.round(leaseS * 1000),
    /** @type {Limits} */
    limits: { blockS, maxEvents: bufferEvents, maxBytes: bufferBytes, paceMs },
  };
}

/** The number of an attempt, null for any. Throws InvalidEvent if it is invalid. @param {number | null} [attempt] */
export function checkedAttempt(attempt = null) {
  if (attempt !== null) checkNumber("attempt", attempt, 1);
  return attempt;
}

/** A job id as keys spell it. Throws InvalidEvent if it is invalid. @param {unknown} jobId */
export function canonical(jobId) {
  const its = parseJobId(jobId);
  if (its === null) {
    throw new InvalidEvent("jobId must be 1 to 128 letters, digits, dots, underscores and hyphens");
  }
  return its;
}

/** @param {string} name @param {unknown} seconds */
function checkSeconds(name, seconds) {
  if (!isWithin(seconds, MIN_S, DAY_S)) {
    throw new InvalidEvent(`${name} must be a number of seconds from ${MIN_S} to ${DAY_S}, or null`);
  }
}

/** @param {unknown} value @param {number} least @param {number} most */
function isWithin(value, least, most) {
  return typeof value === "number" && value >= least && value <= most;
}

/** @param {string} name @param {unknown} value @param {number} atLeast */
function checkNumber(name, value, atLeast) {
  if (!Number.isSafeInteger(value) || Number(value) < atLeast) {
    throw new InvalidEvent(`${name} must be a whole number, ${atLeast} or more`);
  }
}
