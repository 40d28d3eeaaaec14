/** @import * as T from "./types.js" */

const PATIENCE = 6e3;
const SLEPT = 2e3;
const FIRST_PAUSE = 2e3;
const LONGEST_PAUSE = 15e3;
const LONGEST_WAIT = 600e3;

const CONTRACT = ["connected", "reset", "ping", "progress-update", "step-change", "complete", "failed", "log"];

/** @type {T.Address} */
export async function address(o, call, query) {
  const { href, origin } = globalThis.location ?? {};
  const page = /^http/.test(href) ? href : (globalThis.document?.baseURI ?? origin);
  const base = new URL(`${o.base}`.replace(/\/?$/, "/"), page);
  const url = new URL(o.url ?? `api/v1/jobs/${encodeURIComponent(`${o.jobId}`)}/status`, base);
  url.pathname = url.pathname.replace(/(\/stream|\/status)?\/?$/, "/" + call);
  let { token } = /** @type {any} */ (o);
  if (typeof token === "function") token = await import("./token.js").then(({ tokenOf }) => tokenOf(token), () => token());
  for (const [name, value] of Object.entries({ ...query, sessionId: o.session, token })) {
    if (value) url.searchParams.set(name, value);
  }
  return url;
}

/** @type {T.Call} */
export async function call(o, name, method) {
  try {
    const answer = await fetch(await address(o, name), {
      method,
      credentials: o.withCredentials ? "include" : undefined,
      signal: AbortSignal.timeout(10e3),
    });
    const { status, headers } = answer;
    const body = await answer.json().catch(() => null);
    const problem =
      status === 200 && (body?.jobId || body?.jobs || body?.cancelled)
        ? null
        : { code: "UNKNOWN", message: `The service answered ${status}`, ...body, status };
    return { body, problem, wait: Number(headers.get("retry-after")) * 1e3 || 0 };
  } catch (error) {
    return { problem: { status: 0, code: "UNREACHABLE", message: `${error}` } };
  }
}

/** @type {T.Open} */
export async function openStream(o, names, hear, lose, lastId) {
  const other = o.shareAcrossTabs ? import("./shared.js") : o.events === "all" && import("./fetched.js");
  if (other) return (await other).open(o, names, hear, lose, lastId);
  const url = await address(o, "stream", { ping: "1", from: o.from });
  const source = new (o.EventSource ?? EventSource)(url, { withCredentials: o.withCredentials });
  for (const name of names) {
    source.addEventListener(name, ({ data, lastEventId }) => data && hear(name, JSON.parse(data), lastEventId));
  }
  source.onerror = () => lose(source.readyState === 2);
  return source;
}

const none = { close() {} };

