import type { Readable } from "svelte/store";
import type { JobState, ManyOptions, Options } from "../types.js";
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
/**
 * A store of the states of many jobs by id. They are watched while somebody subscribes, and on a server never.
 *
 * @param {ManyOptions} options as of `watchJobs`
 * @returns {Readable<ReadonlyMap<string, JobState>>}
 */
export declare function jobsStore(options: ManyOptions): Readable<ReadonlyMap<string, JobState>>;
