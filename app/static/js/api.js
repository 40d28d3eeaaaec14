/** The service's HTTP interface, one function a call. Every failure is an `ApiError`. */

import { sessionId } from "./session.js";

// Beside this file, below whatever prefix the service is mounted.
const JOBS = new URL("../../api/v1/jobs", import.meta.url).pathname;
const TIMEOUT_S = 10;
const TIMED_OUT =
  `No answer within ${TIMEOUT_S} s. If the page is open in many tabs, close some: ` +
  "over HTTP/1.1 a browser keeps at most six connections to one site.";

/** A call that failed. `status` is the HTTP status, 0 if no answer came; `retryAfter` is in seconds. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "UNREACHABLE", retryAfter = 0 } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** No such job, or not this session's: asking again changes nothing. */
  get isDenial() {
    return this.status === 404 || this.status === 401;
  }
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError(body?.message ?? `The service answered ${response.status}.`, {
    status: response.status,
    code: body?.code ?? "UNKNOWN",
    retryAfter: Number(response.headers.get("retry-after")) || 0,
  });
}

async function call(path, { method = "GET", body, headers = {} } = {}) {
  const request = {
    method,
    headers: { accept: "application/json", "x-session-id": sessionId, ...headers },
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_S * 1000),
  };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(JOBS + path, request);
    if (!response.ok) throw await refusal(response);
    return await response.json();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(error.name === "TimeoutError" ? TIMED_OUT : "The service can’t be reached.");
  }
}

const at = (jobId) => `/${encodeURIComponent(jobId)}`;

/** Starts a checksum job and answers its id. A repeat under the same `key` starts no second job. */
export async function startChecksum(folder, key) {
  const body = { type: "checksum", input: { folder } };
  return (await call("", { method: "POST", body, headers: { "idempotency-key": key } })).jobId;
}

/** The status object of one job. */
export const fetchStatus = (jobId) => call(`${at(jobId)}/status`);

/** This session's newest jobs. */
export const fetchRecent = async (limit) => (await call(`?limit=${limit}`)).jobs;

export const cancelJob = (jobId) => call(`${at(jobId)}/cancel`, { method: "POST" });

export const retryJob = (jobId) => call(`${at(jobId)}/retry`, { method: "POST" });

/** Where a native EventSource, which can't send headers, finds the job's events. */
export const streamUrl = (jobId) => `${JOBS}${at(jobId)}/stream?sessionId=${encodeURIComponent(sessionId)}`;
