// Made by `just contract` from the structs in schema/.

/** The first event of every stream. A control frame, without id. */
export interface Connected {
  type: "connected";
  data: ConnectedData;
}

/** The job, and in seconds the stream's maximum age and the silence before a keepalive. */
export interface ConnectedData {
  connectionId: string;
  jobId: string;
  maxAgeSeconds: number;
  keepaliveSeconds: number;
}

/** All earlier events of the job are void; the snapshot follows. A control frame, without id. */
export interface Reset {
  type: "reset";
  data: ResetData;
}

/** The attempt of the snapshot that follows, and why the viewer can't resume from its cursor. */
export interface ResetData {
  attempt: number;
  reason: "attempt" | "trimmed" | "unknown";
}

/** A keepalive as an event, which `?ping=1` requests. A control frame, without id. */
export interface Ping {
  type: "ping";
  data: Record<string, unknown>;
}

/** The job made progress. Also the snapshot of a queued or running job. */
export interface ProgressUpdate {
  type: "progress-update";
  data: ProgressData;
}

/** Progress in percent, the current step, and the estimated time left in seconds. */
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

/** The job succeeded. Last event of the attempt. */
export interface Complete {
  type: "complete";
  data: CompleteData;
}

/** The job's result: any JSON value. */
export interface CompleteData {
  result: unknown;
}

/** The job failed or was cancelled. Last event of the attempt. */
export interface Failed {
  type: "failed";
  data: FailedData;
}

/** Why the job failed: a text for people, and a stable code or null. */
export interface FailedData {
  error: string;
  errorCode: string | null;
}

/** A log line of a worker. The service treats it as a custom event. */
export interface Log {
  type: "log";
  data: LogData;
}

/** A log line of a worker, with any further fields. The service forwards it unchecked. */
export interface LogData {
  text: string;
  level?: "debug" | "error" | "info" | "warning";
  time?: unknown;
  [field: string]: unknown;
}

/** An event named by a worker. It is forwarded unchanged and is not part of the snapshot. */
export interface Custom {
  type: string;
  data: Record<string, unknown>;
}

/** The first event of every stream of many jobs. A control frame, without id. */
export interface ManyConnected {
  type: "connected";
  data: ManyConnectedData;
}

/**
 * The jobs, and in seconds the stream's maximum age and the silence before a keepalive.
 *
 * `jobIds` are the jobs at the stream's beginning: those requested, or with `mine=active`
 * those found.
 */
export interface ManyConnectedData {
  connectionId: string;
  jobIds: string[];
  maxAgeSeconds: number;
  keepaliveSeconds: number;
}

/** A job left the stream: its events stop until it joins again. A control frame, without id. */
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

/** Body of `POST /api/v1/jobs` with a worker token, which names the job's owner. */
export interface CreateJobAsWorker {
  type: string;
  input?: Record<string, unknown>;
  userId?: string | null;
  sessionId?: string | null;
  jobId?: string | null;
  /** False: it is not put on the queue, as the worker runs it itself */
  queued?: boolean;
}

/** An event of a run, as its viewers get it. */
export interface RunEvent {
  /** Number of the event within its run, rising */
  seq: number;
  /** `step-change` starts the run if it is its first event (`seq` 1) */
  event: string;
  data?: Record<string, unknown>;
}

/** Body of `POST …/events`: events of one run, in order. An empty list renews its lease. */
export interface AppendEvents {
  /** A random text that the worker draws anew for each run */
  run: string;
  attempt?: number | null;
  /** When the worker counts as lost, without a further request */
  leaseSeconds?: number;
  events: RunEvent[];
}

/** Body of `POST …/events`: one event. */
export interface AppendEvent {
  /** A random text that the worker draws anew for each run */
  run: string;
  attempt?: number | null;
  /** When the worker counts as lost, without a further request */
  leaseSeconds?: number;
  /** Number of the event within its run, rising */
  seq: number;
  event: string;
  data?: Record<string, unknown>;
}

/** Type and input of the started job. `input` is null if the stored one is no JSON object. */
export interface StartedJob {
  type: string;
  input: Record<string, unknown> | null;
}

/** Answer to `POST …/events`. `job` is null unless the request started the run. */
export interface EventsAppended {
  /** Log entries of the events; null: a repeat, and not in the log any more */
  ids: (string | null)[];
  /** True: the owner cancelled the job; end it by `failed` */
  cancelRequested: boolean;
  /** Counts from 1; a retry raises it */
  attempt: number;
  job: StartedJob | null;
}

/** Answer to `POST /api/v1/jobs`. */
export interface JobCreated {
  jobId: string;
  statusUrl: string;
  streamUrl: string;
}

/** Answer to `GET …/status`. Timestamps are ISO 8601 with milliseconds and `Z`. */
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

/** Body of every error: a title, a message for people, and a stable code for programs. */
export interface ErrorBody {
  success: false;
  error: string;
  message: string;
  code: "UNAUTHORIZED" | "JOB_NOT_FOUND" | "BAD_REQUEST" | "JOB_NOT_CANCELLABLE" | "JOB_NOT_FAILED" | "IDEMPOTENCY_CONFLICT" | "TOO_MANY_STREAMS" | "SERVICE_UNAVAILABLE" | "METHOD_NOT_ALLOWED" | "NOT_FOUND" | "INTERNAL" | "NO_QUEUE" | "FORBIDDEN" | "TOO_LARGE" | "JOB_EXISTS" | "JOB_FINISHED" | "JOB_STALLED" | "JOB_SUPERSEDED" | "JOB_NOT_RUNNING";
  /** Only of a batch that was begun: the log entries of the events before the one that was refused or not acknowledged */
  ids?: (string | null)[];
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
