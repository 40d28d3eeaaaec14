import { JobCancelled } from "./errors.js";

const MAX_MESSAGE_CHARACTERS = 4096;
/** Two strings of this length, however escaped, fit the lowest limit that a job may set for its events. */
const BRIEF_CHARACTERS = 64;

/**
 * The message and code that viewers of the job get for a thrown value; the code is null unless it is a string. Does not
 * throw, whatever the value is and whatever its own methods throw, so that the job can always be failed.
 *
 * @param {unknown} error
 * @returns {[message: string, code: string | null]}
 */
export function describe(error) {
  if (error instanceof JobCancelled) return ["Cancelled", null];
  return [textOf(error), codeOf(error)];
}

/**
 * Shortens message and code to what any job has room for: cuts the message, and drops a long code.
 *
 * @param {string} message
 * @param {string | null} code
 * @returns {[message: string, code: string | null]}
 */
export function brief(message, code) {
  return [presentable(message, BRIEF_CHARACTERS), code !== null && code.length <= BRIEF_CHARACTERS ? code : null];
}

/**
 * What was thrown; a string becomes an Error, because `Run.fail` takes a string for the caller's own message.
 *
 * @param {unknown} thrown
 */
export function asError(thrown) {
  return typeof thrown === "string" ? new Error(thrown) : thrown;
}

/** The message of what was thrown, or the name of its class if it has none. @param {unknown} error */
export function textOf(error) {
  try {
    const text = error instanceof Error ? error.message : `${/** @type {any} */ (error)}`;
    return presentable(`${text}`) || nameOf(error);
  } catch {
    return nameOf(error);
  }
}

/** The name of the class of what was thrown. @param {any} error */
export function nameOf(error) {
  try {
    return presentable(`${error.constructor.name}`) || "Error";
  } catch {
    return "Error";
  }
}

/** The code of what was thrown; null unless it is a string. @param {any} error */
export function codeOf(error) {
  try {
    const code = error.code;
    return typeof code === "string" ? presentable(code) : null;
  } catch {
    return null;
  }
}

/** @param {string} text @param {number} [most] */
function presentable(text, most = MAX_MESSAGE_CHARACTERS) {
  const cut = text.length > most ? [...text.slice(0, 2 * most)].slice(0, most).join("") : text;
  return cut.toWellFormed();
}
