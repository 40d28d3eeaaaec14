/** What the page knows of a job: a plain object, made by folding events and status objects into it. */

/**
 * A job of which nothing is known. `outcome` is null, succeeded, failed or cancelled; while `isIndeterminate`, nobody
 * knows how much there is to do, and `progress` means nothing.
 */
export const unknownJob = () => ({
  progress: null,
  step: null,
  eta: null,
  counts: {},
  isIndeterminate: false,
  outcome: null,
  result: null,
  error: null,
  errorCode: null,
});

const number = (value) => (Number.isFinite(value) ? value : null);

const percentage = (value) => (Number.isFinite(value) ? Math.min(100, Math.max(0, Math.round(value))) : null);

// A cancelled job is a failed one with this error and no code; there is no such state.
const failure = (error, errorCode) => (error === "Cancelled" && errorCode == null ? "cancelled" : "failed");

function progressed(job, data) {
  const { current, total, unit, filesDone, filesTotal, bytesDone, bytesTotal } = data;
  return {
    ...job,
    progress: percentage(data.progress) ?? job.progress,
    step: data.currentStep ?? null,
    eta: number(data.estimatedTimeRemaining),
    isIndeterminate: data.indeterminate === true,
    counts: {
      current: number(current),
      total: number(total),
      unit: typeof unit === "string" ? unit : "item",
      filesDone: number(filesDone),
      filesTotal: number(filesTotal),
      bytesDone: number(bytesDone),
      bytesTotal: number(bytesTotal),
    },
    outcome: null,
  };
}

function failed(job, { error = null, errorCode = null }) {
  return { ...job, eta: null, outcome: failure(error, errorCode), error, errorCode };
}

function completed(job, { result = null }) {
  return { ...job, progress: 100, eta: null, outcome: "succeeded", result };
}

/** The job after one event of its stream. Events that say nothing of its state leave it as it is. */
export function apply(job, name, data) {
  const fields = data !== null && typeof data === "object" ? data : {};
  switch (name) {
    case "reset":
      return unknownJob();
    case "progress-update":
    case "step-change":
      return progressed(job, fields);
    case "complete":
      return completed(job, fields);
    case "failed":
      return failed(job, fields);
    default:
      return job;
  }
}

/** The job as a status object tells it. */
export function fromStatus(job, status) {
  const base = progressed(job, status);
  if (status.status === "succeeded") return completed(base, status);
  if (status.status === "failed") return failed(base, status);
  return base;
}

/** One word for a row of the list of jobs, from a status object. */
export const statusWord = (status) =>
  status.status === "failed" ? failure(status.error, status.errorCode) : status.status;

/** The same word for the open job, from what its stream told. */
export const liveWord = (job) => {
  if (job.outcome !== null) return job.outcome;
  if (job.progress === null) return null;
  return job.progress > 0 || job.step !== null ? "running" : "queued";
};
