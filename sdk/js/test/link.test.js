import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { running, settled, World } from "./world.js";

/** @type {World} */
let world;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

const names = (job) => job.told.events.map(({ name }) => name);
const unavailable = { status: 503, body: { code: "SERVICE_UNAVAILABLE", message: "Away" } };

test("a stream is opened with pings, and tells the state", async () => {
  const job = await world.live({ session: "me", from: "start" });
  assert.equal(world.source.url.href, "https://app.example/api/v1/jobs/j/stream?ping=1&from=start&sessionId=me");
  assert.deepEqual([job.state.connection, job.state.transport, job.state.progress], ["live", "stream", 40]);
  assert.equal(world.requests.length, 0);
});

test("a stream that pings is left alone", async () => {
  const job = await world.live();
  for (let minute = 0; minute < 60; minute += 1) {
    await world.seconds(15);
    world.source.send("ping");
  }
  assert.equal(world.sources.length, 1);
  assert.equal(world.requests.length, 0);
  assert.ok(!names(job).includes("ping"));
});

test("a stream that is silent for 2.5 keepalives is mute: the status is asked for instead", async () => {
  const job = await world.live();
  await world.seconds(37);
  assert.equal(job.state.transport, "stream");
  world.answers = [{ status: 200, body: running({ progress: 60, updatedAt: world.later() }) }];
  await world.seconds(1);
  assert.deepEqual([job.state.transport, job.state.connection, job.state.progress], ["polling", "reconnecting", 60]);
  assert.equal(world.requests[0].url.href, "https://app.example/api/v1/jobs/j/status");
});

test("while it is mute the stream is tried again with growing pauses, and the status asked for on and on", async () => {
  const job = await world.live();
  await world.seconds(38);
  const tries = [];
  for (let second = 0; second < 900; second += 1) {
    const before = world.sources.length;
    world.answers = [{ status: 200, body: running({ updatedAt: world.later() }) }];
    await world.seconds(1);
    if (world.sources.length > before) tries.push(second);
  }
  const pauses = tries.slice(1).map((at, index) => at - tries[index]);
  assert.ok(pauses.length >= 5, `${pauses}`);
  assert.ok(pauses.every((pause, index) => index === 0 || pause >= pauses[index - 1] - 3), `${pauses}`);
  assert.ok(pauses.at(-1) > pauses[0] + 20, `${pauses}`);
  assert.equal(job.state.transport, "polling");
  assert.ok(world.requests.length > 300);
  assert.ok(world.open.length <= 1);
});

test("the status is asked for less and less often while it stays the same", async () => {
  await world.live();
  await world.seconds(300);
  const times = world.requests.map(({ at }) => at);
  const pauses = times.slice(1).map((at, index) => at - times[index]);
  assert.ok(Math.max(...pauses) >= 10_000 && Math.max(...pauses) <= 15_000, `${pauses}`);
});

test("after a mute stream the first events of the next prove nothing, but later ones do", async () => {
  const job = await world.live();
  await world.seconds(40);
  assert.equal(world.sources.length, 2);
  world.source.connect();
  world.source.progress(50);
  await settled();
  assert.equal(job.state.transport, "polling");
  await world.seconds(15);
  world.source.send("ping");
  await settled();
  assert.deepEqual([job.state.transport, job.state.connection], ["stream", "live"]);
  const asked = world.requests.length;
  await world.seconds(15);
  assert.equal(world.requests.length, asked);
});

test("the end of a job arrives although its stream is mute", async () => {
  const job = await world.live();
  world.answers = [{ status: 200, body: running({ status: "succeeded", progress: 100, result: { ok: 1 }, updatedAt: world.later(9) }) }];
  await world.seconds(38);
  assert.equal(await job.closed, "succeeded");
  assert.deepEqual([job.state.result, job.state.connection], [{ ok: 1 }, "closed"]);
  assert.equal(world.clock.count, 0);
  assert.equal(world.open.length, 0);
});

