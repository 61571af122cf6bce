// By hand, with a real n8n from npm: are the nodes loaded, do the credentials work, does a mail start a workflow?
//
//   BASE_URL=http://127.0.0.1:8000 API_KEY=emgk_… node check.mjs
//
// The key has the scopes of the preset n8n. Webhooks have to reach this machine: started with
// WEBHOOK_ALLOW_NETWORKS=127.0.0.1/32 the installation calls 127.0.0.1. n8n is large: installing takes minutes and 3 GB.
// N8N_FOLDER is where it is installed, if it is there already; N8N_VERSION another version than the newest; NODE the
// Node.js that it runs on, where this one is not new enough for it.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { BASE_URL, API_KEY, N8N_FOLDER, N8N_VERSION = "latest", NODE = process.execPath } = process.env;
assert.ok(BASE_URL && API_KEY, "BASE_URL and API_KEY say which installation, and as whom");

const scratch = mkdtempSync(join(tmpdir(), "emailgistics-n8n-"));
const folder = N8N_FOLDER ?? join(scratch, "n8n");
const program = join(folder, "node_modules", "n8n", "bin", "n8n");
const port = await freePort();
const n8n = `http://127.0.0.1:${port}`;
let cookie = "";
let running;
let said = "";

try {
  if (!existsSync(program)) {
    const install = ["install", "--prefix", folder, "--no-audit", "--no-fund", `n8n@${N8N_VERSION}`];
    execFileSync("npm", install, { stdio: "inherit" });
  }
  running = spawn(NODE, [program, "start"], { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [running.stdout, running.stderr]) {
    stream.on("data", (text) => (said += text));
  }
  await until(async () => (await fetch(`${n8n}/healthz/readiness`)).ok, 180, () => said);
  await signUp();
  await nodesAreLoaded();
  const credential = await credentialsWork();
  await mailStartsWorkflow(credential);
  console.log("All is well.");
} finally {
  running?.kill("SIGKILL");
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}

function environment() {
  return {
    PATH: process.env.PATH,
    HOME: scratch,
    N8N_USER_FOLDER: scratch,
    N8N_CUSTOM_EXTENSIONS: import.meta.dirname,
    N8N_PORT: String(port),
    N8N_LISTEN_ADDRESS: "127.0.0.1",
    WEBHOOK_URL: `${n8n}/`,
    N8N_SECURE_COOKIE: "false",
    N8N_DIAGNOSTICS_ENABLED: "false",
    N8N_VERSION_NOTIFICATIONS_ENABLED: "false",
    N8N_TEMPLATES_ENABLED: "false",
  };
}

async function signUp() {
  const owner = { email: "ada@example.com", firstName: "Ada", lastName: "Lovelace", password: "Correct-horse-1" };
  const answer = await ask("POST", "/rest/owner/setup", owner);
  cookie = answer.headers.getSetCookie().map((one) => one.split(";")[0]).join("; ");
}

async function nodesAreLoaded() {
  const { name, version } = await (await ask("GET", "/types/nodes.json")).json().then(ours);
  console.log(`Loaded: ${name.join(", ")} (${version}).`);
}

function ours(types) {
  const found = types.filter(({ displayName }) => displayName.startsWith("Emailgistics"));
  const name = found.map((type) => type.name).sort();
  assert.ok(name.includes("CUSTOM.emailgistics") && name.includes("CUSTOM.emailgisticsTrigger"), String(name));
  return { name, version: found[0].version };
}

async function credentialsWork() {
  const of = (apiKey) => ({ name: "Emailgistics", type: "emailgisticsApi", data: { baseUrl: BASE_URL, apiKey } });
  const tested = async (credentials) => (await data("POST", "/rest/credentials/test", { credentials })).status;
  const { id } = await data("POST", "/rest/credentials", of(API_KEY));
  const { id: wrong } = await data("POST", "/rest/credentials", of(`${API_KEY}x`));
  assert.equal(await tested({ id, ...of(API_KEY) }), "OK");
  assert.equal(await tested({ id: wrong, ...of(`${API_KEY}x`) }), "Error");
  console.log("The credentials are tested: the key works, a wrong one does not.");
  return { emailgisticsApi: { id, name: "Emailgistics" } };
}

async function mailStartsWorkflow(credentials) {
  const mailbox = (await api("GET", "/v1/mailboxes?limit=1")).data[0];
  const node = (name, type, x, parameters, more) => ({
    id: crypto.randomUUID(), name, type, typeVersion: 1, position: [x, 0], parameters, credentials, ...more,
  });
  const toMailbox = { receive: "mailbox", mailboxId: mailbox.id };
  const alias = { domainId: mailbox.domain_id, name: `n8n-${Date.now()}` };
  const nodes = [
    node("Mail", "CUSTOM.emailgisticsTrigger", 0, toMailbox, { webhookId: crypto.randomUUID() }),
    node("Read", "CUSTOM.emailgistics", 200, { resource: "email", operation: "get", emailId: "={{ $json.id }}" }),
    node("Make", "CUSTOM.emailgistics", 400, { resource: "alias", operation: "create", ...alias }),
    node("Delete", "CUSTOM.emailgistics", 600, { resource: "alias", operation: "delete", aliasId: "={{ $json.id }}" }),
  ];
  const then = (name) => ({ main: [[{ node: name, type: "main", index: 0 }]] });
  const connections = { Mail: then("Read"), Read: then("Make"), Make: then("Delete") };
  const workflow = await data("POST", "/rest/workflows", { name: "Mail", nodes, connections, active: false, settings: {} });
  await activate(workflow);
  const mine = async () => (await api("GET", "/v1/webhooks?limit=100")).data.filter(({ url }) => url?.startsWith(n8n));
  const webhook = await until(async () => (await mine())[0], 30, () => "no webhook was made");
  assert.equal(webhook.mailbox_id, mailbox.id);
  console.log(`Activated: ${webhook.id} goes to ${webhook.url}.`);

  const unsigned = await fetch(webhook.url, { method: "POST", headers: { "webhook-id": "evt_1" }, body: "{}" });
  assert.equal(unsigned.status, 401);
  console.log(`What is not signed is refused: ${(await unsigned.json()).message}`);

  const subject = `n8n ${crypto.randomUUID()}`;
  await api("POST", `/v1/emails?recipient=${encodeURIComponent(mailbox.address)}`, `Subject: ${subject}\r\n\r\nHello.\r\n`);
  const run = await until(() => execution(workflow.id), 60, () => "no execution");
  assert.equal(run.status, "success", JSON.stringify(run));
  assert.ok(JSON.stringify(run.data).includes(subject));
  console.log("A mail started the workflow, which read it, and made and deleted an alias.");

  await deactivate(workflow);
  await until(async () => (await mine()).length === 0, 30, () => "the webhook is still there");
  console.log("Deactivated: the webhook is gone.");
}

async function activate({ id, versionId }) {
  await data("POST", `/rest/workflows/${id}/activate`, { versionId });
}

async function deactivate({ id }) {
  await data("POST", `/rest/workflows/${id}/deactivate`, {});
}

async function execution(workflowId) {
  const filter = encodeURIComponent(JSON.stringify({ workflowId }));
  const { results } = await data("GET", `/rest/executions?filter=${filter}`);
  const ended = results.find(({ status }) => !["new", "running", "waiting"].includes(status));
  return ended && data("GET", `/rest/executions/${ended.id}`);
}

async function data(method, path, body) {
  return (await (await ask(method, path, body)).json()).data;
}

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json", Cookie: cookie, "browser-id": "check" };
  const answer = await fetch(n8n + path, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok ? "" : await answer.text()}`);
  return answer;
}

async function api(method, path, mail) {
  const headers = { Authorization: `Bearer ${API_KEY}`, ...(mail && { "Content-Type": "message/rfc822" }) };
  const answer = await fetch(BASE_URL + path, { method, headers, body: mail });
  const content = await answer.json();
  assert.ok(answer.ok, `${method} ${path}: ${content.message}`);
  return content;
}

async function until(holds, withinS, why) {
  const end = Date.now() + withinS * 1000;
  while (Date.now() < end) {
    const held = await Promise.resolve().then(holds).catch((error) => {
      if (error.cause?.code !== "ECONNREFUSED") throw error;
    });
    if (held) return held;
    await new Promise((later) => setTimeout(later, 500));
  }
  throw new Error(`not within ${withinS} s: ${why()}`);
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port: free } = server.address();
  await new Promise((closed) => server.close(closed));
  return free;
}
