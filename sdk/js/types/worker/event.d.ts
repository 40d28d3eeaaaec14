import * as append from "./append.js";
import { Append } from "./append.js";
export declare const MAX_PROGRESS = 100;
/** The levels of a log line. */
export declare const LEVELS: string[];
export type Fields = Record<string, unknown>;
/** @typedef {Record<string, unknown>} Fields */
/**
 * The append that creates a job.
 *
 * @param {unknown} type
 * @param {{ userId?: unknown, sessionId?: unknown, input?: unknown }} given
 * @param {append.Bounds} bounds
 */
export declare function created(type: unknown, { userId, sessionId, input }: {
    userId?: unknown;
    sessionId?: unknown;
    input?: unknown;
}, bounds: append.Bounds): Append;
/** The append that starts a job, or takes it over from an earlier run. @param {number | null} leaseMs */
export declare function started(leaseMs: number | null): Append;
/** The append that renews the lease of a run; it writes no entry. @param {number} leaseMs */
export declare function renewed(leaseMs: number): Append;
/**
 * A `progress-update`; without `percent`, the job's progress stays as it is.
 *
 * @param {unknown} percent
 * @param {unknown} step
 * @param {unknown} eta
 * @param {Fields} more
 */
export declare function progressed(percent: unknown, step: unknown, eta: unknown, more: Fields): Append;
/**
 * A `step-change`; without `percent`, the job's progress stays as it is.
 *
 * @param {unknown} step
 * @param {unknown} percent
 * @param {unknown} eta
 * @param {Fields} more
 */
export declare function stepped(step: unknown, percent: unknown, eta: unknown, more: Fields): Append;
/** A custom event. @param {unknown} name @param {unknown} data */
export declare function emitted(name: unknown, data: unknown): Append;
/** A `log` event. @param {unknown} line @param {unknown} level @param {Fields} more */
export declare function logged(line: unknown, level: unknown, more: Fields): Append;
/** The event that completes a job; an undefined result becomes null. @param {unknown} [result] */
export declare function completed(result?: unknown): Append;
/**
 * The event that fails a job; `more` are further fields of its data. `abandon` fails only a job that no worker has
 * started.
 *
 * @param {unknown} error
 * @param {unknown} code
 * @param {Fields} [more]
 * @param {"fail" | "abandon"} [operation]
 */
export declare function failed(error: unknown, code: unknown, more?: Fields, operation?: "fail" | "abandon"): Append;
