// One step of Zapier with the app of docs/integrations/zapier: reads what to do from standard input, prints what came.
"use strict";

const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const { folder, path, bundles } = JSON.parse(readFileSync(0, "utf8"));
const app = require(join(folder, "index.js"));
const { bound } = require(join(folder, "test", "stand_in.js"));

async function done() {
  const perform = path.reduce((part, name) => part[name], app);
  const z = bound(bundles[0]);
  const results = [];
  for (const bundle of bundles) {
    results.push(await perform(z, bundle));
  }
  return results;
}

done()
  .then((results) => ({ results }))
  .catch(({ name, message, stack }) => ({ error: { name, message, stack } }))
  .then((told) => console.log(JSON.stringify(told)));
