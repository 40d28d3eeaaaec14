/**
 * Wires identity, calls, stream and panel together. The location's hash says which job is open: `#job=<id>`, and in the
 * address that the demo prints whose it is too: `&session=<id>`.
 */

import { Announcer } from "./announcer.js";
import { cancelJob, fetchStatus, retryJob, startChecksum } from "./api.js";
import { apply, fromStatus, liveWord, unknownJob } from "./job.js";
import { EventLog } from "./log.js";
import { RecentJobs } from "./recent.js";
import { ResultPart } from "./result.js";
import { randomId, takeOver } from "./session.js";
import { JobStream } from "./stream.js";
import { drawJob, drawProblem, sentence, shownState, spokenStep } from "./view.js";

const JOB_ID = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/;
const DRAW_EVERY_MS = 50;

const $ = (id) => document.getElementById(id);
const log = new EventLog();
const result = new ResultPart();
const recent = new RecentJobs();
const announcer = new Announcer($("announcer"));
/** Tells this browser's other tabs of a job that runs again: their streams ended with its failure. */
const tabs = new BroadcastChannel("jobcast");

const closedModel = () => ({ jobId: null, state: "idle", message: null, job: unknownJob(), isCancelling: false, isRetrying: false, problem: null });
let model = closedModel();
let stream = null;
let drawTimer = null;

function draw() {
  drawTimer = null;
  drawJob(model);
  drawProblem("action-error", model.problem);
  log.render();
  result.render(model.job.result);
  recent.mark(model.jobId, liveWord(model.job));
}

/** Takes a change of the model; many within a moment are drawn once. */
function update(change) {
  const before = shownState(model);
  const stepBefore = model.job.step;
  model = { ...model, ...change };
  const state = shownState(model);
  if (state !== before) {
    announcer.state(state === "failed" ? `${sentence(state)} ${model.job.error ?? ""}` : sentence(state, model));
    if (model.job.outcome !== null) recent.refresh();
  } else if (model.job.step !== stepBefore && model.job.outcome === null) {
    announcer.step(spokenStep(model.job));
  }
  drawTimer ??= setTimeout(draw, DRAW_EVERY_MS);
}

/** A viewer that comes after a failure hears only the error: how far the job got is in its status. */
async function completePicture(jobId) {
  const status = await fetchStatus(jobId).catch(() => null);
  if (status !== null && model.jobId === jobId && model.job.outcome !== null) update({ job: fromStatus(model.job, status) });
}

function watch(jobId) {
  stream?.close();
  stream = new JobStream(jobId, {
    onState: (state, message) => update({ state, message }),
    onEvent: (name, data) => {
      if (name === "reset") log.clear();
      log.add(name, data);
      const job = apply(model.job, name, data);
      update({ job, isCancelling: model.isCancelling && job.outcome === null });
      if (job.outcome !== null && job.progress === null) completePicture(jobId);
    },
    onStatus: (status) => update({ job: fromStatus(model.job, status), isCancelling: false }),
  });
}

/** Opens a job, or with null none. */
function open(jobId) {
  stream?.close();
  stream = null;
  log.clear();
  update({ ...closedModel(), jobId, state: jobId === null ? "idle" : "connecting" });
  if (jobId === null) return;
  if (JOB_ID.test(jobId)) watch(jobId);
  else update({ state: "not-found" });
}

/** The job runs again under its id: forget how it ended, keep the log, and listen anew. */
function reopen() {
  update({ job: unknownJob(), isCancelling: false, isRetrying: false });
  watch(model.jobId);
  recent.refresh();
}

const hashJob = () => new URLSearchParams(location.hash.slice(1)).get("job") || null;

function followHash() {
  if (takeOver()) recent.refresh();
  if (location.hash !== "" && hashJob() === null) return;
  open(hashJob());
  $("job-title").focus();
}

function go(jobId) {
  if (hashJob() === jobId) followHash();
  else location.hash = `job=${encodeURIComponent(jobId)}`;
}

let submission = { folder: null, key: null };

async function start(event) {
  event.preventDefault();
  if ($("start").ariaBusy === "true") return;
  const folder = $("folder").value.trim();
  // The same wish keeps its key until it is granted: pressing again after a lost answer starts no second job.
  if (submission.folder !== folder) submission = { folder, key: randomId() };
  $("start").ariaBusy = "true";
  drawProblem("start-error", null);
  try {
    const jobId = await startChecksum(folder, submission.key);
    submission = { folder: null, key: null };
    recent.refresh();
    go(jobId);
  } catch (error) {
    drawProblem("start-error", error.message);
  } finally {
    $("start").ariaBusy = "false";
  }
}

async function cancel() {
  const { jobId } = model;
  update({ isCancelling: true, problem: null });
  try {
    await cancelJob(jobId);
  } catch (error) {
    if (model.jobId === jobId) update({ isCancelling: false, problem: error.message });
  }
}

async function retry() {
  const { jobId } = model;
  update({ isRetrying: true, problem: null });
  try {
    await retryJob(jobId);
    tabs.postMessage({ retried: jobId });
  } catch (error) {
    if (model.jobId !== jobId) return;
    update({ isRetrying: false, problem: error.message });
    // Not failed any more: somebody else was first.
    if (error.code !== "JOB_NOT_FAILED") return;
  }
  if (model.jobId === jobId) reopen();
}

function wake() {
  if (document.visibilityState === "visible") stream?.hurry();
}

$("start-form").addEventListener("submit", start);
$("start").disabled = false; // before this the form would be sent by the browser itself
$("cancel").addEventListener("click", cancel);
$("retry").addEventListener("click", retry);
$("reconnect").addEventListener("click", () => stream?.hurry());
$("refresh").addEventListener("click", () => recent.refresh());
window.addEventListener("hashchange", followHash);
window.addEventListener("online", wake);
document.addEventListener("visibilitychange", wake);
window.addEventListener("pagehide", () => stream?.close());
window.addEventListener("pageshow", ({ persisted }) => {
  // Back from the back-forward cache, with the stream closed on the way in.
  if (persisted && model.jobId !== null && model.job.outcome === null) watch(model.jobId);
});
tabs.addEventListener("message", ({ data }) => {
  if (data.retried === model.jobId && model.job.outcome !== null) reopen();
});

takeOver();
open(hashJob());
recent.refresh();
