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

/** What a processor throws that is to be handed out again, at BullMQ's own request. */
const NOT_OVER = ["DelayedError", "WaitingError", "WaitingChildrenError"];
const RATE_LIMITED = "bullmq:rateLimitExceeded";
const LATER_MS = 1000;

/** Runs that have said what of their reports can't be read. @type {WeakSet<Run>} */
const complained = new WeakSet();

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
    await jobs.abandon(its, "The job could not be queued", "NOT_QUEUED").catch(() => {}); // of a job that was queued before
    throw error;
  }
}

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
export function followed(jobs, processor) {
  if (typeof processor !== "function")
    throw new InvalidEvent("followed takes a function: no file of a sandboxed processor");
  // With three arguments, or BullMQ makes no signal.
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
 * Which run an entry is for; null if it can't be one of Jobcast's.
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
 * Starts the run; says whether that is done, or Jobcast knows nothing of the entry, or what its result is without a run.
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
  // BullMQ runs it once more: somebody has retried the entry, or its worker was lost.
  await quietly(run, jobs.retry(run.jobId)); // unless that was done meanwhile
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
    updated.catch(() => {}); // of a call that nobody awaits
    return updated;
  };
  try {
    const result = await within(run, processor);
    await complete(run, result);
    return result;
  } catch (thrown) {
    const error = causeOf(run, thrown);
    if (NOT_OVER.includes(error?.name) || error?.message === RATE_LIMITED) {
      run.hold(); // until BullMQ hands it out again
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

/** Says once for a run what of its reports can't be read. @param {Run} run @param {string} text */
function complain(run, text) {
  if (!complained.has(run)) warn(run, `what updateProgress was given is not shown: ${text}`);
  complained.add(run);
}

/** Whether BullMQ will hand the entry out again, as its `Job.shouldRetryJob` decides. @param {BullJob} job @param {any} error */
function willTryAgain({ attemptsMade, opts }, error) {
  return attemptsMade + 1 < (opts.attempts ?? 1) && error?.name !== "UnrecoverableError";
}

/** What makes BullMQ hand the entry out later, if it can. @param {BullJob} job @param {Error} error @param {string} [token] */
async function delayed(job, error, token) {
  try {
    await job.moveToDelayed(Date.now() + LATER_MS, token);
  } catch {
    return error;
  }
  return named("DelayedError", error.message);
}

/** What BullMQ takes for the end of an entry, whatever tries are left. @param {string} message */
function unrecoverable(message) {
  return named("UnrecoverableError", message);
}

/** BullMQ tells its errors by their names too. @param {string} name @param {string} message */
function named(name, message) {
  return Object.assign(new Error(message), { name });
}

/** Waits for a call of which the entry must not depend. @param {Run} run @param {Promise<unknown>} call */
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
