import { randomUUID } from "node:crypto";
import { emitWarning } from "node:process";
import {
  InvalidEvent,
  JobCancelled,
  JobcastError,
  JobExists,
  JobFinished,
  RedisUnavailable,
  UnknownJob,
} from "./errors.js";
import { asError, codeOf, nameOf, textOf } from "./failure.js";
import { parseJobId } from "./names.js";
import { read } from "./report.js";
import { causeOf, within } from "./run.js";

/** @import { Owner } from "./append.js" */
/** @import { Jobs } from "./jobs.js" */
/** @import { Run } from "./run.js" */

/** Errors by which a processor asks BullMQ to deliver the entry again. */
const NOT_OVER = ["DelayedError", "WaitingError", "WaitingChildrenError"];
const RATE_LIMITED = "bullmq:rateLimitExceeded";
const LATER_MS = 1000;

/** Runs that have already warned of an invalid report. @type {WeakSet<Run>} */
const complained = new WeakSet();

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
export async function add(jobs, queue, name, data, owner, options = {}) {
  const { jobId = randomUUID(), ...others } = options;
  let its = jobId;
  try {
    its = await jobs.create(name, { ...owner, input: data, jobId });
  } catch (error) {
    if (!(error instanceof JobExists && options.jobId !== undefined)) throw error;
    its = parseJobId(jobId) ?? jobId;
  }
  try {
    return await queue.add(name, data, { ...others, jobId: its });
  } catch (error) {
    await jobs.abandon(its, "The job could not be queued", "NOT_QUEUED").catch(() => {}); // refused if it was started
    throw error;
  }
}

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
export function followed(jobs, processor) {
  if (typeof processor !== "function")
    throw new InvalidEvent("followed takes a function: no file of a sandboxed processor");
  // With fewer than three parameters, BullMQ would create no signal.
  return async (job, token, signal) => {
    const entry = entryOf(job);
    const run = entry && jobs.run(entry.jobId, entry.attempt);
    if (!run) return processor(job, token, signal);
    const beginning = await begin(jobs, run, job, entry.isOfService, token);
    if (beginning === "unknown") return processor(job, token, signal);
    if (beginning !== "started") return beginning.result;
    if (entry.isOfService) job.data = run.input;
    return processed(jobs, run, job, () =>
      processor(job, token, signal ? AbortSignal.any([run.signal, signal]) : run.signal),
    );
  };
}

/**
 * The job and attempt of an entry; null if the entry has no job.
 *
 * @param {BullJob} job
 * @returns {{ jobId: string, attempt: number | null, isOfService: boolean } | null}
 */
function entryOf({ id, data }) {
  const names = data !== null && typeof data === "object" ? Object.keys(data).sort().join() : "";
  if (names === "attempt,jobId" && Number.isSafeInteger(data.attempt) && data.attempt > 0 && parseJobId(data.jobId)) {
    return { jobId: data.jobId, attempt: data.attempt, isOfService: true };
  }
  const jobId = parseJobId(id);
  return jobId === null ? null : { jobId, attempt: null, isOfService: false };
}

/**
 * Starts the run. Returns "started", "unknown" if the entry has no job, or the entry's result if there is nothing to
 * run.
 *
 * @param {Jobs} jobs
 * @param {Run} run
 * @param {BullJob} job
 * @param {boolean} isOfService
 * @param {string} [token]
 * @returns {Promise<"started" | "unknown" | { result: any }>}
 */
async function begin(jobs, run, job, isOfService, token) {
  try {
    await run.start();
    return "started";
  } catch (error) {
    if (error instanceof RedisUnavailable) throw await delayed(job, error, token);
    if (error instanceof JobCancelled) await quietly(run, run.fail(error));
    if (isOfService && error instanceof JobcastError) return { result: undefined };
    if (error instanceof UnknownJob) return "unknown";
    if (error instanceof JobCancelled) throw unrecoverable("Cancelled");
    if (!(error instanceof JobFinished)) throw error;
  }
  const { status, result, error } = await jobs.ending(run.jobId);
  if (status === "succeeded") return { result: result === null ? null : JSON.parse(result) };
  if (error === "Cancelled") throw unrecoverable("Cancelled");
  // BullMQ delivers the entry once more: it was retried by hand, or its worker was lost.
  await quietly(run, jobs.retry(run.jobId)); // fails if the job was retried meanwhile
  await run.start();
  return "started";
}

