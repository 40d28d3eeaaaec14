// A worker that does what it is told, line by line: `{"id": 1, "call": "emit", "of": "run", "with": ["note", {}]}`. It
// answers with `{"id": 1, "returned": …}` or `{"id": 1, "threw": "JobFinished", "text": …}`, when it knows.
// `node lone.js URL SETTINGS [ioredis | ioredis5]`: with a module it passes a client of that one.
import { createInterface } from "node:readline";
import { addressOf } from "../../worker/address.js";
import { connect } from "../../worker/index.js";

const [, , url, settings, module] = process.argv;
const warnings = [];
process.on("warning", (warning) => warnings.push(`${warning.name}: ${warning.message}`));

/** A client of one version of ioredis, of the same options as the one of an address. */
async function clientOf() {
  const { Cluster, Redis } = await import(module);
  const { options, startupNodes } = addressOf(url).open({ lazyConnect: true });
  return startupNodes ? new Cluster(startupNodes, options) : new Redis(options);
}

const client = module ? await clientOf() : null;
const jobs = connect(client ?? url, { progressPerS: null, ...JSON.parse(settings) });
let run;

async function answer({ of, call, with: given = [] }) {
  if (call === "open") return void (run = jobs.run(...given));
  if (call === "warnings") return warnings;
  const on = of === "jobs" ? jobs : run;
  return typeof on[call] === "function" ? on[call](...given) : on[call];
}

for await (const line of createInterface({ input: process.stdin })) {
  const said = JSON.parse(line);
  answer(said).then(
    (returned) => console.log(JSON.stringify({ id: said.id, returned: returned ?? null })),
    (error) => console.log(JSON.stringify({ id: said.id, threw: error.name, text: error.message })),
  );
}
client?.disconnect();
await jobs.close();
