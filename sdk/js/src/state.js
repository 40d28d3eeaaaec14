/** @import { JobState, Reduce } from "./types.js" */
const blank = {
  status: null,
  progress: null,
  step: null,
  eta: null,
  fields: {},
  result: null,
  error: null,
  errorCode: null,
  outcome: null,
  updatedAt: null,
};

/** @type {JobState} */
export const initial = { ...blank, attempt: null, connection: "connecting", transport: "stream", problem: null };

/** @type {Reduce} */
export function reduce(state, { name, data, id }) {
  const { progress, currentStep: step = null, estimatedTimeRemaining: eta = null, ...fields } = data;
  const updatedAt = parseInt(id ?? "") || state.updatedAt;
  const before = { ...state, ...blank };
  const end = { ...state, updatedAt, eta: null, result: null, error: null, errorCode: null };
  switch (name) {
    case "progress-update":
    case "step-change": {
      const runs = state.status === "running" || name === "step-change" || progress > 0 || step;
      return { ...before, status: runs ? "running" : "queued", progress, step, eta, fields, updatedAt };
    }
    case "complete":
      return { ...end, status: "succeeded", outcome: "succeeded", progress: 100, result: data.result ?? null };
    case "failed": {
      const { error, errorCode, willRetry } = data;
      const plain = error === "Cancelled" && !errorCode ? "cancelled" : name;
      const outcome = willRetry ? null : errorCode === "STALLED" ? "stalled" : plain;
      return { ...end, status: name, outcome, error, errorCode };
    }
    case "reset":
      return { ...before, attempt: data.attempt ?? state.attempt };
    case "$link":
      return JSON.stringify({ ...state, ...data }) === JSON.stringify(state) ? state : { ...state, ...data };
    case "$status": {
      const { status, attempt } = data;
      const at = Date.parse(data.updatedAt);
      const last = state.updatedAt ?? 0;
      const known = state.attempt ?? attempt;
      if (attempt < known || at < last) return state;
      if (at === last && attempt === known && /queued|running/.test(status)) return state.attempt ? state : { ...state, attempt };
      const now = { ...before, status, attempt, progress, step, eta, fields: attempt === known ? state.fields : {}, updatedAt: at };
      return reduce(now, { name: status === "succeeded" ? "complete" : status, data });
    }
    default:
      return state;
  }
}
