/** @import { Job, JobState, Options } from "../types.js" */
import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { initial, watchJob } from "../jobcast.js";

const nothing = () => () => {};

/** Calls the function of the latest render. */
const newest = (/** @type {{ current: Partial<Options> }} */ options, /** @type {string} */ name) =>
  (/** @type {unknown[]} */ ...given) => Object(options.current)[name]?.(...given);

/**
 * Watches a job for as long as a component is there. Without a job, or when it is not `enabled`, nothing is watched.
 * Functions may be other ones at each render; other options open the job anew.
 *
 * @param {string | null | undefined} jobId
 * @param {Partial<Options> & { enabled?: boolean }} [options] as of `watchJob`
 * @returns {JobState & { cancel(): Promise<void>, retry(): Promise<void>, wake(): void }}
 */
export function useJob(jobId, options = {}) {
  const { enabled = true, signal, EventSource, ...rest } = options;
  const functions = Object.keys(rest).filter((name) => typeof Object(rest)[name] === "function");
  const key = JSON.stringify([enabled ? (jobId ?? rest.url ?? null) : null, rest, functions]);
  const latest = useRef(options);
  const [opened, setOpened] = useState(/** @type {{ key: string, job: Job } | null} */ (null));

  useEffect(() => {
    latest.current = options;
  });
  useEffect(() => {
    if (!enabled || !(jobId || rest.url)) return;
    const called = Object.fromEntries(functions.map((name) => [name, newest(latest, name)]));
    const job = watchJob({ ...rest, ...(jobId && { jobId }), ...called, signal, EventSource });
    setOpened({ key, job });
    return () => {
      setOpened(null);
      job.close();
    };
  }, [key]);

  const job = opened?.key === key ? opened.job : null;
  const subscribe = useCallback((/** @type {() => void} */ changed) => (job ? job.subscribe(changed) : nothing()), [job]);
  const state = useSyncExternalStore(/** @type {any} */ (subscribe), () => job?.state ?? initial, () => initial);
  return {
    ...state,
    cancel: async () => job?.cancel(),
    retry: async () => job?.retry(),
    wake: () => job?.wake(),
  };
}
