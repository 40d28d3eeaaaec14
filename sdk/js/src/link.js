/** @import { Address, Call, Connect, Hear, Open, Problem, ProblemOf, TokenOf } from "./types.js" */

const PATIENCE = 6e3;
const SLEPT = 2e3;
const FIRST_PAUSE = 2e3;
const LONGEST_PAUSE = 15e3;
const LONGEST_WAIT = 600e3;
const TOKEN_TIME = 30e3;

const CONTRACT = ["connected", "reset", "ping", "progress-update", "step-change", "complete", "failed", "log"];

/** Calls that have not settled, of each function. @type {WeakMap<Function, Promise<string | null | undefined>>} */
const tokens = new WeakMap();

/**
 * Coalesces calls of one function, because a refresh token may be valid once only. Fails if it never settles.
 *
 * @type {TokenOf}
 */
export async function tokenOf(give) {
  if (typeof give !== "function") return give;
  let token = tokens.get(give);
  if (!token) {
    /** @type {any} */
    let late;
    const call = async () => give();
    const lateness = new Promise((_, fail) => (late = setTimeout(() => fail(Error("No token in time")), TOKEN_TIME)));
    token = Promise.race([call(), lateness]).finally(() => {
      clearTimeout(late);
      tokens.delete(give);
    });
    tokens.set(give, token);
  }
  return token;
}

/** @type {Address} */
export async function address(o, call, query) {
  const { jobId, token, session: sessionId } = o;
  const { location: { href, origin } = {}, document } = /** @type {any} */ (globalThis);
  const page = /^(about|blob):/.test(href) ? (document?.baseURI ?? origin) : href; // of a frame's srcdoc, or a worker
  const base = new URL(`${o.base}`.replace(/\/?$/, "/"), page);
  const url = new URL(o.url ?? `api/v1/jobs/${encodeURIComponent(`${jobId}`)}/status`, base);
  url.pathname = url.pathname.replace(/(\/(stream|status))?\/?$/, "/" + call);
  const given = { ...query, sessionId, token: await tokenOf(token) };
  for (const [name, value] of Object.entries(given)) if (value) url.searchParams.set(name, value);
  return url;
}

/** @type {ProblemOf} */
export const problemOf = (status, body) => ({ code: "UNKNOWN", message: `The service answered ${status}`, ...body, status });

/** @type {Call} */
export async function call(o, name, method) {
  try {
    const answer = await fetch(await address(o, name), {
      method,
      credentials: o.withCredentials ? "include" : undefined,
      signal: AbortSignal.timeout(10e3),
    });
    const { status, headers } = answer;
    return { status, body: await answer.json().catch(() => ({})), wait: Number(headers.get("retry-after")) * 1e3 || 0 };
  } catch (error) {
    return { status: 0, body: { code: "UNREACHABLE", message: `${error}` }, wait: 0 };
  }
}

/** @type {Open} */
export async function openStream(o, names, hear, lose, lastId) {
  if (o.events === "all") return (await import("./fetched.js")).openFetched(o, names, hear, lose, lastId);
  const url = await address(o, "stream", { ping: "1", from: o.from });
  const source = new (o.EventSource ?? EventSource)(url, { withCredentials: !!o.withCredentials });
  for (const name of names) {
    source.addEventListener(name, ({ data, lastEventId }) => data && hear(name, JSON.parse(data), lastEventId));
  }
  source.onerror = () => lose(source.readyState === 2);
  return source;
}

const none = { close() {} };

