/**
 * Who this browser is to the service: a random session id, kept in localStorage so that
 * a reload and a second tab are the same owner.
 *
 * The address that the demo prints carries the session of its first job behind the `#`, which no server is sent. It is
 * taken over from there, and out of the address bar. Only on this machine: elsewhere a link could make a browser
 * somebody else's, who would see its jobs.
 */

const KEY = "jobcast.session";
const USABLE = /^[A-Za-z0-9._-]{16,255}$/;
const THIS_MACHINE = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** A version 4 UUID. `crypto.randomUUID` exists only in secure contexts, and plain HTTP on a LAN is none. */
export function randomId() {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function remember(id) {
  try {
    localStorage.setItem(KEY, id);
    return localStorage.getItem(KEY);
  } catch {
    // Storage is refused (blocked cookies, some private modes): the id lives as long as the page.
    return id;
  }
}

function remembered() {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Takes a session out of the address, and returns it if it may be taken over. */
function handedOver() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const id = parameters.get("session");
  if (id === null) return null;
  parameters.delete("session");
  const rest = String(parameters);
  history.replaceState(history.state, "", rest === "" ? location.pathname + location.search : `#${rest}`);
  return USABLE.test(id) && THIS_MACHINE.has(location.hostname) ? id : null;
}

function known() {
  const stored = remembered();
  return USABLE.test(stored) ? stored : remember(randomId());
}

/** The session id of this browser. */
export let sessionId = known();

/** Becomes the session that the address carries, if it carries one; says whether it is another than before. */
export function takeOver() {
  const id = handedOver();
  if (id === null || id === sessionId) return false;
  sessionId = remember(id);
  return true;
}
