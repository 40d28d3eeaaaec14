// What is JavaScript's own about the worker library; all else is in tests/worker_cases.json.
import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf } from "../worker/address.js";
import { Count } from "../worker/count.js";
import * as event from "../worker/event.js";
import { brief, describe } from "../worker/failure.js";
import { fromJson, toJson } from "../worker/json.js";
import { read } from "../worker/report.js";
import { Reports } from "../worker/reports.js";
import { causeOf } from "../worker/run.js";
import { connect, InvalidEvent, JobCancelled, JobcastError, JobFinished, JobStalled } from "../worker/index.js";

const named = (value) => ({ name: "InvalidEvent", message: value });

test("what JSON.stringify would lose or hide is refused, and named", () => {
  const circle = {};
  circle.self = circle;
  for (const [value, message] of [
    [{ n: NaN }, /NaN is no JSON number at "n"/],
    [{ n: [1, -Infinity] }, /-Infinity is no JSON number at "1"/],
    [{ n: new Number(NaN) }, /NaN/],
    [{ n: 1n }, /BigInt at "n"/],
    [{ n: [undefined] }, /undefined at "0"/],
    [{ n: () => 1 }, /function at "n"/],
    [{ n: Symbol("x") }, /symbol at "n"/],
    [{ n: new Map([[1, 2]]) }, /class Map at "n"/],
    [{ n: new Set() }, /class Set/],
    [{ n: new Error("x") }, /class Error/],
    [{ n: /x/ }, /class RegExp/],
    [{ n: new Uint8Array(2) }, /class Uint8Array/],
    [{ n: Promise.resolve() }, /class Promise/],
    [{ n: "\ud83d" }, /lone surrogate at "n"/],
    [{ "\udc00": 1 }, /lone surrogate in the key/],
    [circle, /circular/],
    [
      {
        toJSON: () => {
          throw new Error("mine");
        },
      },
      /mine/,
    ],
  ]) {
    assert.throws(() => event.emitted("note", value), named(message));
  }
  for (const value of [null, undefined, 5, "x", [1], new Date(), () => 1, { toJSON: () => [1] }]) {
    assert.throws(() => event.emitted("note", value), named(/must be an object/));
  }
});

test("what JSON has is written as it is", () => {
  class Point {
    x = 1;
    #y = 2;
  }
  const value = { a: undefined, d: new Date(0), p: new Point(), n: Object.create(null), s: new String("é"), z: -0 };
  assert.equal(toJson(value, "data"), '{"d":"1970-01-01T00:00:00.000Z","p":{"x":1},"n":{},"s":"é","z":0}');
  assert.equal(event.completed(undefined).data, '{"result":null}');
  assert.equal(event.progressed(1, null, null, { a: undefined }).fields.extra, undefined);
  assert.throws(() => toJson("é".repeat(2 ** 19), "data"), named(/has 1048578 bytes/));
});

test("JSON of any language is read, also a key that is __proto__", () => {
  assert.deepEqual(fromJson('\ufeff{"a":[NaN,-Infinity,1e999,"NaN"],"b":"x\ny"}'), {
    a: [null, null, null, "NaN"],
    b: "x\ny",
  });
  const value = fromJson('{"__proto__":{"polluted":"\\ud83d"}}');
  assert.equal({}.polluted, undefined);
  assert.deepEqual(Object.keys(value), ["__proto__"]);
});

test("whatever is thrown fails a job with a text", () => {
  const odd = {
    get message() {
      throw new Error();
    },
    toString() {
      throw new Error();
    },
    get code() {
      throw new Error();
    },
  };
  const proxy = new Proxy(
    {},
    {
      get() {
        throw new Error();
      },
      getPrototypeOf() {
        return null;
      },
    },
  );
  for (const [thrown, expected] of [
    [new Error("a\ud83d"), ["a\ufffd", null]],
    [Object.assign(new TypeError(""), { code: "X" }), ["TypeError", "X"]],
    [Object.assign(new Error("x"), { code: 5 }), ["x", null]],
    [undefined, ["undefined", null]],
    [null, ["null", null]],
    ["text", ["text", null]],
    [Symbol("s"), ["Symbol", null]],
    [odd, ["Object", null]],
    [proxy, ["Error", null]],
    [new JobCancelled(), ["Cancelled", null]],
  ]) {
    assert.deepEqual(describe(thrown), expected);
  }
  assert.equal(describe(new Error("🚀".repeat(9000)))[0], "🚀".repeat(4096));
  assert.deepEqual(brief("x".repeat(99), "c".repeat(99)), ["x".repeat(64), null]);
});

test("a plan without usable weights is refused", () => {
  for (const weights of [null, undefined, {}, { a: 0 }, { a: "1" }, { a: Infinity }, { a: 1.7e308, b: 1.7e308 }]) {
    assert.throws(() => new Count().plan(weights), InvalidEvent);
  }
});

test("calls that race and are all stopped by a cancel request are a cancellation", () => {
  const stop = new AbortController();
  const run = { signal: stop.signal };
  const aborted = new DOMException("stopped", "AbortError");
  const all = new AggregateError([aborted, new JobCancelled()]);
  const some = new AggregateError([new JobCancelled(), new Error("no paper")]);
  assert.equal(causeOf(run, all), all);
  const ours = new AggregateError([new JobCancelled()]);
  assert.equal(causeOf(run, ours), ours.errors[0]);
  stop.abort(new JobCancelled());
  assert.equal(causeOf(run, all), stop.signal.reason);
  assert.equal(causeOf(run, some), some);
  for (const odd of [new AggregateError([]), Object.assign(new AggregateError([]), { errors: null }), null, "x"]) {
    assert.equal(causeOf(run, odd), odd);
  }
});

