// Made by `just contract` from the structs in schema/.

/** First event of every stream. A control frame: no id. */
export interface Connected {
  type: "connected";
  data: ConnectedData;
}

/** What a viewer is connected to; times are seconds. */
export interface ConnectedData {
  connectionId: string;
  jobId: string;
  maxAgeSeconds: number;
  keepaliveSeconds: number;
}

/** Voids all earlier events; the snapshot follows. A control frame: no id. */
export interface Reset {
  type: "reset";
  data: ResetData;
}

/** The job's attempt, and why the viewer can't resume from its cursor. */
export interface ResetData {
  attempt: number;
  reason: "attempt" | "trimmed" | "unknown";
}

/** Keepalive that a page can see. A control frame: no id. */
export interface Ping {
  type: "ping";
  data: Record<string, unknown>;
}

/** The job advanced. */
export interface ProgressUpdate {
  type: "progress-update";
  data: ProgressData;
}

/** Progress in percent, the current step, and the estimated seconds left. */
export interface ProgressData {
  progress: number;
  currentStep: string | null;
  estimatedTimeRemaining: number | null;
  current?: number;
  total?: number;
  /** Of current and total, such as file */
  unit?: string;
  /** True if the total is unknown */
  indeterminate?: boolean;
  /** Translation key of the step */
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

/** The job's result: any JSON value. */
export interface CompleteData {
  result: unknown;
}

/** The job failed or was cancelled. Last event of its attempt. */
export interface Failed {
  type: "failed";
  data: FailedData;
}

/** Why the job failed: a text for people and an optional stable code. */
export interface FailedData {
  error: string;
  errorCode: string | null;
}

/** A log line of a worker. To the service it is a custom event. */
export interface Log {
  type: "log";
  data: LogData;
}

/** A log line of a worker, forwarded unchecked with any further fields. */
export interface LogData {
  text: string;
  level?: "debug" | "error" | "info" | "warning";
  time?: unknown;
  [field: string]: unknown;
}

/** An event named by a worker: forwarded, not part of the state. */
export interface Custom {
  type: string;
  data: Record<string, unknown>;
}

/** First event of every stream of many jobs. A control frame: no id. */
export interface ManyConnected {
  type: "connected";
  data: ManyConnectedData;
}

/**
 * What a viewer of many jobs is connected to; times are seconds.
 *
 *     `jobIds` are the jobs of the stream at its beginning: those requested, or with `mine=active`
 *     those found.
 */
export interface ManyConnectedData {
  connectionId: string;
  jobIds: string[];
  maxAgeSeconds: number;
  keepaliveSeconds: number;
}

/** A job left a stream of many: nothing more comes of it. A control frame: no id. */
export interface Left {
  type: "left";
  data: LeftData;
}

/** The job that left the stream, and why. */
export interface LeftData {
  jobId: string;
  reason: "displaced" | "ended" | "gone" | "not-found" | "too-many-streams" | "unreadable";
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

/** A job in a listing: its type, and its status without the result. */
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

/** Answer to `GET /api/v1/jobs`. `cursor` is null on the last page. */
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

/** Body of every error: a title, a text for people, and a stable code. */
export interface ErrorBody {
  success: false;
  error: string;
  message: string;
  code: "UNAUTHORIZED" | "JOB_NOT_FOUND" | "BAD_REQUEST" | "JOB_NOT_CANCELLABLE" | "JOB_NOT_FAILED" | "IDEMPOTENCY_CONFLICT" | "TOO_MANY_STREAMS" | "SERVICE_UNAVAILABLE" | "METHOD_NOT_ALLOWED" | "NOT_FOUND" | "INTERNAL" | "NO_QUEUE";
}

/** An event with a defined meaning; all others are `Custom`. */
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

/** The same, on a stream of many jobs. */
export interface ManyEventData {
  "connected": ManyConnected["data"];
  "left": Left["data"];
  "reset": Reset["data"] & { jobId: string };
  "ping": Ping["data"];
  "progress-update": ProgressUpdate["data"] & { jobId: string };
  "step-change": StepChange["data"] & { jobId: string };
  "complete": Complete["data"] & { jobId: string };
  "failed": Failed["data"] & { jobId: string };
  "log": Log["data"] & { jobId: string };
}
