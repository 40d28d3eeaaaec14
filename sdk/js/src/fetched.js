/** @import { Open } from "./types.js" */
import { address } from "./link.js";

const RETRY_MS = 3000;

/**
 * Parses the text of an event stream as the HTML standard says. Returns what takes the chunks.
 *
 * A carriage return at the end of a chunk may be half of a line end, and waits for the next chunk.
 *
 * @param {string} lastId
 * @param {(name: string, data: string, id: string) => void} dispatch
 * @param {(ms: number) => void} pause
 */
function parser(lastId, dispatch, pause) {
  let [rest, name, id] = ["", "", lastId];
  let data = /** @type {string[]} */ ([]);

  function take(/** @type {string} */ line) {
    const [, field, text = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (line === "") {
      dispatch(name, data.join("\n"), id);
      [name, data] = ["", []];
    } else if (field === "id" && !text.includes("\0")) id = text;
    else if (field === "event") name = text;
    else if (field === "data") data.push(text);
    else if (field === "retry" && /^\d{1,6}$/.test(text)) pause(Number(text));
  }

  return (/** @type {string} */ chunk) => {
    const lines = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    lines.forEach(take);
  };
}

/**
 * Reads a stream with fetch, which receives events of any name and can send a Last-Event-ID.
 *
 * @type {Open}
 */
export async function open(o, _names, hear, lose, lastId) {
  const stop = new AbortController();
  const { signal } = stop;
  let seen = lastId;
  let retry = RETRY_MS;

  async function read() {
    const answer = await fetch(await address(o, "stream", { ping: "1", from: o.from }), {
      headers: { accept: "text/event-stream", ...(seen && { "last-event-id": seen }) },
      cache: "no-store",
      credentials: o.withCredentials ? "include" : "same-origin",
      signal,
    });
    const isStream = /^text\/event-stream\b/i.test(answer.headers.get("content-type") ?? "");
    if (answer.status !== 200 || !isStream || !answer.body) return false;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const take = parser(
      seen,
      (name, data, id) => {
        seen = id; // only now: of an event that is cut off, the id may have arrived
        if (data && !signal.aborted) hear(name, JSON.parse(data), id);
      },
      (ms) => (retry = ms),
    );
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return true;
        take(value);
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  /** Reconnects as an EventSource does, unless it is refused. */
  async function readOn() {
    while (!signal.aborted) {
      const wasAnswered = await read().catch(() => true);
      if (signal.aborted) return;
      lose(!wasAnswered);
      if (!wasAnswered) return;
      await new Promise((resolve) => setTimeout(resolve, retry));
    }
  }

  readOn();
  return { close: () => stop.abort() };
}
