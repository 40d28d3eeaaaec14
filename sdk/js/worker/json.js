import { InvalidEvent } from "./errors.js";

export const MAX_EVENT_BYTES = 1024 * 1024;

/**
 * Classes that `JSON.stringify` writes completely. It writes others, such as Map, without their content, often as `{}`.
 */
const WRITTEN = new Set(["Object", "Array", "String", "Number", "Boolean"]);

/** Tokens in which lenient JSON libraries deviate: strings with raw control characters, and numbers that JSON lacks. */
const ODD_TOKENS = /"(?:[^"\\]|\\[^])*"|-?(?:NaN|Infinity)/g;

/**
 * Serializes to one line of JSON, without undefined properties, as `JSON.stringify` does. Throws InvalidEvent, which
 * names `what`, if JSON has no form for the value, a string has a lone surrogate, or the JSON is larger than 1 MiB.
 *
 * @param {unknown} value
 * @param {string} what
 */
export function toJson(value, what) {
  let text;
  try {
    text = JSON.stringify(value, checked);
    if (text === undefined) throw new TypeError(`${typeof value} is no JSON`);
  } catch (error) {
    throw new InvalidEvent(`${what} can't be written as JSON: ${messageOf(error)}`);
  }
  const size = Buffer.byteLength(text);
  if (size > MAX_EVENT_BYTES) throw tooLarge(what, size);
  return text;
}

/** @param {string} what @param {number} size */
export function tooLarge(what, size) {
  return new InvalidEvent(`${what} has ${size} bytes of JSON, more than ${MAX_EVENT_BYTES}`);
}

/**
 * Parses JSON that any language may have written: a lone surrogate becomes U+FFFD, as in the service, NaN and
 * infinities become null. Throws SyntaxError if it is no JSON.
 *
 * @param {string} text
 * @returns {unknown}
 */
export function fromJson(text) {
  text = text.replace(/^\uFEFF/, "");
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    value = JSON.parse(text.replace(ODD_TOKENS, strict));
  }
  return sound(value);
}

/**
 * @this {any} the object that holds the value
 * @param {string} key
 * @param {any} value
 */
function checked(key, value) {
  const where = key === "" ? "" : ` at ${JSON.stringify(key)}`;
  if (typeof key === "string" && !key.isWellFormed()) throw new TypeError(`a lone surrogate in the key${where}`);
  switch (typeof value) {
    case "number":
      if (!Number.isFinite(value)) throw new TypeError(`${value} is no JSON number${where}`);
      break;
    case "string":
      if (!value.isWellFormed()) throw new TypeError(`a lone surrogate${where}`);
      break;
    case "bigint":
      throw new TypeError(`a BigInt${where}`);
    case "undefined":
      if (Array.isArray(this)) throw new TypeError(`undefined${where}`);
      break;
    case "function":
    case "symbol":
      throw new TypeError(`a ${typeof value}${where}`);
    case "object":
      return checkedObject(value, where);
  }
  return value;
}

/** @param {any} value @param {string} where */
function checkedObject(value, where) {
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (value !== null && !WRITTEN.has(kind)) throw new TypeError(`a value of the class ${kind}${where}`);
  if (kind === "Number" && !Number.isFinite(Number(value))) throw new TypeError(`${value} is no JSON number${where}`);
  if (kind === "String" && !String(value).isWellFormed()) throw new TypeError(`a lone surrogate${where}`);
  return value;
}

/** @param {string} token */
function strict(token) {
  if (!token.startsWith('"')) return "null";
  return token.replace(/[\u0000-\u001f]/g, (raw) => `\\u${raw.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** @param {any} value @returns {any} */
function sound(value) {
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (Array.isArray(value)) return value.map(sound);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.toWellFormed(), sound(each)]));
}

/** @param {unknown} error */
function messageOf(error) {
  try {
    return String(error instanceof Error ? error.message : error).split("\n")[0];
  } catch {
    return "an error without a text";
  }
}
