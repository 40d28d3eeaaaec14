/** @import { Iterate, JobEvent, JobState, Problem, WatchJob, WatchOptions } from "./types.js" */
import { call, connect, problemOf } from "./link.js";
import { initial, reduce } from "./state.js";

export { initial };

/** Options of all jobs. @type {WatchOptions} */
export const defaults = { base: "/" };

/** Options that are undefined are the defaults. */
export function withDefaults(/** @type {any} */ options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given), base: options.base ?? defaults.base };
}

export function callbacksOf(/** @type {object} */ options) {
  const named = Object.entries(options).filter(([key, value]) => /^on[A-Z]/.test(key) && value);
  return new Map(named.map(([key, value]) => [key.slice(2).replace(/\B[A-Z]/g, "-$&").toLowerCase(), value]));
}

export const run = async (/** @type {any} */ act, /** @type {any[]} */ ...given) => act?.(...given);

/** @param {Problem} problem */
export const failure = (problem) => Object.assign(new Error(problem.message), problem);

/** @type {Iterate} */
export async function* iterate(readers, isEnded, closed) {
  const waiting = /** @type {any[]} */ ([]);
  let ring = (_ = 0) => {};
  const reader = (/** @type {any} */ event) => ring(waiting.push(event));
  readers.add(reader);
  closed.catch(() => {}).then(() => ring());
  try {
    while (waiting.length || !isEnded()) {
      const rung = new Promise((go) => (ring = go));
      yield* waiting.splice(0);
      if (!isEnded() && !waiting.length) await rung;
    }
    await closed;
  } finally {
    readers.delete(reader);
  }
}

/** @type {WatchJob} */
export function watchJob(options) {
  const o = /** @type {typeof options} */ (withDefaults(options));
  if (!o.jobId && !o.url) throw new TypeError("no jobId");
  const { onState, onEvent, events, ...rest } = o;
  const callbacks = callbacksOf(rest);
  const readers = new Set([onEvent]);
  const subscribers = new Set([onState]);
  let state = initial;
  let shown = state;
  let isEnded = false;
  /** @type {any} */
  let end;

  function renew() {
    const promise = new Promise((resolve, reject) => (end = { resolve, reject }));
    promise.catch(() => {});
    end.promise = promise;
  }

  function take(/** @type {JobEvent} */ event) {
    const { name, data } = event;
    state = reduce(state, event);
    const before = shown;
    if (name !== "$status" && (name !== "reset" || o.from)) shown = state;
    if (name[0] !== "$") {
      for (const reader of readers) run(reader, event);
      run(callbacks.get(name), data, event);
    }
    if (shown !== before) for (const subscriber of subscribers) run(subscriber, shown);
    const { problem, connection } = state;
    if (isEnded !== /closed|denied/.test(connection)) {
      isEnded = !isEnded;
      if (!isEnded) renew();
      else if (problem) end.reject(failure(problem));
      else end.resolve(state.outcome);
    }
    return state;
  }

  async function post(name = "") {
    const { status, body } = await call(o, name, "POST");
    if (status !== 200 || !(body?.cancelled || body?.jobId)) throw failure(problemOf(status, body));
  }

  renew();
  const link = connect(o, [...callbacks.keys(), ...[events ?? []].flat()], take);

  return {
    get state() {
      return shown;
    },
    get closed() {
      return end.promise;
    },
    subscribe(subscriber) {
      const own = (/** @type {JobState} */ told) => subscriber(told);
      subscribers.add(own);
      run(own, shown);
      return () => subscribers.delete(own);
    },
    [Symbol.asyncIterator]: () => iterate(readers, () => isEnded, end.promise),
    cancel: () => post("cancel"),
    retry: async () => {
      await post("retry");
      link.wake();
    },
    wake: link.wake,
    close: link.close,
  };
}
