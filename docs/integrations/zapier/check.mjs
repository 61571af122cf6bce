// By hand, with Zapier's own packages: is the app one that Zapier takes, and does it work with its real runtime?
//
//   node check.mjs                                                 validates the app
//   BASE_URL=https://mail.example.com API_KEY=emgk_… node check.mjs    and tries the connection and the sample
//
// Installs zapier-platform-core, in the version that package.json names, into a temporary folder.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "emailgistics-zapier-"));
try {
  cpSync(import.meta.dirname, folder, { recursive: true });
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts"], { cwd: folder, stdio: "inherit" });
  const require = createRequire(join(folder, "check.js"));
  const app = require("./index.js");
  const core = require("zapier-platform-core");
  const { validateApp } = require(join(folder, "node_modules/zapier-platform-core/src/tools/schema.js"));
  assert.deepEqual(validateApp(app), []);
  assert.equal(app.platformVersion, core.version);
  console.log(`Zapier ${core.version} takes the app.`);

  const { BASE_URL: base_url, API_KEY: api_key } = process.env;
  if (base_url && api_key) {
    const appTester = core.createAppTester(app);
    const bundle = { authData: { base_url, api_key } };
    const me = await appTester(app.authentication.test, bundle);
    console.log(`The connection works: ${me.name}, until ${me.expires_at}.`);
    const [sample] = await appTester(app.triggers.new_email.operation.performList, bundle);
    assert.ok(sample.id.startsWith("email_"));
    console.log(`The sample has ${Object.keys(sample).length} fields.`);
    const wrong = { authData: { base_url, api_key: `${api_key}x` } };
    await assert.rejects(appTester(app.authentication.test, wrong), (error) => {
      console.log(`A wrong key is told so: ${error.message.split("\n")[0]}`);
      return error.name === "AppError";
    });
  }
} finally {
  rmSync(folder, { recursive: true });
}
