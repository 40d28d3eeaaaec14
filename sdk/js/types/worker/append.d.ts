/** The append script, the same as in the Python library and the service. */
export declare const SCRIPT: string;
/**
 * One call of the append script, without its job, attempt and run.
 *
 * `operation`, `name`, `data` and `number` (a progress, or the length of a lease) are as the script's header describes
 * them; `fields` are set in the job's state and `cleared` are removed from it.
 */
export declare class Append {
    operation: string;
    name: string;
    data: string;
    number: string;
    fields: Record<string, string>;
    cleared: string[];
    /** Approximate size in bytes, without the parts that all calls share. */
    size: number;
    /**
     * @param {string} operation
     * @param {{ name?: string, data?: string, number?: string, fields?: Record<string, string>, cleared?: string[] }} [given]
     */
    constructor(operation: string, { name, data, number, fields, cleared }?: {
        name?: string;
        data?: string;
        number?: string;
        fields?: Record<string, string>;
        cleared?: string[];
    });
    /** Whether it ends its run. */
    get isEnd(): boolean;
    /** The fields of the job's state that `isIn` needs. */
    get traces(): string[];
    /**
     * Whether the job's state, its `traces`, shows that this `cancel`, `retry` or `abandon` was written.
     *
     * For a caller that got no answer, and whose repeat was refused. Any cancellation of the job counts as a `cancel`. A
     * `retry` is recognized by its token (see `retried`) until another retry follows, an `abandon` by its failure.
     *
     * @param {(string | null)[]} stored
     */
    isIn(stored: (string | null)[]): boolean;
    /** @param {string} name */
    named(name: string): Append;
    /**
     * The Redis command that appends it in this attempt (null: any) and run ("": any). `publish` is PUBLISH or SPUBLISH,
     * `keys` are the job's log and state. With `seq`, the sequence number of the append or the token of a creation, the
     * command may be repeated.
     *
     * @param {string} publish
     * @param {[string, string]} keys
     * @param {number | null} attempt
     * @param {string} run
     * @param {string} seq
     * @returns {string[]}
     */
    command(publish: string, keys: [string, string], attempt: number | null, run: string, seq: string): string[];
}
/**
 * The same command as an EVAL, which also loads the script into a Redis that lacks it.
 *
 * @param {string[]} command
 * @returns {string[]}
 */
export declare function withScript(command: string[]): string[];
/** Fails a queued job, or asks the worker of a running one to stop. */
export declare const CANCEL: Append;
/** Queues a failed job for its next attempt. @param {string} token random, by which the retry is recognized */
export declare function retried(token: string): Append;
export type Bounds = {
    retentionS: number;
    maxEntries: number;
    maxEventBytes: number;
};
export type Owner = {
    userId?: string | null;
    sessionId?: string | null;
};
/** @typedef {{ retentionS: number, maxEntries: number, maxEventBytes: number }} Bounds the limits of a job */
/** @typedef {{ userId?: string | null, sessionId?: string | null }} Owner */
/**
 * The append that creates a job; `input` is JSON.
 *
 * @param {string} type
 * @param {string | null} input
 * @param {Owner} owner
 * @param {Bounds} bounds
 */
export declare function created(type: string, input: string | null, { userId, sessionId }: Owner, bounds: Bounds): Append;
/** The append that completes a job. @param {string} result JSON */
export declare function completed(result: string): Append;
/**
 * The append that fails a job; `data` is the JSON of error and code. `abandon` fails only a job that no worker has
 * started.
 *
 * @param {string} data
 * @param {string} error
 * @param {string | null} code
 * @param {"fail" | "abandon"} [operation]
 */
export declare function failed(data: string, error: string, code: string | null, operation?: "fail" | "abandon"): Append;
export type Answer = {
    entryId: string;
    cancelRequested: boolean;
    receivers: number;
    attempt: number;
    type: string;
    input: string;
};
/**
 * The script's answer to an append that it did not refuse. `entryId` is the id of the log entry, empty if none was
 * written; `receivers` is the number of subscribers that Redis sent the publication to (-1: Redis refused to publish).
 * `type` and `input` (JSON) are those of the job after a start, else empty.
 *
 * @typedef {{ entryId: string, cancelRequested: boolean, receivers: number, attempt: number, type: string,
 *   input: string }} Answer
 */
/** @param {any} reply @returns {Answer} */
export declare function answerOf(reply: any): Answer;
