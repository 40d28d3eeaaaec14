import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, test } from "node:test";
import { watchJobs } from "../src/many.js";
import { running, settled, World } from "./world.js";

/** @type {World} */
let world;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

const BASE = "https://app.example/api/v1";
const away = { status: 503, body: { code: "SERVICE_UNAVAILABLE", message: "Away" } };
const ids = (count) => Array.from({ length: count }, (_, at) => `job-${at}`);

async function watch(options = { jobs: ["a", "b"] }) {
  const told = { maps: [], states: [], events: [] };
  const jobs = watchJobs({
    onJobs: (map) => told.maps.push(map),
    onState: (state, id) => told.states.push([id, state]),
    onEvent: ({ name, jobId, data }) => told.events.push([name, jobId, data]),
    ...options,
  });
  await settled();
  return Object.assign(jobs, { told });
}

function connect(jobIds = ["a", "b"]) {
  world.source.send("connected", { connectionId: "c", jobIds, maxAgeSeconds: 600, keepaliveSeconds: 15 });
}

function progress(jobId, percent, more = {}) {
  world.source.send("progress-update", { jobId, progress: percent, currentStep: null, estimatedTimeRemaining: null, ...more });
}

function finish(jobId, result = null) {
  world.source.send("complete", { jobId, result });
  world.source.send("left", { jobId, reason: "ended" });
}

async function live(options) {
  const jobs = await watch(options);
  connect();
  progress("a", 40);
  progress("b", 0);
  await settled();
  return jobs;
}

const of = (jobs, id) => jobs.jobs.get(id);

test("one stream tells the states of all jobs, and ends when all have left", async () => {
  const jobs = await live({ jobs: ["a", "b", "a"], session: "me" });
  assert.equal(world.source.url.href, `${BASE}/stream?jobs=a,b&ping=1&sessionId=me`);
  assert.deepEqual([of(jobs, "a").progress, of(jobs, "a").status, of(jobs, "b").status], [40, "running", "queued"]);
  assert.deepEqual([of(jobs, "a").connection, of(jobs, "a").fields], ["live", {}]);
  finish("a", { n: 1 });
  assert.deepEqual([of(jobs, "a").outcome, of(jobs, "a").result, of(jobs, "a").connection], ["succeeded", { n: 1 }, "closed"]);
  assert.equal(of(jobs, "b").connection, "live");
  world.source.send("failed", { jobId: "b", error: "Cancelled", errorCode: null });
  world.source.send("left", { jobId: "b", reason: "ended" });
  const states = await jobs.closed;
  assert.deepEqual([...states].map(([id, { outcome }]) => [id, outcome]), [["a", "succeeded"], ["b", "cancelled"]]);
  assert.deepEqual([world.open.length, world.clock.count, world.requests.length], [0, 0, 0]);
  assert.deepEqual(jobs.told.events.slice(-4).map(([name, id]) => [name, id]), [
    ["complete", "a"],
    ["left", "a"],
    ["failed", "b"],
    ["left", "b"],
  ]);
});

test("a change makes another map, and what did not change is the same", async () => {
  const jobs = await live();
  const before = jobs.jobs;
  assert.equal(jobs.jobs, before);
  progress("a", 50);
  assert.notEqual(jobs.jobs, before);
  assert.equal(of(jobs, "b"), before.get("b"));
  assert.equal(before.get("a").progress, 40);
  assert.equal(jobs.told.maps.at(-1), jobs.jobs);
});

test("what is between a reset and its snapshot is not shown", async () => {
  const jobs = await live();
  jobs.told.maps.length = jobs.told.states.length = 0;
  world.source.send("reset", { jobId: "a", attempt: 2, reason: "attempt" });
  progress("a", 5);
  assert.deepEqual(jobs.told.maps.map((map) => map.get("a").progress), [5]);
  assert.deepEqual(jobs.told.states.map(([id, { progress: percent, attempt }]) => [id, percent, attempt]), [["a", 5, 2]]);
  assert.deepEqual(jobs.told.events.slice(-2).map(([name]) => name), ["reset", "progress-update"]);
  jobs.close();
});

test("a list begins with what is known", async () => {
  const before = await live();
  finish("b", 7);
  before.close();
  const known = before.jobs;
  const jobs = await watch({ jobs: ["a", "b", "c"], known });
  assert.deepEqual([of(jobs, "a").progress, of(jobs, "a").connection], [40, "connecting"]);
  assert.equal(of(jobs, "b"), known.get("b"));
  assert.deepEqual([of(jobs, "c").progress, jobs.told.maps.length > 0], [null, true]);
  connect(["a", "b", "c"]);
  for (const jobId of ["a", "b", "c"]) finish(jobId, 7);
  assert.deepEqual([...(await jobs.closed).values()].map(({ result }) => result), [7, 7, 7]);
  assert.deepEqual(jobs.told.events.filter(([name]) => name === "complete").map(([, id]) => id), ["a", "c"]);
});