/**
 * Calls the processor and ends the job.
 *
 * @param {Jobs} jobs
 * @param {Run} run
 * @param {BullJob} job
 * @param {() => any} processor
 */
async function processed(jobs, run, job, processor) {
  const { updateProgress } = job;
  job.updateProgress = (progress) => {
    const updated = updateProgress.call(job, progress).then(() => forward(run, progress));
    updated.catch(() => {}); // no unhandled rejection if the processor does not await it
    return updated;
  };
  try {
    const result = await within(run, processor);
    await complete(run, result);
    return result;
  } catch (thrown) {
    const error = causeOf(run, thrown);
    if (NOT_OVER.includes(error?.name) || error?.message === RATE_LIMITED) {
      run.hold(); // until BullMQ delivers the entry again
      throw error;
    }
    if (error instanceof JobCancelled) {
      await quietly(run, run.fail(error));
      throw unrecoverable("Cancelled");
    }
    const willRetry = willTryAgain(job, error);
    await quietly(run, run.fail(asError(error), codeOf(error) ?? nameOf(error), willRetry ? { willRetry } : {}));
    if (willRetry) await quietly(run, jobs.retry(run.jobId));
    throw error;
  } finally {
    job.updateProgress = updateProgress;
  }
}

/** @param {Run} run @param {unknown} result */
async function complete(run, result) {
  try {
    await run.complete(result);
  } catch (error) {
    if (!(error instanceof InvalidEvent)) return warn(run, error);
    await quietly(run, run.log(`The result is not shown: ${error.message}`, "warning"));
    await quietly(run, run.complete());
  }
}

/** @param {Run} run @param {unknown} progress */
async function forward(run, progress) {
  try {
    const report = read(progress, (text) => complain(run, text));
    if (report) await run.note(report);
  } catch (error) {
    if (error instanceof JobCancelled) throw error;
    if (error instanceof InvalidEvent) complain(run, error.message);
  }
}

/** Warns of an invalid report, once for each run. @param {Run} run @param {string} text */
function complain(run, text) {
  if (!complained.has(run)) warn(run, `what updateProgress was given is not shown: ${text}`);
  complained.add(run);
}

/**
 * Whether BullMQ will retry the entry; decides as its `Job.shouldRetryJob` does.
 *
 * @param {BullJob} job
 * @param {any} error
 */
function willTryAgain({ attemptsMade, opts }, error) {
  return attemptsMade + 1 < (opts.attempts ?? 1) && error?.name !== "UnrecoverableError";
}

/**
 * Delays the entry; returns what to throw, or `error` if that fails.
 *
 * @param {BullJob} job
 * @param {Error} error
 * @param {string} [token]
 */
async function delayed(job, error, token) {
  try {
    await job.moveToDelayed(Date.now() + LATER_MS, token);
  } catch {
    return error;
  }
  return named("DelayedError", error.message);
}

/** The error after which BullMQ does not retry an entry, even if attempts are left. @param {string} message */
function unrecoverable(message) {
  return named("UnrecoverableError", message);
}

/** An error that BullMQ recognizes by its name. @param {string} name @param {string} message */
function named(name, message) {
  return Object.assign(new Error(message), { name });
}

/** Waits for a call whose failure must not fail the entry. @param {Run} run @param {Promise<unknown>} call */
async function quietly(run, call) {
  try {
    await call;
  } catch (error) {
    warn(run, error);
  }
}

/** @param {Run} run @param {unknown} error */
function warn(run, error) {
  emitWarning(`job ${run.jobId}: ${textOf(error)}`, "JobcastWarning");
}
