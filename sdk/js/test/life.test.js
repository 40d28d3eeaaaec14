// Whatever befalls a page, and in which order: a job is watched by one stream, and again once all is well.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PageLife, running, settled } from "./world.js";

const DAY = 86_400_000;
const faults = {
  none: null,
  unavailable: { status: 503, body: { code: "X", message: "Away" }, retryAfter: "5" },
  "far off": { status: 503, retryAfter: "999999999" },
  "no network": { status: 0 },
  "a proxy's page": { status: 502, type: "text/html" },
};
const tokens = { given: () => "t", late: () => new Promise(() => {}), rejected: () => Promise.reject(new Error("offline")) };

/** A job that runs, fails and is retried, and the page that watches it. */
class Life extends PageLife {
  #real = Date.now;
  #leap = 0;
  #job = { status: "running", attempt: 1, progress: 0, updatedAt: this.world.clock.now };
  #fault = null;
  #token = tokens.given;

  async begin() {
    Date.now = () => this.#real() + this.#leap;
    this.world.answers = [() => this.#fault ?? { status: 200, body: this.status }];
    this.watched = await this.world.watch({ token: () => this.#token() });
  }

  end() {
    Date.now = this.#real;
    this.world.end();
  }

  get status() {
    const error = this.#job.status === "failed" ? "No paper" : null;
    return running({ ...this.#job, error, updatedAt: new Date(this.#job.updatedAt).toISOString() });
  }

  #change(more) {
    Object.assign(this.#job, more, { updatedAt: Math.max(this.#job.updatedAt, this.world.clock.now) + 1 });
  }

  #send(name, data) {
    this.world.source.send(name, data, `${this.#job.updatedAt}-0`);
  }

  get #stream() {
    return this.world.open.at(-1);
  }

  /** Sends what the service sends first. */
  connect() {
    if (!this.#stream || this.#stream.isUp) return;
    this.#stream.isUp = true;
    this.#stream.connect();
    this.#tell();
  }

  #tell() {
    if (this.#job.status === "failed") this.#send("failed", { error: "No paper", errorCode: null });
    else this.#send("progress-update", { progress: this.#job.progress });
  }

  progress() {
    if (this.#job.status === "failed") return;
    this.#change({ progress: this.#job.progress + 1 });
    if (this.#stream?.isUp) this.#tell();
  }

  fail() {
    this.#change({ status: "failed" });
    if (this.#stream?.isUp) this.#tell();
  }

  retry() {
    if (this.#job.status === "failed") this.#change({ status: "running", attempt: this.#job.attempt + 1, progress: 0 });
  }

  ping() {
    if (this.#stream?.isUp) this.#stream.send("ping");
  }

  lose() {
    if (!this.#stream) return;
    this.#stream.isUp = false;
    this.#stream.lose();
  }

  refuse() {
    this.#stream?.refuse();
  }

  fault(kind) {
    this.#fault = faults[kind];
  }

  token(kind) {
    this.#token = tokens[kind];
  }

  leap(ms) {
    this.#leap += ms;
  }

  online() {
    this.world.window.dispatchEvent(new Event("online"));
  }

  async step([name, ...given]) {
    const { requests, clock } = this.world;
    const [count, at] = [requests.length, clock.now];
    await this[name](...given);
    await settled();
    assert.ok(requests.length - count <= 6 + (clock.now - at) / 1000, "requests without a pause");
    assert.ok(this.world.open.length <= 1, "two streams");
    assert.ok(this.world.open.length || this.watched.state.connection !== "live", "live without a stream");
  }

  /** All is well: within a quarter of an hour the page has the state of the job from a stream. */
  async recover() {
    this.fault("none");
    this.token("given");
    this.retry();
    for (let second = 0; second < 900; second += 1) {
      if (second % 60 === 0) this.show();
      await this.wait(1);
      this.connect();
      this.ping();
      const { connection, transport, progress } = this.watched.state;
      if (connection === "live" && transport === "stream") return assert.equal(progress, this.#job.progress);
    }
    assert.fail(JSON.stringify(this.watched.state));
  }
}

const step = fc.oneof(
  fc.constantFrom(["connect"], ["connect"], ["progress"], ["ping"], ["lose"], ["refuse"], ["fail"], ["retry"], ["show"], ["online"]),
  fc.tuple(fc.constant("wait"), fc.constantFrom(0.1, 1, 5, 20, 60)),
  fc.tuple(fc.constant("cache"), fc.constantFrom(1, 1000)),
  fc.tuple(fc.constant("leap"), fc.constantFrom(-DAY, -60_000, 60_000, DAY)),
  fc.tuple(fc.constant("fault"), fc.constantFrom(...Object.keys(faults))),
  fc.tuple(fc.constant("token"), fc.constantFrom(...Object.keys(tokens))),
);

test("in any order of what befalls a page it is live again once all is well", async () => {
  const life = fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const own = new Life();
    try {
      await own.begin();
      for (const each of steps) await own.step(each);
      await own.recover();
      own.watched.close();
      await settled();
      const count = own.world.requests.length;
      await own.wait(600);
      assert.deepEqual([own.world.open.length, own.world.requests.length], [0, count]);
    } finally {
      own.end();
    }
  });
  await fc.assert(life, { numRuns: 200, seed: 7 });
});