/** @type {T.Connect} */
export function connect(o, names, emit) {
  let source = none;
  let phase = "waiting";
  let [turn, asked, failures, refusals, watchdog, next] = [0, 0, 0, 0, 0, 0];
  let [endedAt, heardAt, connectedAt, openAt, pause] = [0, 0, 0, 0, 0];
  let [isPolling, isSuspect, isAnswered, hasBegun, isOver, isGap] = [false, false, false, false, false, false];
  let keepalive = 15e3;
  let seen = "";
  let lastId = "";
  const page = new AbortController();

  /** @type {T.Say} */
  const say = (connection = phase === "live" ? phase : hasBegun ? "reconnecting" : "connecting", problem = null) =>
    (page.signal.aborted && connection !== "closed") ||
    emit({ name: "$link", data: { connection, transport: isPolling ? "polling" : "stream", problem } });

  function drop() {
    turn += 1;
    phase = "waiting";
    isGap = false;
    source.close();
    source = none;
    clearTimeout(watchdog);
  }

  function stop() {
    drop();
    asked += 1;
    clearTimeout(next);
  }

  /** @type {T.Say} */
  function end(connection = "closed", problem = null) {
    stop();
    isPolling = false;
    say(connection, problem);
  }

  /** @type {T.Hear} */
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
    const ms = Math.min(30e3, 2 ** failures++ * 500) * (1 + Math.random());
    openAt = Date.now() + Math.min(LONGEST_WAIT, Math.max(least, ms));
  }

  function untilOpen() {
    const ms = openAt - Date.now();
    return ms > LONGEST_WAIT ? 0 : ms;
  }

  function expect(ms = 2.5 * keepalive) {
    clearTimeout(watchdog);
    const due = Date.now() + ms;
    watchdog = setTimeout(() => {
      if (Math.abs(Date.now() - due) < SLEPT) miss();
      else expect(PATIENCE);
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
  }

  async function open() {
    drop();
    source = { ...none };
    const own = turn;
    isGap = hasBegun && !(lastId && o.events === "all");
    expect(PATIENCE);
    say();
    const fail = (isClosed = true) => own === turn && lose(isClosed);
    try {
      const all = [...new Set([...CONTRACT, ...names])];
      const opened = await openStream(o, all, (name, data, id) => own === turn && hear(name, data, id), fail, lastId);
      if (own === turn) source = opened;
      else opened.close();
    } catch {
      fail();
    }
  }

  /** @type {T.Hear} */
  function hear(name, data, id) {
    heardAt = Date.now();
    if (name === "connected") {
      keepalive = data.keepaliveSeconds * 1e3 || keepalive;
      connectedAt = heardAt;
      phase = "trial";
    }
    if (phase === "trial" && !(isSuspect && Math.abs(heardAt - connectedAt) < 1e3)) {
      phase = "live";
      isSuspect = isPolling = false;
      failures = refusals = 0;
      clearTimeout(next);
      say();
    }
    expect();
    if (name === "ping") return;
    hasBegun = true;
    lastId = id || lastId;
    tell(name, data, id);
    if (isGap) tell("reset", { reason: "reopened" });
    isGap = false;
  }

  function lose(isClosed = false) {
    const hadBegun = phase !== "waiting";
    phase = "waiting";
    if (hadBegun) {
      expect(PATIENCE);
      say();
    }
    if (!isClosed) return;
    drop();
    backOff();
    isPolling ||= failures > 1;
    after(hadBegun ? Math.random() * 1e3 : 0, ask);
  }

  async function ask() {
    const own = ++asked;
    clearTimeout(next);
    const { body, problem, wait } = await (o.poll ?? call)(o, "status");
    if (own !== asked) return;
    isAnswered = !problem;
    if (isAnswered) {
      hasBegun = true;
      refusals = 0;
      if (!/succ|fail/.test(body.status) || source === none || isSuspect) {
        const { outcome, updatedAt } = emit({ name: "$status", data: body });
        if (outcome) return updatedAt === endedAt ? end() : tell(outcome === "succeeded" ? "complete" : "failed", body);
      }
      isOver = false;
      say();
      if (phase === "live") return;
      pause = body.updatedAt === seen ? Math.min(LONGEST_PAUSE, pause * 1.5) : FIRST_PAUSE;
      seen = body.updatedAt;
      return goOn();
    }
    if (isOver) return;
    const mayChange = problem.status === 401 && typeof o.token === "function";
    if (mayChange ? refusals++ : /40[134]/.test(problem.status)) return end("denied", problem);
    if (phase === "live") return;
    backOff(wait);
    say("unavailable", problem);
    after(untilOpen(), ask);
  }

  function goOn() {
    if (source === none && untilOpen() <= 0) open();
    if (isPolling) after(source === none ? Math.min(untilOpen(), pause) : pause, ask);
    else if (source === none) after(untilOpen());
  }

  function wake() {
    if (page.signal.aborted) return;
    if (phase === "live") {
      if (Math.abs(Date.now() - heardAt) < 1.2 * keepalive) return;
      expect(PATIENCE);
    }
    openAt = 0;
    seen = "";
    ask();
  }

  const on = (name = "", act = wake, /** @type {any} */ target = globalThis) =>
    target?.addEventListener?.(name, act, page);
  on("pagehide", () => {
    lose();
    stop();
    phase = "left";
  });
  on("pageshow", () => phase === "left" && wake());
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
  return {
    close,
    wake() {
      isOver = false;
      wake();
    },
  };
}