test("a stream from which nothing comes at all is not waited for", async () => {
  const job = await world.watch();
  await world.seconds(5);
  assert.equal(world.requests.length, 0);
  await world.seconds(2);
  assert.deepEqual([job.state.transport, job.state.progress], ["polling", 41]);
  assert.equal(world.sources.length, 1);
  await world.seconds(40);
  assert.equal(world.sources.length, 2);
  assert.equal(world.open.length, 1);
});

test("a dropped connection is the browser's to mend, and it resumes", async () => {
  const job = await world.live();
  world.source.lose();
  assert.equal(job.state.connection, "reconnecting");
  await world.seconds(3);
  world.source.connect();
  world.source.progress(45);
  assert.equal(job.state.connection, "live");
  assert.equal(world.sources.length, 1);
  assert.equal(world.requests.length, 0);
  assert.ok(!names(job).includes("reset"));
});

test("while the browser tries, the status is asked for", async () => {
  const job = await world.live();
  world.source.lose();
  await world.seconds(7);
  assert.deepEqual([job.state.transport, world.requests.length, world.sources.length], ["polling", 1, 1]);
  world.source.connect();
  assert.equal(job.state.transport, "stream");
});

test("an outage of the service does not cost the browser its last event id", async () => {
  const job = await world.live();
  world.answers = [{ status: 0 }];
  for (let second = 0; second < 300; second += 5) {
    world.source.lose();
    await world.seconds(5);
  }
  assert.equal(world.sources.length, 1);
  assert.deepEqual([job.state.connection, job.state.problem.status], ["unavailable", 0]);
  world.source.connect();
  assert.deepEqual([job.state.connection, job.state.problem], ["live", null]);
});

test("a refused stream is opened again after the status has been asked for, later each time", async () => {
  const job = await world.watch();
  const openings = [];
  for (let round = 0; round < 6; round += 1) {
    openings.push(world.clock.now);
    const before = world.sources.length;
    world.source.refuse();
    for (let tenth = 0; world.sources.length === before && tenth < 1000; tenth += 1) await world.clock.run(100);
  }
  const pauses = openings.slice(1).map((at, index) => at - openings[index]);
  assert.ok(pauses.every((pause, index) => index === 0 || pause > pauses[index - 1]), `${pauses}`);
  assert.equal(job.state.transport, "polling");
  assert.equal(job.state.progress, 41);
});

for (const [status, code] of [
  [404, "JOB_NOT_FOUND"],
  [401, "UNAUTHORIZED"],
]) {
  test(`a ${status} is final`, async () => {
    world.answers = [{ status, body: { code, message: "No" } }];
    const job = await world.watch();
    world.source.refuse();
    await world.seconds(1);
    await assert.rejects(job.closed, { status, code, message: "No" });
    assert.deepEqual([job.state.connection, job.state.problem.code], ["denied", code]);
    await world.seconds(600);
    assert.deepEqual([world.requests.length, world.sources.length, world.clock.count], [1, 1, 0]);
  });
}

for (const status of [429, 503, 502, 500]) {
  test(`a ${status} is not, and Retry-After is kept to`, async () => {
    world.answers = [
      { status, body: { code: "X", message: "Later" }, retryAfter: "20" },
      { status: 200, body: running() },
    ];
    const job = await world.watch();
    world.source.refuse();
    await world.seconds(19);
    assert.deepEqual([job.state.connection, job.state.problem.message, world.requests.length], ["unavailable", "Later", 1]);
    await world.seconds(2);
    assert.equal(world.sources.length, 2);
    world.source.connect();
    assert.equal(job.state.connection, "live");
  });
}

test("a Retry-After that is a date makes no loop", async () => {
  const later = { status: 503, retryAfter: "Wed, 21 Oct 2026 07:28:00 GMT" };
  // The 404 ends the loop that there would be.
  world.answers = [...Array(50).fill(later), { status: 404 }];
  await world.watch();
  world.source.refuse();
  await world.seconds(10);
  assert.equal(world.requests.length, 3);
});