test("a job of another owner is denied, and harms no other", async () => {
  const jobs = await live();
  world.source.send("left", { jobId: "b", reason: "not-found" });
  assert.deepEqual([of(jobs, "b").connection, of(jobs, "b").problem.code], ["denied", "JOB_NOT_FOUND"]);
  assert.equal(of(jobs, "a").connection, "live");
  finish("a");
  await jobs.closed;
});

test("more than 200 jobs take several streams", async () => {
  const jobs = await watch({ jobs: ids(450) });
  assert.deepEqual(world.sources.map(({ url }) => url.searchParams.get("jobs").split(",").length), [200, 200, 50]);
  assert.ok(!world.sources[0].url.href.includes("%2C"));
  for (const source of world.sources) {
    source.send("connected", { keepaliveSeconds: 15 });
    for (const jobId of source.url.searchParams.get("jobs").split(",")) {
      source.send("complete", { jobId, result: null });
      source.send("left", { jobId, reason: "ended" });
    }
  }
  assert.equal((await jobs.closed).size, 450);
});

test("jobs with long ids take as many streams as their addresses need", async () => {
  const long = Array.from({ length: 200 }, (_, at) => `${at}-`.padEnd(128, "x"));
  const jobs = await watch({ jobs: long });
  assert.deepEqual(world.sources.flatMap(({ url }) => url.searchParams.get("jobs").split(",")), long);
  assert.ok(world.sources.every(({ url }) => url.href.length < 7600));
  assert.equal(world.sources.length, 4);
  jobs.close();
  const uuids = Array.from({ length: 200 }, () => crypto.randomUUID());
  const before = world.sources.length;
  (await watch({ jobs: uuids })).close();
  assert.equal(world.sources.length, before + 1);
});

test("the caller's jobs join and leave by themselves, and a retried one comes again", async () => {
  const jobs = await watch({ mine: "active" });
  assert.equal(world.source.url.href, `${BASE}/stream?mine=active&ping=1`);
  connect([]);
  progress("new", 5);
  assert.equal(of(jobs, "new").progress, 5);
  world.source.send("failed", { jobId: "new", error: "no", errorCode: null });
  world.source.send("left", { jobId: "new", reason: "ended" });
  assert.deepEqual([of(jobs, "new").outcome, of(jobs, "new").connection], ["failed", "closed"]);
  world.source.send("reset", { jobId: "new", attempt: 2, reason: "attempt" });
  progress("new", 0);
  const { outcome, attempt, connection, status } = of(jobs, "new");
  assert.deepEqual([outcome, attempt, connection, status], [null, 2, "live", "queued"]);
  assert.equal(world.open.length, 1);
  jobs.close();
  assert.equal((await jobs.closed).size, 1);
});

function fail(jobId, more = {}) {
  world.source.send("failed", { jobId, error: "no", errorCode: null, ...more });
  world.source.send("left", { jobId, reason: "ended" });
}

test("listed jobs that their queue retries are watched again, on one stream", async () => {
  const jobs = await live();
  fail("a", { willRetry: true });
  fail("b", { willRetry: true });
  assert.deepEqual([of(jobs, "a").status, of(jobs, "a").outcome, world.open.length], ["failed", null, 0]);
  await world.seconds(1);
  assert.equal(world.source.url.searchParams.get("jobs"), "a,b");
  connect();
  progress("a", 10);
  progress("b", 0);
  const { status, outcome, connection } = of(jobs, "a");
  assert.deepEqual([status, outcome, connection], ["running", null, "live"]);
  assert.ok(jobs.told.events.some(([name, id]) => name === "reset" && id === "a"));
  finish("a", 1);
  fail("b");
  assert.deepEqual([...(await jobs.closed)].map(([id, each]) => [id, each.outcome]), [["a", "succeeded"], ["b", "failed"]]);
  assert.deepEqual([world.open.length, world.clock.count], [0, 0]);
});

