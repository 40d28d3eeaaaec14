// What `<job-progress>` shows, and how that looks.

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
  :host([state]) [part~=bar] { background: Highlight; forced-color-adjust: none; }
}
`;

/**
 * What is in the element. Not made by innerHTML: a content security policy may require trusted types.
 *
 * A worker's texts may be of another direction than the page, so they are in `bdi`.
 */
export function parts(/** @type {Document} */ page) {
  /** @param {string} tag @param {Record<string, string>} attributes @param {Element[]} inner */
  function make(tag, attributes = {}, ...inner) {
    const element = page.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inner);
    return element;
  }
  const bar = { role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100", tabindex: "-1" };
  return [
    make("div", { part: "line" }, make("bdi", { part: "step" }), make("span", { part: "percent" })),
    make("div", { part: "track", ...bar }, make("div", { part: "bar" })),
    make(
      "div",
      { part: "line" },
      make("bdi", { part: "eta" }),
      make("bdi", { part: "note" }),
      make("button", { part: "cancel", type: "button" }),
    ),
    make("p", { part: "error" }, make("bdi")),
    make("slot", { name: "result" }),
    make("p", { part: "live", role: "status" }),
  ];
}

/** A document takes only sheets that were made for it. @type {WeakMap<Document, CSSStyleSheet>} */
const sheets = new WeakMap();

/** Not a style element: a content security policy may forbid inline styles. */
export function styles(/** @type {Document} */ page) {
  const { CSSStyleSheet } = page.defaultView ?? {};
  if (!CSSStyleSheet) return []; // a document that is not shown
  const sheet = sheets.get(page) ?? new CSSStyleSheet();
  if (!sheets.has(page)) sheet.replaceSync(STYLE);
  sheets.set(page, sheet);
  return [sheet];
}