test("a Retry-After of years makes no loop, and no wait of years", async () => {
  world.answers = [{ status: 503, retryAfter: "4000000000" }];
  const job = await world.watch();
  world.source.refuse();
  await world.seconds(590);
  assert.equal(world.requests.length, 1);
  await world.seconds(20);
  assert.equal(world.requests.length, 2);
  job.close();
});

test("a clock that is put back while the service is unavailable delays nothing", async () => {
  world.answers = [unavailable, { status: 200, body: running() }];
  const job = await world.watch();
  world.source.refuse();
  await world.clock.run(1);
  const real = Date.now;
  Date.now = () => real() - 86_400_000;
  await world.seconds(4);
  assert.equal(world.open.length, 1);
  world.source.connect();
  assert.equal(job.state.connection, "live");
  job.close();
});

test("a clock that is put back after a mute stream does not keep the next one on trial", async () => {
  const job = await world.live();
  await world.seconds(60);
  assert.equal(job.state.transport, "polling");
  world.source.connect();
  const real = Date.now;
  Date.now = () => real() - 86_400_000;
  await world.seconds(2);
  world.source.send("ping");
  assert.deepEqual([job.state.connection, job.state.transport], ["live", "stream"]);
  job.close();
});

test("back-off grows to a minute, at random", async () => {
  await world.watch();
  world.answers = [unavailable];
  world.source.refuse();
  await world.seconds(900);
  const times = world.requests.map(({ at }) => at);
  const pauses = times.slice(1).map((at, index) => at - times[index]);
  assert.deepEqual(pauses.slice(0, 3), [1500, 3000, 6000]);
  assert.equal(pauses.at(-1), 45_000);
});

test("a token that is a function is asked for before each connection", async () => {
  let given = 0;
  const job = await world.watch({ token: async () => `t${(given += 1)}` });
  assert.equal(world.source.url.searchParams.get("token"), "t1");
  world.source.connect();
  world.source.lose();
  await world.seconds(3);
  world.source.refuse(); // what the browser tried again with has expired
  await world.seconds(3);
  assert.equal(world.requests[0].url.searchParams.get("token"), "t2");
  assert.equal(world.source.url.searchParams.get("token"), "t3");
  world.source.connect();
  assert.equal(job.state.connection, "live");
});

test("a function may give an old token once", async () => {
  const job = await world.watch({ token: () => "t" });
  world.answers = [{ status: 401, body: { code: "UNAUTHORIZED", message: "No" } }, { status: 200, body: running() }];
  world.source.refuse();
  await world.seconds(5);
  assert.equal(world.sources.length, 2);
  world.answers = [{ status: 401, body: { code: "UNAUTHORIZED", message: "No" } }];
  world.source.refuse();
  await world.seconds(10);
  await assert.rejects(job.closed, { status: 401 });
});

test("a token that can't be had is tried for again", async () => {
  let works = false;
  const job = await world.watch({
    token: async () => {
      if (!works) throw new Error("offline");
      return "t";
    },
  });
  await world.seconds(5);
  assert.equal(job.state.connection, "unavailable");
  works = true;
  await world.seconds(10);
  world.source.connect();
  assert.equal(job.state.connection, "live");
});

test("calls of a token function coalesce, so that what it refreshes is refreshed once", async () => {
  let calls = 0;
  let give;
  const token = () => {
    calls += 1;
    return new Promise((resolve) => (give = resolve));
  };
  const jobs = [await world.watch({ token }), await world.watch({ token })];
  await world.seconds(20);
  assert.equal(calls, 1);
  give("t");
  await settled();
  assert.deepEqual(world.sources.map(({ url }) => url.searchParams.get("token")), ["t", "t"]);
  assert.ok(world.requests.every(({ url }) => url.searchParams.get("token") === "t"));
  jobs.forEach((job) => job.close());
});

