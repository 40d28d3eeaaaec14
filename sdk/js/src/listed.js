/** @import { JobState } from "./types.js" */
// The jobs of a list.

/** Any other id can't be one of a job. */
export const JOB_ID = /^[\w.-]{1,128}$/;

/** The service answers with a UUID in lower case. */
export const canonical = (id = "") => (/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(id) ? id.toLowerCase() : id);

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
