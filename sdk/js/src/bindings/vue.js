/** @import { MaybeRefOrGetter, ShallowRef } from "vue" */
/** @import { Job, Jobs, JobState, ManyOptions, Options } from "../types.js" */
import { onScopeDispose, shallowRef, toValue, watch } from "vue";
import { initial, watchJob } from "../jobcast.js";
import { knownOf } from "../listed.js";
import { watchJobs } from "../many.js";
import { following, likeness } from "../options.js";

/**
 * Watches a job for as long as a component, or another scope of effects, is there; on a server it watches none.
 *
 * @param {MaybeRefOrGetter<string | null | undefined>} jobId
 * @param {MaybeRefOrGetter<Partial<Options> & { enabled?: boolean }>} [options] as of `watchJob`; functions may
 *   be other ones later; other values open the job anew
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
    job = watchJob(following({ ...rest, ...(id && { jobId: id }) }, () => toValue(options)));
    end = /** @type {() => void} */ (job.subscribe((told) => (state.value = told)));
  }

  watch(() => `${toValue(jobId)} ${likeness(toValue(options))}`, open, { immediate: true });
  onScopeDispose(close);
  return {
    state,
    cancel: async () => job?.cancel(),
    retry: async () => job?.retry(),
    wake: () => job?.wake(),
  };
}

/**
 * Watches many jobs on one stream, as `useJob` watches one.
 *
 * @param {MaybeRefOrGetter<Partial<ManyOptions> & { enabled?: boolean }>} options as of `watchJobs`; functions may
 *   be other ones later; other values open the stream anew
 * @returns {Readonly<ShallowRef<ReadonlyMap<string, JobState>>>} the states by id
 */
export function useJobs(options) {
  const states = shallowRef(/** @type {ReadonlyMap<string, JobState>} */ (new Map()));
  /** @type {Jobs | undefined} */
  let jobs;
  let besides = "";

  function close() {
    jobs?.close();
    jobs = undefined;
  }

  function open() {
    close();
    const { enabled = true, ...rest } = toValue(options);
    const before = besides;
    besides = likeness({ ...rest, jobs: null });
    const isWanted = enabled && (rest.jobs || rest.mine) && globalThis.document;
    const known = isWanted && besides === before ? knownOf(rest.jobs ?? [], states.value) : new Map();
    states.value = known;
    if (!isWanted) return;
    const own = (jobs = watchJobs(/** @type {ManyOptions} */ (following({ known, ...rest }, () => toValue(options)))));
    own.subscribe((told) => own === jobs && (states.value = told));
  }

  watch(() => likeness(toValue(options)), open, { immediate: true });
  onScopeDispose(close);
  return states;
}