test("a token function that never settles is called again", async () => {
  const given = [new Promise(() => {}), "t"];
  const job = await world.watch({ token: () => given.shift() ?? "t" });
  await world.seconds(30);
  assert.deepEqual([job.state.connection, job.state.problem.message], ["unavailable", "Error: No token in time"]);
  await world.seconds(4);
  assert.equal(world.source.url.searchParams.get("token"), "t");
  job.close();
});

test("a new stream, which can't resume, voids what was gathered", async () => {
  const job = await world.live();
  world.source.refuse();
  await world.seconds(4);
  assert.equal(world.sources.length, 2);
  world.source.connect();
  world.source.progress(44);
  assert.deepEqual(names(job), ["connected", "progress-update", "connected", "reset", "progress-update"]);
  assert.deepEqual(job.told.events[3].data, { reason: "reopened" });
  assert.ok(job.told.states.every(({ progress }, index) => index === 0 || progress !== null || job.told.states[index - 1].progress === null));
});

for (const name of ["online", "resume", "visibilitychange"]) {
  test(`${name} ends a wait`, async () => {
    const job = await world.watch();
    world.answers = [unavailable];
    world.source.refuse();
    await world.seconds(300);
    assert.equal(job.state.connection, "unavailable");
    world.answers = [{ status: 200, body: running() }];
    const before = world.sources.length;
    const target = name === "online" ? world.window : world.document;
    target.dispatchEvent(new Event(name));
    await world.clock.run(1);
    assert.equal(world.sources.length, before + 1);
  });
}

test("a page that is shown for the first time is not woken", async () => {
  await world.watch();
  world.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: false }));
  await world.clock.run(1);
  assert.equal(world.requests.length, 0);
});

test("a hidden page is not woken by being hidden", async () => {
  await world.live();
  world.document.hidden = true;
  await world.seconds(20);
  world.document.dispatchEvent(new Event("visibilitychange"));
  await world.clock.run(1);
  assert.equal(world.requests.length, 0);
});

test("a live stream is not disturbed by looking at the page", async () => {
  const job = await world.live();
  await world.seconds(10);
  world.document.dispatchEvent(new Event("visibilitychange"));
  await world.clock.run(1);
  assert.deepEqual([world.requests.length, world.sources.length, job.state.connection], [0, 1, "live"]);
});

test("after a sleep the state is asked for at once, and the stream has a moment to prove itself", async () => {
  const job = await world.live();
  world.answers = [{ status: 200, body: running({ progress: 70, updatedAt: world.later(5000) }) }];
  world.clock.now += 3_600_000; // nothing ran meanwhile
  await world.clock.run(0);
  assert.deepEqual([job.state.progress, job.state.transport, world.open.length], [70, "stream", 1]);
  world.source.send("ping");
  await world.seconds(20);
  assert.deepEqual([world.sources.length, job.state.connection], [1, "live"]);
});

test("a stream that a sleep has killed is opened anew", async () => {
  const job = await world.live();
  world.clock.now += 3_600_000;
  await world.seconds(10);
  assert.equal(world.sources.length, 2);
  world.source.connect();
  await world.seconds(2);
  world.source.send("ping");
  assert.equal(job.state.connection, "live");
});

test("a clock that is put back does no harm", async () => {
  const job = await world.live();
  const setTimeouts = world.clock.count;
  const real = Date.now;
  Date.now = () => real() - 7_200_000;
  await world.seconds(10);
  world.source.send("ping");
  await world.seconds(30);
  assert.deepEqual([job.state.connection, world.sources.length], ["live", 1]);
  await world.seconds(30);
  assert.equal(job.state.transport, "polling");
  assert.ok(setTimeouts < 5);
});

test("a page that goes into the back/forward cache has no stream there, and one again when it comes back", async () => {
  const job = await world.live();
  world.window.dispatchEvent(new Event("pagehide"));
  assert.deepEqual([world.open.length, world.clock.count], [0, 0]);
  await world.seconds(3600);
  assert.equal(world.requests.length, 0);
  world.window.dispatchEvent(new Event("pageshow"));
  await world.clock.run(1);
  assert.equal(world.open.length, 1);
  world.source.connect();
  assert.equal(job.state.connection, "live");
});

