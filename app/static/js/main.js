/**
 * Wires identity, calls, the browser client and the panel together. The location's hash says which job is open: `#job=<id>`, and in the
 * address that the demo prints whose it is too: `&session=<id>`.
 */

import { initial, watchJob } from "../../jobcast.js";
import { Announcer } from "./announcer.js";
import { reasonOf, startChecksum } from "./api.js";
import { liveWord } from "./job.js";
import { EventLog } from "./log.js";
import { RecentJobs } from "./recent.js";
import { ResultPart } from "./result.js";
import { randomId, sessionId, takeOver } from "./session.js";
import { drawJob, drawProblem, sentence, shownState, spokenStep } from "./view.js";

const JOB_ID = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/;
const DRAW_EVERY_MS = 50;
const CUSTOM_EVENTS = ["file-hashed"];

const $ = (id) => document.getElementById(id);
const log = new EventLog();
const result = new ResultPart();
const recent = new RecentJobs();
const announcer = new Announcer($("announcer"));
/** Tells this browser's other tabs of a job that runs again: they stopped watching it when it failed. */
const tabs = new BroadcastChannel("jobcast");

const closedModel = () => ({ jobId: null, isUnusable: false, job: initial, isCancelling: false, isRetrying: false, problem: null });
let model = closedModel();
let watched = null;
let turn = 0;
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
    announcer.state(state === "failed" ? `${sentence(model)} ${model.job.error ?? ""}` : sentence(model));
    if (model.job.outcome !== null) recent.refresh();
  } else if (model.job.step !== stepBefore && model.job.outcome === null) {
    announcer.step(spokenStep(model.job));
  }
  drawTimer ??= setTimeout(draw, DRAW_EVERY_MS);
}

function watch(jobId) {
  const own = ++turn;
  watched = watchJob({
    jobId,
    session: sessionId,
    events: CUSTOM_EVENTS,
    onState(job) {
      if (own === turn) update({ job, isCancelling: model.isCancelling && job.outcome === null });
    },
    onEvent({ name, data }) {
      if (name === "reset") log.clear();
      log.add(name, data);
    },
  });
}

/** Opens a job, or with null none. */
function open(jobId) {
  turn += 1; // what is closed has nothing more to say
  watched?.close();
  watched = null;
  log.clear();
  const isUnusable = jobId !== null && !JOB_ID.test(jobId);
  update({ ...closedModel(), jobId, isUnusable });
  if (jobId !== null && !isUnusable) watch(jobId);
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
  const job = watched;
  update({ isCancelling: true, problem: null });
  try {
    await job.cancel();
  } catch (error) {
    if (job === watched) update({ isCancelling: false, problem: reasonOf(error) });
  }
}

async function retry() {
  const { jobId } = model;
  const job = watched;
  update({ isRetrying: true, problem: null });
  try {
    await job.retry();
    tabs.postMessage({ retried: jobId });
  } catch (error) {
    if (job === watched) update({ problem: reasonOf(error) });
    job.wake(); // it may be that somebody else was first
  }
  if (job === watched) update({ isRetrying: false });
  recent.refresh();
}

$("start-form").addEventListener("submit", start);
$("start").disabled = false; // before this the form would be sent by the browser itself
$("cancel").addEventListener("click", cancel);
$("retry").addEventListener("click", retry);
$("reconnect").addEventListener("click", () => watched?.wake());
$("refresh").addEventListener("click", () => recent.refresh());
window.addEventListener("hashchange", followHash);
tabs.addEventListener("message", ({ data }) => {
  if (data.retried === model.jobId) watched?.wake();
});

takeOver();
open(hashJob());
recent.refresh();
