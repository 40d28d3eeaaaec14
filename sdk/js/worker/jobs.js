import { randomBytes, randomUUID } from "node:crypto";
import { addressOf } from "./address.js";
import { CANCEL, RETRY } from "./append.js";
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
 * Reaches the jobs of one Redis.
 *
 * `target` is an address (`redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://host:port,…/name`,
 * `redis+cluster://host:port,…`), a client of ioredis, or the options of one. Jobcast opens a connection of its own at
 * first use; of a client it only takes the options. Throws InvalidEvent for an address or a setting that can't be meant.
 *
 * While Redis is unavailable, calls are repeated, and `blockS` bounds how long one waits. After that `create` and the
 * start of a run throw RedisUnavailable. Any other event stays in a buffer of its run, and is written, in order and once,
 * when Redis is back: see `Run`.
 *
 * Runs renew their lease in the background every 10 s, or third of it, which needs the event loop: work that blocks it
 * for longer than the lease belongs into a worker thread or process.
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
   * `type` is a string of 1 to 128 characters. `userId` and `sessionId` own the job: who comes to the service as either
   * may watch it; at least one is needed. `input`, an object, is what the run gets. Putting the job on a queue is the
   * caller's. Throws JobExists and InvalidEvent.
   *
   * While Redis is unavailable the call is repeated, and creates the job once. If it fails in the end, another call with
   * the same `jobId` finishes what was begun, and throws JobExists if that was the job's log.
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
   * With `attempt`, the number that came with the queue entry, a run that comes late for an earlier attempt is refused at
   * its start. Throws InvalidEvent for a malformed id.
   *
   * @param {string} jobId
   * @param {number | null} [attempt]
   */
  run(jobId, attempt = null) {
    return new Run(this.#connection, this.#leases, this.#senders, canonical(jobId), checkedAttempt(attempt));
  }

  /**
   * Cancels a job, as its owner can: a queued job fails at once, the run of a running one is told. Throws JobFinished and
   * UnknownJob.
   *
   * @param {string} jobId
   */
  async cancel(jobId) {
    await this.#append(jobId, CANCEL);
  }

  /**
   * Queues a failed job for its next attempt, as its owner can. Putting it on a queue is the caller's. Throws JobNotFailed
   * and UnknownJob.
   *
   * @param {string} jobId
   */
  async retry(jobId) {
    await this.#append(jobId, RETRY);
    try {
      await this.#connection.listAgain(canonical(jobId), this.#bounds.retentionS);
    } catch (error) {
      if (!(error instanceof RedisUnavailable)) throw error; // else a hint is lost to those who watch all of an owner's jobs
    }
  }

  /**
   * Fails a job that no worker has started, because it can't be queued. Throws JobSuperseded if one has, JobFinished and
   * UnknownJob.
   *
   * @param {string} jobId
   * @param {string} error
   * @param {string | null} [code]
   */
  async abandon(jobId, error, code = null) {
    await this.#append(jobId, event.failed(error, code, {}, "abandon"));
  }

  /**
   * How the job has ended: `{ status, result, error }` as they are stored, with `result` as JSON.
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
   * Closes its connection.
   *
   * Waits for the events that wait for Redis, as long as a call may; what is not written then is given up, but for the
   * ends of runs. The leases of runs that have not ended are renewed no longer, and nothing can be created or started
   * any more.
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
    const its = canonical(jobId);
    await this.#repeated(() => this.#connection.append(its, made, null, "", ""));
  }

  /** @param {string} jobId @param {Append} made @param {string} token @param {Owner} owner */
  async #create(jobId, made, token, owner) {
    let created;
    try {
      created = (await this.#connection.append(jobId, made, null, "", token)).entryId;
    } catch (error) {
      if (!(error instanceof JobExists)) throw error;
      // Perhaps by a call like this one, which Redis was lost to before the job was listed.
      const earlier = await this.#connection.created(jobId, owner);
      if (earlier !== null) await this.#connection.index(jobId, earlier, owner, this.#bounds.retentionS);
      throw error;
    }
    await this.#connection.index(jobId, created, owner, this.#bounds.retentionS);
  }
}
