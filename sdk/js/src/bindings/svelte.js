/** @import { Readable } from "svelte/store" */
/** @import { Job, JobState, ManyOptions, Options } from "../types.js" */
import { readable } from "svelte/store";
import { initial, watchJob } from "../jobcast.js";
import { watchJobs } from "../many.js";

/**
 * A store of a job's state. The job is watched while somebody subscribes, and on a server never.
 *
 * @param {Options} options as of `watchJob`
 * @returns {Readable<JobState> & { cancel(): Promise<void>, retry(): Promise<void>, wake(): void }}
 */
export function jobStore(options) {
  /** @type {Job | undefined} */
  let job;
  const { subscribe } = readable(initial, (set) => {
    if (!globalThis.document) return;
    const own = (job = watchJob(options));
    const end = own.subscribe(set);
    return () => {
      end();
      own.close();
      job = undefined;
    };
  });
  return {
    subscribe,
    cancel: async () => job?.cancel(),
    retry: async () => job?.retry(),
    wake: () => job?.wake(),
  };
}

/**
 * A store of the states of many jobs by id. They are watched while somebody subscribes, and on a server never.
 *
 * @param {ManyOptions} options as of `watchJobs`
 * @returns {Readable<ReadonlyMap<string, JobState>>}
 */
export function jobsStore(options) {
  return readable(/** @type {ReadonlyMap<string, JobState>} */ (new Map()), (set) => {
    if (!globalThis.document) return;
    const jobs = watchJobs(options);
    const end = jobs.subscribe(set);
    return () => {
      end();
      jobs.close();
    };
  });
}
