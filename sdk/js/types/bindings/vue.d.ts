import type { MaybeRefOrGetter, ShallowRef } from "vue";
import type { JobState, ManyOptions, Options } from "../types.js";
/**
 * Watches a job for as long as a component, or another scope of effects, is there; on a server it watches none.
 *
 * @param {MaybeRefOrGetter<string | null | undefined>} jobId
 * @param {MaybeRefOrGetter<Partial<Options> & { enabled?: boolean }>} [options] as of `watchJob`; functions may
 *   be other ones later; other values open the job anew
 * @returns {{ state: Readonly<ShallowRef<JobState>>, cancel(): Promise<void>, retry(): Promise<void>, wake(): void }}
 */
export declare function useJob(jobId: MaybeRefOrGetter<string | null | undefined>, options?: MaybeRefOrGetter<Partial<Options> & {
    enabled?: boolean;
}>): {
    state: Readonly<ShallowRef<JobState>>;
    cancel(): Promise<void>;
    retry(): Promise<void>;
    wake(): void;
};
/**
 * Watches many jobs on one stream, as `useJob` watches one.
 *
 * @param {MaybeRefOrGetter<Partial<ManyOptions> & { enabled?: boolean }>} options as of `watchJobs`; functions may
 *   be other ones later; other values open the stream anew
 * @returns {Readonly<ShallowRef<ReadonlyMap<string, JobState>>>} the states by id
 */
export declare function useJobs(options: MaybeRefOrGetter<Partial<ManyOptions> & {
    enabled?: boolean;
}>): Readonly<ShallowRef<ReadonlyMap<string, JobState>>>;
