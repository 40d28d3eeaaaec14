/**
 * The life of one job's event stream: a native EventSource, and what it leaves to the page.
 *
 * A dropped connection is the browser's to mend, and the server then resumes after the last event id. A refusal
 * closes an EventSource for good, so the page asks for the job's status: a finished job is reported, an
 * unknown one too, and any other gets a new EventSource after a jittered back-off.
 */

import { fetchStatus, streamUrl } from "./api.js";

const EVENTS = ["connected", "reset", "progress-update", "step-change", "complete", "failed"];
/** Custom events to listen for: an EventSource can't listen to names that it doesn't know. */
const CUSTOM_EVENTS = ["file-hashed"];
const TERMINAL = new Set(["complete", "failed"]);
const FINAL = new Set(["succeeded", "failed"]);

const SECONDS = 1000;
/** How long the browser may try on its own before the page asks for the status. */
const PATIENCE = 15 * SECONDS;
const LONGEST_BACK_OFF = 30 * SECONDS;
/** Past the stream's announced age by this much, a connection that looks open is dead. */
const OVERDUE = 30 * SECONDS;

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export class JobStream {
  #jobId;
  #listener;
  #source = null;
  #state = null;
  #timer;
  #failures = 0;
  #asking = false;
  #closed = false;

  /**
   * `listener` has three functions: `onState(state, message)` with connecting, live, reconnecting, unavailable
   * or not-found; `onEvent(name, data)`, of which `reset` voids all events before it; `onStatus(status)`, with the
   * status object of a job that turned out to be final.
   */
  constructor(jobId, listener) {
    this.#jobId = jobId;
    this.#listener = listener;
    this.#enter("connecting");
    this.#open();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#source?.close();
  }

  /** Ends a wait early: the network is back, the page is looked at again, or the reader asks. */
  hurry() {
    if (!this.#closed && (this.#state === "reconnecting" || this.#state === "unavailable")) this.#ask();
  }

  #enter(state, message = null) {
    this.#state = state;
    this.#listener.onState(state, message);
  }

  #wait(milliseconds, next) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(next, milliseconds);
  }

  #open() {
    this.#source?.close();
    this.#source = new EventSource(streamUrl(this.#jobId));
    for (const name of [...EVENTS, ...CUSTOM_EVENTS]) {
      this.#source.addEventListener(name, (event) => this.#receive(name, parsed(event.data)));
    }
    this.#source.addEventListener("error", (event) => this.#lose(event.target));
    this.#wait(PATIENCE, () => this.#ask());
  }

  #receive(name, data) {
    if (name === "connected") this.#welcome(data);
    if (TERMINAL.has(name)) this.close();
    this.#listener.onEvent(name, data);
  }

  // Not the EventSource's `open`: a server that is unavailable answers a reconnect with an empty 200.
  #welcome(data) {
    this.#failures = 0;
    this.#enter("live");
    clearTimeout(this.#timer);
    if (data?.maxAgeSeconds > 0) this.#wait(data.maxAgeSeconds * SECONDS + OVERDUE, () => this.#reopen());
  }

  #reopen() {
    this.#enter("reconnecting");
    this.#open();
  }

  #lose(source) {
    if (this.#closed || source !== this.#source) return;
    const wasLive = this.#state === "live";
    if (wasLive || this.#state === "connecting") this.#enter(wasLive ? "reconnecting" : "connecting");
    if (source.readyState === EventSource.CLOSED) {
      // After an outage every page is here at once: spread the questions.
      this.#wait(wasLive ? Math.random() * SECONDS : 0, () => this.#ask());
    } else if (wasLive) {
      this.#wait(PATIENCE, () => this.#ask());
    }
  }

  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    try {
      const status = await fetchStatus(this.#jobId);
      this.#heed(status);
    } catch (error) {
      this.#despair(error);
    } finally {
      this.#asking = false;
    }
  }

  #heed(status) {
    if (this.#closed || this.#state === "live") return;
    if (FINAL.has(status.status)) {
      this.close();
      this.#listener.onStatus(status);
      return;
    }
    this.#source.close();
    this.#enter("reconnecting");
    this.#wait(this.#backOff(), () => this.#open());
  }

  #despair(error) {
    if (this.#closed || this.#state === "live") return;
    if (error.isDenial) {
      this.close();
      this.#enter("not-found", error.message);
      return;
    }
    this.#enter("unavailable", error.message);
    this.#wait(Math.max(this.#backOff(), (error.retryAfter ?? 0) * SECONDS), () => this.#ask());
  }

  /** Milliseconds to wait: doubles with each failure in a row, the upper half of it at random. */
  #backOff() {
    const most = Math.min(LONGEST_BACK_OFF, 2 ** this.#failures * SECONDS);
    this.#failures += 1;
    return most / 2 + (Math.random() * most) / 2;
  }
}
