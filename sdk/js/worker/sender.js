import { BufferFull, JobNotRunning, RedisUnavailable } from "./errors.js";
import { Outbox, Waiting } from "./outbox.js";
import { Pauses, repeated, sleep } from "./retry.js";

/** @import { Answer, Append } from "./append.js" */
/** @import { Connection } from "./connection.js" */
/** @import { Answered } from "./outbox.js" */
/** @import { Limits } from "./settings.js" */

/** Appends the events of one run: in order, each exactly once, one in flight at a time. */
export class Sender {
  /** The run token, null before the start. @type {string | null} */
  token = null;
  #connection;
  #jobId;
  #senders;
  #outbox;
  /** The task that sends the buffered events, null if there are none. @type {Promise<void> | null} */
  sending = null;
  /** Incremented to stop the task that sends: what it is sending is not in the outbox any more. */
  #turn = 0;
  /** Resolves when the last call that waits for room has finished waiting. @type {Promise<void> | null} */
  #line = null;

  /**
   * @param {Connection} connection
   * @param {string} jobId
   * @param {number | null} attempt
   * @param {Senders} senders the senders that have buffered events
   */
  constructor(connection, jobId, attempt, senders) {
    this.attempt = attempt;
    this.#connection = connection;
    this.#jobId = jobId;
    this.#senders = senders;
    this.#outbox = new Outbox(jobId, senders.limits);
  }

  get senders() {
    return this.#senders;
  }

  /** Whether the run's end is still buffered. */
  get hasEnd() {
    return this.#outbox.hasEnd;
  }

  /**
   * Starts the run. The start is not buffered, because the caller needs the answer.
   *
   * `announce` is called before each try. Throws the error of the last try if Redis is unavailable for `blockS`
   * seconds.
   *
   * @param {string} token
   * @param {Append} event
   * @param {() => Promise<unknown>} announce
   */
  async start(token, event, announce) {
    this.#stop();
    this.token = null;
    this.#outbox.begin(event);
    const number = this.#outbox.numbered(new Waiting(event));
    const start = async () => {
      await announce();
      return this.#connection.append(this.#jobId, event, this.attempt, token, `${number}`);
    };
    const answer = await repeated(start, this.#connection, this.#senders.limits.blockS);
    this.#outbox.began(answer.entryId);
    this.token = token;
    this.attempt = answer.attempt;
    return answer;
  }

  /**
   * Appends an event and returns the answer.
   *
   * null if Redis was unavailable for `blockS` seconds: the event stays in the outbox, and is written when Redis is
   * available again. `answered` is called when it was written. `otherwise` is a smaller event that replaces it if it is
   * too large for the job. Throws the refusal, BufferFull, or an error of Redis that is not temporary.
   *
   * @param {Append} event
   * @param {Answered} answered
   * @param {Append | null} [otherwise]
   * @returns {Promise<Answer | null>}
   */
  async send(event, answered, otherwise = null) {
    if (this.token === null) throw new JobNotRunning();
    const waiting = new Waiting(event, answered, otherwise);
    const endMs = this.#endMs();
    if (this.#line || !this.#isAdded(waiting)) await this.#stand(waiting, endMs);
    this.#begin();
    if (this.#outbox.isBehind && !event.isEnd) return null;
    waiting.isAwaited = true;
    try {
      if (await isSettled(waiting, endMs)) return waiting.result();
    } finally {
      waiting.isAwaited = false;
    }
    this.#outbox.isBehind = true;
    return null;
  }

  /** Renews the lease of the run, and returns whether the job was asked to stop. @param {Append} event */
  async renew(event) {
    try {
      return (await this.#append(event, "")).cancelRequested;
    } catch (error) {
      if (!(error instanceof JobNotRunning)) throw error;
      // A failover has lost the start. An event in flight gets the same error, and restarts the run.
      if (!this.sending) {
        this.#outbox.restart();
        this.#begin();
      }
      return false;
    }
  }

  /** Drops the buffered events. */
  abandon() {
    this.#stop();
    this.#outbox.abandon(new RedisUnavailable("Redis is unavailable, and the run was closed"));
  }

  /** @param {Append} event @param {string} number */
  #append(event, number) {
    return this.#connection.append(this.#jobId, event, this.attempt, this.token ?? "", number);
  }

  #endMs() {
    const { blockS } = this.#senders.limits;
    return blockS === null ? Infinity : performance.now() + blockS * 1000;
  }

  /** Adds an event to the outbox, and returns whether there was room. @param {Waiting} waiting */
  #isAdded(waiting) {
    try {
      this.#outbox.add(waiting);
      return true;
    } catch (error) {
      if (error instanceof BufferFull) return false;
      throw error;
    }
  }

  /** Waits for room behind earlier calls that do so, because events are in the order of the calls.
   *
   * @param {Waiting} waiting
   * @param {number} endMs
   */
  async #stand(waiting, endMs) {
    const ahead = this.#line;
    let leave = () => {};
    const line = new Promise((/** @type {(nothing: void) => void} */ resolve) => (leave = resolve));
    this.#line = line;
    try {
      await ahead;
      while (!this.#isAdded(waiting)) {
        const { first } = this.#outbox;
        if (first && !(await isSettled(first, endMs))) throw new BufferFull();
      }
    } finally {
      if (this.#line === line) this.#line = null;
      leave();
    }
  }

  #stop() {
    this.#turn += 1;
    this.sending = null;
    this.#senders.discard(this);
  }