/** @type {Connect} */
export function connect(o, names, emit) {
  let source = none;
  let phase = "waiting";
  let [turn, asked, failures, refusals, watchdog, next, endedAt] = [0, 0, 0, 0, 0, 0, 0];
  let [isPolling, isSuspect, isAnswered, hasBegun, isOver] = [false, false, false, false, false];
  let [heardAt, connectedAt, openAt, keepalive, pause] = [0, 0, 0, 15e3, FIRST_PAUSE];
  let [seen, lastId] = ["", ""];
  const page = new AbortController();

  const say = (connection = hasBegun ? "reconnecting" : "connecting", /** @type {Problem | null} */ problem = null) =>
    (page.signal.aborted && connection !== "closed") ||
    emit({ name: "$link", data: { connection, transport: isPolling ? "polling" : "stream", problem } });

  function drop() {
    turn += 1;
    phase = "waiting";
    source.close();
    source = none;
    clearTimeout(watchdog);
  }

  function stop() {
    drop();
    asked += 1;
    clearTimeout(next);
  }

  function end(connection = "closed", /** @type {Problem | null} */ problem = null) {
    stop();
    isPolling = false;
    say(connection, problem);
  }

  /** @type {Hear} */
  function tell(name, data, id) {
    const { outcome, progress, updatedAt } = emit({ name, data, id });
    if (!outcome) return;
    endedAt = updatedAt ?? 0;
    isOver = true;
    end();
    if (outcome === "succeeded") page.abort();
    else if (progress === null) ask();
  }

  function after(ms = 0, act = goOn) {
    clearTimeout(next);
    next = setTimeout(act, ms);
  }

  function backOff(least = 0) {
    const most = Math.min(60e3, 2 ** failures++ * 1e3);
    openAt = Date.now() + Math.min(LONGEST_WAIT, Math.max(least, (most * (1 + Math.random())) / 2));
  }

  /** How long until a stream may be opened. The clock may have been put back. */
  function untilOpen() {
    const ms = openAt - Date.now();
    return ms > LONGEST_WAIT ? 0 : ms;
  }

  function expect(ms = 2.5 * keepalive) {
    clearTimeout(watchdog);
    const due = Date.now() + ms;
    watchdog = setTimeout(() => {
      if (Math.abs(Date.now() - due) < SLEPT) return miss();
      expect(PATIENCE);
      ask();
    }, ms);
  }

  function miss() {
    if (phase !== "waiting" || (isPolling && isAnswered)) {
      isSuspect = true;
      drop();
      backOff();
    } else expect();
    isPolling = true;
    say();
    ask();
  }

  async function open() {
    drop();
    source = { ...none };
    const own = turn;
    let isGap = hasBegun && !(lastId && o.events === "all");
    expect(PATIENCE);
    say();
    /** @type {Parameters<Open>} */
    const given = [
      o,
      [...new Set([...CONTRACT, ...names])],
      (name, data, id) => {
        if (own !== turn) return;
        hear(name, data, id);
        if (isGap && own === turn) tell("reset", { reason: "reopened" });
        isGap = false;
      },
      (isClosed) => own === turn && lose(isClosed),
      lastId,
    ];
    try {
      const opened = await (o.shareAcrossTabs ? (await import("./shared.js")).openShared : openStream)(...given);
      if (own === turn) source = opened;
      else opened.close();
    } catch {
      if (own === turn) lose(true);
    }
  }

  /** @type {Hear} */
  function hear(name, data, id) {
    heardAt = Date.now();
    if (name === "connected") {
      keepalive = data.keepaliveSeconds * 1e3 || keepalive;
      connectedAt = heardAt;
      phase = "trial";
    }
    if (phase === "trial" && (!isSuspect || Math.abs(heardAt - connectedAt) > 1e3)) {
      phase = "live";
      isSuspect = isPolling = false;
      failures = refusals = 0;
      clearTimeout(next);
      say("live");
    }
    expect();
    if (name === "ping") return;
    hasBegun = true;
    lastId = id || lastId;
    tell(name, data, id);
  }

  function lose(isClosed = false) {
    const hadBegun = phase !== "waiting";
    phase = "waiting";
    if (isClosed) {
      drop();
      backOff();
      isPolling ||= failures > 1;
      after(hadBegun ? Math.random() * 1e3 : 0, ask);
    } else if (hadBegun) expect(PATIENCE);
    if (hadBegun) say();
  }

  async function ask() {
    const own = ++asked;
    clearTimeout(next);
    const { status, body, wait } = await (o.poll ?? call)(o, "status");
    if (own !== asked) return;
    isAnswered = status === 200 && !!body?.jobId;
    if (isOver && !isAnswered) return; // what has ended stays so, and is looked at again later
    if (isAnswered) {
      hasBegun = true;
      refusals = 0;
      if (!/succ|fail/.test(body.status) || source === none || isSuspect) {
        const { outcome, updatedAt } = emit({ name: "$status", data: body });
        if (outcome) return updatedAt === endedAt ? end() : tell(outcome === "succeeded" ? "complete" : "failed", body);
      }
      isOver = false;
      if (phase === "live") return say(phase);
      pause = body.updatedAt === seen ? Math.min(LONGEST_PAUSE, pause * 1.5) : FIRST_PAUSE;
      seen = body.updatedAt;
      say();
      return goOn();
    }
    const problem = problemOf(status, body);
    const mayChange = status === 401 && typeof o.token === "function" && !refusals++;
    if (/40[134]/.test(`${status}`) && !mayChange) return end("denied", problem);
    if (phase === "live") return;
    backOff(wait);
    say("unavailable", problem);
    after(untilOpen(), ask);
  }

  function goOn() {
    if (source === none && untilOpen() <= 0) open();
    const wait = source === none ? untilOpen() : Infinity;
    if (isPolling) after(Math.min(wait, pause), ask);
    else if (source === none) after(wait);
  }

  function wake() {
    if (page.signal.aborted) return;
    if (phase === "live" && Math.abs(Date.now() - heardAt) < 1.2 * keepalive) return;
    if (phase === "live") expect(PATIENCE);
    openAt = 0;
    pause = FIRST_PAUSE;
    ask();
  }

  const on = (name = "", act = wake, /** @type {any} */ target = globalThis) =>
    target?.addEventListener?.(name, act, page);
  let [isLeft, wasOpen] = [false, false];
  on("pagehide", () => {
    [isLeft, wasOpen] = [true, source !== none];
    stop();
  });
  on("pageshow", () => {
    if (wasOpen) say();
    if (isLeft) wake();
  });
  on("online");
  on("resume", wake, globalThis.document);
  on("visibilitychange", () => document.hidden || wake(), globalThis.document);
  open();

  function close() {
    page.abort();
    end();
    queueMicrotask(stop);
  }

  on("abort", close, o.signal);
  if (o.signal?.aborted) close();
  /** Whoever calls this knows that a job was retried, or wants to. */
  function insist() {
    isOver = false;
    wake();
  }

  return { wake: insist, close };
}
