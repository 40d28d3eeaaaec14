import { JobCancelled } from "./errors.js";

const MAX_MESSAGE_CHARACTERS = 4096;
/** Two texts of this length fit into the smallest event that a job may allow, however escaped. */
const BRIEF_CHARACTERS = 64;

/**
 * What something that was thrown tells the viewers of the job: a message, and a code if it has one that is a string.
 * It may be of any kind, and so may what its own code throws. Nothing here throws: the job has to fail all the same.
 *
 * @param {unknown} error
 * @returns {[message: string, code: string | null]}
 */
export function describe(error) {
  if (error instanceof JobCancelled) return ["Cancelled", null];
  return [textOf(error), codeOf(error)];
}

/**
 * What any job has room for: a message that is cut, and the code unless it is long.
 *
 * @param {string} message
 * @param {string | null} code
 * @returns {[message: string, code: string | null]}
 */
export function brief(message, code) {
  return [presentable(message, BRIEF_CHARACTERS), code !== null && code.length <= BRIEF_CHARACTERS ? code : null];
}

/** What was thrown, an error if that is only a text: `Run.fail` takes a text for the caller's own. @param {unknown} thrown */
export function asError(thrown) {
  return typeof thrown === "string" ? new Error(thrown) : thrown;
}

/** The text of what was thrown, or the name of its class if it has none. @param {unknown} error */
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

/** Its code, null if that is no string. @param {any} error */
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
