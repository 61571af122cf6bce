// The webhook that stands behind a trigger: made when its workflow is activated, found again by its URL.
"use strict";

const { all, call } = require("./api.js");

const description = "n8n"; // in the console, beside the URL

// What the person chose: where mail comes to, and how it is told.
function wanted(context) {
  const receive = context.getNodeParameter("receive");
  const options = context.getNodeParameter("options", {});
  return {
    binding: receive === "newAlias" ? undefined : { [`${receive}_id`]: context.getNodeParameter(`${receive}Id`) },
    alias: receive === "newAlias" ? newAlias(context) : undefined,
    settings: {
      events: context.getNodeParameter("events"),
      // without one the API takes what the key may have
      ...(options.payload && { payload: options.payload }),
      attachments: options.inlineAttachments ? "inline" : "links",
    },
    holds: Boolean(options.holdMail),
    skipsRepeated: options.skipRepeated !== false,
  };
}

function newAlias(context) {
  const mailbox = context.getNodeParameter("aliasMailboxId", "");
  return {
    domain_id: context.getNodeParameter("aliasDomainId"),
    name: context.getNodeParameter("aliasName"),
    ...(mailbox && { mailbox_id: mailbox }),
  };
}

// What would have to be the same for a webhook to be kept as it is.
function fingerprint({ binding, alias, settings }) {
  return JSON.stringify({ binding, alias, settings });
}

function at(context, url) {
  return all(context, "/v1/webhooks", { query: { url } });
}

// A webhook as it is wanted, active, and its secret. One that is at the URL already and is bound to the same is taken
// over with the mail that waits for it; its secret, which is not shown again, is replaced. Others at the URL go.
async function subscribe(context, url, { binding, alias, settings }) {
  const there = await at(context, url);
  const before = new Set(there.map((webhook) => webhook.id));
  const webhook = alias
    ? await withAlias(context, url, alias, settings)
    : (there.find((one) => isBound(one, binding)) ?? (await made(context, url, binding, settings)));
  for (const other of there.filter((one) => one.id !== webhook.id)) {
    await unsubscribe(context, other.id);
  }
  const secret = before.has(webhook.id) ? await takenOver(context, webhook, settings) : webhook.secret;
  return { webhookId: webhook.id, secret };
}

async function made(context, url, binding, settings) {
  const { body } = await call(context, "POST", "/v1/webhooks", { body: { ...binding, url, ...settings, description } });
  return body;
}

async function withAlias(context, url, alias, settings) {
  const body = { ...alias, url, ...settings, description, first_or_create: true };
  const answer = await call(context, "POST", "/v1/webhooks/alias", { body });
  return answer.body.webhook;
}

async function takenOver(context, { id, state }, settings) {
  await call(context, "PATCH", `/v1/webhooks/${id}`, { body: settings });
  const { body } = await call(context, "POST", `/v1/webhooks/${id}/rotate-secret`, { body: { overlap_hours: 0 } });
  if (state !== "active") {
    await call(context, "POST", `/v1/webhooks/${id}/resume`);
  }
  return body.secret;
}

function isBound(webhook, binding) {
  return Object.entries(binding).every(([name, id]) => webhook[name] === id);
}

function pause(context, id) {
  return unlessGone(call(context, "POST", `/v1/webhooks/${id}/pause`));
}

function unsubscribe(context, id) {
  return unlessGone(call(context, "DELETE", `/v1/webhooks/${id}`));
}

async function unlessGone(answer) {
  try {
    await answer;
  } catch (error) {
    if (error.httpCode !== "404") {
      throw error;
    }
  }
}

module.exports = { wanted, fingerprint, at, subscribe, pause, unsubscribe };
