// What the actions node does: resource -> operation -> (context, index) => items.
"use strict";

const { all, call } = require("./api.js");

const operations = {
  alias: {
    create: (context, index) => {
      const body = {
        domain_id: context.getNodeParameter("domainId", index),
        name: context.getNodeParameter("name", index),
        ...given(context, index, "fields", { mailboxId: "mailbox_id", description: "description", active: "active" }),
      };
      return one(context, "POST", "/v1/aliases", { body, headers: idempotent(context, index) });
    },
    update: (context, index) => {
      const names = { mailboxId: "mailbox_id", description: "description", active: "active" };
      return one(context, "PATCH", aliasPath(context, index), { body: given(context, index, "fields", names) });
    },
    delete: async (context, index) => {
      await call(context, "DELETE", aliasPath(context, index));
      return [{ json: { id: context.getNodeParameter("aliasId", index), deleted: true } }];
    },
    get: (context, index) => one(context, "GET", aliasPath(context, index)),
    getAll: (context, index) =>
      list(context, index, "/v1/aliases", { domainId: "domain_id", mailboxId: "mailbox_id" }),
  },
  domain: {
    getAll: (context, index) => list(context, index, "/v1/domains", {}),
  },
  mailbox: {
    getAll: (context, index) => list(context, index, "/v1/mailboxes", { domainId: "domain_id" }),
  },
  email: {
    get: (context, index) => {
      const include = context.getNodeParameter("include", index, []).join(",");
      return one(context, "GET", emailPath(context, index), { query: { include } });
    },
    getAll: (context, index) =>
      list(context, index, "/v1/emails", EMAIL_FILTERS, ["receivedAfter", "receivedBefore"]),
    getRaw: async (context, index) => {
      const path = emailPath(context, index);
      const { body } = await call(context, "GET", `${path}/raw`, { asBuffer: true });
      const id = context.getNodeParameter("emailId", index);
      return [await binaryItem(context, index, { id }, body, `${id}.eml`, "message/rfc822")];
    },
    getAttachments: async (context, index) => {
      const path = `${emailPath(context, index)}/attachments`;
      const { body } = await call(context, "GET", path);
      const chosen = context.getNodeParameter("attachmentId", index, "");
      const wanted = body.data.filter((attachment) => !chosen || attachment.id === chosen);
      return Promise.all(wanted.map((attachment) => downloaded(context, index, path, attachment)));
    },
    replay: (context, index) => one(context, "POST", `${emailPath(context, index)}/replay`),
    submit: (context, index) => {
      const query = {
        recipient: context.getNodeParameter("recipients", index).split(",").map((address) => address.trim()),
        mail_from: context.getNodeParameter("mailFrom", index, ""),
      };
      const body = Buffer.from(context.getNodeParameter("raw", index), "utf8");
      const headers = { "Content-Type": "message/rfc822" };
      return one(context, "POST", "/v1/emails", { query, body, headers });
    },
  },
  statistics: {
    get: (context, index) => {
      const names = { from: "from", to: "to", interval: "interval", domainId: "domain_id", mailboxId: "mailbox_id" };
      const query = { ...given(context, index, "filters", names, ["from", "to"]), time_zone: context.getTimezone() };
      return one(context, "GET", "/v1/statistics", { query });
    },
  },
};

const EMAIL_FILTERS = {
  aliasId: "alias_id",
  mailboxId: "mailbox_id",
  domainId: "domain_id",
  from: "from",
  to: "to",
  subject: "subject",
  messageId: "message_id",
  hasAttachment: "has_attachment",
  status: "status",
  receivedAfter: "received_after",
  receivedBefore: "received_before",
  search: "q",
};

async function one(context, method, path, how) {
  const { body } = await call(context, method, path, how);
  return [{ json: body }];
}

async function list(context, index, path, filters, instants) {
  const max = context.getNodeParameter("returnAll", index, false)
    ? Infinity
    : context.getNodeParameter("limit", index, 50);
  const rows = await all(context, path, { query: given(context, index, "filters", filters, instants), max });
  return rows.map((row) => ({ json: row }));
}

// What was filled in of a collection, under the names of the API. instants: those of them that are times.
function given(context, index, collection, names, instants = []) {
  const values = context.getNodeParameter(collection, index, {});
  const filledIn = Object.entries(values).filter(([name, value]) => name in names && value !== "");
  const sent = (name, value) => (instants.includes(name) ? withOffset(String(value), context.getTimezone()) : value);
  return Object.fromEntries(filledIn.map(([name, value]) => [names[name], sent(name, value)]));
}

// A time that was picked in a form has no offset: it is by the clock of the workflow.
function withOffset(time, timeZone) {
  if (/(Z|[+-]\d\d:?\d\d)$/.test(time)) {
    return time;
  }
  const asUtc = Date.parse(`${time.replace(" ", "T")}Z`);
  const onClock = new Date(asUtc).toLocaleString("sv-SE", { timeZone }).replace(" ", "T"); // as ISO 8601 writes it
  return new Date(2 * asUtc - Date.parse(`${onClock}Z`)).toISOString();
}

// The same for each try of "Retry On Fail", so that a try whose answer got lost is not done twice.
function idempotent(context, index) {
  const run = context.getWorkflowDataProxy(index).$runIndex;
  return { "Idempotency-Key": [context.getExecutionId(), context.getNode().id, run, index].join("-") };
}

async function downloaded(context, index, path, attachment) {
  const { body } = await call(context, "GET", `${path}/${attachment.id}`, { asBuffer: true });
  return binaryItem(context, index, attachment, body, attachment.filename || attachment.id, attachment.content_type);
}

async function binaryItem(context, index, json, body, name, type) {
  const property = context.getNodeParameter("binaryProperty", index, "data");
  return { json, binary: { [property]: await context.helpers.prepareBinaryData(Buffer.from(body), name, type) } };
}

function aliasPath(context, index) {
  return `/v1/aliases/${encodeURIComponent(context.getNodeParameter("aliasId", index))}`;
}

function emailPath(context, index) {
  return `/v1/emails/${encodeURIComponent(context.getNodeParameter("emailId", index))}`;
}

module.exports = { operations };
