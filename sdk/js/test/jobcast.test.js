import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { defaults, watchJob } from "../src/jobcast.js";
import { watchJobs } from "../src/many.js";
import { running, settled, World } from "./world.js";

/** @type {World} */
let world;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

test("each event has a callback of its name, a worker's own events too", async () => {
  const told = [];
  const note = (name) => (data, event) => told.push([name, data, event.name]);
  await world.live({
    onProgressUpdate: note("progress"),
    onFileHashed: note("file"),
    onLog: note("log"),
    onComplete: note("complete"),
  });
  world.source.send("file-hashed", { path: "a" });
  world.source.send("log", { text: "line" });
  world.source.send("complete", { result: 1 });
  assert.deepEqual(told.slice(1), [
    ["file", { path: "a" }, "file-hashed"],
    ["log", { text: "line" }, "log"],
    ["complete", { result: 1 }, "complete"],
  ]);
});

test("custom events without a callback are named", async () => {
  const job = await world.live({ events: ["page-done"] });
  world.source.send("page-done", { page: 3 }, "5-0");
  world.source.send("other", { page: 3 });
  assert.deepEqual(job.told.events.at(-1), { name: "page-done", data: { page: 3 }, id: "5-0" });
});

test("the state of a callback is the one after its event", async () => {
  let seen;
  const job = await world.live({ onComplete: () => (seen = job.state.outcome) });
  const subscribed = [];
  job.subscribe((state) => subscribed.push(state.progress));
  world.source.progress(50);
  world.source.send("complete", { result: 1 });
  await settled();
  assert.deepEqual(subscribed.slice(0, 3), [40, 50, 100]);
  assert.equal(job.state.outcome, "succeeded");
  assert.equal(seen, "succeeded");
});

test("a subscriber is called at once and at every change, until it ends that", async () => {
  const job = await world.live();
  const [one, other] = [[], []];
  const note = (state) => one.push(state);
  const end = job.subscribe(note);
  job.subscribe((state) => other.push(state));
  assert.deepEqual(one, [job.state]);
  world.source.progress(50);
  world.source.send("log", { text: "no change" });
  end();
  world.source.progress(60);
  assert.deepEqual(one.map(({ progress }) => progress), [40, 50]);
  assert.deepEqual(other.map(({ progress }) => progress), [40, 50, 60]);
});

test("what is between a reset and its snapshot is not shown", async () => {
  const job = await world.live();
  const shown = [];
  job.subscribe(({ progress, attempt }) => shown.push([progress, attempt]));
  world.source.send("reset", { attempt: 2, reason: "attempt" });
  assert.equal(job.state.progress, 40);
  world.source.progress(5);
  assert.deepEqual(shown, [[40, null], [5, 2]]);
});

test("a function that throws harms nobody else, and what it threw reaches the page", async () => {
  const thrown = [];
  const note = (error) => thrown.push(error.message);
  const own = process.rawListeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", note);
  const job = await world.live({
    onLog: () => {
      throw new Error("mine");
    },
  });
  world.source.send("log", { text: "x" });
  world.source.progress(50);
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", note);
  own.forEach((listener) => process.on("unhandledRejection", listener));
  assert.equal(job.state.progress, 50);
  assert.deepEqual(thrown, ["mine"]);
});

test("events can be iterated, and end with the job", async () => {
  const job = await world.watch();
  const names = [];
  const reading = (async () => {
    for await (const { name } of job) names.push(name);
  })();
  await settled();
  world.source.connect();
  world.source.progress(1);
  await settled();
  world.source.progress(2);
  world.source.send("complete", { result: 1 });
  await reading;
  assert.deepEqual(names, ["connected", "progress-update", "progress-update", "complete"]);
  for await (const event of job) assert.fail(event.name);
});

test("an iteration that is left holds nothing, and others go on", async () => {
  const job = await world.live();
  const leave = (async () => {
    for await (const { name } of job) return name;
  })();
  const stays = job[Symbol.asyncIterator]();
  const next = stays.next();
  await settled();
  world.source.send("log", { text: "x" });
  assert.equal(await leave, "log");
  assert.equal((await next).value.name, "log");
  job.close();
  assert.deepEqual(await stays.next(), { value: undefined, done: true });
});

