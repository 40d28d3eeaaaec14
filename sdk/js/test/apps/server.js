// What a server makes of each binding: the state of a job of which nothing is known, and no connection.
import assert from "node:assert/strict";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { get } from "svelte/store";
import { createSSRApp } from "vue";
import { renderToString as renderVue } from "vue/server-renderer";
import { useJob, useJobs } from "jobcast/react";
import { jobsStore, jobStore } from "jobcast/svelte";
import { useJob as useJobOfVue, useJobs as useJobsOfVue } from "jobcast/vue";
import "jobcast/element";

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
