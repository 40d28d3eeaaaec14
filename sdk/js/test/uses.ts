// A page in TypeScript: the compiler checks the package's types by it.

import { defaults, watchJob } from "jobcast";
import type { JobState, ProgressData, WatchOptions } from "jobcast";
import { JobProgress } from "jobcast/element";
import { watchJobs } from "jobcast/many";
import { useJob, useJobs } from "jobcast/react";
import { jobsStore, jobStore } from "jobcast/svelte";
import { useJob as useJobOfVue, useJobs as useJobsOfVue } from "jobcast/vue";

defaults.token = async () => "token";
const options: WatchOptions = { jobId: "j", events: ["page-done"], from: "start", onStepChange: ({ currentStep }) => currentStep };
const maybe = (): string | undefined => undefined;
watchJob({ jobId: "j", token: maybe(), session: maybe(), base: maybe(), signal: undefined, onState: undefined, onTick: undefined });
watchJobs({ mine: "active", token: maybe(), onJobs: undefined });
useJob(maybe(), { token: maybe(), enabled: true });
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
const made = document.createElement("job-progress");
Object.assign(made.options, { from: "start" });
made.options = { token: async () => "token", onFileHashed: (data, event) => [data, event.name] };
made.texts = { ...JobProgress.texts, lang: "de" };
made.addEventListener("jobstate", ({ detail }) => detail.progress?.toFixed());
document.querySelector("job-progress")?.cancel();
export const rendered = useJob(null, { enabled: false, session: "me" }).progress;
export const ref = useJobOfVue(() => "j", { session: "me" }).state.value.eta;
export const store = jobStore({ jobId: "j" }).subscribe((state) => state.transport === "polling");

export const many = watchJobs({ jobs: ["a"], onLeft: ({ reason }) => reason, onState: ({ progress }, jobId) => [progress, jobId] });
export const ended = async (): Promise<number> => (await many.closed).size;
export const shown = [
  useJobs({ mine: "active", session: "me" }).get("a")?.progress,
  useJobsOfVue(() => ({ jobs: ["a"] })).value.get("a")?.outcome,
  jobsStore({ jobs: ["a"] }).subscribe((states) => states.size),
];

// @ts-expect-error there is no such option
export const wrong = watchJob({ jobId: "j", sessionId: "me" });
// @ts-expect-error a state that there is not
export const never = job.state.outcome === "done";