  /** Starts a task that sends the buffered events. */
  #begin() {
    if (this.sending || !this.#outbox.first) return;
    this.#senders.add(this);
    this.sending = this.#drain(this.#turn);
  }

  /** @param {number} turn */
  async #drain(turn) {
    const outbox = this.#outbox;
    let pauses = new Pauses();
    for (let first = outbox.first; first && turn === this.#turn; first = outbox.first) {
      const number = outbox.numbered(first);
      try {
        const answer = await this.#append(first.event, `${number}`);
        if (turn !== this.#turn) return;
        outbox.answered(answer);
        pauses = new Pauses();
      } catch (error) {
        if (turn !== this.#turn) return;
        const verdict = outbox.judge(error);
        if (verdict === "later") await sleep(pauses.next());
        else if (verdict === "refused") outbox.refused(error);
      }
    }
    if (turn !== this.#turn) return;
    this.#stop();
    this.#senders.closeIfOver(this.#connection);
  }
}

/** The senders of one `Jobs` that have buffered events, and their limits. */
export class Senders {
  /** Functions that send the progress that runs hold back. @type {Set<() => Promise<unknown>>} */
  unsent = new Set();
  /** @type {Set<Sender>} */
  #busy = new Set();
  #isClosed = false;

  /** @param {Limits} limits */
  constructor(limits) {
    this.limits = limits;
  }

  /** Adds a sender that has buffered events. @param {Sender} sender */
  add(sender) {
    this.#busy.add(sender);
  }

  /** Removes a sender that has none any more. @param {Sender} sender */
  discard(sender) {
    this.#busy.delete(sender);
  }

  /** Waits up to `blockS` seconds for buffered events to be written, then drops those of runs that have not ended. */
  async close() {
    const { blockS } = this.limits;
    for (const flush of this.unsent) flush();
    const over = Promise.all([...this.#busy].map((sender) => sender.sending));
    await (blockS === null ? over : within(over, blockS * 1000));
    for (const sender of this.#busy) if (!sender.hasEnd) sender.abandon();
    this.#isClosed = true;
  }

  /**
   * Closes the connection, if it was opened again after `close` and nothing is buffered any more.
   *
   * @param {Connection} connection
   */
  closeIfOver(connection) {
    if (this.#isClosed && !this.#busy.size) connection.close();
  }
}

/**
 * Waits until an event was written, refused or dropped; false if the call's time is over first.
 *
 * @param {Waiting} waiting
 * @param {number} endMs
 */
async function isSettled(waiting, endMs) {
  if (waiting.isOver) return true;
  const over = new Promise((/** @type {(nothing: void) => void} */ resolve) => waiting.wake.push(resolve));
  if (endMs === Infinity) await over;
  else await within(over, Math.max(0, endMs - performance.now()));
  return waiting.isOver;
}

/** Waits for a promise, for at most so many ms. @param {Promise<unknown>} promise @param {number} ms */
async function within(promise, ms) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
