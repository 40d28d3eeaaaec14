import { createApp, ref, watchEffect } from "vue/dist/vue.esm-bundler.js";
import { useJob, useJobs } from "jobcast/vue";

const [session, ...ids] = location.hash.slice(1).split(",");

const Job = {
  props: ["id", "enabled"],
  setup(props) {
    const ticks = ref(0);
    const options = () => ({ session, enabled: props.enabled, onTick: () => (ticks.value += 1) });
    return { ticks, ...useJob(() => props.id, options) };
  },
  template: `<section>
    <progress :value="state.progress ?? 0" max="100" />
    <p data-testid="status">{{ state.outcome ?? state.status ?? "nothing" }}</p>
    <p data-testid="connection">{{ state.connection }}</p>
    <p data-testid="progress">{{ state.progress ?? "-" }}</p>
    <p data-testid="ticks">{{ ticks }}</p>
    <button @click="cancel">Cancel</button>
    <button @click="retry">Retry</button>
  </section>`,
};

const List = {
  setup: () => ({ jobs: useJobs({ mine: "active", session }) }),
  template: `<p data-testid="list">{{ [...jobs.values()].map(({ outcome, progress }) => outcome ?? progress).join() }}</p>`,
};

const Some = {
  props: ["jobs"],
  setup(props) {
    const states = useJobs(() => ({ jobs: props.jobs, session }));
    watchEffect(() => (globalThis.sizes ??= []).push(states.value.size));
    return { states };
  },
  template: `<p data-testid="some">{{ jobs.map((id) => states.get(id)?.progress).join() }}</p>`,
};

createApp({
  components: { Job, List, Some },
  setup: () => ({ ids, at: ref(0), enabled: ref(true), isThere: ref(true), isList: ref(false), some: ref(0) }),
  template: `<main>
    <button @click="at += 1">Next</button>
    <button @click="enabled = !enabled">Enabled</button>
    <button @click="isThere = !isThere">There</button>
    <button @click="isList = !isList">List</button>
    <button @click="some += 1">More</button>
    <List v-if="isList" />
    <Some v-if="some" :jobs="ids.slice(0, some)" />
    <Job v-if="isThere" :id="ids[at]" :enabled="enabled" />
  </main>`,
}).mount("#app");
