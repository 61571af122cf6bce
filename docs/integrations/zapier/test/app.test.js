// Against answers that stand here; the suite of the project runs the same app against a running installation.
"use strict";

const assert = require("node:assert/strict");
const { createHmac } = require("node:crypto");
const { test } = require("node:test");

const app = require("../index.js");
const { bound } = require("./stand_in.js");

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const authData = { base_url: "https://mail.example.com/", api_key: "emgk_key" };
const trigger = app.triggers.new_email.operation;

function answering(status, body, headers = {}) {
  const asked = [];
  const fetch = async (url, { method, headers: sent, body: content }) => {
    asked.push({ method, url, headers: sent, body: content });
    return new Response(status === 204 ? null : JSON.stringify(body), { status, headers });
  };
  return { asked, fetch };
}

function delivery({ type = "email.received", id = "evt_1", timestamp = 1780000000, secret = SECRET } = {}) {
  const content = JSON.stringify({ type, timestamp: "2026-05-28T20:26:40.000Z", data: { id: "email_1", subject: "☃" } });
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${content}`).digest("base64");
  const headers = {
    "Content-Type": "application/json",
    "Http-Webhook-Id": id,
    "Http-Webhook-Timestamp": String(timestamp),
    "Http-Webhook-Signature": `v1,bm90IHRoaXM= v1,${signature}`,
  };
  return { authData, subscribeData: { id: "wh_1", secret: SECRET }, rawRequest: { headers, content } };
}

test("the key is sent to its installation and to nobody else", async () => {
  const { asked, fetch } = answering(200, {});
  const z = bound({ authData }, { fetch });
  await z.request({ url: "https://mail.example.com/v1/me" });
  await z.request({ url: "https://mail.example.com.evil.example/v1/me" });
  await z.request({ url: "https://evil.example/https://mail.example.com/" });
  assert.deepEqual(asked.map(({ headers }) => headers.Authorization), ["Bearer emgk_key", undefined, undefined]);
});

test("a refusal is told in the words of the API", async () => {
  const problem = { message: "This needs a key with the scope webhooks:write.", required_scopes: ["webhooks:write"] };
  const { fetch } = answering(403, { ...problem, code: "insufficient_scope" });
  const refused = app.authentication.test(bound({ authData }, { fetch }), { authData });
  await assert.rejects(refused, (error) => {
    assert.equal(error.name, "AppError");
    assert.deepEqual(JSON.parse(error.message), {
      message: `${problem.message} The key needs: webhooks:write.`,
      code: "insufficient_scope",
      status: 403,
    });
    return true;
  });
});

test("too much is tried again when the API says, and a key that ended is asked for anew", async () => {
  const tooMuch = answering(429, { message: "Too much." }, { "retry-after": "17" });
  const ended = answering(401, { message: "Expired.", code: "key_expired" });
  const tried = ({ fetch }) => app.authentication.test(bound({ authData }, { fetch }), { authData });
  await assert.rejects(tried(tooMuch), { name: "ThrottledError", message: '{"message":"Too much.","delay":17}' });
  await assert.rejects(tried(ended), { name: "ExpiredAuthError", message: "Expired." });
});

test("an answer that is no JSON is told by its status", async () => {
  const fetch = async () => new Response("<html>", { status: 502 });
  const tried = app.authentication.test(bound({ authData }, { fetch }), { authData });
  await assert.rejects(tried, /The API answered 502/);
});

test("a delivery is one item, with the email's id", async () => {
  const bundle = delivery();
  assert.deepEqual(await trigger.perform(bound(bundle), bundle), [
    {
      id: "email_1",
      subject: "☃",
      event: { id: "evt_1", type: "email.received", timestamp: "2026-05-28T20:26:40.000Z" },
    },
  ]);
});

test("the same event is one item, however often and whenever it is sent", async () => {
  const [first, again] = [delivery(), delivery({ timestamp: 1780000600 })];
  const z = bound(first);
  assert.equal((await trigger.perform(z, first)).length, 1);
  assert.deepEqual(await trigger.perform(z, again), []);
  assert.equal((await trigger.perform(z, delivery({ id: "evt_2" }))).length, 1);
});

test("a memory that fails costs no mail", async () => {
  const bundle = delivery();
  const z = bound(bundle);
  z.cache.set = async () => {
    throw new Error("away");
  };
  assert.equal((await trigger.perform(z, bundle)).length, 1);
});

test("a test of the webhook is no email", async () => {
  const bundle = delivery({ type: "webhook.test" });
  assert.deepEqual(await trigger.perform(bound(bundle), bundle), []);
});

for (const [what, change] of Object.entries({
  "another secret": (bundle) => (bundle.subscribeData.secret = "whsec_" + Buffer.alloc(24, 7).toString("base64")),
  "no secret": (bundle) => delete bundle.subscribeData.secret,
  "no subscription": (bundle) => delete bundle.subscribeData,
  "another body": (bundle) => (bundle.rawRequest.content += " "),
  "another id": (bundle) => (bundle.rawRequest.headers["Http-Webhook-Id"] = "evt_2"),
  "another time": (bundle) => (bundle.rawRequest.headers["Http-Webhook-Timestamp"] = "1780000001"),
  "no signature": (bundle) => delete bundle.rawRequest.headers["Http-Webhook-Signature"],
})) {
  test(`with ${what} the Zap is halted, and the event is not taken for one that came`, async () => {
    const bundle = delivery();
    const z = bound(bundle);
    const forged = structuredClone(bundle);
    change(forged);
    await assert.rejects(trigger.perform(z, forged), { name: "HaltedError" });
    assert.equal((await trigger.perform(z, bundle)).length, 1);
  });
}

test("the most exact of what was chosen is subscribed to", async () => {
  const { asked, fetch } = answering(201, { id: "wh_1", secret: SECRET, url: "https://hooks.zapier.com/1" });
  const targetUrl = "https://hooks.zapier.com/1";
  const inputData = { alias_id: "alias_1", mailbox_id: "mbx_1", domain_id: "dom_1" };
  const bundle = { authData, targetUrl, inputData };
  assert.deepEqual(await trigger.performSubscribe(bound(bundle, { fetch }), bundle), { id: "wh_1", secret: SECRET });
  const [{ method, url, body }] = asked;
  assert.deepEqual([method, url], ["POST", "https://mail.example.com/v1/webhooks"]);
  assert.deepEqual(JSON.parse(body), {
    alias_id: "alias_1", url: targetUrl, events: ["email.received"], description: "Zapier",
  });
});

test("nothing chosen is told before anything is asked", async () => {
  const { asked, fetch } = answering(201, {});
  const bundle = { authData, targetUrl: "https://hooks.zapier.com/1", inputData: {} };
  await assert.rejects(trigger.performSubscribe(bound(bundle, { fetch }), bundle), /Choose an alias/);
  assert.deepEqual(asked, []);
});

test("a webhook that is gone already counts as unsubscribed, another refusal does not", async () => {
  const bundle = { authData, subscribeData: { id: "wh_1" } };
  const gone = answering(404, { message: "There is nothing here.", status: 404, code: "not_found" });
  const refused = answering(403, { message: "No.", status: 403, code: "insufficient_scope" });
  assert.deepEqual(await trigger.performUnsubscribe(bound(bundle, gone), bundle), { id: "wh_1" });
  await assert.rejects(trigger.performUnsubscribe(bound(bundle, refused), bundle), /No\./);
});

test("what Zapier shows before there is a mail has the keys of a mail", async () => {
  const { fetch } = answering(200, { type: "email.received", timestamp: "t", data: { id: "email_1" } });
  const listed = await trigger.performList(bound({ authData }, { fetch }), { authData });
  assert.deepEqual(listed, [{ id: "email_1", event: { id: "evt_sample", type: "email.received", timestamp: "t" } }]);
});

test("a dropdown goes on where its last page ended", async () => {
  const page = (id, more) => ({ data: [{ id, name: `${id}.example` }], pagination: { has_more: more } });
  const pages = [page("dom_2", true), page("dom_1", false)];
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    return Response.json(pages.shift());
  };
  const { perform } = app.triggers.domain_list.operation;
  const z = bound({ authData }, { fetch });
  const seen = [];
  for (const page of [0, 1, 2]) {
    seen.push(await perform(z, { authData, meta: { page } }));
  }
  assert.deepEqual(seen, [[{ id: "dom_2", label: "dom_2.example" }], [{ id: "dom_1", label: "dom_1.example" }], []]);
  assert.deepEqual(asked.map((url) => new URL(url).search), ["?limit=100", "?limit=100&starting_after=dom_2"]);
});
