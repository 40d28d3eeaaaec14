// Whatever befalls a page with a list of jobs, and in which order: each has the right state once all is well.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { watchJobs } from "../src/many.js";
import { PageLife, running, settled } from "./world.js";

const RECENT = 300_000;
const listed = ["a", "b", "c"];
const faults = {
  none: null,
  unavailable: { status: 503, body: { code: "X", message: "Away" }, retryAfter: "5" },
  "no network": { status: 0 },
  "a proxy's page": { status: 502, type: "text/html" },
};

/** Some jobs, the service that sends their events, and the page that watches them. */
class Life extends PageLife {
  #jobs = new Map();
  #fault = null;
  #mine;

  constructor(mine) {
    super();
    this.#mine = mine;
    for (const id of listed) this.#jobs.set(id, { status: "running", attempt: 1, progress: 0, updatedAt: this.world.clock.now });
  }

  async begin() {
    this.world.answers = [(url) => this.#fault ?? this.#answer(url.pathname)];
    this.watched = watchJobs(this.#mine ? { mine: "active" } : { jobs: listed });
    await settled();
  }

  #status = (id) => {
    const { updatedAt, ...job } = this.#jobs.get(id);
    return running({ ...job, jobId: id, error: job.status === "failed" ? "No paper" : null, updatedAt: new Date(updatedAt).toISOString() });
  };

  #answer(path) {
    if (path.endsWith("/jobs")) return { status: 200, body: { jobs: [...this.#jobs.keys()].map(this.#status), cursor: null } };
    return { status: 200, body: this.#status(path.split("/").at(-2)) };
  }

  #isActive = (id) => this.#jobs.get(id).status === "running";

  #change(id, more) {
    const job = this.#jobs.get(id);
    Object.assign(job, more, { updatedAt: Math.max(job.updatedAt, this.world.clock.now) + 1 });
  }

  /** Sends a job's state to a stream. */
  #tell(source, jobId) {
    const { status, progress } = this.#jobs.get(jobId);
    if (status === "running") return source.send("progress-update", { jobId, progress });
    if (status === "succeeded") source.send("complete", { jobId, result: 1 });
    else source.send("failed", { jobId, error: "No paper", errorCode: null });
    source.send("left", { jobId, reason: "ended" });
    source.on.delete(jobId);
  }

  get #up() {
    return this.world.open.filter((source) => source.on);
  }

  connect() {
    for (const source of this.world.open) {
      if (source.on) continue;
      const recent = (id) => this.world.clock.now - this.#jobs.get(id).updatedAt < RECENT;
      const ids = source.url.searchParams.get("jobs")?.split(",") ?? [...this.#jobs.keys()].filter((id) => this.#isActive(id) || recent(id));
      source.on = new Set(ids);
      source.send("connected", { jobIds: ids, keepaliveSeconds: 15 });
      for (const id of ids) this.#tell(source, id);
    }
  }

  progress(id) {
    if (!this.#isActive(id)) return;
    this.#change(id, { progress: this.#jobs.get(id).progress + 1 });
    for (const source of this.#up) if (source.on.has(id)) this.#tell(source, id);
  }

  finish(id, status) {
    if (!this.#isActive(id)) return;
    this.#change(id, { status });
    for (const source of this.#up) if (source.on.has(id)) this.#tell(source, id);
  }

  retry(id) {
    if (!this.#mine || this.#jobs.get(id).status !== "failed") return;
    const attempt = this.#jobs.get(id).attempt + 1;
    this.#change(id, { status: "running", attempt, progress: 0 });
    for (const source of this.#up) {
      source.on.add(id);
      source.send("reset", { jobId: id, attempt, reason: "attempt" });
      this.#tell(source, id);
    }
  }

  create() {
    if (!this.#mine || this.#jobs.size > 6) return;
    const id = `new-${this.#jobs.size}`;
    this.#jobs.set(id, { status: "running", attempt: 1, progress: 0, updatedAt: this.world.clock.now });
    for (const source of this.#up) {
      source.on.add(id);
      this.#tell(source, id);
    }
  }

  ping() {
    for (const source of this.#up) source.send("ping");
  }

  lose() {
    for (const source of this.world.open) {
      source.on = undefined;
      source.lose();
    }
  }

  refuse() {
    for (const source of this.world.open) source.refuse();
  }

  fault(kind) {
    this.#fault = faults[kind];
  }

  async step([name, ...given]) {
    const { requests, clock } = this.world;
    const [count, at] = [requests.length, clock.now];
    await this[name](...given);
    await settled();
    assert.ok(requests.length - count <= 20 + (2 * (clock.now - at)) / 1000, "requests without a pause");
    assert.ok(this.world.open.length <= 1, "two streams");
    for (const [id, { connection, outcome }] of this.watched.jobs) {
      assert.ok(this.world.open.length || connection !== "live", `${id} is live without a stream`);
      assert.ok(!outcome || connection !== "live" || !this.#mine, `${id} has ended and is live`);
    }
  }

  /** The differences between what the page shows and what is. */
  #wrong() {
    return [...this.#jobs].filter(([id, { status, progress, updatedAt }]) => {
      const shown = this.watched.jobs.get(id);
      if (status !== "running") return shown ? shown.outcome !== status || shown.connection !== "closed" : this.world.clock.now - updatedAt < RECENT;
      return shown?.progress !== progress || shown.outcome || shown.connection !== "live" || shown.transport !== "stream";
    });
  }

  /** All is well: within a quarter of an hour the page shows what is. */
  async recover() {
    this.fault("none");
    for (let second = 0; second < 900; second += 1) {
      if (second % 60 === 0) this.show();
      await this.wait(1);
      this.connect();
      this.ping();
      await settled();
      if (!this.#wrong().length) return;
    }
    assert.fail(JSON.stringify([this.#wrong(), [...this.watched.jobs]]));
  }

  /** The last job ends; a page with a list has no more to do. */
  async end() {
    for (const id of this.#jobs.keys()) this.finish(id, "succeeded");
    await settled();
    if (this.#mine) this.watched.close();
    assert.equal([...(await this.watched.closed).values()].every(({ outcome }) => outcome), true);
    const count = this.world.requests.length;
    await this.wait(600);
    assert.deepEqual([this.world.open.length, this.world.requests.length, this.world.clock.count], [0, count, 0]);
  }
}

const id = fc.constantFrom(...listed);
const step = fc.oneof(
  fc.constantFrom(["connect"], ["connect"], ["ping"], ["lose"], ["refuse"], ["show"], ["create"]),
  fc.tuple(fc.constant("progress"), id),
  fc.tuple(fc.constant("finish"), id, fc.constantFrom("succeeded", "failed")),
  fc.tuple(fc.constant("retry"), id),
  fc.tuple(fc.constant("wait"), fc.constantFrom(0.1, 1, 5, 20, 60, 400)),
  fc.tuple(fc.constant("cache"), fc.constantFrom(1, 1000)),
  fc.tuple(fc.constant("fault"), fc.constantFrom(...Object.keys(faults))),
);

for (const mine of [false, true]) {
  test(`in any order of what befalls a page ${mine ? "of the caller's jobs" : "with a list"} it shows what is`, async () => {
    const life = fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
      const own = new Life(mine);
      try {
        await own.begin();
        for (const each of steps) await own.step(each);
        await own.recover();
        await own.end();
      } finally {
        own.world.end();
      }
    });
    await fc.assert(life, { numRuns: 150, seed: 7 });
  });
}
