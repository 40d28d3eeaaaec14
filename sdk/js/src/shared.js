/** @import { Hear, Open, Source } from "./types.js" */
import { address, openStream } from "./link.js";

const STATE = new Set(["progress-update", "step-change", "complete", "failed"]);

/**
 * Shares a stream with the other tabs of this origin: the tab that holds the lock opens it and broadcasts its events.
 *
 * The browser passes the lock on as soon as that tab closes, navigates or crashes.
 *
 * @type {Open}
 */
export async function open(options, names, hear, lose, lastId) {
  const o = { ...options, shareAcrossTabs: false };
  // Not a secure context, or events of before a tab has joined, which no other tab keeps.
  if (!globalThis.navigator?.locks || o.from) return openStream(o, names, hear, lose, lastId);
  const { href } = await address({ ...o, token: null }, "stream");
  const key = `jobcast ${href} ${[...names].sort()}`;
  const me = crypto.randomUUID();
  const stop = new AbortController();
  const channel = new BroadcastChannel(key);
  /** @type {Source | undefined} */
  let source;
  let seen = lastId;
  /** Events that a tab which joins later needs first. @type {Map<string, Parameters<Hear>>} */
  const recent = new Map();
  let isLeader = false;
  let hasJoined = false;

  /** @type {Hear} */
  function relay(name, data, id) {
    const kind = STATE.has(name) ? "state" : name;
    if (name === "connected") recent.clear();
    if (name === "reset") recent.delete("state");
    recent.delete(kind);
    if (["connected", "reset", "state"].includes(kind)) recent.set(kind, [name, data, id]);
    channel.postMessage({ event: [name, data, id] });
    hear(name, data, id);
  }

  /** @param {boolean} isClosed */
  function giveUp(isClosed) {
    recent.clear();
    channel.postMessage({ lost: true });
    lose(isClosed);
  }

  async function lead() {
    isLeader = true;
    // Events may be missing between the previous leader's last and this stream's first.
    let isGap = hasJoined && !(seen && o.events === "all");
    /** @type {Hear} */
    const take = (name, data, id) => {
      relay(name, data, id);
      if (isGap && !stop.signal.aborted) relay("reset", { reason: "reopened" }, id);
      isGap = false;
    };
    try {
      source = await openStream(o, names, take, giveUp, seen);
    } catch {
      giveUp(true);
    }
    if (stop.signal.aborted) source?.close();
    else await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
  }

  channel.onmessage = ({ data: { event, lost, hello, to = me } }) => {
    if (isLeader && hello) {
      for (const each of recent.values()) channel.postMessage({ event: each, to: hello });
    }
    if (isLeader || to !== me) return;
    if (lost && hasJoined) lose(false);
    if (!event) return;
    // A tab that joins ignores events until the leader has sent it the current ones.
    hasJoined ||= event[0] === "connected";
    if (!hasJoined) return;
    seen = event[2] || seen;
    hear(event[0], event[1], event[2]);
  };
  /** A page whose cookies are blocked, or in a sandbox, has no locks although the browser does. */
  async function goAlone() {
    if (isLeader || stop.signal.aborted) return;
    isLeader = true;
    try {
      source = await openStream(o, names, hear, lose, seen);
    } catch {
      lose(true);
    }
    if (stop.signal.aborted) source?.close();
  }

  navigator.locks.request(key, { signal: stop.signal }, lead).catch(goAlone);
  channel.postMessage({ hello: me });
  return {
    close() {
      stop.abort();
      source?.close();
      channel.close();
    },
  };
}
