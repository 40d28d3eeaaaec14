/**
 * Who this browser is to the service: a random session id, kept in localStorage so that
 * a reload and a second tab are the same owner.
 */

const KEY = "jobcast.session";
const USABLE = /^[A-Za-z0-9._-]{16,255}$/;

/** A version 4 UUID. `crypto.randomUUID` exists only in secure contexts, and plain HTTP on a LAN is none. */
export function randomId() {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function remembered() {
  try {
    const stored = localStorage.getItem(KEY);
    if (stored !== null && USABLE.test(stored)) return stored;
    localStorage.setItem(KEY, randomId());
    return localStorage.getItem(KEY);
  } catch {
    // Storage is refused (blocked cookies, some private modes): the id lives as long as the page.
    return randomId();
  }
}

/** The session id of this browser. */
export const sessionId = remembered();
