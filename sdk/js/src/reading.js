/** @import { Reading } from "./types.js" */

/** @type {Reading} */
export async function* reading(waiting, readers, closed) {
  let ring = (/** @type {any} */ _) => {};
  const reader = (/** @type {any} */ event) => ring(event);
  readers.add(reader);
  closed.catch(() => {}).finally(() => ring(waiting.push(null)));
  try {
    for (;;) {
      if (!waiting.length) await new Promise((go) => (ring = go));
      const event = waiting.shift();
      if (!event) return void (await closed);
      yield event;
    }
  } finally {
    readers.delete(reader);
  }
}
