import type { JobState, ManyOptions, Options } from "../types.js";
/**
 * Watches a job for as long as a component is there. Without a job, or when it is not `enabled`, nothing is watched.
 * Functions may be other ones at each render; other options open the job anew.
 *
 * @param {string | null | undefined} jobId
 * @param {Partial<Options> & { enabled?: boolean }} [options] as of `watchJob`
 * @returns {JobState & { cancel(): Promise<void>, retry(): Promise<void>, wake(): void }}
 */
export declare function useJob(jobId: string | null | undefined, options?: Partial<Options> & {
    enabled?: boolean;
}): JobState & {
    cancel(): Promise<void>;
    retry(): Promise<void>;
    wake(): void;
};
/**
 * Watches many jobs on one stream, as `useJob` watches one.
 *
 * @param {Partial<ManyOptions> & { enabled?: boolean }} options as of `watchJobs`
 * @returns {ReadonlyMap<string, JobState>} the states by id
 */
export declare function useJobs(options: Partial<ManyOptions> & {
    enabled?: boolean;
}): ReadonlyMap<string, JobState>;