test("an iteration of a job that can't be watched throws", async () => {
  const job = await world.watch();
  world.answers = [{ status: 404, body: { code: "JOB_NOT_FOUND", message: "No" } }];
  const reading = (async () => {
    for await (const event of job) assert.fail(event.name);
  })();
  await settled();
  world.source.refuse();
  await Promise.all([assert.rejects(reading, { code: "JOB_NOT_FOUND" }), world.seconds(1)]);
});

test("a signal ends it all, an aborted one too", async () => {
  const stop = new AbortController();
  const job = await world.live({ signal: stop.signal });
  stop.abort();
  assert.equal(await job.closed, null);
  assert.deepEqual([job.state.connection, world.open.length, world.clock.count], ["closed", 0, 0]);
  const late = await world.watch({ signal: AbortSignal.abort() });
  assert.equal(await late.closed, null);
  await settled();
  assert.deepEqual([world.open.length, world.clock.count], [0, 0]);
});

test("a job that is not watched any more is not woken", async () => {
  const job = await world.live();
  job.close();
  job.wake();
  world.window.dispatchEvent(new Event("online"));
  await world.seconds(60);
  assert.deepEqual([world.requests.length, world.open.length], [0, 0]);
});

test("a retry opens the stream anew, and has a closed of its own", async () => {
  const job = await world.live();
  const first = job.closed;
  world.source.send("failed", { error: "No paper", errorCode: null }, `${world.clock.now}-0`);
  assert.equal(await first, "failed");
  world.answers = [
    { status: 200, body: { jobId: "j" } },
    { status: 200, body: running({ status: "queued", attempt: 2, progress: 0, currentStep: null, updatedAt: world.later(5) }) },
  ];
  await job.retry();
  await settled();
  assert.deepEqual(world.requests.map(({ method, url }) => `${method} ${url.pathname}`), [
    "POST /api/v1/jobs/j/retry",
    "GET /api/v1/jobs/j/status",
  ]);
  assert.deepEqual([job.state.status, job.state.outcome, job.state.attempt], ["queued", null, 2]);
  world.source.connect();
  world.source.progress(5, "Again");
  world.source.send("complete", { result: 2 });
  assert.equal(await job.closed, "succeeded");
});

test("a call that is refused says why", async () => {
  const job = await world.live({ token: "t", session: "me" });
  world.answers = [{ status: 400, body: { code: "JOB_NOT_FAILED", message: "Job is not in failed state" } }];
  await assert.rejects(job.retry(), { status: 400, code: "JOB_NOT_FAILED", message: "Job is not in failed state" });
  assert.equal(world.requests[0].url.search, "?sessionId=me&token=t");
  world.answers = [{ status: 200, body: { cancelled: true } }];
  await job.cancel();
  assert.equal(world.requests[1].url.pathname, "/api/v1/jobs/j/cancel");
  world.answers = [{ status: 0 }];
  await assert.rejects(job.cancel(), { status: 0, code: "UNREACHABLE" });
});

for (const [answer, problem] of [
  [{ status: 502, type: "text/html" }, { status: 502, code: "UNKNOWN", message: "The service answered 502" }],
  [{ status: 403, body: { message: "Forbidden" } }, { status: 403, code: "UNKNOWN", message: "Forbidden" }],
  [{ status: 500, body: "No" }, { status: 500, code: "UNKNOWN", message: "The service answered 500" }],
  [{ status: 200, type: "text/html" }, { status: 200, code: "UNKNOWN", message: "The service answered 200" }],
]) {
  test(`a call that is answered by another than the service fails: ${JSON.stringify(answer)}`, async () => {
    const job = await world.live();
    world.answers = [answer];
    await assert.rejects(job.cancel(), problem);
    await assert.rejects(job.retry(), problem);
    job.close();
  });
}

