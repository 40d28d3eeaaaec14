/** @import { JobState, ManyEvent, Options, Problem, WatchJobs } from "./types.js" */
import { callbacksOf, failure, iterate, run, withDefaults } from "./jobcast.js";
import { call, connect } from "./link.js";
import { canonical, grouped, JOB_ID, MOST } from "./listed.js";
import { initial, reduce } from "./state.js";

const RECENT = 300_000;
const PAGE = 100;
const SOON = 1e3;
const LATER = 5e3;
const MOST_LEFT = 1000;

/** An EventSource that spares each comma two bytes: with 200 ids they would pass what nginx takes. */
const plain = (/** @type {any} */ Source) =>
  function (/** @type {URL} */ url, /** @type {EventSourceInit} */ init) {
    return new (Source ?? EventSource)(`${url}`.replaceAll("%2C", ","), init);
  };

/** What a job that left is denied for. @type {Map<string, Problem>} */
const denials = new Map([
  ["not-found", { status: 404, code: "JOB_NOT_FOUND", message: "Job not found or access denied" }],
  ["gone", { status: 404, code: "JOB_NOT_FOUND", message: "The job is gone" }],
  ["unreadable", { status: 500, code: "INTERNAL", message: "What is stored of the job can't be read" }],
  ["too-many-streams", { status: 429, code: "TOO_MANY_STREAMS", message: "Too many open streams of this job" }],
]);

