/** @import { JobEvent, Problem, WatchJob, WatchOptions } from "./types.js" */
import { call, connect } from "./link.js";
import { initial, reduce } from "./state.js";

export { initial };

/** Default options of all jobs. @type {WatchOptions} */
export const defaults = { base: "/" };

const eventOf = (callback = "") => callback.slice(2).replace(/\B[A-Z]/g, "-$&").toLowerCase();

const run = async (/** @type {any} */ act, /** @type {any[]} */ ...given) => act?.(...given);

/** @param {Problem} problem */
const failure = (problem) => Object.assign(new Error(problem.message), problem);

/** @type {WatchJob} */
export function watchJob(options) {
  const o = { ...defaults, ...options };
  o.base ??= defaults.base;
  if (!o.jobId && !o.url) throw new TypeError("no jobId");
  const { onState, onEvent, events, ...rest } = o;
  const named = Object.entries(rest).filter(([key, value]) => /^on[A-Z]/.test(key) && value);
  const callbacks = new Map(named.map(([key, value]) => [eventOf(key), value]));
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
    if (status !== 200) throw failure({ ...body, status });
  }

  renew();
  const link = connect(o, [...callbacks.keys(), ...[events ?? []].flat()], take);
  if (o.signal?.aborted) link.close();
  o.signal?.addEventListener("abort", link.close);

  return {
    get state() {
      return shown;
    },
    get closed() {
      return end.promise;
    },
    subscribe(subscriber) {
      subscribers.add(subscriber);
      run(subscriber, shown);
      return () => subscribers.delete(subscriber);
    },
    async *[Symbol.asyncIterator]() {
      /** @type {JobEvent[]} */
      const waiting = [];
      let ring = () => {};
      const reader = (/** @type {JobEvent} */ event) => {
        waiting.push(event);
        ring();
      };
      readers.add(reader);
      end.promise.catch(() => {}).then(() => ring());
      try {
        while (waiting.length || !isEnded) {
          yield* waiting.splice(0);
          if (!isEnded && !waiting.length) await new Promise((go) => (ring = () => go(0)));
        }
        await end.promise;
      } finally {
        readers.delete(reader);
      }
    },
    cancel: () => post("cancel"),
    retry: async () => {
      await post("retry");
      link.wake();
    },
    wake: link.wake,
    close: link.close,
  };
}
