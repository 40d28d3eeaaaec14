import * as append from "./append.js";
import { Append } from "./append.js";
import { InvalidEvent } from "./errors.js";
import { MAX_EVENT_BYTES, toJson, tooLarge } from "./json.js";

export const MAX_PROGRESS = 100;
/** The levels of a log line. */
export const LEVELS = ["debug", "info", "warning", "error"];
const MAX_TYPE_CHARACTERS = 128;
const MAX_OWNER_CHARACTERS = 255;

const NAME = /^[a-z][a-z0-9-]{0,63}$/;
const FIELDS_OF_PROGRESS = ["progress", "currentStep", "estimatedTimeRemaining"];
// What the service trims, and `String.prototype.trim` only in part.
const SPACE_AROUND = /^[\s\x1c-\x1f\x85]|[\s\x1c-\x1f\x85]$/;
const NO_SESSION = ["null", "undefined"];
const RESERVED = new Set([
  ...["progress-update", "step-change", "complete", "failed"],
  ...["connected", "reset", "ping", "left"], // control frames
  ...["message", "error", "open"], // events that EventSource itself dispatches
  ...["chunk", "artifact", "input-requested"], // for future use, like the prefix
]);
const RESERVED_PREFIX = "child-";

/** @typedef {Record<string, unknown>} Fields */

/**
 * The append that creates a job.
 *
 * @param {unknown} type
 * @param {{ userId?: unknown, sessionId?: unknown, input?: unknown }} given
 * @param {append.Bounds} bounds
 */
export function created(type, { userId = null, sessionId = null, input = null }, bounds) {
  const itsType = text(type, "type");
  const length = [...itsType].length;
  if (length < 1 || length > MAX_TYPE_CHARACTERS) {
    throw new InvalidEvent(`type must be a string of 1 to ${MAX_TYPE_CHARACTERS} characters`);
  }
  if (userId === null && sessionId === null) {
    throw new InvalidEvent("a job needs an owner: userId, sessionId or both");
  }
  const user = userId === null ? null : checkedUser(text(userId, "userId"));
  const session = sessionId === null ? null : checkedSession(text(sessionId, "sessionId"));
  const json = input === null ? null : objectJson(input, "input");
  return append.created(itsType, json, { userId: user, sessionId: session }, bounds);
}

/** The append that starts a job, or takes it over from an earlier run. @param {number | null} leaseMs */
export function started(leaseMs) {
  const cleared = ["currentStep", "estimatedTimeRemaining", "extra"];
  return new Append("start", { number: leaseMs === null ? "" : `${leaseMs}`, cleared });
}

/** The append that renews the lease of a run; it writes no entry. @param {number} leaseMs */
export function renewed(leaseMs) {
  return new Append("renew", { number: `${leaseMs}` });
}

/**
 * A `progress-update`; without `percent`, the job's progress stays as it is.
 *
 * @param {unknown} percent
 * @param {unknown} step
 * @param {unknown} eta
 * @param {Fields} more
 */
export function progressed(percent, step, eta, more) {
  return progress("progress", percent, step, eta, more);
}

/**
 * A `step-change`; without `percent`, the job's progress stays as it is.
 *
 * @param {unknown} step
 * @param {unknown} percent
 * @param {unknown} eta
 * @param {Fields} more
 */
export function stepped(step, percent, eta, more) {
  return progress("step", percent, text(step, "the step"), eta, more);
}

/** A custom event. @param {unknown} name @param {unknown} data */
export function emitted(name, data) {
  const its = text(name, "an event name");
  if (!NAME.test(its)) {
    throw new InvalidEvent("an event name is a-z, then up to 63 of a-z, 0-9 and hyphens");
  }
  if (RESERVED.has(its) || its.startsWith(RESERVED_PREFIX)) {
    throw new InvalidEvent(`the event name ${its} is reserved`);
  }
  return new Append("emit", { name: its, data: objectJson(data, "data") });
}

/** A `log` event. @param {unknown} line @param {unknown} level @param {Fields} more */
export function logged(line, level, more) {
  text(line, "text");
  if (!LEVELS.includes(/** @type {string} */ (level))) {
    throw new InvalidEvent(`level must be one of ${LEVELS.join(", ")}`);
  }
  for (const name of ["text", "level"]) {
    if (Object.hasOwn(more, name)) {
      throw new InvalidEvent(`${name} has an argument of its own and can't be a further field`);
    }
  }
  return new Append("emit", { name: "log", data: objectJson({ text: line, level, ...more }, "data") });
}