test("a signal holds no job that has ended or was closed", async () => {
  const { signal } = new AbortController();
  const own = await world.live({ signal });
  world.source.send("complete", { result: 1 });
  await own.closed;
  (await world.live({ signal })).close();
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a function that subscribes twice ends once what it began", async () => {
  const told = [];
  const subscriber = ({ progress }) => told.push(progress);
  const job = await world.live({ onState: subscriber });
  const [first, second] = [job.subscribe(subscriber), job.subscribe(subscriber)];
  first();
  first();
  told.length = 0;
  world.source.progress(50);
  assert.deepEqual(told, [50, 50]);
  second();
  world.source.progress(60);
  assert.deepEqual(told, [50, 50, 60]);
});

for (const [options, expected] of [
  [{ jobId: "stream" }, "https://app.example/api/v1/jobs/stream/stream"],
  [{ jobId: "status" }, "https://app.example/api/v1/jobs/status/stream"],
  [{ jobId: "a.b_c-1" }, "https://app.example/api/v1/jobs/a.b_c-1/stream"],
  [{ jobId: "a/b?c" }, "https://app.example/api/v1/jobs/a%2Fb%3Fc/stream"],
  [{ jobId: "j", base: "https://jobs.example/below" }, "https://jobs.example/below/api/v1/jobs/j/stream"],
  [{ jobId: "j", base: new URL("https://jobs.example/below/") }, "https://jobs.example/below/api/v1/jobs/j/stream"],
  [{ jobId: "j", base: "/below/" }, "https://app.example/below/api/v1/jobs/j/stream"],
  [{ url: "/below/api/v1/jobs/j/stream" }, "https://app.example/below/api/v1/jobs/j/stream"],
  [{ url: "https://jobs.example/api/v1/jobs/j/status" }, "https://jobs.example/api/v1/jobs/j/stream"],
  [{ url: "/api/v1/jobs/stream/stream/" }, "https://app.example/api/v1/jobs/stream/stream"],
  [{ url: "api/v1/jobs/j", base: "https://jobs.example" }, "https://jobs.example/api/v1/jobs/j/stream"],
]) {
  test(`the stream of ${JSON.stringify(options)} is found`, async () => {
    await world.watch({ jobId: undefined, ...options });
    const { origin, pathname } = world.source.url;
    assert.equal(origin + pathname, expected);
  });
}

for (const href of ["about:srcdoc", "blob:https://app.example/7d2f"]) {
  test(`a page without an address of its own (${href}) is of its parent's origin`, async () => {
    location.href = href;
    if (href === "about:srcdoc") document.baseURI = "https://app.example/below/";
    location.origin = href.startsWith("blob") ? "https://app.example" : "null";
    await world.watch();
    assert.equal(world.source.url.href, "https://app.example/api/v1/jobs/j/stream?ping=1");
  });
}

test("what an address says besides is kept", async () => {
  await world.watch({ jobId: undefined, url: "/api/v1/jobs/j/stream?sessionId=me" });
  assert.equal(world.source.url.searchParams.get("sessionId"), "me");
  world.source.refuse();
  await world.seconds(1);
  assert.equal(world.requests[0].url.search, "?sessionId=me");
});

test("defaults hold for all jobs that say nothing else", async () => {
  Object.assign(defaults, { base: "https://jobs.example/", token: "all" });
  try {
    await world.watch();
    assert.equal(world.source.url.href, "https://jobs.example/api/v1/jobs/j/stream?ping=1&token=all");
    await world.watch({ token: "own" });
    assert.equal(world.source.url.searchParams.get("token"), "own");
  } finally {
    Object.assign(defaults, { base: "/", token: undefined });
  }
});

test("an option that is undefined is the default", async () => {
  defaults.token = "all";
  defaults.session = "mine";
  try {
    const job = await world.watch({ base: undefined, token: undefined, session: null });
    assert.equal(world.source.url.href, "https://app.example/api/v1/jobs/j/stream?ping=1&token=all");
    const jobs = watchJobs({ jobs: ["a"], token: undefined, session: null });
    await settled();
    assert.equal(world.source.url.href, "https://app.example/api/v1/stream?jobs=a&ping=1&token=all");
    job.close();
    jobs.close();
  } finally {
    delete defaults.token;
    delete defaults.session;
  }
});

test("cookies go to another origin if that is wanted", async () => {
  await world.watch({ withCredentials: true });
  assert.equal(world.source.withCredentials, true);
});

test("a job needs a name", () => {
  assert.throws(() => watchJob({}), TypeError);
});
