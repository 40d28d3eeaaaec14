import { InvalidEvent } from "./errors.js";
export declare const MAX_EVENT_BYTES: number;
/**
 * Serializes to one line of JSON, without undefined properties, as `JSON.stringify` does. Throws InvalidEvent, which
 * names `what`, if JSON has no form for the value, a string has a lone surrogate, or the JSON is larger than 1 MiB.
 *
 * @param {unknown} value
 * @param {string} what
 */
export declare function toJson(value: unknown, what: string): string;
/** @param {string} what @param {number} size */
export declare function tooLarge(what: string, size: number): InvalidEvent;
/**
 * Parses JSON that any language may have written: a lone surrogate becomes U+FFFD, as in the service, NaN and
 * infinities become null. Throws SyntaxError if it is no JSON.
 *
 * @param {string} text
 * @returns {unknown}
 */
export declare function fromJson(text: string): unknown;