test("what a task reports in its queue's own way is read, and what can't be read is left out", () => {
  const said = [];
  const of = (progress) => read(progress, (text) => said.push(text));
  const more = { files: 7, step: 3 };
  for (const [progress, expected] of [
    [40.9, { percent: 40 }],
    [1e9, { percent: 100 }],
    [
      { percentage: "12.5", status: "Reading", message: "m", eta: 3 },
      { percent: 12, step: "Reading", eta: 3, more: { message: "m" } },
    ],
    [
      { ...more, progress: 5, percent: 7, _private: 1, x: undefined },
      { percent: 5, more },
    ],
    [
      { current: 3, total: 4, unit: "page" },
      { percent: null, current: 3, total: 4, unit: "page" },
    ],
    [
      { currentStep: 5, estimatedTimeRemaining: 2, description: "a\ud83d" },
      { percent: null, step: "a\ufffd", eta: 2 },
    ],
  ]) {
    const found = of(progress);
    for (const [name, value] of Object.entries({ more: {}, ...expected })) assert.deepEqual(found[name], value, name);
  }
  assert.deepEqual(said, []);
  for (const progress of [null, undefined, "text", true, [1], {}, { _x: 1 }]) assert.equal(of(progress), null);
  assert.equal(of(NaN), null);
  assert.deepEqual(of({ progress: -1, a: 1n, b: "x".repeat(20_000), c: 2 }), null);
  assert.equal(said.length, 4);
});

test("errors have the names and the kinds of the Python library's", () => {
  const stalled = new JobStalled();
  assert.equal(stalled.name, "JobStalled");
  assert.match(stalled.message, /lease/);
  assert.ok(stalled instanceof JobFinished && stalled instanceof JobcastError && stalled instanceof Error);
});

test("addresses are read as the service reads them", async () => {
  const options = (url) => {
    const client = addressOf(url).open({ lazyConnect: true });
    client.disconnect();
    return client.startupNodes ? { nodes: client.startupNodes, ...client.options.redisOptions } : client.options;
  };
  for (const [url, expected] of [
    ["redis://h", { host: "h", port: 6379, db: 0 }],
    ["redis://u:p%40:w@[::1]:7000/3", { host: "::1", port: 7000, db: 3, username: "u", password: "p@:w" }],
    ["redis://:pw@h/?db=2&client_name=me", { password: "pw", db: 2, connectionName: "me" }],
    ["unix:///run/redis.sock?db=1", { path: "/run/redis.sock", db: 1 }],
    ["rediss://h:1?ssl_cert_reqs=none", { tls: { rejectUnauthorized: false } }],
    ["redis+sentinel://a,b:7/my%20master/2?sentinel_password=s", { name: "my master", db: 2, sentinelPassword: "s" }],
    [
      "redis+cluster://:pw@a:1,b",
      {
        password: "pw",
        nodes: [
          { host: "a", port: 1 },
          { host: "b", port: 6379 },
        ],
      },
    ],
  ]) {
    const found = options(url);
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(found[name], value, `${url} ${name}`);
  }
  assert.deepEqual(options("redis+sentinel://a,b:7/m").sentinels, [
    { host: "a", port: 26379 },
    { host: "b", port: 7 },
  ]);
});

test("an address that can't be meant is refused, and no password repeated", () => {
  for (const url of [
    ...[
      "",
      "redis:",
      "http://h",
      "redis://h:x",
      "redis://u:secret/1@h:1/0",
      "redis://a,b/0",
      "redis://h/x",
      "redis://h#x",
    ],
    ...["redis://h?secret=1", "redis://h?db=x", "redis://h?ssl_keyfile=/secret", "redis://h?socket_timeout=0"],
    ...["rediss://h?ssl_ca_certs=/no/such", "redis+sentinel://h", "redis+cluster://h/1", "unix://", "redis://u:%zz@h"],
  ]) {
    assert.throws(
      () => connect(url),
      (error) => error instanceof InvalidEvent,
      url,
    );
  }
  assert.throws(
    () => connect("redis://u:secret/1@h:1/0"),
    (error) => !error.message.includes("secret"),
  );
  for (const target of [null, undefined, 5, [], { duplicate() {} }, { url: undefined }, { url: 5, db: 1 }]) {
    assert.throws(() => connect(target), InvalidEvent);
  }
});

test("settings that can't be meant are refused by name", () => {
  for (const [name, value] of Object.entries({
    leaseS: 0,
    blockS: "3",
    bufferEvents: 1.5,
    maxEventBytes: 9,
    progressPerS: 0,
    retentionS: NaN,
    x: 1,
  })) {
    assert.throws(() => connect("redis://h", { [name]: value }), named(new RegExp(name)));
  }
});

test("of two reports that wait, the newer one is sent, with the higher percentage", async () => {
  const sent = [];
  const send = async ({ data, number }) => sent.push([number, /"current":(\d)/.exec(data)?.[1]]);
  const senders = { limits: { paceMs: 100_000 }, unsent: new Set() };
  const complain = () => assert.fail();
  const [share, count] = [read(60, complain), read({ current: 3, total: 4 }, complain)];
  for (const [older, newer] of [
    [share, count],
    [count, share],
  ]) {
    const reports = new Reports({ send, senders }, "j1");
    await reports.note(read({ current: 1, total: 4 }, complain));
    await reports.note(older);
    await reports.note(newer);
    await reports.emit("note", {});
    sent.pop();
  }
  const first = ["25", "1"];
  assert.deepEqual(sent, [first, ["75", "3"], first, ["75", undefined]]);
  assert.equal(senders.unsent.size, 0);
});
