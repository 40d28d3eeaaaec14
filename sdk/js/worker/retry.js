import { RedisUnavailable } from "./errors.js";

const MIN_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1000;

/** Redis can't take a write now. Redis 6 wraps the refusal of a command in that of the script. */
const PASSES =
  /(?:^|^(?:ERR )?Error running script .*: -)(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN) /;

/** Redis refuses what the address says: user, password or database. */
const REFUSES =
  /WRONGPASS|NOAUTH|NOPERM|invalid password|invalid username|without any password configured|DB index is out of range|invalid DB index/i;

/**
 * Whether Redis is only unavailable, so that the same call can succeed later. A wrong password does not pass by itself.
 *
 * @param {unknown} error
 */
export function willPass(error) {
  if (error instanceof RedisUnavailable) return true;
  return error instanceof Error && error.name === "ReplyError" && PASSES.test(error.message);
}

/**
 * Whether the error of a connection says that it will be refused again.
 *
 * @param {any} error
 * @returns {boolean}
 */
export function isRefusal(error) {
  return REFUSES.test(`${error?.message}`) || (error?.lastNodeError != null && isRefusal(error.lastNodeError));
}

/** The pauses between tries: exponential back-off with jitter, at most a second or so. */
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
 * Repeats a call that may be repeated while Redis is unavailable, as long as a call may wait.
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
      if (performance.now() + pauseMs > endMs || !willPass(error) || closings !== connection.closings) throw error;
      await sleep(pauseMs);
    }
  }
}
