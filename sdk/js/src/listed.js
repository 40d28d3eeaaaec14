/** @import { JobState } from "./types.js" */
// The jobs of a list.

/** Any other id can't be one of a job. */
export const JOB_ID = /^[\w.-]{1,128}$/;

/** The service answers with a UUID in lower case. */
export const canonical = (id = "") => (/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(id) ? id.toLowerCase() : id);

/** How many jobs a stream may have. */
export const MOST = 200;

/** Characters of their ids: those of 200 UUIDs. Proxies and servers take addresses of 8 KB or little more. */
const MOST_CHARACTERS = 7400;

/** The jobs of each stream. */
export function grouped(/** @type {string[]} */ ids) {
  const groups = /** @type {string[][]} */ ([]);
  let left = 0;
  for (const id of ids) {
    left -= id.length + 1;
    if (left < 0 || groups[0].length === MOST) {
      groups.unshift([]);
      left = MOST_CHARACTERS - id.length - 1;
    }
    groups[0].push(id);
  }
  return groups.reverse();
}

/**
 * States that are known of listed jobs, by their ids.
 *
 * @param {string[]} listed
 * @param {ReadonlyMap<string, JobState>} known
 */
export function knownOf(listed, known) {
  const ids = listed.map((id) => canonical(`${id}`));
  return new Map(ids.flatMap((id) => (known.has(id) ? [[id, /** @type {JobState} */ (known.get(id))]] : [])));
}