test("jobs that are retried later join those that were retried before, on one stream", async () => {
  const jobs = await live({ jobs: ["a", "b", "c"] });
  progress("c", 30);
  const first = world.source;
  fail("a", { willRetry: true });
  await world.seconds(1);
  world.source.send("connected", { jobIds: ["a"], keepaliveSeconds: 15 });
  progress("a", 10);
  const told = (jobId, name, data) => first.send(name, { jobId, ...data });
  told("b", "failed", { error: "no", errorCode: null, willRetry: true });
  told("b", "left", { reason: "ended" });
  assert.deepEqual([of(jobs, "b").outcome, world.open.length], [null, 2]);
  await world.seconds(5);
  assert.deepEqual([world.open.length, world.source.url.searchParams.get("jobs")], [2, "a,b"]);
  assert.deepEqual([of(jobs, "a").progress, of(jobs, "c").connection], [10, "live"]);
  connect();
  progress("a", 20);
  progress("b", 5);
  assert.deepEqual(["a", "b", "c"].map((id) => [of(jobs, id).progress, of(jobs, id).connection]), [[20, "live"], [5, "live"], [30, "live"]]);
  finish("a");
  finish("b");
  told("c", "complete", { result: null });
  told("c", "left", { reason: "ended" });
  assert.deepEqual([...(await jobs.closed).values()].map(({ outcome }) => outcome), Array(3).fill("succeeded"));
  assert.deepEqual([world.open.length, world.clock.count], [0, 0]);
});

test("more than 200 retried jobs take several streams", async () => {
  const jobs = await watch({ jobs: ids(450) });
  for (const source of world.sources.slice()) {
    source.send("connected", { keepaliveSeconds: 15 });
    for (const jobId of source.url.searchParams.get("jobs").split(",")) {
      source.send("failed", { jobId, error: "no", errorCode: null, willRetry: true });
      source.send("left", { jobId, reason: "ended" });
    }
  }
  await world.seconds(1);
  const asked = world.open.map(({ url }) => url.searchParams.get("jobs").split(",").length);
  assert.deepEqual(asked, [200, 200, 50]);
  for (const source of world.open) {
    source.send("connected", { keepaliveSeconds: 15 });
    for (const jobId of source.url.searchParams.get("jobs").split(",")) {
      source.send("complete", { jobId, result: null });
      source.send("left", { jobId, reason: "ended" });
    }
  }
  assert.equal([...(await jobs.closed).values()].filter(({ outcome }) => outcome === "succeeded").length, 450);
});

test("who closes what waits for a retry is done", async () => {
  const jobs = await live();
  fail("a", { willRetry: true });
  finish("b");
  jobs.close();
  const closed = await jobs.closed;
  assert.deepEqual([closed.get("a").connection, closed.get("b").outcome], ["closed", "succeeded"]);
  await world.seconds(2);
  assert.deepEqual([world.open.length, world.clock.count], [0, 0]);
});

test("after a reconnect what was gathered is void, and no end is told twice", async () => {
  const jobs = await live();
  world.source.send("complete", { jobId: "a", result: 1 });
  world.source.send("left", { jobId: "a", reason: "ended" });
  world.source.lose();
  await world.seconds(3);
  jobs.told.events.length = 0;
  connect();
  finish("a", 1);
  progress("b", 10);
  assert.deepEqual(jobs.told.events.map(([name, id]) => [name, id]), [
    ["reset", "a"],
    ["left", "a"],
    ["reset", "b"],
    ["progress-update", "b"],
  ]);
  assert.deepEqual([of(jobs, "a").outcome, of(jobs, "b").progress], ["succeeded", 10]);
});

test("a job that was retried while the stream was away runs again", async () => {
  const jobs = await live();
  world.source.send("failed", { jobId: "a", error: "no", errorCode: null });
  world.source.send("left", { jobId: "a", reason: "ended" });
  world.source.lose();
  connect();
  progress("a", 3);
  assert.deepEqual([of(jobs, "a").outcome, of(jobs, "a").connection], [null, "live"]);
});

const listed = (...jobs) => ({ status: 200, body: { jobs, cursor: null } });

test("a mute stream is polled around: by the list, and by the status of what has ended or is not in it", async () => {
  const jobs = await live();
  const at = (ms) => world.later(ms);
  world.answers = [
    listed(running({ jobId: "a", progress: 70, updatedAt: at(9) })),
    { status: 200, body: running({ jobId: "b", status: "succeeded", result: { n: 2 }, updatedAt: at(9) }) },
    listed(running({ jobId: "a", progress: 80, updatedAt: at(99) })),
  ];
  await world.seconds(38);
  assert.deepEqual(world.requests.slice(0, 2).map(({ url }) => url.href), [`${BASE}/jobs?limit=100`, `${BASE}/jobs/b/status`]);
  assert.equal(of(jobs, "a").transport, "polling");
  assert.ok(of(jobs, "a").progress >= 70);
  assert.deepEqual([of(jobs, "b").outcome, of(jobs, "b").result], ["succeeded", { n: 2 }]);
  assert.ok(jobs.told.events.some(([name, id]) => name === "complete" && id === "b"));
  world.answers = [
    listed(running({ jobId: "a", status: "succeeded", updatedAt: at(999) })),
    { status: 200, body: running({ jobId: "a", status: "succeeded", result: 1, updatedAt: at(999) }) },
  ];
  await world.seconds(20);
  assert.equal((await jobs.closed).get("a").outcome, "succeeded");
  assert.deepEqual([world.open.length, world.clock.count], [0, 0]);
});

