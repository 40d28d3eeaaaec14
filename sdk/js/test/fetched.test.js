import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { running, settled, World } from "./world.js";

/** @type {World} */
let world;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

/** A response whose bytes the test sends. */
function stream() {
  let controller;
  let isLeft = false;
  const body = new ReadableStream({
    start: (own) => void (controller = own),
    cancel: () => void (isLeft = true),
  });
  const encoder = new TextEncoder();
  return {
    answer: { status: 200, stream: body },
    isLeft: () => isLeft,
    send: async (text) => {
      controller.enqueue(typeof text === "string" ? encoder.encode(text) : text);
      await arrived();
    },
    end: async () => {
      controller.close();
      await arrived();
    },
  };
}

/** Streams of bytes take turns of the real event loop. */
async function arrived() {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  await settled();
}

/** Waits until the service was asked so often: the module that does it is loaded when it is needed. */
async function asked(times) {
  while (world.requests.length < times) await arrived();
  await arrived();
}

const HEAD = ': ok\n\nevent: connected\ndata: {"keepaliveSeconds":15}\n\n';
const PROGRESS = 'id: 5-0\nevent: progress-update\ndata: {"progress":40,"currentStep":"Grüße","estimatedTimeRemaining":null}\n\n';

async function watch() {
  const first = stream();
  world.answers = [first.answer, first.answer];
  const job = await world.watch({ events: "all", session: "me" });
  await asked(1);
  return { first, job };
}

test("events of any name are heard", async () => {
  const { first, job } = await watch();
  await first.send(HEAD + PROGRESS + 'id: 6-0\nevent: of-any-name\ndata: {"n":1}\n\n');
  assert.deepEqual(job.told.events.map(({ name, id }) => [name, id]), [
    ["connected", ""],
    ["progress-update", "5-0"],
    ["of-any-name", "6-0"],
  ]);
  assert.deepEqual([job.state.connection, job.state.step], ["live", "Grüße"]);
  assert.equal(world.sources.length, 0);
});

test("it does not matter how bytes are cut", async () => {
  const { first, job } = await watch();
  for (const byte of new TextEncoder().encode((HEAD + PROGRESS).replaceAll("\n", "\r\n"))) {
    await first.send(new Uint8Array([byte]));
  }
  assert.deepEqual([job.state.progress, job.state.step], [40, "Grüße"]);
});

test("an event that is cut off is requested again", async () => {
  const { first, job } = await watch();
  await first.send(HEAD + PROGRESS + 'id: 6-0\nevent: file-hashed\ndata: {"n":');
  const second = stream();
  world.answers = [second.answer];
  await first.end();
  await world.seconds(4);
  await arrived();
  assert.equal(world.requests.at(-1).headers["last-event-id"], "5-0");
  await second.send(HEAD + 'id: 6-0\nevent: file-hashed\ndata: {"n":6}\n\n');
  assert.deepEqual(job.told.events.at(-1), { name: "file-hashed", data: { n: 6 }, id: "6-0" });
  job.close();
});

test("lines may end in any way of the standard, and data may have several", async () => {
  const { first, job } = await watch();
  const frame = 'id: 6-0\nevent: lines\ndata: {"text":\ndata:"x"}\nunknown: 1\nid: bad\0\n\n';
  for (const [at, end] of ["\r", "\r\n", "\n"].entries()) {
    const text = (at ? "" : "\ufeff" + HEAD) + frame.replace("6-0", `6-${at}`);
    for (const byte of new TextEncoder().encode(text.replaceAll("\n", end))) await first.send(new Uint8Array([byte]));
  }
  assert.deepEqual(
    job.told.events.slice(1).map(({ name, data, id }) => [name, data.text, id]),
    [0, 1, 2].map((at) => ["lines", "x", `6-${at}`]),
  );
  job.close();
});

test("a retry that is no number of milliseconds changes nothing", async () => {
  const { first, job } = await watch();
  await first.send(HEAD + "retry: soon\n\nretry: 9999999999\n\n");
  await first.end();
  await world.seconds(2.9);
  assert.equal(world.requests.length, 1);
  await world.seconds(0.2);
  assert.equal(world.requests.length, 2);
  job.close();
});

test("a page in place of the stream is a refusal", async () => {
  const page = stream();
  world.answers = [{ ...page.answer, type: "text/html" }, { status: 200, body: running() }];
  const job = await world.watch({ events: "all" });
  await asked(1);
  await world.seconds(1);
  assert.deepEqual([job.state.progress, job.state.connection], [41, "reconnecting"]);
  job.close();
});

test("a stream that can't be read is left", async () => {
  const { first, job } = await watch();
  await first.send(HEAD + "id: 6-0\nevent: log\ndata: {no JSON}\n\n");
  assert.ok(first.isLeft());
  job.close();
});

test("pings keep it alive", async () => {
  const { first, job } = await watch();
  await first.send(HEAD + PROGRESS);
  for (let round = 0; round < 4; round += 1) {
    await world.seconds(30);
    await first.send("event: ping\ndata: {}\n\n");
  }
  assert.equal(job.state.connection, "live");
});

test("after an end it goes on where it was, when it was told to", async () => {
  const { first, job } = await watch();
  await first.send(HEAD + PROGRESS);
  const second = stream();
  world.answers = [second.answer];
  await first.send("retry: 2000\n\n");
  await first.end();
  assert.equal(job.state.connection, "reconnecting");
  const before = world.requests.length;
  await world.seconds(1.9);
  assert.equal(world.requests.length, before);
  await world.seconds(0.2);
  assert.equal(world.requests.at(-1).headers["last-event-id"], "5-0");
  await arrived();
  await second.send(HEAD + 'id: 7-0\nevent: complete\ndata: {"result":1}\n\n');
  assert.equal(await job.closed, "succeeded");
  assert.ok(!job.told.events.some(({ name }) => name === "reset"));
});

test("a new one after a mute one goes on, too", async () => {
  const { first, job } = await watch();
  await first.send(HEAD + PROGRESS);
  const second = stream();
  const body = { jobId: "j", status: "running", updatedAt: world.later(-9e9), attempt: 1 };
  world.answers = [{ status: 200, body }, { ...second.answer, body }];
  await world.seconds(38);
  await world.seconds(2);
  await arrived();
  const streams = world.requests.filter(({ url }) => url.pathname.endsWith("/stream"));
  assert.equal(streams.at(-1).headers["last-event-id"], "5-0");
  await second.send(HEAD);
  assert.ok(!job.told.events.some(({ name }) => name === "reset"));
  job.close();
});

test("a refusal is judged by the status", async () => {
  world.answers = [{ status: 404, body: {} }, { status: 404, body: { code: "JOB_NOT_FOUND", message: "No" } }];
  const job = await world.watch({ events: "all" });
  await asked(1);
  await world.seconds(1);
  await assert.rejects(job.closed, { code: "JOB_NOT_FOUND" });
});

test("a network that is away is tried again", async () => {
  world.answers = [{ status: 0 }];
  const job = await world.watch({ events: "all" });
  await asked(1);
  const first = stream();
  world.answers = [first.answer];
  await world.seconds(4);
  await arrived();
  await first.send(HEAD);
  assert.equal(job.state.connection, "live");
});
