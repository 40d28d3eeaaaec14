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
 * Each event is one atomic step in Redis, which checks it, logs it, folds it into the job's state and publishes it. A
 * refused call throws a JobcastError and writes nothing. While Redis is unavailable, calls wait, and events are
 * repeated until Redis acknowledges them; each is written exactly once, in order.
 */
export { BufferFull, InvalidEvent, JobCancelled, JobcastError, JobExists, JobFinished, JobNotFailed, JobNotRunning, JobStalled, JobSuperseded, RedisUnavailable, UnknownJob, } from "./errors.js";
export { connect, Jobs } from "./jobs.js";
export { currentRun, Run } from "./run.js";
