// A page that uses each event and each body: the compiler checks the types by it.

import type {
  AppendEvent, AppendEvents, CreateJob, CreateJobAsWorker, Custom, ErrorBody, EventData, EventsAppended,
  FrontendEvent, Health, JobCancelled, JobCreated, JobList, JobRetried, JobStatus, JobSummary, RunEvent, StartedJob,
} from "../../sdk/js/events.d.ts";

export function shown(event: FrontendEvent): string {
  switch (event.type) {
    case "connected":
      return `${event.data.connectionId} ${event.data.jobId} ${event.data.maxAgeSeconds + event.data.keepaliveSeconds}`;
    case "reset":
      return `${event.data.attempt.toFixed()} ${event.data.reason satisfies "attempt" | "trimmed" | "unknown"}`;
    case "ping":
      return Object.keys(event.data).join();
    case "progress-update":
    case "step-change":
      return `${event.data.progress.toFixed()} ${event.data.currentStep?.trim() ?? ""} ${event.data.phase} ${event.data.total ?? 0}`;
    case "complete":
      return JSON.stringify(event.data.result);
    case "failed":
      return `${event.data.error.trim()} ${event.data.errorCode?.trim() ?? ""}`;
    case "log":
      return `${event.data.level ?? "info"}: ${event.data.text.trim()}`;
    default:
      return event satisfies never;
  }
}

export function listen<Name extends keyof EventData>(source: EventSource, name: Name, on: (data: EventData[Name]) => void): void {
  source.addEventListener(name, (event) => on(JSON.parse((event as MessageEvent<string>).data)));
}

export const wanted: CreateJob = { type: "report", input: { pages: 3 } };
export const others: CreateJobAsWorker = { ...wanted, userId: "u1", jobId: "j1", queued: false };
export const start: RunEvent = { seq: 1, event: "step-change" };
export const batch: AppendEvents = { run: "8f14e45fceea167a", attempt: 1, leaseSeconds: 60, events: [start] };
export const single: AppendEvent = { run: batch.run, seq: 2, event: "progress-update", data: { progress: 40 } };
export const begun = ({ ids, job, cancelRequested }: EventsAppended): StartedJob | null =>
  cancelRequested || ids.some((id) => id?.includes("-") === false) ? null : job;
export const own: Custom = { type: "page-done", data: { page: 3 } };
export const refused = (body: ErrorBody): boolean => body.code === "JOB_NOT_FOUND" && !body.success && !body.ids?.length;
export const last = ({ jobs, cursor }: JobList): JobSummary | string | null => jobs.at(-1) ?? cursor;
export const result = (body: JobStatus): unknown => (body.status === "succeeded" ? body.result : body.attempt);
export const address = (body: JobCreated): string => body.streamUrl + body.statusUrl;
export const both = (a: JobCancelled, b: JobRetried, c: Health): string => `${a.cancelled} ${b.jobId.trim()} ${c.status}`;

// @ts-expect-error a type that has no such field
export const wrong = (body: JobCreated): string => body.address;
