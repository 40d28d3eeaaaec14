/** @import { Open } from "./types.js" */
import { address } from "./link.js";

const RETRY_MS = 3000;

/**
 * Reads a stream with fetch, which receives events of any name and can send a Last-Event-ID.
 *
 * @type {Open}
 */
export async function openFetched(o, _names, hear, lose, lastId) {
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
    if (answer.status !== 200 || !answer.body) return false;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let [rest, name, data] = ["", "", ""];
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return true;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, field, text] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
        if (field === "id") seen = text;
        else if (field === "event") name = text;
        else if (field === "data") data = text;
        else if (field === "retry") retry = Number(text);
        else if (line === "") {
          if (data && !signal.aborted) hear(name, JSON.parse(data), seen);
          [name, data] = ["", ""];
        }
      }
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
