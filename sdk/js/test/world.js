// A page without a browser: its clock, its network and its events, all moved by the test.
import assert from "node:assert/strict";
import { watchJob } from "../src/jobcast.js";
// Modules that are loaded when they are needed: here they are loaded before, because the clock does not wait for it.
import "../src/reading.js";
import "../src/token.js";

const START = 1_732_382_400_000;

/** Lets promises that are due settle. */
export const settled = async () => {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
};

class Clock {
  now = START;
  #timers = new Map();
  #last = 0;

  set(act, ms) {
    this.#last += 1;
    this.#timers.set(this.#last, { act, due: this.now + Math.max(0, ms || 0) });
    return this.#last;
  }

  clear(id) {
    this.#timers.delete(id);
  }

  get count() {
    return this.#timers.size;
  }

  async run(ms) {
    const until = this.now + ms;
    for (;;) {
      await settled();
      const [id, timer] = [...this.#timers].sort(([, one], [, other]) => one.due - other.due)[0] ?? [];
      if (!timer || timer.due > until) break;
      this.#timers.delete(id);
      this.now = Math.max(this.now, timer.due);
      timer.act();
    }
    this.now = Math.max(this.now, until);
    await settled();
  }
}

/** An EventSource that says and suffers what the test wants. */
export class FakeSource extends EventTarget {
  static all = [];
  readyState = 0;

  constructor(url, { withCredentials } = {}) {
    super();
    this.url = new URL(url);
    this.withCredentials = withCredentials;
    FakeSource.all.push(this);
  }

  close() {
    this.readyState = 2;
  }

  /** Sends an event, unless nobody would hear it. */
  send(name, data = {}, id = "") {
    if (this.readyState === 2) return;
    this.readyState = 1;
    this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data), lastEventId: id }));
  }

  connect(keepaliveSeconds = 15) {
    this.send("connected", { connectionId: "c", jobId: "j", maxAgeSeconds: 600, keepaliveSeconds });
  }

  progress(progress, currentStep = null, more = {}, id = "") {
    this.send("progress-update", { progress, currentStep, estimatedTimeRemaining: null, ...more }, id);
  }

  /** The connection drops, and the browser tries again by itself. */
  lose() {
    this.readyState = 0;
    this.onerror?.();
  }

  /** The browser gives up: an answer that was not 200, or 204. */
  refuse() {
    this.readyState = 2;
    this.onerror?.();
  }
}

export class World {
  clock = new Clock();
  window = new EventTarget();
  document = Object.assign(new EventTarget(), { hidden: false });
  /** What the service answers next, the last one for good; a function makes the answer. */
  answers = [{ status: 200, body: running() }];
  requests = [];
  #real = {};

  constructor() {
    FakeSource.all = [];
    const { clock, window } = this;
    this.#replace({
      setTimeout: (act, ms) => clock.set(act, ms),
      clearTimeout: (id) => clock.clear(id),
      addEventListener: window.addEventListener.bind(window),
      document: this.document,
      location: { href: "https://app.example/some/page" },
      EventSource: FakeSource,
      fetch: (url, options) => this.#fetch(new URL(url), options),
    });
    this.#real.now = Date.now;
    Date.now = () => clock.now;
    this.#real.random = Math.random;
    Math.random = () => 0.5;
    this.#real.timeout = AbortSignal.timeout;
    AbortSignal.timeout = () => new AbortController().signal;
  }

  /** Puts everything back. */
  end() {
    const { now, random, timeout, ...globals } = this.#real;
    Date.now = now;
    Math.random = random;
    AbortSignal.timeout = timeout;
    for (const [name, descriptor] of Object.entries(globals)) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete globalThis[name];
    }
  }

  #replace(globals) {
    for (const [name, value] of Object.entries(globals)) {
      this.#real[name] = Object.getOwnPropertyDescriptor(globalThis, name);
      Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    }
  }

  async #fetch(url, { method, headers }) {
    this.requests.push({ url, method: method ?? "GET", headers, at: this.clock.now });
    const next = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
    const answer = await (typeof next === "function" ? next(url) : next);
    const { status, body = {}, retryAfter = null, stream } = answer;
    if (status === 0) throw new TypeError("Failed to fetch");
    const { type = stream ? "text/event-stream; charset=utf-8" : "application/json" } = answer;
    const given = new Headers({ "content-type": type, ...(retryAfter && { "retry-after": retryAfter }) });
    return { status, headers: given, body: stream, json: async () => (type === "text/html" ? JSON.parse("<p>") : body) };
  }

  /** The newest EventSource. */
  get source() {
    return FakeSource.all.at(-1);
  }

  get sources() {
    return FakeSource.all;
  }

  get open() {
    return FakeSource.all.filter((source) => source.readyState !== 2);
  }

  /** Watches a job, and keeps what it told. */
  async watch(options = {}) {
    const told = { states: [], events: [] };
    const job = watchJob({
      jobId: "j",
      onState: (state) => told.states.push(state),
      onEvent: (event) => told.events.push(event),
      ...options,
    });
    await settled();
    return Object.assign(job, { told });
  }

  /** Watches a job whose stream is live. */
  async live(options = {}) {
    const job = await this.watch(options);
    this.source.connect();
    this.source.progress(40, "Writing", {}, `${this.clock.now}-0`);
    await settled();
    return job;
  }

  seconds(count) {
    return this.clock.run(count * 1000);
  }

  later(ms = 0) {
    return new Date(this.clock.now + ms).toISOString();
  }
}

/** What befalls a page. */
export class PageLife {
  world = new World();

  wait(seconds) {
    return this.world.seconds(seconds);
  }

  show() {
    this.world.document.dispatchEvent(new Event("visibilitychange"));
  }

  async cache(seconds) {
    this.world.window.dispatchEvent(new Event("pagehide"));
    assert.equal(this.world.open.length, 0);
    await this.world.seconds(seconds);
    this.world.window.dispatchEvent(new Event("pageshow"));
  }
}

export function running(more = {}) {
  return {
    ...{ jobId: "j", status: "running", progress: 41, currentStep: "Polled", estimatedTimeRemaining: 9 },
    ...{ error: null, errorCode: null, result: null, attempt: 1 },
    ...{ createdAt: new Date(START).toISOString(), updatedAt: new Date(START + 1).toISOString() },
    ...more,
  };
}