for (const mine of [undefined, "active"]) {
  test(`a status that was asked for before newer events changes nothing (${mine ?? "listed"})`, async () => {
    const jobs = await watch(mine ? { mine } : { jobs: ["a", "b"] });
    const answers = [];
    world.answers = [() => new Promise((resolve) => answers.push(resolve))];
    await world.seconds(7);
    assert.equal(answers.length, 1);
    connect();
    progress("a", 80);
    finish("b", 7);
    const old = (jobId) => running({ jobId, progress: 60, updatedAt: world.later() });
    answers[0](listed(old("a"), old("b")));
    await settled();
    assert.deepEqual([of(jobs, "a").progress, of(jobs, "a").connection], [80, "live"]);
    assert.deepEqual([of(jobs, "b").outcome, of(jobs, "b").result, of(jobs, "b").connection], ["succeeded", 7, "closed"]);
    jobs.close();
  });
}

test("polling finds new jobs of the caller, and none that ended long ago", async () => {
  const jobs = await watch({ mine: "active" });
  world.answers = [
    listed(
      running({ jobId: "new", updatedAt: world.later() }),
      running({ jobId: "old", status: "failed", error: "x", updatedAt: world.later(-400_000) }),
    ),
  ];
  await world.seconds(7);
  assert.deepEqual([...jobs.jobs.keys()], ["new"]);
});

test("polling finds that a job of the caller has been retried", async () => {
  const jobs = await watch({ mine: "active" });
  connect(["a"]);
  progress("a", 40);
  fail("a");
  assert.deepEqual([of(jobs, "a").outcome, of(jobs, "a").connection], ["failed", "closed"]);
  world.answers = [listed(running({ jobId: "a", attempt: 2, progress: 5, updatedAt: world.later(9) }))];
  await world.seconds(40);
  const { outcome, progress: percent, connection, transport } = of(jobs, "a");
  assert.deepEqual([outcome, percent, connection, transport], [null, 5, "reconnecting", "polling"]);
  jobs.close();
});

test("what has ended of the caller's jobs is no part of a later connection", async () => {
  const jobs = await watch({ mine: "active" });
  connect(["a", "b"]);
  progress("a", 40);
  progress("b", 40);
  finish("a", 1);
  const ended = of(jobs, "a");
  world.source.lose();
  connect(["b"]);
  progress("b", 50);
  world.source.lose();
  assert.equal(of(jobs, "a"), ended);
  assert.deepEqual([ended.connection, of(jobs, "b").connection], ["closed", "reconnecting"]);
  jobs.close();
});

test("of the caller's jobs the last thousand that have ended are kept", async () => {
  const jobs = await watch({ mine: "active" });
  connect(["a"]);
  progress("a", 40);
  for (const id of ids(1100)) {
    progress(id, 10);
    finish(id);
  }
  assert.equal(jobs.jobs.size, 1001);
  assert.deepEqual([of(jobs, "a").progress, of(jobs, "job-99"), of(jobs, "job-100").outcome], [40, undefined, "succeeded"]);
  world.source.lose();
  assert.equal(jobs.jobs.size, 1001);
  jobs.close();
});

test("an id that no job can have is denied, and harms no other", async () => {
  const odd = ["a,b", "", "a&mine=active", "a#b", "a+b", "%61", "\ud800", "é", "x".repeat(129)];
  const jobs = await watch({ jobs: [...odd, "a", 7] });
  assert.equal(world.source.url.href, `${BASE}/stream?jobs=a,7&ping=1`);
  assert.equal(world.sources.length, 1);
  for (const id of odd) assert.deepEqual([of(jobs, id).connection, of(jobs, id).problem.status], ["denied", 404]);
  connect(["a", "7"]);
  finish("a");
  finish("7");
  assert.deepEqual([...(await jobs.closed).keys()], [...odd, "a", "7"]);
  const none = await watch({ jobs: ["a b"] });
  assert.equal((await none.closed).get("a b").connection, "denied");
});

