// A project that uses BullMQ: its worker, and what adds to its queue. Driven as lone.js is: `{"id": 1, "call": "add",
// "with": [name, data, owner, options]}`. `node bull.js URL SETTINGS QUEUE`.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { DelayedError, Queue, Worker } from "bullmq";
import { add, followed } from "../../worker/bullmq.js";
import { connect, currentRun } from "../../worker/index.js";

const [, , url, settings, name] = process.argv;
const connection = { url };
const { lockDuration = 30_000, ...others } = JSON.parse(settings);
const jobs = connect(connection, others);
const queue = new Queue(name, { connection });
const processed = [];

const PROCESSORS = {
  async report(job) {
    await job.updateProgress(33.7);
    await job.updateProgress({ percentage: 60, step: "Reading", eta: 2, files: 7 });
    await currentRun()?.emit("note", { a: 1 });
    await job.updateProgress({ current: 3, total: 4, unit: "page" });
    await job.updateProgress("odd");
    await job.updateProgress(1000);
    return { got: job.data };
  },
  async flaky(job) {
    if (job.attemptsMade < job.data.failures) throw Object.assign(new Error("No paper"), { code: "PAPER" });
    return job.attemptsMade;
  },
  async watchful(job) {
    for (;;) {
      await job.updateProgress(5);
      await sleep(20);
    }
  },
  async signalled(job, token, signal) {
    await job.updateProgress(5);
    await sleep(600_000, null, { signal });
  },
  async odd() {
    return new Map([[1, 2]]);
  },
  async delayed(job, token) {
    if (job.attemptsStarted > 1) return "late";
    await job.moveToDelayed(Date.now() + 50, token);
    throw new DelayedError();
  },
  async steps(job) {
    for (let step = 1; step <= job.data.steps; step += 1) {
      await currentRun()?.emit("note", { n: step });
      await sleep(job.data.ms);
    }
  },
};

const processor = followed(jobs, async (job, token, signal) => {
  processed.push([job.name, job.data]);
  return PROCESSORS[job.name](job, token, signal);
});
const worker = new Worker(name, processor, {
  connection,
  concurrency: 10,
  lockDuration,
  stalledInterval: lockDuration,
});
worker.on("error", () => {});
queue.on("error", () => {});

/** @type {Record<string, (...given: any[]) => Promise<unknown>>} */
const CALLS = {
  add: async (type, data, owner, options) => (await add(jobs, queue, type, data, owner, options)).id,
  addPlain: async (type, data, options) => (await queue.add(type, data, options)).id,
  addNowhere: (type, data, owner, jobId) => {
    const broken = { add: async () => Promise.reject(new Error("no queue")) };
    return add(jobs, broken, type, data, owner, { jobId });
  },
  entry: async (id) => {
    const job = await queue.getJob(id);
    return job && [await job.getState(), job.returnvalue, job.failedReason ?? null];
  },
  retry: async (id) => (await queue.getJob(id)).retry(),
  processed: async () => processed,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, with: given } = JSON.parse(line);
  CALLS[call](...given).then(
    (returned) => console.log(JSON.stringify({ id, returned: returned ?? null })),
    (error) => console.log(JSON.stringify({ id, threw: error.name, text: error.message })),
  );
}
await worker.close();
await queue.close();
await jobs.close();
