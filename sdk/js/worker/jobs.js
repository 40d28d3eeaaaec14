import { randomBytes, randomUUID } from "node:crypto";
import { addressOf } from "./address.js";
import { CANCEL, retried } from "./append.js";
import { Connection } from "./connection.js";
import { JobExists, RedisUnavailable } from "./errors.js";
import * as event from "./event.js";
import { Leases } from "./lease.js";
import { stateKey } from "./names.js";
import { repeated } from "./retry.js";
import { Run } from "./run.js";
import { Senders } from "./sender.js";
import { canonical, checkedAttempt, checkedSettings } from "./settings.js";

/** @import { Target } from "./address.js" */
/** @import { Append, Bounds, Owner } from "./append.js" */
/** @import { Settings } from "./settings.js" */

/**
 * Returns the jobs of one Redis.
 *
 * `target` is an address (`redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://host:port,…/name`,
 * `redis+cluster://host:port,…`), a client of ioredis, or the options of one. Jobcast opens its own connection at first
 * use; of a client it uses only the options. Throws InvalidEvent if the address or a setting is invalid.
 *
 * While Redis is unavailable, calls are repeated for up to `blockS` seconds. After that, `create` and the start of a
 * run throw RedisUnavailable. Any other event stays in its run's buffer, and is written once, in order, when Redis is
 * available again: see `Run`.
 *
 * Runs renew their lease in the background every 10 s, or every third of the lease if that is shorter. This needs the
 * event loop: do work that blocks it for longer than the lease in a worker thread or process.
 *
 * @param {Target} target
 * @param {Settings} [settings]
 */
export function connect(target, settings = {}) {
  const { bounds, leaseMs, limits } = checkedSettings(settings);
  const connection = new Connection(addressOf(target), limits.blockS);
  return new Jobs(connection, new Leases(connection, leaseMs), new Senders(limits), bounds);
}

/** Creates jobs and runs them. Made by `connect`. */
export class Jobs {
  #connection;
  #leases;
  #senders;
  #bounds;

  /**
   * @param {Connection} connection
   * @param {Leases} leases
   * @param {Senders} senders
   * @param {Bounds} bounds
   */
  constructor(connection, leases, senders, bounds) {
    this.#connection = connection;
    this.#leases = leases;
    this.#senders = senders;
    this.#bounds = bounds;
  }

  /**
   * Creates a queued job and returns its id: `jobId`, or a lower-case UUID.
   *
   * `type` is a string of 1 to 128 characters. `userId` and `sessionId` own the job: either may watch it, and at least
   * one is required. `input`, an object, is passed to the run. The caller puts the job on a queue. Throws JobExists if
   * the id is taken, InvalidEvent if an argument is invalid, RedisUnavailable if Redis is so for `blockS` seconds.
   *
   * While Redis is unavailable the call is repeated, and creates the job once. After a RedisUnavailable, another call
   * with the same `jobId` completes the creation, and throws JobExists if the first one has written the job's log.
   *
   * @param {string} type
   * @param {Owner & { input?: object | null, jobId?: string }} options
   */
  async create(type, options) {
    const { userId = null, sessionId = null, input = null, jobId } = options ?? {};
    const its = jobId === undefined ? randomUUID() : canonical(jobId);
    const made = event.created(type, { userId, sessionId, input }, this.#bounds);
    const token = randomBytes(8).toString("hex");
    await this.#repeated(() => this.#create(its, made, token, { userId, sessionId }));
    return its;
  }

  /**
   * A run of the job, not started yet; see `Run`.
   *
   * With `attempt`, the number in the queue entry, the start of the run is refused if the job is in another attempt.
   * Throws InvalidEvent if the id or the attempt is invalid.
   *
   * @param {string} jobId
   * @param {number | null} [attempt]
   */
  run(jobId, attempt = null) {
    return new Run(this.#connection, this.#leases, this.#senders, canonical(jobId), checkedAttempt(attempt));
  }

  /**
   * Cancels a job, as its owner can: a queued job fails at once, a running one is asked to stop. Throws JobFinished if
   * the job has ended, UnknownJob if it does not exist.
   *
   * While Redis is unavailable the call is repeated. If a repeat finds that the job has ended, but was cancelled, the
   * call succeeds.
   *
   * @param {string} jobId
   */
  async cancel(jobId) {
    await this.#append(jobId, CANCEL);
  }

  /**
   * Queues a failed job for its next attempt, as its owner can; the caller puts it on a queue. Throws JobNotFailed if
   * the job has not failed, UnknownJob if it does not exist.
   *
   * While Redis is unavailable the call is repeated. A repeat throws JobNotFailed only if it was not this call that
   * queued the job, or if another retry has queued it again since.
   *
   * @param {string} jobId
   */
  async retry(jobId) {
    await this.#append(jobId, retried(randomBytes(8).toString("hex")));
    try {
      await this.#connection.reindex(canonical(jobId), this.#bounds.retentionS);
    } catch (error) {
      if (!(error instanceof RedisUnavailable)) throw error; // the owner's streams of all jobs lose a hint
    }
  }

  /**
   * Fails a job that can't be queued, unless a worker has started it. Throws JobSuperseded if one has, JobFinished if
   * the job has ended, UnknownJob if it does not exist. While Redis is unavailable the call is repeated; a repeat
   * succeeds if the job has failed with this error and code.
   *
   * @param {string} jobId
   * @param {string} error
   * @param {string | null} [code]
   */
  async abandon(jobId, error, code = null) {
    await this.#append(jobId, event.failed(error, code, {}, "abandon"));
  }

  /**
   * How the job has ended: `{ status, result, error }` as stored in its state, with `result` as JSON.
   *
   * @param {string} jobId
   * @returns {Promise<{ status: string | null, result: string | null, error: string | null }>}
   */
  async ending(jobId) {
    const its = canonical(jobId);
    const [status, result, error] = await this.#repeated(() =>
      this.#connection.call("HMGET", stateKey(its), "status", "result", "error"),
    );
    return { status, result, error };
  }

  /**
   * Closes the connection.
   *
   * First waits up to `blockS` seconds for buffered events to be written, then drops them, except for those of runs
   * that have ended, which are still repeated. Other runs' leases are not renewed any more, and nothing can be created
   * or started any more.
   */
  async close() {
    await this.#senders.close();
    this.#leases.close();
    this.#connection.isOver = true;
    this.#connection.close();
  }

  /** @template T @param {() => Promise<T>} call */
  #repeated(call) {
    return repeated(call, this.#connection, this.#senders.limits.blockS);
  }

  /** @param {string} jobId @param {Append} made */
  async #append(jobId, made) {
    await this.#repeated(this.#connection.repeatable(canonical(jobId), made));
  }

  /** @param {string} jobId @param {Append} made @param {string} token @param {Owner} owner */
  async #create(jobId, made, token, owner) {
    let created;
    try {
      created = (await this.#connection.append(jobId, made, null, "", token)).entryId;
    } catch (error) {
      if (!(error instanceof JobExists)) throw error;
      // Perhaps an earlier call has created it, but lost Redis before it listed the job.
      const earlier = await this.#connection.created(jobId, owner);
      if (earlier !== null) await this.#connection.index(jobId, earlier, owner, this.#bounds.retentionS);
      throw error;
    }
    await this.#connection.index(jobId, created, owner, this.#bounds.retentionS);
  }
}
