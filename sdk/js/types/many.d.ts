import type { JobState } from "./types.js";
/**
 * States that are known of listed jobs, by their ids.
 *
 * @param {string[]} listed
 * @param {ReadonlyMap<string, JobState>} known
 */
export declare function knownOf(listed: string[], known: ReadonlyMap<string, JobState>): Map<string, JobState>;
/** @type {WatchJobs} */
export declare function watchJobs(options: import("./types.js").ManyOptions): import("./types.js").Jobs;