test("a page that comes back from the cache is not live before it has a stream", async () => {
  const job = await world.live();
  world.answers = [() => new Promise(() => {})];
  world.window.dispatchEvent(new Event("pagehide"));
  world.window.dispatchEvent(new Event("pageshow"));
  await settled();
  assert.equal(job.state.connection, "reconnecting");
  job.close();
});

test("a page that goes in and out of the cache gathers no listeners", async () => {
  let listeners = 0;
  const add = globalThis.addEventListener;
  globalThis.addEventListener = (...given) => {
    listeners += 1;
    add(...given);
  };
  const job = await world.live();
  const before = listeners;
  for (let round = 0; round < 20; round += 1) {
    world.window.dispatchEvent(new Event("pagehide"));
    world.window.dispatchEvent(new Event("pageshow"));
    await world.clock.run(1);
  }
  assert.equal(listeners, before);
  job.close();
});

test("an answer that comes after the page was left opens nothing", async () => {
  let answer;
  world.answers = [() => new Promise((resolve) => (answer = resolve))];
  await world.watch();
  world.source.refuse();
  await world.seconds(1);
  world.window.dispatchEvent(new Event("pagehide"));
  answer({ status: 200, body: running() });
  await settled();
  assert.deepEqual([world.open.length, world.clock.count], [0, 0]);
});

test("after complete the stream is closed for good", async () => {
  const job = await world.live();
  world.source.send("complete", { result: 7 }, "9-0");
  assert.equal(await job.closed, "succeeded");
  assert.deepEqual([world.source.readyState, world.clock.count], [2, 0]);
  world.window.dispatchEvent(new Event("online"));
  await world.seconds(60);
  assert.deepEqual([world.requests.length, world.sources.length], [0, 1]);
});

test("a failed job that somebody has retried is watched again when the page is looked at", async () => {
  const job = await world.live();
  world.source.send("failed", { error: "No paper", errorCode: null }, `${world.clock.now + 1}-0`);
  assert.equal(await job.closed, "failed");
  world.answers = [{ status: 200, body: running({ status: "failed", error: "No paper", updatedAt: world.later(1) }) }];
  world.document.dispatchEvent(new Event("visibilitychange"));
  await world.seconds(1);
  assert.deepEqual([world.requests.length, world.sources.length, job.state.connection], [1, 1, "closed"]);
  world.answers = [{ status: 200, body: running({ attempt: 2, progress: 0, currentStep: null, updatedAt: world.later(2000) }) }];
  world.document.dispatchEvent(new Event("visibilitychange"));
  await world.seconds(1);
  assert.deepEqual([job.state.outcome, job.state.attempt, world.open.length], [null, 2, 1]);
  world.source.connect();
  world.source.send("complete", { result: 1 });
  assert.equal(await job.closed, "succeeded");
});

for (const answer of [unavailable, { status: 404 }, { status: 401 }, { status: 0 }]) {
  test(`a failed job stays so, whatever a later look at it is answered (${answer.status})`, async () => {
    const job = await world.live();
    world.source.send("failed", { error: "No paper", errorCode: null }, `${world.clock.now + 1}-0`);
    const { closed, state } = job;
    world.answers = [answer];
    world.document.dispatchEvent(new Event("visibilitychange"));
    await world.seconds(600);
    assert.deepEqual([world.requests.length, world.clock.count], [1, 0]);
    assert.deepEqual([job.state, job.closed], [state, closed]);
    job.close();
  });
}

test("a failed job that the page wants to be looked at is looked for until the service answers", async () => {
  const job = await world.live();
  world.source.send("failed", { error: "No paper", errorCode: null }, `${world.clock.now + 1}-0`);
  world.answers = [unavailable, { status: 200, body: running({ attempt: 2, updatedAt: world.later(9) }) }];
  job.wake();
  await world.seconds(20);
  assert.deepEqual([job.state.attempt, world.open.length], [2, 1]);
  job.close();
});

