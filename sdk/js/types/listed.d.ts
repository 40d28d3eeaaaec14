/** @import { JobState } from "./types.js" */
import type { JobState } from "./types.js";
/** Any other id can't be one of a job. */
export declare const JOB_ID: RegExp;
/** The service answers with a UUID in lower case. */
export declare const canonical: (id?: string) => string;
/** How many jobs a stream may have. */
export declare const MOST = 200;
/** The jobs of each stream. */
export declare function grouped(/** @type {string[]} */ ids: string[]): string[][];
/**
 * States that are known of listed jobs, by their ids.
 *
 * @param {string[]} listed
 * @param {ReadonlyMap<string, JobState>} known
 */
export declare function knownOf(listed: string[], known: ReadonlyMap<string, JobState>): Map<string, JobState>;
