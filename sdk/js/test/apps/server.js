// What a server makes of each binding: the state of a job of which nothing is known, and no connection.
// The packages are those of the folder in which it runs: there is one for each age of React.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(`${process.cwd()}/`);
const load = (name) => import(pathToFileURL(resolve(name)));

const { createElement, version } = await load("react");
const { renderToString } = await load("react-dom/server");
const { get } = await load("svelte/store");
const { createSSRApp } = await load("vue");
const { renderToString: renderVue } = await load("vue/server-renderer");
const { useJob, useJobs } = await load("jobcast/react");
const { jobsStore, jobStore } = await load("jobcast/svelte");
const { useJob: useJobOfVue, useJobs: useJobsOfVue } = await load("jobcast/vue");
await load("jobcast/element");

const options = { base: "https://jobs.example/" };
const React = () => createElement("p", null, useJob("j", options).connection);
const Vue = { setup: () => useJobOfVue("j", options), template: "<p>{{ state.connection }}</p>" };

const many = { jobs: ["j"], ...options };
const ReactList = () => createElement("p", null, useJobs(many).size);
const VueList = { setup: () => ({ jobs: useJobsOfVue(many) }), template: "<p>{{ jobs.size }}</p>" };

assert.equal(renderToString(createElement(ReactList)), "<p>0</p>");
assert.equal(await renderVue(createSSRApp(VueList)), "<p>0</p>");
assert.equal(get(jobsStore(many)).size, 0);
assert.equal(renderToString(createElement(React)), "<p>connecting</p>");
assert.equal(await renderVue(createSSRApp(Vue)), "<p>connecting</p>");
assert.equal(get(jobStore({ jobId: "j", ...options })).connection, "connecting");
console.log(version);