test("a job that was retried is looked for until the service answers", async () => {
  const job = await world.live();
  world.source.send("failed", { error: "No paper", errorCode: null }, `${world.clock.now + 1}-0`);
  world.answers = [{ status: 200, body: { jobId: "j" } }, unavailable, unavailable, { status: 200, body: running({ attempt: 2, updatedAt: world.later(9) }) }];
  await job.retry();
  await world.clock.run(1);
  assert.equal(job.state.connection, "unavailable");
  await world.seconds(20);
  assert.deepEqual([job.state.attempt, world.open.length], [2, 1]);
  job.close();
});

test("a job whose queue retries it is watched on", async () => {
  const job = await world.live();
  world.source.send("failed", { error: "No paper", errorCode: "X", willRetry: true }, `${world.clock.now + 1}-0`);
  world.source.lose();
  await world.seconds(3);
  world.source.connect();
  world.source.send("reset", { attempt: 2, reason: "attempt" });
  world.source.send("complete", { result: 1 });
  assert.equal(await job.closed, "succeeded");
  assert.deepEqual([world.sources.length, world.requests.length], [1, 0]);
});

test("a job that its queue has retried no more ends", async () => {
  const job = await world.live();
  world.source.send("failed", { error: "No paper", errorCode: "X", willRetry: true }, `${world.clock.now + 1}-0`);
  world.source.lose();
  world.answers = [{ status: 200, body: running({ status: "failed", error: "No paper", errorCode: "X", updatedAt: world.later(1) }) }];
  world.source.refuse(); // by a 204
  await world.seconds(2);
  assert.equal(await job.closed, "failed");
});

test("nothing that is left of an earlier stream is heard", async () => {
  const job = await world.live();
  const first = world.source;
  await world.seconds(40);
  const count = job.told.events.length;
  first.readyState = 1;
  first.send("complete", { result: "of the past" });
  first.lose();
  first.refuse();
  await settled();
  assert.equal(job.told.events.length, count);
  assert.equal(job.state.outcome, null);
  assert.equal(world.source.readyState, 0); // nor is the new one given up for it
});

test("who comes after a failure is told how far the job got", async () => {
  const job = await world.watch();
  world.source.connect();
  world.answers = [{ status: 200, body: running({ status: "failed", progress: 70, currentStep: "Page 7", error: "No paper", updatedAt: world.later(1) }) }];
  world.source.send("failed", { error: "No paper", errorCode: null }, `${world.clock.now + 1}-0`);
  await settled();
  assert.deepEqual([job.state.progress, job.state.step, job.state.outcome], [70, "Page 7", "failed"]);
  await world.seconds(600);
  assert.deepEqual([world.requests.length, job.state.connection, world.clock.count], [1, "closed", 0]);
});

test("no state is shown that contradicts itself", async () => {
  const job = await world.live();
  world.source.send("failed", { error: "No paper", errorCode: null }, `${world.clock.now + 1}-0`);
  world.answers = [{ status: 200, body: running({ attempt: 2, progress: 0, updatedAt: world.later(2000) }) }];
  job.wake();
  await world.seconds(1);
  assert.equal(job.state.attempt, 2);
  assert.ok(job.told.states.every(({ connection, outcome }) => connection !== "closed" || outcome !== null));
});

test("an end that only the status tells is told as an event, once", async () => {
  const results = [];
  const job = await world.live({ onComplete: ({ result }) => results.push(result) });
  world.answers = [{ status: 200, body: running({ status: "succeeded", progress: 100, result: 7, updatedAt: world.later(9) }) }];
  await world.seconds(38);
  assert.equal(await job.closed, "succeeded");
  assert.deepEqual(results, [7]);
  assert.deepEqual(names(job).slice(-1), ["complete"]);
});

