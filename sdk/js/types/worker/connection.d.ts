import type { Append, Owner } from "./append.js";
import type { Address } from "./address.js";
/**
 * Sends the append script and other commands to Redis. Connects at first use; any number of runs share it.
 *
 * It repeats nothing. `closings` counts how often it was closed; `isOver` is whether its `Jobs` was closed.
 */
export declare class Connection {
    #private;
    closings: number;
    isOver: boolean;
    /**
     * @param {Address} address
     * @param {number | null} tryS timeout of a call, unless that of the address is shorter
     */
    constructor(address: Address, tryS: number | null);
    /**
     * Appends an event to a job's log. Throws a JobcastError if the script refuses it.
     *
     * With `seq`, the sequence number of the append or the token of a creation, the call may be repeated: the event is
     * written once.
     *
     * @param {string} jobId
     * @param {Append} event
     * @param {number | null} attempt
     * @param {string} run
     * @param {string} seq
     */
    append(jobId: string, event: Append, attempt: number | null, run: string, seq: string): Promise<import("./append.js").Answer>;
    /**
     * A call that appends a cancel, a retry or an abandon without a number, and that may be repeated.
     *
     * A try without an answer may have written the event, and then the next one is refused. Such a refusal is not thrown
     * if the job's state shows the event: see `Append.isIn`.
     *
     * @param {string} jobId
     * @param {Append} event
     */
    repeatable(jobId: string, event: Append): () => Promise<void>;
    /**
     * The first log entry of a job; null unless the job has exactly these owners.
     *
     * @param {string} jobId
     * @param {Owner} owner
     */
    created(jobId: string, owner: Owner): Promise<string | null>;
    /**
     * Adds a job to its owners' lists, which expire later than the job.
     *
     * @param {string} jobId
     * @param {string} created its first log entry
     * @param {Owner} owner
     * @param {number} retentionS
     */
    index(jobId: string, created: string, owner: Owner, retentionS: number): Promise<void>;
    /**
     * Lists a job again, which announces it to its owners' streams of many jobs.
     *
     * @param {string} jobId
     * @param {number} retentionS
     */
    reindex(jobId: string, retentionS: number): Promise<void>;
    /** Sends a command that may be repeated. @param {string[]} command @returns {Promise<any>} */
    call(...command: string[]): Promise<any>;
    /** Closes it: pending calls throw RedisUnavailable. The next call opens it again. */
    close(): void;
}
