// What a server makes of each binding: the state of a job of which nothing is known, and no connection.
import assert from "node:assert/strict";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { get } from "svelte/store";
import { createSSRApp } from "vue";
import { renderToString as renderVue } from "vue/server-renderer";
import { useJob } from "jobcast/react";
import { jobStore } from "jobcast/svelte";
import { useJob as useJobOfVue } from "jobcast/vue";
import "jobcast/element";

const options = { base: "https://jobs.example/" };
const React = () => createElement("p", null, useJob("j", options).connection);
const Vue = { setup: () => useJobOfVue("j", options), template: "<p>{{ state.connection }}</p>" };

assert.equal(renderToString(createElement(React)), "<p>connecting</p>");
assert.equal(await renderVue(createSSRApp(Vue)), "<p>connecting</p>");
assert.equal(get(jobStore({ jobId: "j", ...options })).connection, "connecting");
