import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { effectScope, nextTick, ref } from "vue";
import { useJob, useJobs } from "../src/bindings/vue.js";
import { settled, World } from "./world.js";

/** @type {World} */
let world;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.end());

async function changed(given, options) {
  given.value = options;
  await nextTick();
  await settled();
}

test("options that mean the same leave the job open, and their functions are those of the latest", async () => {
  const told = [];
  const given = ref({ session: "me", onTick: () => told.push("first") });
  const scope = effectScope();
  const { state } = scope.run(() => useJob(() => "j", () => ({ ...given.value })));
  await settled();
  world.source.connect();
  world.source.progress(40);
  await changed(given, { session: "me", onTick: () => told.push("second") });
  world.source.send("tick");
  assert.deepEqual([world.sources.length, state.value.progress, told], [1, 40, ["second"]]);
  await changed(given, { session: "other", onTick: () => {} });
  assert.deepEqual([world.sources.length, world.open.length, state.value.progress], [2, 1, null]);
  scope.stop();
  assert.deepEqual([world.open.length, state.value.connection], [0, "connecting"]);
});

test("a list that names the same jobs stays open", async () => {
  const given = ref({ jobs: ["a", "b"] });
  const scope = effectScope();
  const states = scope.run(() => useJobs(() => ({ ...given.value, jobs: [...given.value.jobs], token: () => "t" })));
  await settled();
  world.source.send("connected", { jobIds: ["a", "b"], keepaliveSeconds: 15 });
  world.source.send("progress-update", { jobId: "a", progress: 40 });
  await changed(given, { jobs: ["a", "b"] });
  assert.deepEqual([world.sources.length, states.value.get("a").progress], [1, 40]);
  await changed(given, { jobs: ["a", "c"] });
  assert.deepEqual([world.open.length, world.source.url.searchParams.get("jobs")], [1, "a,c"]);
  assert.deepEqual([states.value.get("a").progress, states.value.get("c").progress, states.value.size], [40, null, 2]);
  await changed(given, { jobs: ["a", "c"], session: "other" });
  assert.equal(states.value.get("a").progress, null);
  scope.stop();
  assert.equal(world.open.length, 0);
});
