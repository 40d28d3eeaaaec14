// What a project in TypeScript writes; it is only compiled.
import { type Job, Queue, Worker } from "bullmq";
import { Cluster, Redis } from "ioredis";
import { connect, currentRun, InvalidEvent, JobcastError, type Jobs, RedisUnavailable, type Run } from "jobcast/worker";
import { add, followed } from "jobcast/worker/bullmq";

const connection = { url: "redis://127.0.0.1:6379" };
const jobs: Jobs = connect(connection.url, { blockS: null, leaseS: 30 });
connect(new URL("redis://127.0.0.1"));
connect(new Redis({ lazyConnect: true }));
connect(new Cluster([{ host: "127.0.0.1" }], { lazyConnect: true }));
connect({ host: "127.0.0.1", port: 6379 });
connect(connection);
// @ts-expect-error no such setting
connect(connection.url, { leaseMs: 5 });

const result: { pages: number } | undefined = await jobs.run("j1", 2).work(async (run: Run) => {
    const entryId: string = await run.progress(40, "Writing", { eta: 3, phase: "draft" });
    await run.progress({ current: 3, total: 12, unit: "page" });
    await run.step("Reading", { progress: 5, chapter: 1 });
    await run.emit("note", { entryId });
    await run.log("text", "warning", { page: 3 });
    // @ts-expect-error no such level
    await run.log("text", "loud");
    // @ts-expect-error a percentage is a number
    await run.progress("40");
    for await (const page of run.track([1, 2], "Hashing", { unit: "page" })) page.toFixed();
    run.signal.throwIfAborted();
    const input: string = run.input.title;
    return { pages: input.length };
});
result?.pages.toFixed();
await currentRun()?.advance(2);

interface Report {
    pages: number;
}
const queue = new Queue<Report>("reports", { connection });
const added: Job<Report> = await add(
    jobs,
    queue,
    "report",
    { pages: 3 },
    { userId: "u1" },
    { attempts: 3, jobId: "j1" },
);
const worker = new Worker<Report, number>(
    "reports",
    followed(jobs, async (job: Job<Report>, token?: string, signal?: AbortSignal) => {
        signal?.throwIfAborted();
        await job.updateProgress({ progress: 40 });
        return job.data.pages;
    }),
    { connection },
);
new Worker<Report>(
    "reports",
    followed(jobs, async (job) => job.data.pages),
    { connection },
);

try {
    await jobs.create("report", { sessionId: added.id, input: { a: 1 } });
} catch (error) {
    if (error instanceof InvalidEvent || error instanceof JobcastError || error instanceof RedisUnavailable)
        throw error;
}
await worker.close();
await jobs.close();
