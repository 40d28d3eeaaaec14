/** The service's HTTP interface, one function a call. Every failure is an `ApiError`. */

import { sessionId } from "./session.js";

// Beside this file, below whatever prefix the service is mounted.
const JOBS = new URL("../../api/v1/jobs", import.meta.url).pathname;
const TIMEOUT_S = 10;
const TIMED_OUT =
  `No answer within ${TIMEOUT_S} s. If the page is open in many tabs, close some: ` +
  "over HTTP/1.1 a browser keeps at most six connections to one site.";

const UNREACHABLE = "The service can’t be reached.";

/** A call that failed. */
export class ApiError extends Error {
  constructor(message, code = "UNREACHABLE") {
    super(message);
    this.name = "ApiError";
    this.code = code;
  }
}

/** What to say of a call of the browser client that failed. */
export const reasonOf = ({ code, message }) => (code === "UNREACHABLE" ? UNREACHABLE : message);

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError(body?.message ?? `The service answered ${response.status}.`, body?.code ?? "UNKNOWN");
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
    throw new ApiError(error.name === "TimeoutError" ? TIMED_OUT : UNREACHABLE);
  }
}

/** Starts a checksum job and answers its id. A repeat under the same `key` starts no second job. */
export async function startChecksum(folder, key) {
  const body = { type: "checksum", input: { folder } };
  return (await call("", { method: "POST", body, headers: { "idempotency-key": key } })).jobId;
}

/** This session's newest jobs. */
export const fetchRecent = async (limit) => (await call(`?limit=${limit}`)).jobs;
