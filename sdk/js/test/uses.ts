// A page in TypeScript: the compiler checks the package's types by it.

import { defaults, watchJob } from "jobcast";
import type { JobState, ProgressData, WatchOptions } from "jobcast";
import { JobProgress } from "jobcast/element";
import { useJob } from "jobcast/react";
import { jobStore } from "jobcast/svelte";
import { useJob as useJobOfVue } from "jobcast/vue";

defaults.token = async () => "token";
const options: WatchOptions = { jobId: "j", events: ["page-done"], from: "start", onStepChange: ({ currentStep }) => currentStep };
export const job = watchJob({
  ...options,
  onState: (state: JobState) => state.progress?.toFixed(),
  onProgressUpdate: (data: ProgressData) => data.progress.toFixed(),
  onFileHashed: (data, event) => `${data.path} ${event.name}`,
});
export const end: () => unknown = job.subscribe(({ outcome }) => outcome === "stalled");
export const read = async (): Promise<string | null> => {
  for await (const { name, data } of job) console.log(name, data);
  return job.closed;
};
export const element = (own: JobProgress): string | null => own.state.step;
export const rendered = useJob(null, { enabled: false, session: "me" }).progress;
export const ref = useJobOfVue(() => "j", { session: "me" }).state.value.eta;
export const store = jobStore({ jobId: "j" }).subscribe((state) => state.transport === "polling");

// @ts-expect-error there is no such option
export const wrong = watchJob({ jobId: "j", sessionId: "me" });
// @ts-expect-error a state that there is not
export const never = job.state.outcome === "done";
