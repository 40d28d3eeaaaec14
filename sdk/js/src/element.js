/** @import { Job, JobState, Options } from "./types.js" */
import { initial, watchJob } from "./jobcast.js";

const SETTLE_MS = 1000;
const BETWEEN_STEPS_MS = 10_000;

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
  /** The displayed step; `fields` has `stepKey` and `stepParams` for translations. */
  step: (/** @type {JobState} */ { step }) => step,
  eta: (/** @type {string} */ time) => `${time} left`,
};

const STYLE = `
:host { display: block; font: inherit; color: CanvasText; }
:host([hidden]), [hidden] { display: none !important; }
[part~=line] { display: flex; gap: 1em; justify-content: space-between; align-items: baseline; }
[part~=step] { overflow-wrap: anywhere; min-inline-size: 0; }
[part~=percent] { font-variant-numeric: tabular-nums; margin-inline-start: auto; }
[part~=track] {
  position: relative; overflow: hidden; margin-block: .4em;
  block-size: var(--job-progress-height, .5em); border-radius: var(--job-progress-radius, 999px);
  background: var(--job-progress-track, color-mix(in srgb, CanvasText 15%, Canvas));
}
[part~=bar] {
  position: absolute; inset-block: 0; inset-inline-start: 0; inline-size: var(--_done, 0%);
  border-radius: inherit; background: var(--job-progress-accent, #4c6ef5); transition: inline-size .3s ease-out;
}
[part~=track][data-moving] [part~=bar] { inline-size: 30%; transition: none; animation: pass 1.6s ease-in-out infinite; }
:host([state=succeeded]) [part~=bar] { background: var(--job-progress-good, #2b8a3e); }
:host(:is([state=failed], [state=stalled])) [part~=bar] { background: var(--job-progress-bad, #e03131); }
:host([state=cancelled]) [part~=bar], :host([connection=unavailable]) [part~=bar] { background: GrayText; }
[part~=eta], [part~=note] { font-size: .875em; color: color-mix(in srgb, CanvasText 75%, Canvas); }
[part~=error] { margin: .4em 0 0; overflow-wrap: anywhere; }
[part~=cancel] { font: inherit; font-size: .875em; margin-inline-start: auto; min-block-size: 24px; cursor: pointer; }
[part~=live] { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@keyframes pass { from { inset-inline-start: -30%; } to { inset-inline-start: 100%; } }
@media (prefers-reduced-motion: reduce) {
  [part~=bar] { transition: none; }
  [part~=track][data-moving] [part~=bar] { animation: none; inline-size: 100%; opacity: .4; }
}
@media (forced-colors: active) {
  [part~=track] { border: 1px solid CanvasText; }
  [part~=bar] { background: Highlight; forced-color-adjust: none; }
}
`;

// A worker's texts may be of another direction than the page.
const MARKUP = `
<div part="line"><bdi part="step"></bdi><span part="percent"></span></div>
<div part="track" role="progressbar" aria-valuemin="0" aria-valuemax="100" tabindex="-1"><div part="bar"></div></div>
<div part="line"><bdi part="eta"></bdi><bdi part="note"></bdi><button part="cancel" type="button"></button></div>
<p part="error"><bdi></bdi></p>
<slot name="result"></slot>
<p part="live" role="status"></p>
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** Not a style element: a content security policy may forbid inline styles. */
function styles() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
  }
  return sheet;
}

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
  #spoken = "";
  #spokenAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styles()];
    root.innerHTML = MARKUP;
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
    this.#options = options;
    this.#opened = "";
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

  async cancel() {
    if (this.#isCancelling) return;
    this.#isCancelling = true;
    this.#draw();
    try {
      await this.#job?.cancel();
    } catch {
      this.#isCancelling = false;
      this.#draw();
    }
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
    const wanted = this.isConnected && (given[0] || given[1]) ? JSON.stringify(given) : "-";
    if (wanted === this.#opened) return;
    this.#opened = wanted;
    this.#job?.close();
    this.#job = null;
    this.#state = initial;
    this.#isCancelling = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (wanted === "-") return;
    const [jobId, url, base, token, session, share] = given;
    const named = Object.entries({ jobId, url, base, token, session }).filter(([, value]) => value !== null);
    const job = (this.#job = watchJob({
      ...Object.fromEntries(named),
      ...(share !== null && { shareAcrossTabs: true }),
      ...this.#options,
    }));
    job.subscribe((state) => {
      if (job === this.#job) this.#take(state);
    });
  }

  #take(/** @type {JobState} */ state) {
    this.#state = state;
    if (state.outcome) this.#isCancelling = false;
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
    const percent = progress === null ? "" : new Intl.NumberFormat(lang, { style: "percent" }).format(progress / 100);
    const between = !outcome && status === "failed" ? "queued" : null; // the queue has another attempt in store
    const word = outcome ?? between;
    const step = word ? texts[word] : (texts.step(state) ?? texts[status ?? "connecting"]);
    const refusal = state.problem?.status === 401 ? "unauthorized" : "denied";
    const isWaiting = !word && ["reconnecting", "unavailable"].includes(connection) && state.transport === "stream";
    const note = this.#isCancelling ? texts.cancelling : isWaiting || connection === "unavailable" ? texts[this.#waiting()] : "";
    const left = eta === null || outcome ? "" : texts.eta(duration(eta, lang));
    const track = this.#part("track");
    this.setAttribute("state", word ?? status ?? "unknown");
    this.setAttribute("connection", connection);
    track.toggleAttribute("data-moving", isMoving);
    track.style.setProperty("--_done", `${progress ?? 0}%`);
    set(track, "aria-label", this.getAttribute("label") ?? texts.label);
    set(track, "aria-valuenow", progress);
    set(track, "aria-valuetext", [percent, step, left].filter(Boolean).join(", "));
    this.#part("step").textContent = connection === "denied" ? texts[refusal] : step;
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
    const shown = this.#part("step").textContent;
    if (outcome || note || connection === "denied") {
      this.#announce([note || shown, outcome === "failed" && error], true);
    } else {
      this.#announce([shown, percent], false);
    }
  }

  #waiting() {
    return this.#state.connection === "unavailable" ? "unavailable" : "reconnecting";
  }

  /** Announces states after a moment, and steps at most every 10 s, for screen readers. */
  #announce(/** @type {unknown[]} */ parts, /** @type {boolean} */ isState) {
    const text = parts.filter(Boolean).join(", ");
    if (!this.#job || text === this.#spoken) return;
    this.#spoken = text;
    if (this.#timer !== undefined && !isState) return;
    clearTimeout(this.#timer);
    const due = isState ? SETTLE_MS : Math.max(SETTLE_MS, this.#spokenAt + BETWEEN_STEPS_MS - Date.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!isState) this.#spokenAt = Date.now();
      this.#part("live").textContent = this.#spoken;
    }, due);
  }
}

function set(/** @type {Element} */ element, /** @type {string} */ name, /** @type {unknown} */ value) {
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, String(value));
}

/** Formats an estimate in one unit. */
function duration(/** @type {number} */ seconds, /** @type {string} */ lang) {
  const units = /** @type {const} */ ([["hour", 7200, 3600], ["minute", 100, 60], ["second", 0, 1]]);
  const [unit, , length] = units.find(([, least]) => seconds >= least) ?? units[2];
  const value = Math.max(1, Math.round(seconds / length));
  return new Intl.NumberFormat(lang, { style: "unit", unit, unitDisplay: "long" }).format(value);
}

if (globalThis.customElements && !customElements.get("job-progress")) customElements.define("job-progress", JobProgress);
