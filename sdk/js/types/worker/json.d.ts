import { InvalidEvent } from "./errors.js";
export declare const MAX_EVENT_BYTES: number;
/**
 * One line of JSON; InvalidEvent, naming `what`, for values that JSON lacks, text that is not Unicode (lone
 * surrogates) and what is more than 1 MiB. A property that is undefined is left out, as by `JSON.stringify`.
 *
 * @param {unknown} value
 * @param {string} what
 */
export declare function toJson(value: unknown, what: string): string;
/** @param {string} what @param {number} size */
export declare function tooLarge(what: string, size: number): InvalidEvent;
/**
 * The value of JSON that any language may have written; an error if it is none. A lone surrogate is U+FFFD, as in
 * the service, and NaN or an infinity is null.
 *
 * @param {string} text
 * @returns {unknown}
 */
export declare function fromJson(text: string): unknown;