test("a failure that is looked at again is not told again, but the next one is", async () => {
  const errors = [];
  const job = await world.live({ onFailed: ({ error }) => errors.push(error) });
  const failed = (error, ms, attempt) => ({
    status: 200,
    body: running({ status: "failed", progress: 50, error, attempt, updatedAt: world.later(ms) }),
  });
  world.source.send("failed", { error: "one", errorCode: null }, `${world.clock.now + 1}-0`);
  world.answers = [failed("one", 1, 1)];
  job.wake();
  await settled();
  assert.deepEqual(errors, ["one"]);
  world.answers = [failed("two", 5000, 2)];
  job.wake();
  await settled();
  assert.deepEqual(errors, ["one", "two"]);
  assert.deepEqual([job.state.connection, job.state.attempt], ["closed", 2]);
});

test("while the browser tries, an end is left to the stream, which has what came before it", async () => {
  const job = await world.live();
  world.source.lose();
  world.answers = [{ status: 200, body: running({ status: "succeeded", progress: 100, updatedAt: world.later(9) }) }];
  await world.seconds(8);
  assert.equal(job.state.outcome, null);
  world.source.connect();
  world.source.send("log", { text: "the last line" });
  world.source.send("complete", { result: 1 });
  assert.equal(await job.closed, "succeeded");
  assert.deepEqual(names(job).slice(-2), ["log", "complete"]);
});

test("but not for ever", async () => {
  const job = await world.live();
  world.source.lose();
  world.answers = [{ status: 200, body: running({ status: "succeeded", progress: 100, updatedAt: world.later(9) }) }];
  await world.seconds(60);
  assert.equal(await job.closed, "succeeded");
});

test("a stream that was live has its failures forgiven", async () => {
  const job = await world.watch();
  for (let round = 0; round < 4; round += 1) {
    const before = world.sources.length;
    world.source.refuse();
    while (world.sources.length === before) await world.clock.run(100);
  }
  world.source.connect();
  assert.equal(job.state.connection, "live");
  const count = world.sources.length;
  world.source.refuse();
  await world.seconds(2);
  assert.equal(world.sources.length, count + 1);
});

test("a page whose timers were held back is looked after as soon as it is looked at", async () => {
  await world.live();
  world.clock.now += 20_000;
  world.document.dispatchEvent(new Event("visibilitychange"));
  await settled();
  assert.deepEqual([world.requests.length, world.open.length], [1, 1]);
});

for (const [at, isThen] of [
  ["live", ({ connection }) => connection === "live"],
  ["unavailable", ({ connection }) => connection === "unavailable"],
  ["polling", ({ transport }) => transport === "polling"],
]) {
  test(`who closes in a callback, ${at}, is left alone`, async () => {
    let isClosed = false;
    let job;
    const onState = (state) => {
      if (isClosed || !job || !isThen(state)) return;
      isClosed = true;
      job.close();
    };
    job = await world.watch({ onState });
    world.answers = [unavailable];
    if (at !== "unavailable") world.source.connect();
    if (at === "unavailable") world.source.refuse();
    await world.seconds(60);
    assert.ok(isClosed);
    const before = [world.requests.length, world.sources.length];
    await world.seconds(300);
    assert.equal(job.state.connection, "closed");
    assert.deepEqual([world.requests.length, world.sources.length], before);
  });
}

for (const body of [{}, null]) {
  test(`a 200 that is no status (${JSON.stringify(body)}) is no answer`, async () => {
    const job = await world.watch();
    world.answers = [{ status: 200, body }];
    world.source.refuse();
    await world.seconds(30);
    assert.equal(job.state.connection, "unavailable");
    assert.equal(job.state.status, null);
    assert.ok(world.requests.length > 1);
  });
}

test("a base that is not set is the default one", async () => {
  await world.watch({ base: undefined });
  assert.equal(world.source.url.pathname, "/api/v1/jobs/j/stream");
});