/** @type {WatchJobs} */
export function watchJobs(options) {
  const o = withDefaults(options);
  const { onState, onEvent, onJobs, jobs: listed, mine, known, events, ...rest } = o;
  if (!listed === !mine) throw new TypeError("either jobs or mine");
  const named = [...new Set((listed ?? []).map((id) => canonical(`${id}`)))];
  const ids = named.filter((id) => JOB_ID.test(id));
  const callbacks = callbacksOf(rest);
  const readers = new Set([onEvent]);
  const subscribers = new Set([onJobs]);
  const unknown = { ...initial, connection: /** @type {const} */ ("denied"), problem: denials.get("not-found") ?? null };
  const states = new Map(named.map((id) => [id, JOB_ID.test(id) ? (known?.get(id) ?? initial) : unknown]));
  /** @type {Map<string, JobState> | null} */
  let shown = null;
  let isEnded = false;
  /** @type {any} */
  let end;
  const closed = new Promise((resolve, reject) => (end = { resolve, reject }));
  closed.catch(() => {});

  const now = () => (shown ??= new Map(states));

  function changed() {
    shown = null;
    for (const subscriber of subscribers) if (subscriber) run(subscriber, now());
  }

  function tell(/** @type {ManyEvent} */ event) {
    for (const reader of readers) run(reader, event);
    run(callbacks.get(event.name), event.data, event);
  }

  /** Sets the state of a job; says whether that changed anything. */
  function set(/** @type {string} */ id, /** @type {JobState} */ state) {
    const before = states.get(id);
    if (state === before) return false;
    states.set(id, state);
    run(onState, state, id);
    return true;
  }

  const groups = mine ? [[]] : grouped(ids);
  let open = groups.length;
  /** Listed jobs that their queue retries: the stream that an attempt has ended on says nothing of the next. @type {Set<string>} */
  const retried = new Set();
  /** @type {any} */
  let again;

  /** Streams of retried jobs. @type {ReturnType<typeof watch>[]} */
  let further = [];

  /**
   * Watches a job on another stream, which is opened once its next attempt has begun. Jobs that are retried later join
   * those that are on it: with a stream for each, a browser would run out of connections.
   */
  function watchAgain(/** @type {string} */ id) {
    retried.add(id);
    if (retried.size > 1) return;
    open += 1;
    const watchThem = () => {
      const all = grouped([...further.flatMap((link) => link.handOver()), ...retried]);
      retried.clear();
      open += all.length - 1;
      further = all.map((group) => watch(group, true));
    };
    again = setTimeout(watchThem, further.some((link) => !link.isOver()) ? LATER : SOON);
  }

  /** One stream, of listed jobs or of the caller's active ones. */
  function watch(/** @type {string[]} */ group, hasBegun = false) {
    const members = new Set(group);
    /** Jobs of which nothing more comes on this stream. @type {Set<string>} */
    const left = new Set(group.filter((id) => states.get(id)?.outcome === "succeeded"));
    /** Jobs whose state of before the stream was opened anew is still shown. @type {Set<string>} */
    const stale = new Set();
    /** Jobs that a stream of the caller's was opened without. @type {Set<string>} */
    let absent = new Set();
    /** Number of the last event of each job: what a status says of earlier is old. @type {Map<string, number>} */
    const told = new Map();
    let count = 0;
    let connection = {};
    let isOver = false;

    const query = mine ? `mine=${mine}` : `jobs=${group}`;
    const given = /** @type {Options} */ (
      /** @type {any} */ ({ ...o, url: `api/v1?${query}`, from: null, shareAcrossTabs: false, EventSource: plain(o.EventSource), poll })
    );

    const stateOf = (id = "") => states.get(id) ?? { ...initial, ...connection };

    const done = () => !mine && group.every((id) => left.has(id));
    const answer = () => ({ ...initial, outcome: done() ? /** @type {const} */ ("succeeded") : null, progress: 100, updatedAt: 1 });

    function leave(id = "", reason = "") {
      left.add(id);
      stale.delete(id);
      const problem = denials.get(reason) ?? null;
      if (mine && left.size > MOST_LEFT) forget([...left][0]);
      return set(id, { ...stateOf(id), connection: problem ? "denied" : "closed", problem });
    }

    /** Bounds what a page that is open for weeks keeps. */
    function forget(/** @type {string} */ id) {
      for (const each of [left, members, stale, absent, told, states]) each.delete(id);
    }

    /** @type {Parameters<typeof connect>[2]} */
    function take({ name, data }) {
      const id = data.jobId;
      if (name === "$link") return takeLink(data);
      if (name === "connected") {
        if (!mine) left.clear(); // of the caller's jobs only those come again that are active
        for (const each of members) if (hasBegun) stale.add(each);
        hasBegun = true;
        if (mine) check(data.jobIds);
      } else if (name === "left") {
        told.set(id, ++count);
        const { status, outcome } = stateOf(id);
        if (!mine && data.reason === "ended" && status === "failed" && !outcome) {
          left.add(id);
          watchAgain(id);
        } else if (leave(id, data.reason)) changed();
        tell({ name, data, jobId: id });
      } else if (typeof id === "string") {
        members.add(id);
        if (stale.delete(id)) tell({ name: "reset", data: { reason: "reopened" }, jobId: id });
        apply({ name, data, jobId: id });
      }
      return answer();
    }

    function takeLink(/** @type {any} */ data) {
      connection = data;
      let isOther = false;
      for (const id of members) if (!left.has(id)) isOther = set(id, reduce(stateOf(id), { name: "$link", data })) || isOther;
      if (isOther) changed();
      if (/closed|denied/.test(data.connection) && !isOver) {
        isOver = true;
        open -= 1;
        isEnded ||= !open || !!data.problem;
        if (data.problem) end.reject(failure(data.problem));
        else if (isEnded) end.resolve(now());
      }
      return answer();
    }

    /** Reduces an event of a job, and tells it, but no end twice. */
    function apply(/** @type {ManyEvent} */ { name, data: { jobId, ...data } }) {
      const before = stateOf(jobId);
      const isEnd = /^(complete|failed)$/.test(name);
      const isBack = !isEnd && /closed|denied/.test(before.connection);
      left.delete(jobId);
      absent.delete(jobId);
      told.set(jobId, ++count);
      const state = reduce(isBack ? { ...before, ...connection } : before, { name, data });
      if (name === "reset") states.set(jobId, state); // the snapshot follows immediately, and is shown in its place
      else if (set(jobId, state)) changed();
      if (!isEnd || !before.outcome) tell({ name, data, jobId });
    }

    /** Takes over what a status says of a job that was asked for after so many events; an end is told as an event. */
    function takeStatus(/** @type {any} */ body, /** @type {number} */ since) {
      const { jobId, status } = body;
      if ((told.get(jobId) ?? 0) > since) return;
      members.add(jobId);
      const before = stateOf(jobId);
      const isBack = /queued|running/.test(status) && left.delete(jobId);
      const state = reduce(isBack ? { ...before, ...connection } : before, { name: "$status", data: body });
      if (set(jobId, state)) changed();
      if (!state.outcome) return;
      if (!before.outcome) tell({ name: status === "succeeded" ? "complete" : "failed", data: body, jobId });
      if (leave(jobId, "ended")) changed();
    }

    /** Asks for the status of one job; returns whether that was answered. */
    async function ask(id = "") {
      const one = { ...given, url: undefined, jobId: id };
      const since = count;
      const { body, problem } = await call(one, "status");
      if (body?.jobId && !problem) takeStatus(body, since);
      else if (problem?.status === 404 && (told.get(id) ?? 0) <= since && leave(id, "not-found")) changed();
      return !problem;
    }

    /** Asks for jobs that are believed to be active, and are not among those of the stream. */
    async function check(/** @type {string[]} */ on = []) {
      const joined = new Set(on);
      absent = new Set([...members].filter((id) => !stateOf(id).outcome && !joined.has(id)));
      for (const id of absent) {
        // One that is active has made room for others.
        if ((await ask(id)) && absent.has(id) && !stateOf(id).outcome && leave(id, "displaced")) changed();
      }
    }

    /** Asks for the states of all, while no stream is live: one call a page, and one for each that has ended. */
    async function poll() {
      const missing = new Set([...members].filter((id) => !left.has(id)));
      let cursor = "";
      let newest = "";
      for (let page = 0; page * PAGE < MOST; page += 1) {
        const since = count;
        const url = `api/v1?limit=${PAGE}${cursor && `&cursor=${cursor}`}`;
        const answered = await call({ ...given, url }, "jobs");
        const { body, problem } = answered;
        if (problem) return answered;
        for (const job of body.jobs ?? []) {
          const isRecent = Date.now() - Date.parse(job.updatedAt) < RECENT;
          const isActive = /queued|running/.test(job.status);
          if (mine ? !(isActive || isRecent) && !missing.has(job.jobId) : !missing.has(job.jobId)) continue;
          missing.delete(job.jobId);
          if (job.updatedAt > newest) newest = job.updatedAt;
          if (isActive) takeStatus(job, since);
          else if (!stateOf(job.jobId).outcome) await ask(job.jobId);
        }
        cursor = body.cursor;
        if (!cursor) break;
      }
      for (const id of missing) if (!stateOf(id).outcome) await ask(id);
      return { body: { jobId: true, status: done() ? "succeeded" : "running", updatedAt: newest }, problem: null };
    }

    const link = connect(given, ["left", ...callbacks.keys(), ...[events ?? []].flat()], take);
    return {
      ...link,
      isOver: () => isOver,
      /** Closes the stream for another, and returns the jobs that are still on it. */
      handOver() {
        const rest = isOver ? [] : group.filter((id) => !left.has(id));
        if (!isOver) open -= 1;
        isOver = true;
        members.clear();
        link.close();
        return rest;
      },
    };
  }

  const links = groups.map((group) => watch(group));
  const close = () => {
    clearTimeout(again);
    if (retried.size) {
      for (const id of retried) set(id, { ...(states.get(id) ?? initial), connection: "closed" });
      retried.clear();
      shown = null;
      open -= 1;
      isEnded ||= !open;
      if (isEnded) end.resolve(now());
    }
    for (const link of [...links, ...further]) link.close();
  };
  if (!links.length) {
    isEnded = true;
    end.resolve(now());
  }
  o.signal?.addEventListener("abort", close);
  closed.then(() => o.signal?.removeEventListener("abort", close), () => {});
  if (o.signal?.aborted) close();

  return {
    get jobs() {
      return now();
    },
    closed,
    subscribe(subscriber) {
      subscribers.add(subscriber);
      run(subscriber, now());
      return () => subscribers.delete(subscriber);
    },
    [Symbol.asyncIterator]: () => iterate(readers, closed),
    wake() {
      for (const link of [...links, ...further]) link.wake();
    },
    close,
  };
}
