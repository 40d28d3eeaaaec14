/** @import { Job, Jobs, JobState, ManyOptions, Options } from "../types.js" */
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { initial, watchJob } from "../jobcast.js";
import { knownOf } from "../listed.js";
import { watchJobs } from "../many.js";
import { following, likeness } from "../options.js";

const nothing = () => () => {};

/**
 * What is opened with these options, for as long as a component is there and it is wanted.
 *
 * @param {(options: any) => { close(): void }} watch
 * @param {Record<string, any>} options
 * @param {boolean} isWanted
 */
function useWatched(watch, options, isWanted) {
  const key = `${isWanted} ${likeness(options)}`;
  const latest = useRef(options);
  const [opened, setOpened] = useState(/** @type {{ key: string, watched: any } | null} */ (null));

  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => {
    if (!isWanted) return;
    const watched = watch(following(options, () => latest.current));
    setOpened({ key, watched });
    return () => {
      setOpened(null);
      watched.close();
    };
  }, [key]);
  return opened?.key === key ? opened.watched : null;
}

/**
 * @template T
 * @param {{ subscribe(changed: () => void): unknown } | null} store
 * @param {() => T} now
 * @param {T} onServer
 */
function useStore(store, now, onServer) {
  const subscribe = useCallback((/** @type {() => void} */ changed) => (store ? store.subscribe(changed) : nothing()), [store]);
  return useSyncExternalStore(/** @type {any} */ (subscribe), now, () => onServer);
}

/**
 * Watches a job for as long as a component is there. Without a job, or when it is not `enabled`, nothing is watched.
 * Functions may be other ones at each render; other options open the job anew.
 *
 * @param {string | null | undefined} jobId
 * @param {Partial<Options> & { enabled?: boolean }} [options] as of `watchJob`
 * @returns {JobState & { cancel(): Promise<void>, retry(): Promise<void>, wake(): void }}
 */
export function useJob(jobId, options = {}) {
  const { enabled = true, ...rest } = options;
  const given = { ...rest, ...(jobId && { jobId }) };
  const job = /** @type {Job | null} */ (useWatched(watchJob, given, enabled && !!(jobId || rest.url)));
  const state = useStore(job, () => job?.state ?? initial, initial);
  const latest = useRef(job);
  // The same functions at each render, so that an effect may depend on them.
  const calls = useMemo(
    () => ({
      cancel: async () => latest.current?.cancel(),
      retry: async () => latest.current?.retry(),
      wake: () => latest.current?.wake(),
    }),
    [],
  );

  useEffect(() => {
    latest.current = job;
  });
  return { ...state, ...calls };
}

/** @type {ReadonlyMap<string, JobState>} */
const none = new Map();

/**
 * Watches many jobs on one stream, as `useJob` watches one.
 *
 * @param {Partial<ManyOptions> & { enabled?: boolean }} options as of `watchJobs`
 * @returns {ReadonlyMap<string, JobState>} the states by id
 */
export function useJobs(options) {
  const { enabled = true, ...rest } = options;
  const isWanted = enabled && !!(rest.jobs || rest.mine);
  const besides = likeness({ ...rest, jobs: null });
  const last = useRef({ besides, states: none });
  const known = useMemo(
    () => (isWanted && last.current.besides === besides ? knownOf(rest.jobs ?? [], last.current.states) : none),
    [`${isWanted} ${likeness(rest)}`],
  );
  const jobs = /** @type {Jobs | null} */ (useWatched(watchJobs, { known, ...rest }, isWanted));
  const states = useStore(jobs, () => jobs?.jobs ?? known, none);

  useEffect(() => {
    if (jobs || !isWanted) last.current = { besides, states };
  });
  return states;
}
