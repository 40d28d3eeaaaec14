import type { Append, Owner } from "./append.js";
import type { Address } from "./address.js";
/**
 * Runs the append script. Opened at first use, shared by any number of runs.
 *
 * Here nothing is repeated. `closings` counts how often it was closed, and `isOver` says that its `Jobs` was.
 */
export declare class Connection {
    #private;
    closings: number;
    isOver: boolean;
    /** @param {Address} address @param {number | null} tryS longest time that a call may wait for its answer, if that is less */
    constructor(address: Address, tryS: number | null);
    /**
     * Appends an event to a job's log; a JobcastError when the script refuses it.
     *
     * With `seq`, the number of the append within its run or the token of a creation, the call may be repeated: the event
     * is written once.
     *
     * @param {string} jobId
     * @param {Append} event
     * @param {number | null} attempt
     * @param {string} run
     * @param {string} seq
     */
    append(jobId: string, event: Append, attempt: number | null, run: string, seq: string): Promise<import("./append.js").Answer>;
    /** The first log entry of a job; null unless it is of exactly these owners. @param {string} jobId @param {Owner} owner */
    created(jobId: string, owner: Owner): Promise<string | null>;
    /**
     * Lists a job among those of its owners, for longer than it can live.
     *
     * @param {string} jobId
     * @param {string} created its first log entry
     * @param {Owner} owner
     * @param {number} retentionS
     */
    index(jobId: string, created: string, owner: Owner, retentionS: number): Promise<void>;
    /**
     * Lists a job once more, so that its owners' streams of many jobs add it.
     *
     * @param {string} jobId
     * @param {number} retentionS
     */
    listAgain(jobId: string, retentionS: number): Promise<void>;
    /** Has Redis carry out a command that may be repeated. @param {string[]} command @returns {Promise<any>} */
    call(...command: string[]): Promise<any>;
    /** Closes it; calls without an answer throw RedisUnavailable. Another call opens it again. */
    close(): void;
}
