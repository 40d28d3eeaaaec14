// Plays the calls of tests/worker_cases.json by the worker library, and prints what became of them: the counterpart of
// tests/support/worker_cases.py, and called by the same test. `node cases.js FILE URL`.
import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import { Append, SCRIPT } from "../../worker/append.js";
import { connect } from "../../worker/index.js";

const [, , file, url] = process.argv;
const redis = new Redis(url);

class Boom extends Error {}

/** @param {any} value @param {string} jobId @returns {any} */
function made(value, jobId) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((each) => made(each, jobId));
  switch (value.$) {
    case "nan":
      return NaN;
    case "infinity":
      return Infinity;
    case "long":
      return value.of.repeat(value.times);
    case "set":
      return new Set([1]);
    case "function":
      return () => 1;
    case "own":
      return jobId;
    case "circular": {
      const circle = {};
      return Object.assign(circle, { circle });
    }
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, made(each, jobId)]));
}

/** @param {string} jobId */
function keys(jobId) {
  return [`jobs:{${jobId}}:log`, `jobs:{${jobId}}:state`];
}

/** @param {string} jobId @param {Append} event @param {string} [run] */
async function appended(jobId, event, run = "") {
  const [, , ...words] = event.command("PUBLISH", /** @type {any} */ (keys(jobId)), null, run, "");
  await redis.eval(SCRIPT, ...words);
}

/** @type {Record<string, (jobId: string) => Promise<unknown>>} */
const DEEDS = {
  cancel: (jobId) => appended(jobId, new Append("cancel")),
  retry: (jobId) => appended(jobId, new Append("retry", { cleared: ["run", "error", "errorCode", "cancel"] })),
  expire: (jobId) => redis.del(...keys(jobId)),
  damage: (jobId) => redis.set(keys(jobId)[0], "x"),
  async stall(jobId) {
    const [, state] = keys(jobId);
    await redis.hset(state, "lease", "1");
    const event = new Append("stall", { fields: { error: "The worker was lost", errorCode: "STALLED" } });
    await appended(jobId, event, String(await redis.hget(state, "run")));
  },
};

class Player {
  runs = new Map();
  /** @type {(string | null)[]} */
  outcomes = [];

  constructor(jobs, jobId) {
    this.jobs = jobs;
    this.jobId = jobId;
  }

  async play(steps) {
    for (const step of steps) await this.step(step);
  }

  async step(step) {
    if (step.do) return DEEDS[step.do](this.jobId);
    try {
      await this.call(made(step, this.jobId));
      this.outcomes.push(null);
    } catch (error) {
      this.outcomes.push(error.constructor.name);
      if (step.passes) throw error;
    }
  }

  run(name = "first", attempt = null) {
    if (!this.runs.has(name)) this.runs.set(name, this.jobs.run(this.jobId, attempt));
    return this.runs.get(name);
  }

  async call({ call, run: name, raises, ...given }) {
    if (call === "cancel" || call === "retry") return this.jobs[call](this.jobId);
    if (call === "create") return this.jobs.create(given.type, given);
    const run = this.run(name, given.attempt);
    const { more = {} } = given;
    switch (call) {
      case "start":
        return run.start();
      case "progress": {
        const { more: _, progress, ...fields } = given;
        return run.progress(progress, { ...more, ...fields });
      }
      case "step":
        return run.step(given.step, { ...more, progress: given.progress, eta: given.eta });
      case "advance":
        return run.advance(given.count);
      case "plan":
        return run.plan(given.weights);
      case "track":
        for await (const _ of run.track(new Array(given.items).fill(0), given.step, { unit: given.unit }));
        return undefined;
      case "emit":
        return run.emit(given.event, given.data);
      case "log":
        return run.log(given.text, given.level, more);
      case "complete":
        return run.complete(given.result);
      case "fail":
        return run.fail(given.error, given.code);
      case "work":
        return run.work(async () => {
          await this.play(given.body);
          const { throws, result } = given;
          if (throws) throw Object.assign(new Boom(throws.message), throws.code ? { code: throws.code } : {});
          return result;
        });
    }
    throw new Error(`there is no call ${call}`);
  }
}

const played = [];
for (const [number, each] of JSON.parse(readFileSync(file, "utf8")).entries()) {
  const jobs = connect(url, { leaseS: null, progressPerS: null, ...each.settings });
  const jobId = `case-${number}`;
  await jobs.create(made(each.create?.type ?? "report", jobId), made({ userId: "u1", ...each.create, jobId }, jobId));
  if (each.stored) await redis.hset(keys(jobId)[1], each.stored);
  const player = new Player(jobs, jobId);
  await player.play(each.calls);
  const { attempt = null, input = {} } = player.runs.get("first") ?? {};
  played.push({ outcomes: player.outcomes, started: { attempt, input } });
  await jobs.close();
}
console.log(JSON.stringify(played));
redis.disconnect();
