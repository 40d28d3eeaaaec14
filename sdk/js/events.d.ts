// Made by `just contract` from the structs in schema/.

/** First event of every stream. A control frame: it has no id. */
export interface Connected {
  type: "connected";
  data: ConnectedData;
}

/** Tells a viewer what it is connected to; times are seconds. */
export interface ConnectedData {
  connectionId: string;
  jobId: string;
  maxAgeSeconds: number;
  keepaliveSeconds: number;
}

/** What was shown before is void; the snapshot follows. A control frame: it has no id. */
export interface Reset {
  type: "reset";
  data: ResetData;
}

/** The job's attempt, and why a viewer can't go on from what it has seen. */
export interface ResetData {
  attempt: number;
  reason: "attempt" | "trimmed" | "unknown";
}

/** The stream was silent for a while. A control frame: it has no id. */
export interface Ping {
  type: "ping";
  data: Record<string, unknown>;
}

/** The job advanced. */
export interface ProgressUpdate {
  type: "progress-update";
  data: ProgressData;
}

/** How far a job is: percent, what it does, and the seconds it expects to need. */
export interface ProgressData {
  progress: number;
  currentStep: string | null;
  estimatedTimeRemaining: number | null;
  current?: number;
  total?: number;
  /** What is counted: file */
  unit?: string;
  /** True: how much there is is unknown */
  indeterminate?: boolean;
  /** Of the step's translations */
  stepKey?: string;
  stepParams?: Record<string, unknown>;
  stepIndex?: number;
  stepCount?: number;
  [field: string]: unknown;
}

/** The job started, or its step changed. */
export interface StepChange {
  type: "step-change";
  data: ProgressData;
}

/** The job succeeded. Last event of its attempt. */
export interface Complete {
  type: "complete";
  data: CompleteData;
}

/** The result of a job: any JSON value. */
export interface CompleteData {
  result: unknown;
}

/** The job failed or was cancelled. Last event of its attempt. */
export interface Failed {
  type: "failed";
  data: FailedData;
}

/** Why a job failed: a text for people, and a stable code where there is one. */
export interface FailedData {
  error: string;
  errorCode: string | null;
}

/** A worker says something. To the service it is a custom event. */
export interface Log {
  type: "log";
  data: LogData;
}

/** A line of a worker, which the service passes on unchecked, with any further fields. */
export interface LogData {
  text: string;
  level?: "debug" | "error" | "info" | "warning";
  time?: unknown;
  [field: string]: unknown;
}

/** An event that a worker named; Jobcast passes it on and keeps no state of it. */
export interface Custom {
  type: string;
  data: Record<string, unknown>;
}

/** Body of `POST /api/v1/jobs`. */
export interface CreateJob {
  type: string;
  input?: Record<string, unknown>;
  sessionId?: string | null;
}

/** Answer to `POST /api/v1/jobs`. */
export interface JobCreated {
  jobId: string;
  statusUrl: string;
  streamUrl: string;
}

/** Answer to `GET …/status`; times are ISO 8601 with `Z` and milliseconds. */
export interface JobStatus {
  jobId: string;
  status: "failed" | "queued" | "running" | "succeeded";
  progress: number;
  currentStep: string | null;
  estimatedTimeRemaining: number | null;
  error: string | null;
  errorCode: string | null;
  result: unknown;
  /** Counts from 1; a retry raises it */
  attempt: number;
  createdAt: string;
  updatedAt: string;
}

/** A job in a listing: its status without the result, and its type. */
export interface JobSummary {
  jobId: string;
  type: string;
  status: "failed" | "queued" | "running" | "succeeded";
  progress: number;
  currentStep: string | null;
  estimatedTimeRemaining: number | null;
  error: string | null;
  errorCode: string | null;
  /** Counts from 1; a retry raises it */
  attempt: number;
  createdAt: string;
  updatedAt: string;
}

/** Answer to `GET /api/v1/jobs`; `cursor` is null on the last page. */
export interface JobList {
  jobs: JobSummary[];
  cursor: string | null;
}

/** Answer to `POST …/cancel`. */
export interface JobCancelled {
  cancelled: boolean;
}

/** Answer to `POST …/retry`. */
export interface JobRetried {
  jobId: string;
}

/** Answer to `GET /healthz` and `GET /readyz`. */
export interface Health {
  status: "alive" | "not ready" | "ready";
}

/** Every error answer: a title, a text for people and a stable code. */
export interface ErrorBody {
  success: false;
  error: string;
  message: string;
  code: "UNAUTHORIZED" | "JOB_NOT_FOUND" | "BAD_REQUEST" | "JOB_NOT_CANCELLABLE" | "JOB_NOT_FAILED" | "IDEMPOTENCY_CONFLICT" | "TOO_MANY_STREAMS" | "SERVICE_UNAVAILABLE" | "METHOD_NOT_ALLOWED" | "NOT_FOUND" | "INTERNAL";
}

/** An event whose name has a meaning; all others are `Custom`. */
export type FrontendEvent = Connected | Reset | Ping | ProgressUpdate | StepChange | Complete | Failed | Log;

/** The data of each event, by its name. */
export interface EventData {
  "connected": Connected["data"];
  "reset": Reset["data"];
  "ping": Ping["data"];
  "progress-update": ProgressUpdate["data"];
  "step-change": StepChange["data"];
  "complete": Complete["data"];
  "failed": Failed["data"];
  "log": Log["data"];
}
