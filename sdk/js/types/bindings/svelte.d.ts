import type { Readable } from "svelte/store";
import type { JobState, Options } from "../types.js";
/**
 * A store of a job's state. The job is watched while somebody subscribes, and on a server never.
 *
 * @param {Options} options as of `watchJob`
 * @returns {Readable<JobState> & { cancel(): Promise<void>, retry(): Promise<void>, wake(): void }}
 */
export declare function jobStore(options: Options): Readable<JobState> & {
    cancel(): Promise<void>;
    retry(): Promise<void>;
    wake(): void;
};
