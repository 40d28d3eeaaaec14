/** @import { Job, JobState, Options } from "./types.js" */
import { initial, watchJob } from "./jobcast.js";
import { parts, styles } from "./look.js";
import { following, likeness } from "./options.js";

const SETTLE_MS = 1000;
const BETWEEN_STEPS_MS = 10_000;
const NOTE_MS = 10_000;

/** When an element of the page has announced a step: a list of many would drown all else. */
let stepSpokenAt = -Infinity;

/** Texts of the element. Functions get values that are formatted for `lang`. */
const english = {
  /** Of numbers and times. */
  lang: "en",
  label: "Progress",
  connecting: "Connecting…",
  reconnecting: "Reconnecting…",
  unavailable: "The service can’t be reached. Trying again…",
  denied: "This job was not found.",
  /** Without a token or session, or with one that is invalid or has expired. */
  unauthorized: "Please sign in again.",
  queued: "Waiting…",
  running: "Working…",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  stalled: "The worker was lost",
  cancel: "Cancel",
  cancelling: "Cancelling…",
  notCancelled: "This could not be cancelled. Please try again.",
  /** The displayed step; `fields` has `stepKey` and `stepParams` for translations. */
  step: (/** @type {JobState} */ { step }) => step,
  eta: (/** @type {string} */ time) => `${time} left`,
};

/**
 * `<job-progress job="…">`: bar, step, time left and a button to cancel. Attributes: `job` or `url`, `base`, `token`,
 * `session`, `label`, `no-cancel`, `share-across-tabs`. What is slotted as `result` is shown once the job has succeeded. A
 * `jobstate` event tells each state.
 */
export class JobProgress extends (globalThis.HTMLElement ?? Object) {
  /** Of all elements; those of one are its `texts`. */
  static texts = english;
  static observedAttributes = ["job", "url", "base", "token", "session", "share-across-tabs", "label", "no-cancel"];

