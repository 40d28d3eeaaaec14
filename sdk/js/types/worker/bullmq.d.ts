import type { Owner } from "./append.js";
import type { Jobs } from "./jobs.js";
export type Queue = {
    add(name: any, data: any, options?: any): Promise<any>;
};
export type BullJob = {
    id?: string;
    name: string;
    data: any;
    opts: {
        attempts?: number;
    };
    attemptsMade: number;
    updateProgress(progress: any): Promise<void>;
    moveToDelayed(timestamp: number, token?: string): Promise<void>;
};
/**
 * What is used of BullMQ's `Queue`.
 *
 * @typedef {{ add(name: any, data: any, options?: any): Promise<any> }} Queue
 */
/**
 * What is used of BullMQ's `Job`.
 *
 * @typedef {{ id?: string, name: string, data: any, opts: { attempts?: number }, attemptsMade: number,
 *   updateProgress(progress: any): Promise<void>, moveToDelayed(timestamp: number, token?: string): Promise<void> }} BullJob
 */
/**
 * Adds an entry to a queue of BullMQ, and creates the job that its viewers watch, with the entry's id as its own:
 * `options.jobId` or a UUID. Returns BullMQ's job.
 *
 * The name of the entry is the type of the job, its data, an object, the input. Creates nothing that stays if BullMQ
 * can't add the entry: then the job fails with `NOT_QUEUED`. An entry with a `jobId` whose job exists already is added
 * for that job, so a call may be repeated.
 *
 * @template {Queue} Q
 * @param {Jobs} jobs
 * @param {Q} queue
 * @param {string} name
 * @param {object} data
 * @param {Owner} owner
 * @param {{ jobId?: string, [option: string]: any }} [options] of BullMQ
 * @returns {Promise<Awaited<ReturnType<Q["add"]>>>}
 */
export declare function add<Q extends Queue>(jobs: Jobs, queue: Q, name: string, data: object, owner: Owner, options?: {
    jobId?: string;
    [option: string]: any;
}): Promise<Awaited<ReturnType<Q["add"]>>>;
/**
 * A processor for BullMQ's `Worker` that does what the given one does, and reports it to Jobcast:
 * `new Worker("reports", followed(jobs, async (job) => …), { connection })`.
 *
 * It serves entries that `add` has added, and those of the service, `{ jobId, attempt }`; of the latter, `job.data` is
 * the input of the job. Any other entry is processed as without Jobcast.
 *
 * - `job.updateProgress` of a number or an object is forwarded, 20 times a second at the most; it throws JobCancelled
 *   when the owner has cancelled the job. The third argument, an AbortSignal, is aborted then. `currentRun()` has
 *   the other calls.
 * - What the processor returns is the result (null, and a line of the log, if that is no JSON of at most 1 MiB); what it
 *   throws fails the job. If BullMQ tries again, the job is queued for its next attempt.
 * - An entry whose start is refused, because the job has ended or is in another attempt, is acknowledged; one
 *   whose job was cancelled before fails for good.
 *
 * @template {(job: any, token?: string, signal?: AbortSignal) => any} P
 * @param {Jobs} jobs
 * @param {P} processor
 * @returns {(job: any, token?: string, signal?: AbortSignal) => Promise<Awaited<ReturnType<P>>>}
 */
export declare function followed<P extends (job: any, token?: string, signal?: AbortSignal) => any>(jobs: Jobs, processor: P): (job: any, token?: string, signal?: AbortSignal) => Promise<Awaited<ReturnType<P>>>;
