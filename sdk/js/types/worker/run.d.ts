import { Reports } from "./reports.js";
import type { Answer, Append } from "./append.js";
import type { Connection } from "./connection.js";
import type { Fields } from "./event.js";
import type { Leases } from "./lease.js";
import type { Senders } from "./sender.js";
/** The run whose `work` this is called in, null if there is none that goes on. */
export declare function currentRun(): Run | null;
/** Calls a function in which this is the current run. @template T @param {Run} run @param {(run: Run) => T | Promise<T>} work */
export declare function within<T>(run: Run, work: (run: Run) => T | Promise<T>): Promise<T>;
/** What was thrown, or JobCancelled if that was because the signal of the run is aborted. @param {Run} run @param {any} thrown */
export declare function causeOf(run: Run, thrown: any): any;
/**
 * One run of one job, from its start to its end. Made by `Jobs.run`.
 *
 * From its start on it holds a lease until it has ended, its `work` ends, its `Jobs` is closed, or nobody holds the run
 * any more.
 *
 * Each method returns the id of the log entry that it wrote. Each throws JobSuperseded once another run or attempt has
 * taken over, JobFinished after the job's end (JobStalled, one of its kind, if that came because the lease expired),
 * UnknownJob once the job has expired, and InvalidEvent for arguments that the contract refuses, before anything is
 * sent. Events are in the order of the calls, whether these are awaited or not; a refusal of one that nobody awaits is
 * no unhandled rejection, and is thrown by the next call too.
 *
 * While Redis is unavailable, an event is repeated until it is acknowledged, and is written once. A call waits for that
 * no longer than `blockS` of `connect`. Then it returns an empty id, and its event waits in the run's buffer; the calls
 * that follow return at once until all that waits was written, but for the end of the run, which waits for as long
 * again. When the buffer is full, only the newest progress in it is kept; if that makes no room within `blockS`, the call
 * throws BufferFull and its event is not written. The end of the run always has room. What is refused after its call
 * has returned is a warning of the process.
 */
export declare class Run extends Reports {
    #private;
    /** Of the job; null until the start unless it was given. @type {number | null} */
    attempt: number | null;
    /** The type of the job, empty until the start. */
    type: string;
    /** What the job was created with, once it was started. @type {Record<string, any>} */
    input: Record<string, any>;
    /**
     * @param {Connection} connection
     * @param {Leases} leases
     * @param {Senders} senders
     * @param {string} jobId
     * @param {number | null} attempt
     */
    constructor(connection: Connection, leases: Leases, senders: Senders, jobId: string, attempt: number | null);
    /** Whether this run has completed or failed the job, acknowledged or not. */
    get hasEnded(): boolean;
    /**
     * Starts the job unless it was started, calls a function with this run and ends the job: completes it with what the
     * function returns, unless the function has ended it, or fails it with what the function throws, which is thrown again.
     *
     * The message and `code`, if that is a string, of what is thrown become those of the job. JobCancelled fails the job
     * with `Cancelled` and goes no further: `work` returns undefined then, and does not call the function if the job
     * was cancelled before it was taken over.
     *
     * @template T
     * @param {(run: Run) => T | Promise<T>} work
     * @returns {Promise<T | undefined>}
     */
    work<T>(work: (run: Run) => T | Promise<T>): Promise<T | undefined>;
    /**
     * Starts the job, or takes it over from an earlier run of the same attempt.
     *
     * Sets `attempt`, `type` and `input`. Throws JobCancelled (the job was started) when an earlier run was asked to stop,
     * InvalidEvent (the job was failed) when the job's input is no JSON object, and RedisUnavailable when Redis was
     * unavailable for `blockS`.
     */
    start(): Promise<string>;
    /** Ends the job well, with a result of at most 1 MiB of JSON. @param {unknown} [result] */
    complete(result?: unknown): Promise<string>;
    /**
     * Ends the job badly, with a message for its viewers and a stable code for programs. What was thrown is written as
     * `work` writes it. `more` are further fields of the event, which those who watch or resume get.
     *
     * @param {unknown} error a string, or what was thrown
     * @param {string | null} [code]
     * @param {Fields} [more]
     */
    fail(error: unknown, code?: string | null, more?: Fields): Promise<string>;
    /** Keeps the lease, though nobody holds the run, until it is refused: another run will take over. */
    hold(): void;
    /** Renews the lease; called by the timer of the lease. @param {number} leaseMs */
    renew(leaseMs: number): Promise<void>;
    /** @protected @override @param {Append} made @param {Answer} answer */
    protected _answered(made: Append, answer: Answer): void;
}
