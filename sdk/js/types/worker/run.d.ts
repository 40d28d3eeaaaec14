import { Reports } from "./reports.js";
import type { Answer, Append } from "./append.js";
import type { Connection } from "./connection.js";
import type { Fields } from "./event.js";
import type { Leases } from "./lease.js";
import type { Senders } from "./sender.js";
/** The run in whose `work` this is called; null outside of one, and after the end of the run. */
export declare function currentRun(): Run | null;
/**
 * Calls a function with this as the current run.
 *
 * @template T
 * @param {Run} run
 * @param {(run: Run) => T | Promise<T>} work
 */
export declare function within<T>(run: Run, work: (run: Run) => T | Promise<T>): Promise<T>;
/**
 * What was thrown; JobCancelled instead of an AbortError that the run's signal has caused, and instead of an
 * AggregateError of nothing else, as `Promise.any` throws it.
 *
 * @param {{ signal: AbortSignal }} run
 * @param {any} thrown
 */
export declare function causeOf(run: {
    signal: AbortSignal;
}, thrown: any): any;
/**
 * One run of one job, from its start to its end. Created by `Jobs.run`.
 *
 * It holds a lease from its start until it has ended, its `work` ends, its `Jobs` is closed, or nothing references it
 * any more.
 *
 * Each method returns the id of the log entry that it wrote. Each throws JobSuperseded if another run or attempt has
 * taken over, JobFinished if the job has ended (its subclass JobStalled if that is because the lease expired),
 * UnknownJob if the job has expired, and InvalidEvent, before anything is sent, if an argument violates the contract.
 * Events are in the order of the calls, awaited or not. A refused call that nobody awaits causes no unhandled
 * rejection; the next call throws the same error.
 *
 * While Redis is unavailable, an event is repeated until Redis acknowledges it, and is written once. A call waits up to
 * `blockS` seconds (see `connect`) for that. Then it returns an empty id, and its event stays in the run's buffer.
 * Until the buffer is empty, further calls return at once, except for the end of the run, which waits up to `blockS`
 * again. When the buffer is full, only the newest progress in it is kept; if there still is no room after `blockS`, the
 * call throws BufferFull and its event is not written. There is always room for the end of the run. If an event is
 * refused after its call has returned, the process emits a warning.
 */
export declare class Run extends Reports {
    #private;
    /** The attempt of the job; null until the start, unless it was passed to `Jobs.run`. @type {number | null} */
    attempt: number | null;
    /** The type of the job, empty until the start. */
    type: string;
    /** The input of the job, empty until the start. @type {Record<string, any>} */
    input: Record<string, any>;
    /**
     * @param {Connection} connection
     * @param {Leases} leases
     * @param {Senders} senders
     * @param {string} jobId
     * @param {number | null} attempt
     */
    constructor(connection: Connection, leases: Leases, senders: Senders, jobId: string, attempt: number | null);
    /** Whether this run has completed or failed the job, even if Redis has not acknowledged that. */
    get hasEnded(): boolean;
    /**
     * Starts the job unless that was done, calls a function with this run, and ends the job: completes it with what the
     * function returns, unless the function has ended it, or fails it with what the function throws, and rethrows that.
     *
     * The error and code of the job are the message of what is thrown and its `code`, if that is a string. JobCancelled
     * fails the job with `Cancelled` and is not rethrown: `work` then returns undefined. If the job was cancelled before
     * it was taken over, the function is not called.
     *
     * @template T
     * @param {(run: Run) => T | Promise<T>} work
     * @returns {Promise<T | undefined>}
     */
    work<T>(work: (run: Run) => T | Promise<T>): Promise<T | undefined>;
    /**
     * Starts the job, or takes it over from an earlier run of the same attempt.
     *
     * Sets `attempt`, `type` and `input`. Throws JobCancelled (the job was started) if an earlier run was asked to stop,
     * InvalidEvent (the job was failed) if the job's input is no JSON object, and RedisUnavailable if Redis was
     * unavailable for `blockS` seconds.
     */
    start(): Promise<string>;
    /** Completes the job, with a result of at most 1 MiB of JSON. @param {unknown} [result] */
    complete(result?: unknown): Promise<string>;
    /**
     * Fails the job, with a message for viewers and a stable code for programs. For a thrown value, both are those that
     * `work` writes. `more` are further fields of the event; live and resuming viewers get them.
     *
     * @param {unknown} error a string, or what was thrown
     * @param {string | null} [code]
     * @param {Fields} [more]
     */
    fail(error: unknown, code?: string | null, more?: Fields): Promise<string>;
    /** Renews the lease, even if nothing references the run, until that is refused because another run took over. */
    hold(): void;
    /** Renews the lease; called by the timer of the lease. @param {number} leaseMs */
    renew(leaseMs: number): Promise<void>;
    /** @protected @override @param {Append} made @param {Answer} answer */
    protected _answered(made: Append, answer: Answer): void;
}
