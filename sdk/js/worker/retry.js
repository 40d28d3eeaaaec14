import { RedisUnavailable } from "./errors.js";

const MIN_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1000;

/** Error replies that mean that Redis can't write now. Redis 6 wraps the error of a command in that of the script. */
const PASSES =
  /(?:^|^(?:ERR )?Error running script .*: -)(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN) /;

/** Error replies that mean that Redis rejects the address: its user, password or database. */
const REFUSES =
  /WRONGPASS|NOAUTH|NOPERM|invalid password|invalid username|without any password configured|DB index is out of range|invalid DB index/i;

/**
 * Whether Redis is only unavailable, so that the same call can succeed later. A wrong password is not such an error.
 *
 * @param {unknown} error
 */
export function isTransient(error) {
  if (error instanceof RedisUnavailable) return true;
  return error instanceof Error && error.name === "ReplyError" && PASSES.test(error.message);
}

/**
 * Whether the error of a connection means that Redis will reject the next one too.
 *
 * @param {any} error
 * @returns {boolean}
 */
export function isRefusal(error) {
  return REFUSES.test(`${error?.message}`) || (error?.lastNodeError != null && isRefusal(error.lastNodeError));
}

/** The pauses between tries: exponential back-off from 50 ms to 1 s, with a jitter of ±50 %. */
export class Pauses {
  #pauseMs = MIN_PAUSE_MS;

  /** How many milliseconds to wait before the next try. */
  next() {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
    return pauseMs * (0.5 + Math.random());
  }
}

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Repeats a call, which must be safe to repeat, while Redis is unavailable: for up to `blockS` seconds (null: for ever).
 *
 * @template T
 * @param {() => Promise<T>} call
 * @param {{ closings: number, isOver: boolean }} connection
 * @param {number | null} blockS
 * @returns {Promise<T>}
 */
export async function repeated(call, connection, blockS) {
  const { closings } = connection;
  const endMs = blockS === null ? Infinity : performance.now() + blockS * 1000;
  const pauses = new Pauses();
  for (;;) {
    if (connection.isOver) throw new RedisUnavailable("The connection to Redis was closed");
    try {
      return await call();
    } catch (error) {
      const pauseMs = pauses.next();
      if (performance.now() + pauseMs > endMs || !isTransient(error) || closings !== connection.closings) throw error;
      await sleep(pauseMs);
    }
  }
}
