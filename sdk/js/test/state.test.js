import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { initial, reduce } from "../src/state.js";

const fold = (events, from = initial) => events.reduce(reduce, from);
const event = (name, data = {}, ms = 0) => ({ name, data, id: ms ? `${ms}-0` : "" });
const progress = (value, step = null, more = {}, ms = 0) =>
  event("progress-update", { progress: value, currentStep: step, estimatedTimeRemaining: null, ...more }, ms);
const status = (ms, more = {}) =>
  event("$status", {
    ...{ status: "running", progress: 10, currentStep: null, estimatedTimeRemaining: null, attempt: 1 },
    ...{ error: null, errorCode: null, result: null, updatedAt: new Date(ms).toISOString(), ...more },
  });

test("progress carries what a worker adds, and the next one takes its place", () => {
  const first = fold([progress(40, "Writing", { phase: "draft", current: 2 }, 5)]);
  assert.equal(first.status, "running");
  assert.deepEqual([first.progress, first.step, first.eta], [40, "Writing", null]);
  assert.deepEqual(first.fields, { phase: "draft", current: 2 });
  assert.equal(first.updatedAt, 5);
  assert.deepEqual(fold([progress(41)], first).fields, {});
});

test("a job of which nothing has run is queued", () => {
  assert.equal(fold([progress(0)]).status, "queued");
  assert.equal(fold([event("step-change", { progress: 0, currentStep: null, estimatedTimeRemaining: null })]).status, "running");
  assert.equal(fold([progress(3), progress(0)]).status, "running");
});

for (const [outcome, data] of Object.entries({
  failed: { error: "No paper", errorCode: "PAPER" },
  cancelled: { error: "Cancelled", errorCode: null },
  stalled: { error: "The worker was lost", errorCode: "STALLED" },
})) {
  test(`the outcome of a job can be ${outcome}`, () => {
    const state = fold([progress(40, "Writing"), event("failed", data)]);
    assert.deepEqual(
      [state.status, state.outcome, state.progress, state.step, state.eta, state.error, state.errorCode],
      ["failed", outcome, 40, "Writing", null, data.error, data.errorCode],
    );
    assert.equal(fold([status(9, { status: "failed", ...data })]).outcome, outcome);
  });
}

test("a cancelled job is one whose error is so and has no code", () => {
  assert.equal(fold([event("failed", { error: "Cancelled", errorCode: "OWN" })]).outcome, "failed");
});

test("a complete job is at 100 percent and has its result", () => {
  const state = fold([progress(40, "Writing"), event("complete", { result: { ok: true } })]);
  assert.deepEqual([state.status, state.outcome, state.progress, state.result], ["succeeded", "succeeded", 100, { ok: true }]);
});

test("a reset leaves nothing of what was before, and names the attempt", () => {
  const state = fold([progress(40, "Writing", { phase: "draft" }, 7), event("reset", { attempt: 2, reason: "attempt" })]);
  assert.deepEqual(state, { ...initial, attempt: 2 });
});

test("a status that was asked for before newer events came changes nothing", () => {
  const live = fold([progress(60, "New", {}, 100)]);
  assert.deepEqual(fold([status(50)], live), live);
  assert.equal(fold([status(150)], live).progress, 10);
  const complete = fold([event("complete", { result: 1 }, 100)], live);
  assert.deepEqual(fold([status(100, { attempt: 3 })], complete), { ...complete, attempt: 3 });
});

test("a status of an attempt that a reset has ended changes nothing", () => {
  const second = fold([event("reset", { attempt: 2, reason: "attempt" })]);
  assert.equal(fold([status(500, { status: "failed", attempt: 1, error: "No", errorCode: null })], second), second);
});

test("a status of the next attempt counts, also if the retry came within the millisecond", () => {
  const status = { name: "$status", data: { status: "running", attempt: 1, progress: 5, updatedAt: new Date(7).toISOString() } };
  const failed = reduce(reduce(initial, status), { name: "failed", data: { error: "No", errorCode: null }, id: "8-0" });
  const data = { status: "queued", attempt: 2, progress: 0, updatedAt: new Date(8).toISOString() };
  const next = reduce(failed, { name: "$status", data });
  assert.deepEqual([next.status, next.outcome, next.attempt], ["queued", null, 2]);
  assert.equal(reduce(failed, { name: "$status", data: { ...data, attempt: 1 } }), failed);
});

test("the status of a finished job completes the picture of a viewer who came for its end", () => {
  const late = fold([event("failed", { error: "No paper", errorCode: null }, 100)]);
  const state = fold([status(100, { status: "failed", progress: 70, currentStep: "Page 7", error: "No paper", attempt: 2 })], late);
  assert.deepEqual([state.progress, state.step, state.attempt, state.outcome], [70, "Page 7", 2, "failed"]);
});