/** The event that completes a job; an undefined result becomes null. @param {unknown} [result] */
export function completed(result = null) {
  const event = append.completed(toJson(result, "result"));
  const size = Buffer.byteLength(event.data);
  if (size > MAX_EVENT_BYTES) throw tooLarge("result", size);
  return event;
}

/**
 * The event that fails a job; `more` are further fields of its data. `abandon` fails only a job that no worker has
 * started.
 *
 * @param {unknown} error
 * @param {unknown} code
 * @param {Fields} [more]
 * @param {"fail" | "abandon"} [operation]
 */
export function failed(error, code, more = {}, operation = "fail") {
  const message = text(error, "error");
  const errorCode = code == null ? null : text(code, "code");
  return append.failed(objectJson({ error: message, errorCode, ...more }, "error"), message, errorCode, operation);
}

/**
 * @param {string} operation
 * @param {unknown} percent
 * @param {unknown} step
 * @param {unknown} eta
 * @param {Fields} more
 */
function progress(operation, percent, step, eta, more) {
  const number = percent == null ? "" : checkedPercent(percent);
  const currentStep = step == null ? null : text(step, "the step");
  const left = eta == null ? null : seconds(eta);
  const extra = objectJson(more, "the further fields");
  for (const name of FIELDS_OF_PROGRESS) {
    if (Object.hasOwn(more, name)) {
      throw new InvalidEvent(`${name} has an argument of its own and can't be a further field`);
    }
  }
  const hasMore = extra !== "{}";
  /** @type {Record<string, string>} */
  const fields = {};
  if (currentStep !== null) fields.currentStep = currentStep;
  if (left !== null) fields.estimatedTimeRemaining = left;
  if (hasMore) fields.extra = extra;
  const cleared = ["currentStep", "estimatedTimeRemaining", "extra"].filter((name) => !(name in fields));
  // The script prepends the progress, which it may have to raise.
  const rest = hasMore ? `,${extra.slice(1)}` : "}";
  const data = `,"currentStep":${JSON.stringify(currentStep)},"estimatedTimeRemaining":${left}${rest}`;
  const size = Buffer.byteLength(data);
  if (size > MAX_EVENT_BYTES) throw tooLarge("the event", size);
  return new Append(operation, { data, number, fields, cleared });
}

/** @param {unknown} percent */
function checkedPercent(percent) {
  if (!Number.isInteger(percent)) throw new InvalidEvent("progress must be a whole number: round it");
  const number = Number(percent);
  if (number < 0 || number > MAX_PROGRESS) throw new InvalidEvent(`progress must be from 0 to ${MAX_PROGRESS}`);
  return `${number}`;
}

/** @param {unknown} eta */
function seconds(eta) {
  if (typeof eta !== "number") throw new InvalidEvent("eta must be a number of seconds");
  if (!(eta >= 0 && Number.isFinite(eta))) throw new InvalidEvent("eta must be zero or more seconds, and finite");
  return JSON.stringify(eta);
}

/** @param {unknown} value @param {string} what */
function text(value, what) {
  if (typeof value !== "string") throw new InvalidEvent(`${what} must be a string`);
  toJson(value, what);
  return value;
}

/** @param {string} user */
function checkedUser(user) {
  const length = [...user].length;
  // The service takes no other user id from a token, so nobody could ever see such a job.
  if (length < 1 || length > MAX_OWNER_CHARACTERS) {
    throw new InvalidEvent(`userId must be 1 to ${MAX_OWNER_CHARACTERS} characters`);
  }
  return user;
}

/** @param {string} session */
function checkedSession(session) {
  const length = [...session].length;
  if (SPACE_AROUND.test(session) || length < 1 || length > MAX_OWNER_CHARACTERS || NO_SESSION.includes(session)) {
    throw new InvalidEvent(
      `sessionId must be 1 to ${MAX_OWNER_CHARACTERS} characters without space around them, ` +
        "and not the word null or undefined",
    );
  }
  return session;
}

/** @param {unknown} value @param {string} what */
function objectJson(value, what) {
  const json = value !== null && typeof value === "object" ? toJson(value, what) : "";
  if (!json.startsWith("{")) throw new InvalidEvent(`${what} must be an object`);
  return json;
}
