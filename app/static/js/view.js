/**
 * The job panel: draws one model, `{jobId, isUnusable, job, isCancelling, isRetrying}` with `job` as the browser client
 * tells it, and remembers nothing but the DOM.
 */

import { reasonOf } from "./api.js";
import { bytes, count, plural, timeLeft } from "./format.js";
import { ending, isIndeterminate } from "./job.js";

const $ = (id) => document.getElementById(id);

/** Every state that the panel can be in: its badge, and the sentence under it (spoken too). */
const STATES = {
  idle: ["Idle", "No job is open. Start one, or reopen a recent one."],
  connecting: ["Connecting", "Connecting to the job’s events."],
  live: ["Live", "Connected. Events arrive as they happen."],
  reconnecting: ["Reconnecting", "The connection was lost. The job goes on, and the page catches up once it is back."],
  polling: ["Polling", "No live events get through. The page asks for the job’s state instead."],
  succeeded: ["Succeeded", "The job succeeded."],
  failed: ["Failed", "The job failed. Retry runs it again."],
  cancelled: ["Cancelled", "The job was cancelled. Retry runs it again."],
  "not-found": ["Not found", "Job not found, or it belongs to another browser."],
  unavailable: ["Unavailable", "The service can’t be reached. The page keeps trying."],
};
const FINAL = new Set(["succeeded", "failed", "cancelled"]);
const WITHOUT_JOB = new Set(["idle", "not-found"]);

/** The state to show: how the job ended, else how the connection is. */
export function shownState({ jobId, isUnusable, job }) {
  if (jobId === null) return "idle";
  if (isUnusable || job.connection === "denied") return "not-found";
  if (job.connection === "reconnecting" && job.transport === "polling") return "polling";
  return ending(job) ?? job.connection;
}

export function sentence(model) {
  const state = shownState(model);
  if (model.isCancelling && !FINAL.has(state)) return "Cancelling. The worker is told with its next event.";
  if (state === "unavailable") return `${reasonOf(model.job.problem)} The page keeps trying.`;
  return STATES[state][1];
}

export function stepText({ step, status, outcome }) {
  if (outcome === "succeeded") return "Done";
  if (step !== null) return step;
  if (outcome !== null) return "Stopped";
  if (status === null) return "…";
  return status === "queued" ? "Waiting for a worker" : "Working";
}

/** A step as it is spoken. */
export const spokenStep = (job) =>
  isIndeterminate(job) ? stepText(job) : `${stepText(job)}, ${job.progress ?? 0} percent`;

const number = (value) => (Number.isFinite(value) ? value : null);

function countsText(fields) {
  const [current, total] = [number(fields.current), number(fields.total)];
  const [filesDone, filesTotal] = [number(fields.filesDone), number(fields.filesTotal)];
  const [bytesDone, bytesTotal] = [number(fields.bytesDone), number(fields.bytesTotal)];
  const unit = typeof fields.unit === "string" ? fields.unit : "item";
  const texts = [];
  if (filesDone == null && current != null) {
    texts.push(total != null ? `${count(current)} of ${plural(total, unit)}` : `${plural(current, unit)} so far`);
  }
  if (filesDone != null) texts.push(filesTotal != null ? `${count(filesDone)} of ${plural(filesTotal, "file")}` : plural(filesDone, "file"));
  if (bytesDone != null) texts.push(bytesTotal != null ? `${bytes(bytesDone)} of ${bytes(bytesTotal)}` : bytes(bytesDone));
  return texts.join(", ");
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A button that goes dead under the focus would drop a keyboard reader at the top of the page. */
function setUsable(button, isUsable, attribute) {
  if (!isUsable && document.activeElement === button) $("job-title").focus({ preventScroll: true });
  button[attribute] = !isUsable;
}

/** The percentage, or null while there is none to show. */
const shownProgress = (job) => (isIndeterminate(job) ? null : job.progress);

function drawProgress(state, job) {
  const { eta, outcome, fields } = job;
  const bar = $("progress");
  const progress = shownProgress(job);
  const percent = progress === null ? "–" : `${progress}%`;
  // An estimate is only as good as it is fresh.
  const left = state === "live" && eta !== null ? timeLeft(eta) : "";
  setText($("percent"), percent);
  setText($("step"), stepText(job));
  setText($("eta"), left);
  setText($("counts"), outcome === "succeeded" ? "" : countsText(fields));
  bar.style.setProperty("--progress", String(progress ?? 0));
  bar.toggleAttribute("data-indeterminate", isIndeterminate(job));
  if (progress === null) {
    bar.removeAttribute("aria-valuenow");
    bar.setAttribute("aria-valuetext", "not known yet");
  } else {
    bar.setAttribute("aria-valuenow", String(progress));
    bar.setAttribute("aria-valuetext", [`${progress} percent`, left].filter(Boolean).join(", "));
  }
}

function drawError(state, { error, errorCode }) {
  const isFailure = state === "failed";
  $("error").hidden = !isFailure;
  setText($("error"), isFailure ? [error ?? "No reason was given.", errorCode && `(${errorCode})`].filter(Boolean).join(" ") : "");
}

function titleText(state, job) {
  if (state === "idle") return "Jobcast";
  const progress = shownProgress(job);
  const isUnderWay = (state === "live" || state === "connecting") && progress !== null;
  return `${isUnderWay ? `${progress}%` : STATES[state][0]} · Jobcast`;
}

export function drawJob(model) {
  const { jobId, job } = model;
  const state = shownState(model);
  const hasJob = !WITHOUT_JOB.has(state);
  $("job").dataset.state = state;
  $("state").dataset.state = state;
  setText($("state"), STATES[state][0]);
  setText($("note"), sentence(model));
  $("job-line").hidden = jobId === null;
  setText($("job-id"), jobId ?? "");
  $("second-tab").hidden = !hasJob;
  $("second-tab").href = jobId === null ? "#" : `#job=${encodeURIComponent(jobId)}`;
  $("running").hidden = !hasJob;
  $("actions").hidden = !hasJob;
  drawProgress(state, job);
  drawError(state, job);
  setUsable($("cancel"), hasJob && !FINAL.has(state) && !model.isCancelling, "disabled");
  setUsable($("retry"), (state === "failed" || state === "cancelled") && !model.isRetrying, "disabled");
  const isWaiting = ["unavailable", "reconnecting", "polling"].includes(state);
  setUsable($("reconnect"), isWaiting, "hidden");
  document.title = titleText(state, job);
}

/** Shows why a job could not be started or a button did not do its work; null clears it. */
export function drawProblem(id, message) {
  $(id).hidden = message === null;
  setText($(id), message ?? "");
}