test("a failure that the queue retries is no outcome", () => {
  const failed = fold([progress(40), event("failed", { error: "No paper", errorCode: "X", willRetry: true })]);
  assert.deepEqual([failed.outcome, failed.status, failed.error, failed.progress], [null, "failed", "No paper", 40]);
  const next = fold([event("reset", { attempt: 2, reason: "attempt" }), progress(0)], failed);
  assert.deepEqual([next.attempt, next.status, next.error], [2, "queued", null]);
});

test("the connection is told beside the job, and what is the same is the same object", () => {
  const link = event("$link", { connection: "live", transport: "stream", problem: null });
  const state = fold([link, progress(5)]);
  assert.equal(state.connection, "live");
  assert.equal(reduce(state, link), state);
  const down = reduce(state, event("$link", { connection: "unavailable", transport: "polling", problem: { status: 503 } }));
  assert.equal(down.progress, 5);
  assert.equal(reduce(down, link).problem, null);
});

const percent = fc.integer({ min: 0, max: 100 });
const line = { currentStep: fc.option(fc.string()), estimatedTimeRemaining: fc.option(fc.float({ min: 0, noNaN: true })) };
const time = fc.integer({ min: 1, max: 50 });
const data = {
  "progress-update": fc.record({ progress: percent, ...line, phase: fc.string() }, { requiredKeys: ["progress"] }),
  "step-change": fc.record({ progress: percent, ...line }),
  complete: fc.record({ result: fc.jsonValue() }),
  failed: fc.record(
    {
      error: fc.constantFrom("Cancelled", "No paper"),
      errorCode: fc.constantFrom(null, "STALLED", "X"),
      willRetry: fc.constant(true),
    },
    { requiredKeys: ["error", "errorCode"] },
  ),
  reset: fc.record({ attempt: fc.option(fc.integer({ min: 1, max: 4 })), reason: fc.string() }),
  "file-hashed": fc.dictionary(fc.string(), fc.jsonValue()),
  $status: fc.record({
    status: fc.constantFrom("queued", "running", "succeeded", "failed"),
    progress: percent,
    ...line,
    error: fc.constantFrom("Cancelled", "No paper"),
    errorCode: fc.constantFrom(null, "STALLED"),
    result: fc.jsonValue(),
    attempt: fc.integer({ min: 1, max: 4 }),
    updatedAt: time.map((ms) => new Date(ms).toISOString()),
  }),
};
const anyEvent = fc.oneof(
  ...Object.entries(data).map(([name, given]) =>
    fc.record({ name: fc.constant(name), data: given, id: time.map((ms) => `${ms}-0`) }),
  ),
);
const history = fc.array(anyEvent, { maxLength: 30 });
const holds = (arbitraries, property) => fc.assert(fc.property(...arbitraries, property), { numRuns: 500 });

function frozen(value) {
  if (value !== null && typeof value === "object") Object.values(value).forEach(frozen);
  return Object.freeze(value);
}

test("in any order of events the state agrees with itself", () => {
  holds([history], (events) => {
    let state = frozen(initial);
    for (const each of frozen(events)) {
      state = frozen(reduce(state, each));
      assert.deepEqual(Object.keys(state), Object.keys(initial));
      const outcomes = { succeeded: ["succeeded"], failed: ["failed", "cancelled", "stalled", null] }[state.status];
      assert.ok((outcomes ?? [null]).includes(state.outcome)); // a failure that is retried is none
      assert.ok(state.progress === null || (state.progress >= 0 && state.progress <= 100));
      if (state.outcome !== null) assert.equal(state.eta, null);
      if (state.outcome === "succeeded") assert.deepEqual([state.progress, state.error], [100, null]);
      if (state.outcome !== "succeeded") assert.equal(state.result, null);
      assert.ok(Object.values(state).every((value) => value !== undefined));
    }
  });
});

test("what comes after a reset decides alone", () => {
  holds([history, history], (before, after) => {
    const reset = event("reset", { attempt: 3, reason: "attempt" });
    assert.deepEqual(fold([...before, reset, ...after]), fold([reset, ...after]));
  });
});

test("a worker's own events change no state", () => {
  holds([history], (events) => {
    assert.deepEqual(fold(events), fold(events.filter(({ name }) => name !== "file-hashed")));
  });
});

test("a repeated event changes nothing more", () => {
  holds([history, anyEvent], (events, last) => {
    const once = fold([...events, last]);
    assert.deepEqual(reduce(once, last), once);
  });
});

test("a status never takes a state back in time", () => {
  holds([history, data.$status], (events, given) => {
    const state = fold(events);
    const next = reduce(state, { name: "$status", data: given });
    assert.ok((next.updatedAt ?? 0) >= (state.updatedAt ?? 0));
    assert.ok((next.attempt ?? 0) >= (state.attempt ?? 0));
  });
});