test("a signal holds no jobs that have ended", async () => {
  const { signal } = new AbortController();
  const jobs = await live({ jobs: ["a", "b"], signal });
  finish("a");
  finish("b");
  await jobs.closed;
  (await live({ mine: "active", signal })).close();
  await settled();
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a job that is no longer among the caller's is asked about after a reconnect", async () => {
  const jobs = await watch({ mine: "active" });
  connect(["a"]);
  progress("a", 40);
  world.source.lose();
  world.answers = [{ status: 200, body: running({ jobId: "a", status: "succeeded", result: 7, updatedAt: world.later(9) }) }];
  connect([]);
  await settled();
  assert.deepEqual([of(jobs, "a").outcome, of(jobs, "a").result], ["succeeded", 7]);
});

test("a job of the caller that has made room for others is not live", async () => {
  const jobs = await watch({ mine: "active" });
  connect(["a", "b"]);
  progress("a", 40);
  progress("b", 40);
  world.source.send("left", { jobId: "a", reason: "displaced" });
  assert.equal(of(jobs, "a").connection, "closed");
  world.source.lose();
  world.answers = [
    { status: 200, body: running({ jobId: "a", progress: 60, updatedAt: world.later(9) }) },
    { status: 200, body: running({ jobId: "b", progress: 60, updatedAt: world.later(9) }) },
  ];
  connect([]);
  await settled();
  for (const id of ["a", "b"]) assert.deepEqual([of(jobs, id).progress, of(jobs, id).connection], [60, "closed"]);
  progress("b", 70);
  assert.deepEqual([of(jobs, "b").progress, of(jobs, "b").connection], [70, "live"]);
  jobs.close();
});

test("who may not watch is told why", async () => {
  const jobs = await watch({ jobs: ["a"], token: "x" });
  world.answers = [{ status: 401, body: { code: "UNAUTHORIZED", message: "No" } }];
  world.source.refuse();
  await world.seconds(2);
  await assert.rejects(jobs.closed, { status: 401, code: "UNAUTHORIZED" });
  assert.equal(of(jobs, "a").connection, "denied");
});

test("an unavailable service is tried again with back-off", async () => {
  const jobs = await watch();
  world.answers = [away];
  world.source.refuse();
  await world.seconds(30);
  assert.equal(of(jobs, "a").connection, "unavailable");
  assert.ok(world.requests.length > 3 && world.requests.length < 12, `${world.requests.length}`);
  world.answers = [listed(running({ jobId: "a" }), running({ jobId: "b" }))];
  while (!world.open.length) await world.seconds(1);
  connect();
  progress("a", 41);
  await world.seconds(2);
  world.source.send("ping");
  await settled();
  assert.deepEqual([of(jobs, "a").connection, of(jobs, "a").transport], ["live", "stream"]);
});

test("a token is asked for before each connection", async () => {
  let count = 0;
  await watch({ jobs: ["a"], token: async () => `t${(count += 1)}` });
  assert.equal(world.source.url.searchParams.get("token"), "t1");
});

test("callbacks, subscribers and the iterator get what they ask for, and a signal ends it", async () => {
  const stop = new AbortController();
  const lines = [];
  const jobs = await watch({ jobs: ["a"], onFileHashed: (data, { jobId }) => lines.push([jobId, data]), signal: stop.signal });
  const maps = [];
  const leave = jobs.subscribe((map) => maps.push(map));
  const read = (async () => {
    const seen = [];
    for await (const { name, jobId } of jobs) seen.push([name, jobId]);
    return seen;
  })();
  await settled();
  connect(["a"]);
  progress("a", 1);
  world.source.send("file-hashed", { jobId: "a", path: "x" });
  leave();
  const count = maps.length;
  progress("a", 2);
  assert.deepEqual(lines, [["a", { path: "x" }]]);
  assert.ok(count > 1 && maps.length === count);
  stop.abort();
  assert.deepEqual(await read, [["progress-update", "a"], ["file-hashed", "a"], ["progress-update", "a"]]);
  assert.equal(world.open.length, 0);
});

test("without jobs nothing is opened, and wrong options are refused", async () => {
  assert.equal((await (await watch({ jobs: [] })).closed).size, 0);
  assert.equal(world.sources.length, 0);
  assert.throws(() => watchJobs({}), TypeError);
  assert.throws(() => watchJobs({ jobs: ["a"], mine: "active" }), TypeError);
});

test("an upper-case UUID is the same job", async () => {
  const id = "d6d4223a-0000-4000-8000-00000000ABCD";
  const jobs = await watch({ jobs: [id] });
  assert.deepEqual([...jobs.jobs.keys()], [id.toLowerCase()]);
});
