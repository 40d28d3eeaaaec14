/**
 * Reports a background job's progress to Jobcast from a worker in Node.
 *
 *     const jobs = connect("redis://127.0.0.1:6379/0");
 *     await jobs.run(jobId).work(async (run) => {
 *       await run.progress(40, "Writing...", { eta: 30 });
 *       return { pages: 12 };
 *     });
 *     await jobs.close();
 *
 * Every event is one atomic step in Redis: checked, logged, folded into the job's state and published. A refusal throws
 * a JobcastError and leaves no trace. While Redis is unavailable, calls wait and events are repeated until they are
 * acknowledged; each is written exactly once, in order.
 */

export {
  BufferFull,
  InvalidEvent,
  JobCancelled,
  JobcastError,
  JobExists,
  JobFinished,
  JobNotFailed,
  JobNotRunning,
  JobStalled,
  JobSuperseded,
  RedisUnavailable,
  UnknownJob,
} from "./errors.js";
export { connect, Jobs } from "./jobs.js";
export { currentRun, Run } from "./run.js";
