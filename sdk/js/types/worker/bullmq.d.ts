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
 * The part of BullMQ's `Queue` that is used here.
 *
 * @typedef {{ add(name: any, data: any, options?: any): Promise<any> }} Queue
 */
/**
 * The part of BullMQ's `Job` that is used here.
 *
 * @typedef {{ id?: string, name: string, data: any, opts: { attempts?: number }, attemptsMade: number,
 *   updateProgress(progress: any): Promise<void>, moveToDelayed(timestamp: number, token?: string): Promise<void> }} BullJob
 */
/**
 * Creates a job and adds its entry to a queue of BullMQ, with the same id: `options.jobId` or a UUID. Returns BullMQ's
 * job.
 *
 * The name of the entry becomes the type of the job, its data, an object, the input. If BullMQ can't add the entry, the
 * job fails with `NOT_QUEUED`. If a job with the id `options.jobId` exists already, the entry is added for that job, so
 * a call may be repeated.
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
 * Wraps a processor of BullMQ's `Worker` so that it reports to Jobcast:
 * `new Worker("reports", followed(jobs, async (job) => …), { connection })`.
 *
 * It handles entries that `add` has added, and those of the service, `{ jobId, attempt }`, for which `job.data` becomes
 * the input of the job. Any other entry is processed as without Jobcast.
 *
 * - What `job.updateProgress` gets, a number or an object, is forwarded at most 20 times a second. When the owner
 *   cancels the job, `updateProgress` throws JobCancelled, and the third argument, an AbortSignal, is aborted.
 *   `currentRun()` has the other calls.
 * - What the processor returns is the result; if that is not JSON of at most 1 MiB, the result is null, and a log line
 *   says why. What it throws fails the job. If BullMQ will retry the entry, the job is queued for its next attempt.
 * - An entry of the service is acknowledged without being processed if its job has ended, was cancelled or is in
 *   another attempt. Of other entries, one whose job has succeeded returns the job's result, and one whose job was
 *   cancelled fails for good.
 *
 * Throws InvalidEvent if the processor is no function.
 *
 * @template {(job: any, token?: string, signal?: AbortSignal) => any} P
 * @param {Jobs} jobs
 * @param {P} processor
 * @returns {(job: any, token?: string, signal?: AbortSignal) => Promise<Awaited<ReturnType<P>>>}
 */
export declare function followed<P extends (job: any, token?: string, signal?: AbortSignal) => any>(jobs: Jobs, processor: P): (job: any, token?: string, signal?: AbortSignal) => Promise<Awaited<ReturnType<P>>>;
