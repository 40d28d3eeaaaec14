/** @import { MaybeRefOrGetter, ShallowRef } from "vue" */
/** @import { Job, JobState, Options } from "../types.js" */
import { onScopeDispose, shallowRef, toValue, watch } from "vue";
import { initial, watchJob } from "../jobcast.js";

/**
 * Watches a job for as long as a component, or another scope of effects, is there; on a server it watches none.
 *
 * @param {MaybeRefOrGetter<string | null | undefined>} jobId
 * @param {MaybeRefOrGetter<Partial<Options> & { enabled?: boolean }>} [options] as of `watchJob`; others open the job
 *   anew
 * @returns {{ state: Readonly<ShallowRef<JobState>>, cancel(): Promise<void>, retry(): Promise<void>, wake(): void }}
 */
export function useJob(jobId, options = {}) {
  const state = shallowRef(initial);
  /** @type {Job | undefined} */
  let job;
  let end = () => {};

  function close() {
    end();
    job?.close();
    job = undefined;
    state.value = initial;
  }

  function open() {
    close();
    const { enabled = true, ...rest } = toValue(options);
    const id = toValue(jobId);
    if (!enabled || !(id || rest.url) || !globalThis.document) return;
    job = watchJob({ ...rest, ...(id && { jobId: id }) });
    end = /** @type {() => void} */ (job.subscribe((told) => (state.value = told)));
  }

  watch([() => toValue(jobId), () => toValue(options)], open, { immediate: true });
  onScopeDispose(close);
  return {
    state,
    cancel: async () => job?.cancel(),
    retry: async () => job?.retry(),
    wake: () => job?.wake(),
  };
}
