/** @import * as T from "./types.js" */
import { call, connect } from "./link.js";
import { initial, reduce } from "./state.js";

export { initial };

/** @type {T.WatchOptions} */
export const defaults = { base: "/" };

/** @type {T.WithDefaults} */
export function withDefaults(options) {
  const given = Object.entries(options).filter(([name, value]) => value !== undefined && (value !== null || name !== "base"));
  return Object.assign({ ...options, ...defaults }, Object.fromEntries(given));
}

/** @type {T.Run} */
export const run = async (act, ...given) => act?.(...given);

export function callbacksOf(/** @type {object} */ options) {
  const given = Object.entries(options).filter(([name, value]) => value && /^on[A-Z]/.test(name));
  return new Map(given.map(([name, value]) => [name.replace(/[A-Z]/g, "-$&").toLowerCase().slice(3), value]));
}

/** @type {T.Failure} */
export const failure = (problem) => Object.assign(Error(problem.message), problem);

/** @type {T.Iterate} */
export async function* iterate(readers, closed) {
  const waiting = /** @type {any[]} */ ([]);
  const reader = (event = null) => waiting.push(event);
  readers.add(reader);
  try {
    yield* (await import("./reading.js")).reading(waiting, readers, closed);
  } finally {
    readers.delete(reader);
  }
}

/** @type {T.WatchJob} */
export function watchJob(options) {
  const o = withDefaults(options);
  if (!o.jobId && !o.url) throw TypeError("no jobId");
  const { onState, onEvent, events, ...rest } = o;
  const callbacks = callbacksOf(rest);
  const readers = new Set([onEvent]);
  const subscribers = new Set([onState]);
  let state = initial;
  let shown = state;
  let isEnded = true;
  let [end, closed] = /** @type {any[]} */ ([]);

  function take(/** @type {T.JobEvent} */ event) {
    const { name, data } = event;
    state = reduce(state, event);
    const before = shown;
    if (name !== "$status" && (name !== "reset" || o.from)) shown = state;
    if (name[0] !== "$") {
      for (const reader of readers) run(reader, event);
      run(callbacks.get(name), data, event);
    }
    if (shown !== before) for (const subscriber of subscribers) run(subscriber, shown);
    if (isEnded !== /closed|denied/.test(state.connection)) {
      isEnded = !isEnded;
      if (!isEnded) closed = new Promise((resolve, reject) => (end = { resolve, reject }));
      else if (state.problem) end.reject(failure(state.problem));
      else end.resolve(state.outcome);
      closed.catch(() => {});
    }
    return state;
  }

  async function post(name = "") {
    const { problem } = await call(o, name, "POST");
    if (problem) throw failure(problem);
  }

  const link = connect(o, [...callbacks.keys()].concat(events ?? []), take);

  return {
    ...link,
    get state() {
      return shown;
    },
    get closed() {
      return closed;
    },
    subscribe(subscriber) {
      const own = subscriber.bind(null);
      subscribers.add(own);
      run(own, shown);
      return () => subscribers.delete(own);
    },
    [Symbol.asyncIterator]: () => iterate(readers, closed),
    cancel: () => post("cancel"),
    retry: () => post("retry").then(link.wake),
  };
}
