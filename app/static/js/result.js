/** The result of a finished job: totals and the digests of its first files, or plain JSON for a result of another shape. */

import { bytes, count, duration, plural } from "./format.js";

const SHOWN_ROWS = 500;

const $ = (id) => document.getElementById(id);

/** One line of a checksum file, escaped as `sha256sum` escapes and reads it. */
function sumsLine([path, digest]) {
  const escaped = path.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
  return `${escaped === path ? "" : "\\"}${digest}  ${escaped}\n`;
}

/** Path and digest of each file by path: an object's own order puts names that are numbers first. */
const byPath = (digests) => Object.entries(digests).sort(([one], [other]) => (one < other ? -1 : 1));

function total(label, value, exact = "") {
  const group = document.createElement("div");
  const term = document.createElement("dt");
  const detail = document.createElement("dd");
  term.textContent = label;
  detail.textContent = value;
  detail.title = exact;
  group.dataset.total = label.toLowerCase();
  group.append(term, detail);
  return group;
}

function fileRow(path, digest = null) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  item.dataset.path = path;
  name.className = "digest-path";
  name.textContent = path;
  item.append(name);
  if (digest !== null) {
    const code = document.createElement("code");
    code.className = "digest-value";
    code.textContent = digest;
    item.append(" ", code);
  }
  return item;
}

function totalsOf({ files, bytes: size, seconds, unreadableFiles }) {
  const totals = [];
  if (Number.isFinite(files)) totals.push(total("Files", count(files)));
  if (Number.isFinite(size)) totals.push(total("Size", bytes(size), `${count(size)} bytes`));
  if (Number.isFinite(seconds)) totals.push(total("Time", duration(seconds), `${seconds} s`));
  if (size > 0 && seconds > 0) totals.push(total("Rate", `${bytes(size / seconds)}/s`));
  if (unreadableFiles > 0) totals.push(total("Unreadable", count(unreadableFiles)));
  return totals;
}

/** What the list of digests leaves out: rows that are not shown, and files that are not in the result. */
function omission(listed, omitted) {
  const texts = [];
  if (listed > SHOWN_ROWS) texts.push(`The first ${count(SHOWN_ROWS)} are shown; the saved file has ${count(listed)}.`);
  if (omitted > 0) {
    texts.push(`The result lists the first ${count(listed)} of ${plural(listed + omitted, "file")}. The digest of the whole folder covers them all.`);
  }
  return texts.join(" ");
}

const natural = (value) => (Number.isFinite(value) && value > 0 ? value : 0);

export class ResultPart {
  #shown = null;

  /** Shows a result, or nothing for null. */
  render(result) {
    if (result === this.#shown) return;
    this.#shown = result;
    $("result").hidden = result === null;
    const fields = result !== null && typeof result === "object" ? result : {};
    const totals = totalsOf(fields);
    const rows = byPath(fields.digests ?? {});
    $("totals").replaceChildren(...totals);
    $("totals").hidden = totals.length === 0;
    $("whole").hidden = !fields.digest;
    $("digest").textContent = fields.digest ?? "";
    this.#renderDigests(rows, String(fields.algorithm ?? "sha256").toUpperCase(), natural(fields.digestsOmitted));
    this.#renderUnreadable(Array.isArray(fields.unreadable) ? fields.unreadable : [], natural(fields.unreadableOmitted));
    const isPlain = totals.length === 0 && rows.length === 0 && result !== null;
    $("raw").hidden = !isPlain;
    $("raw").textContent = isPlain ? JSON.stringify(result, null, 2) : "";
  }

  #renderDigests(rows, algorithm, omitted) {
    const more = omission(rows.length, omitted);
    $("digest-part").hidden = rows.length === 0;
    $("digests-title").textContent = `${algorithm} by file`;
    $("digests").replaceChildren(...rows.slice(0, SHOWN_ROWS).map(([path, digest]) => fileRow(path, digest)));
    $("digests-more").hidden = more === "";
    $("digests-more").textContent = more;
    this.#offer(rows, `${algorithm}SUMS`, omitted > 0);
  }

  #renderUnreadable(paths, omitted) {
    const more = omitted + Math.max(0, paths.length - SHOWN_ROWS);
    $("unreadable-part").hidden = paths.length + omitted === 0;
    $("unreadable").replaceChildren(...paths.slice(0, SHOWN_ROWS).map((path) => fileRow(path)));
    $("unreadable-more").hidden = more === 0;
    $("unreadable-more").textContent = `And ${count(more)} more.`;
  }

  #offer(rows, filename, isPart) {
    const save = $("save");
    if (save.href) URL.revokeObjectURL(save.href);
    save.removeAttribute("href");
    save.hidden = rows.length === 0;
    if (rows.length === 0) return;
    // Not text/plain: a browser would add `.txt` to the name.
    save.href = URL.createObjectURL(new Blob(rows.map(sumsLine), { type: "application/octet-stream" }));
    save.download = filename;
    save.textContent = isPart ? `Save these ${count(rows.length)} as ${filename}` : `Save as ${filename}`;
  }
}