  /** @type {Partial<typeof english>} */
  #texts = {};
  /** @type {Partial<Options>} */
  #options = {};
  /** @type {Job | null} */
  #job = null;
  /** @type {JobState} */
  #state = initial;
  #opened = "";
  #isDue = false;
  #isCancelling = false;
  #hasFailedToCancel = false;
  #spoken = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = styles(this.ownerDocument);
    root.append(...parts(this.ownerDocument));
    this.#part("cancel").onclick = () => this.cancel();
  }

  /** The state as `watchJob` tells it. */
  get state() {
    return this.#state;
  }

  /** Options of `watchJob` that no attribute can say: a function as `token`, callbacks. */
  get options() {
    return this.#options;
  }

  set options(options) {
    this.#options = options ?? {};
    this.#plan();
  }

  get texts() {
    return this.#texts;
  }

  set texts(texts) {
    this.#texts = texts;
    this.#plan();
  }

  connectedCallback() {
    this.#adopt("options");
    this.#adopt("texts");
    this.#plan();
  }

  disconnectedCallback() {
    this.#plan();
  }

  attributeChangedCallback() {
    this.#plan();
  }

  adoptedCallback() {
    if (this.shadowRoot) this.shadowRoot.adoptedStyleSheets = styles(this.ownerDocument);
  }

  async cancel() {
    this.#follow();
    const job = this.#job;
    if (this.#isCancelling || !job) return;
    this.#isCancelling = true;
    this.#draw();
    this.#hasFailedToCancel = await job.cancel().then(
      () => false,
      () => job === this.#job && !this.#state.outcome,
    );
    if (!this.#hasFailedToCancel) return;
    this.#isCancelling = false;
    this.#draw();
    setTimeout(() => {
      this.#hasFailedToCancel = false;
      this.#draw();
    }, NOTE_MS);
  }

  /** Takes a property that was set before the module was loaded, and so hides the accessor of its name. */
  #adopt(/** @type {"options" | "texts"} */ name) {
    if (!Object.hasOwn(this, name)) return;
    const given = this[name];
    delete this[name];
    /** @type {any} */ (this)[name] = given;
  }

  /** @returns {any} */
  #part(/** @type {string} */ name) {
    return this.shadowRoot?.querySelector(`[part~=${name}]`);
  }

  /** Coalesces changes, so that moving the element does not reopen the stream. */
  #plan() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#follow();
      this.#draw();
    });
  }

  #follow() {
    const given = ["job", "url", "base", "token", "session", "share-across-tabs"].map((name) => this.getAttribute(name));
    const wanted = this.isConnected && (given[0] || given[1]) ? `${JSON.stringify(given)} ${likeness(this.#options)}` : "-";
    if (wanted === this.#opened) return;
    this.#opened = wanted;
    this.#job?.close();
    this.#job = null;
    this.#state = initial;
    this.#isCancelling = this.#hasFailedToCancel = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (wanted === "-") return;
    const [jobId, url, base, token, session, share] = given;
    const named = Object.entries({ jobId, url, base, token, session }).filter(([, value]) => value !== null);
    const job = (this.#job = watchJob({
      ...Object.fromEntries(named),
      ...(share !== null && { shareAcrossTabs: true }),
      ...following(this.#options, () => this.#options),
    }));
    job.subscribe((state) => {
      if (job === this.#job) this.#take(state);
    });
  }

  #take(/** @type {JobState} */ state) {
    this.#state = state;
    if (state.outcome) this.#isCancelling = this.#hasFailedToCancel = false;
    this.#draw();
    this.dispatchEvent(new CustomEvent("jobstate", { detail: state, bubbles: true, composed: true }));
  }

  #draw() {
    const state = this.#state;
    const { status, outcome, connection, eta, fields, error } = state;
    const texts = { ...JobProgress.texts, ...this.#texts };
    const { lang } = texts;
    const isMoving = !outcome && (fields.indeterminate === true || state.progress === null) && connection !== "denied";
    const progress = isMoving ? null : state.progress;
    const percent = progress === null ? "" : formatted(progress / 100, { style: "percent" }, lang);
    const between = !outcome && status === "failed" ? "queued" : null; // the queue has another attempt in store
    const word = outcome ?? between;
    const step = word ? texts[word] : (texts.step(state) ?? texts[status ?? "connecting"]);
    const refusal = state.problem?.status === 401 ? "unauthorized" : "denied";
    const shown = connection === "denied" ? texts[refusal] : step;
    const isWaiting = !word && ["reconnecting", "unavailable"].includes(connection) && state.transport === "stream";
    const note = this.#isCancelling ? texts.cancelling : isWaiting || connection === "unavailable" ? texts[this.#waiting()] : this.#hasFailedToCancel ? texts.notCancelled : "";
    const left = eta === null || outcome ? "" : texts.eta(duration(eta, lang));
    const track = this.#part("track");
    this.setAttribute("state", word ?? status ?? "unknown");
    this.setAttribute("connection", connection);
    track.toggleAttribute("data-moving", isMoving);
    track.style.setProperty("--_done", `${progress ?? 0}%`);
    set(track, "aria-label", this.getAttribute("label") || texts.label);
    set(track, "aria-valuenow", progress);
    set(track, "aria-valuetext", [percent, shown, left].filter(Boolean).join(", "));
    this.#part("step").textContent = shown;
    this.#part("percent").textContent = percent;
    this.#part("eta").textContent = note ? "" : left;
    this.#part("note").textContent = note;
    this.#part("error").firstChild.textContent = outcome === "failed" ? error : "";
    this.#part("error").hidden = outcome !== "failed" || !error;
    const slot = this.shadowRoot?.querySelector("slot");
    if (slot) slot.hidden = outcome !== "succeeded";
    const cancel = this.#part("cancel");
    const canCancel = !outcome && status !== null && !this.hasAttribute("no-cancel") && connection !== "denied";
    if (!canCancel && this.shadowRoot?.activeElement === cancel) track.focus();
    cancel.textContent = texts.cancel;
    cancel.hidden = !canCancel;
    set(cancel, "aria-disabled", this.#isCancelling || null); // `disabled` would drop the focus
    if (outcome || note || connection === "denied") {
      this.#announce([note || shown, outcome === "failed" && error], true);
    } else {
      this.#announce([shown, percent], false);
    }
  }

  #speak(/** @type {boolean} */ isState) {
    const wait = isState ? 0 : untilStep();
    this.#timer = wait > 0 ? setTimeout(() => this.#speak(isState), wait) : undefined;
    if (this.#timer !== undefined) return;
    if (!isState) stepSpokenAt = performance.now();
    this.#part("live").textContent = this.#spoken;
  }

  #waiting() {
    return this.#state.connection === "unavailable" ? "unavailable" : "reconnecting";
  }

  /** Announces states after a moment, and a step of the page at most every 10 s, for screen readers. */
  #announce(/** @type {unknown[]} */ parts, /** @type {boolean} */ isState) {
    const text = parts.filter(Boolean).join(", ");
    if (!this.#job || text === this.#spoken) return;
    this.#spoken = text;
    if (this.#timer !== undefined && !isState) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#speak(isState), isState ? SETTLE_MS : Math.max(SETTLE_MS, untilStep()));
  }
}

function set(/** @type {Element} */ element, /** @type {string} */ name, /** @type {unknown} */ value) {
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, String(value));
}

const untilStep = () => stepSpokenAt + BETWEEN_STEPS_MS - performance.now();

/** Formats an estimate in one unit. */
function duration(/** @type {number} */ seconds, /** @type {string} */ lang) {
  const units = /** @type {const} */ ([["hour", 7200, 3600], ["minute", 100, 60], ["second", 0, 1]]);
  const [unit, , length] = units.find(([, least]) => seconds >= least) ?? units[2];
  const value = Math.max(1, Math.round(seconds / length));
  return formatted(value, { style: "unit", unit, unitDisplay: "long" }, lang);
}

/** A page's language may be empty, written as `de_DE`, or none at all. */
function formatted(/** @type {number} */ value, /** @type {Intl.NumberFormatOptions} */ options, /** @type {string} */ lang) {
  try {
    return new Intl.NumberFormat(lang.replaceAll("_", "-"), options).format(value);
  } catch {
    return new Intl.NumberFormat(english.lang, options).format(value);
  }
}

if (globalThis.customElements && !customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
