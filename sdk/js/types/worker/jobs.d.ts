import { Connection } from "./connection.js";
import { Leases } from "./lease.js";
import { Run } from "./run.js";
import { Senders } from "./sender.js";
import type { Target } from "./address.js";
import type { Bounds, Owner } from "./append.js";
import type { Settings } from "./settings.js";
/** @import { Target } from "./address.js" */
/** @import { Append, Bounds, Owner } from "./append.js" */
/** @import { Settings } from "./settings.js" */
/**
 * Reaches the jobs of one Redis.
 *
 * `target` is an address (`redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://host:port,…/name`,
 * `redis+cluster://host:port,…`), a client of ioredis, or the options of one. Jobcast opens a connection of its own at
 * first use; of a client it only takes the options. Throws InvalidEvent for an address or a setting that can't be meant.
 *
 * While Redis is unavailable, calls are repeated, and `blockS` bounds how long one waits. After that `create` and the
 * start of a run throw RedisUnavailable. Any other event stays in a buffer of its run, and is written, in order and once,
 * when Redis is back: see `Run`.
 *
 * Runs renew their lease in the background every 10 s, or third of it, which needs the event loop: work that blocks it
 * for longer than the lease belongs into a worker thread or process.
 *
 * @param {Target} target
 * @param {Settings} [settings]
 */
export declare function connect(target: Target, settings?: Settings): Jobs;
/** Creates jobs and runs them. Made by `connect`. */
export declare class Jobs {
    #private;
    /**
     * @param {Connection} connection
     * @param {Leases} leases
     * @param {Senders} senders
     * @param {Bounds} bounds
     */
    constructor(connection: Connection, leases: Leases, senders: Senders, bounds: Bounds);
    /**
     * Creates a queued job and returns its id: `jobId`, or a lower-case UUID.
     *
     * `type` is a string of 1 to 128 characters. `userId` and `sessionId` own the job: who comes to the service as either
     * may watch it; at least one is needed. `input`, an object, is what the run gets. Putting the job on a queue is the
     * caller's. Throws JobExists and InvalidEvent.
     *
     * While Redis is unavailable the call is repeated, and creates the job once. If it fails in the end, another call with
     * the same `jobId` finishes what was begun, and throws JobExists if that was the job's log.
     *
     * @param {string} type
     * @param {Owner & { input?: object | null, jobId?: string }} options
     */
    create(type: string, options: Owner & {
        input?: object | null;
        jobId?: string;
    }): Promise<string>;
    /**
     * A run of the job, not started yet; see `Run`.
     *
     * With `attempt`, the number that came with the queue entry, a run that comes late for an earlier attempt is refused at
     * its start. Throws InvalidEvent for a malformed id.
     *
     * @param {string} jobId
     * @param {number | null} [attempt]
     */
    run(jobId: string, attempt?: number | null): Run;
    /**
     * Cancels a job, as its owner can: a queued job fails at once, the run of a running one is told. Throws JobFinished and
     * UnknownJob.
     *
     * @param {string} jobId
     */
    cancel(jobId: string): Promise<void>;
    /**
     * Queues a failed job for its next attempt, as its owner can. Putting it on a queue is the caller's. Throws JobNotFailed
     * and UnknownJob.
     *
     * @param {string} jobId
     */
    retry(jobId: string): Promise<void>;
    /**
     * Fails a job that no worker has started, because it can't be queued. Throws JobSuperseded if one has, JobFinished and
     * UnknownJob.
     *
     * @param {string} jobId
     * @param {string} error
     * @param {string | null} [code]
     */
    abandon(jobId: string, error: string, code?: string | null): Promise<void>;
    /**
     * How the job has ended: `{ status, result, error }` as they are stored, with `result` as JSON.
     *
     * @param {string} jobId
     * @returns {Promise<{ status: string | null, result: string | null, error: string | null }>}
     */
    ending(jobId: string): Promise<{
        status: string | null;
        result: string | null;
        error: string | null;
    }>;
    /**
     * Closes its connection.
     *
     * Waits for the events that wait for Redis, as long as a call may; what is not written then is given up, but for the
     * ends of runs. The leases of runs that have not ended are renewed no longer, and nothing can be created or started
     * any more.
     */
    close(): Promise<void>;
}
