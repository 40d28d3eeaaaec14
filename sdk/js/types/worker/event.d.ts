import * as append from "./append.js";
import { Append } from "./append.js";
export declare const MAX_PROGRESS = 100;
/** How grave a line of a log is. */
export declare const LEVELS: string[];
export type Fields = Record<string, unknown>;
/** @typedef {Record<string, unknown>} Fields */
/**
 * The event that begins a job's log.
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
/** The event that begins a run, or takes a job over from an earlier run. @param {number | null} leaseMs */
export declare function started(leaseMs: number | null): Append;
/** What renews the lease of a run; it is no event and writes no entry. @param {number} leaseMs */
export declare function renewed(leaseMs: number): Append;
/**
 * A `progress-update`; without `percent` the job's own progress stays.
 *
 * @param {unknown} percent
 * @param {unknown} step
 * @param {unknown} eta
 * @param {Fields} more
 */
export declare function progressed(percent: unknown, step: unknown, eta: unknown, more: Fields): Append;
/**
 * A `step-change`; without `percent` the job's own progress stays.
 *
 * @param {unknown} step
 * @param {unknown} percent
 * @param {unknown} eta
 * @param {Fields} more
 */
export declare function stepped(step: unknown, percent: unknown, eta: unknown, more: Fields): Append;
/** An event of the job's own. @param {unknown} name @param {unknown} data */
export declare function emitted(name: unknown, data: unknown): Append;
/** A `log` event. @param {unknown} line @param {unknown} level @param {Fields} more */
export declare function logged(line: unknown, level: unknown, more: Fields): Append;
/** The event that ends a job well; undefined is null. @param {unknown} [result] */
export declare function completed(result?: unknown): Append;
/**
 * The event that ends a job badly; `more` are further fields of its data. `abandon` ends only a job that no worker has
 * started.
 *
 * @param {unknown} error
 * @param {unknown} code
 * @param {Fields} [more]
 * @param {"fail" | "abandon"} [operation]
 */
export declare function failed(error: unknown, code: unknown, more?: Fields, operation?: "fail" | "abandon"): Append;
