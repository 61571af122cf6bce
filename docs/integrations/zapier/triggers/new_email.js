"use strict";

const { get, send } = require("../lib/api.js");
const { verify, VerificationError } = require("../lib/signature.js");
const sample = require("../lib/sample.json");

const REPEATED_WITHIN_S = 7 * 24 * 3600; // an event is sent again for 5.65 days

// A webhook as the Zap wants it. What this gives back, Zapier keeps as bundle.subscribeData: id and secret.
async function subscribe(z, bundle) {
  const { alias_id, mailbox_id, domain_id, alias_name } = bundle.inputData;
  const how = { url: bundle.targetUrl, events: ["email.received"], description: "Zapier" };
  if (alias_name) {
    const alias = { domain_id, name: alias_name, ...(mailbox_id && { mailbox_id }) };
    const body = { ...alias, ...how, first_or_create: true };
    const { webhook } = await send(z, bundle, "POST", "/v1/webhooks/alias", body);
    return { id: webhook.id, secret: webhook.secret ?? (await renewedSecret(z, bundle, webhook.id)) };
  }
  const [bound] = Object.entries({ alias_id, mailbox_id, domain_id }).filter(([, id]) => id);
  if (!bound) {
    throw new z.errors.Error("Choose an alias, a mailbox or a domain.", "validation_error", 400);
  }
  const { id, secret } = await send(z, bundle, "POST", "/v1/webhooks", { [bound[0]]: bound[1], ...how });
  return { id, secret };
}

// Of one that was at the URL before: what it has is shown to nobody again.
async function renewedSecret(z, bundle, id) {
  return (await send(z, bundle, "POST", `/v1/webhooks/${id}/rotate-secret`, { overlap_hours: 0 })).secret;
}

async function unsubscribe(z, bundle) {
  try {
    await send(z, bundle, "DELETE", `/v1/webhooks/${bundle.subscribeData.id}`);
  } catch (error) {
    if (statusOf(error) !== 404) {
      throw error; // a 404 is what we want: somebody deleted it in the console
    }
  }
  return { id: bundle.subscribeData.id };
}

// What came, as one item; none if it came before.
async function received(z, bundle) {
  const { headers, content } = bundle.rawRequest;
  let verified;
  try {
    // Zapier may have had it wait, so its age says nothing; what is recorded and sent again is found by its id
    const octets = Buffer.from(content, "utf8");
    verified = verify(withoutPrefix(headers), octets, bundle.subscribeData?.secret, { toleranceS: Infinity });
  } catch (error) {
    if (!(error instanceof VerificationError)) {
      throw error;
    }
    throw new z.errors.HaltedError(`This did not come from Emailgistics: ${error.message}.`);
  }
  const { id, event } = verified;
  const isWanted = event.type === "email.received" && (await isNew(z, id));
  return isWanted ? [itemOf(event, id)] : [];
}

// An attempt whose answer got lost is made again, with the same webhook-id. Without a memory, a mail that comes twice is
// better than one that does not come.
async function isNew(z, id) {
  try {
    return (await z.cache.set(`event ${id}`, true, REPEATED_WITHIN_S, null, true)) !== false;
  } catch (error) {
    z.console.log(`What came before cannot be looked up: ${error.message}`);
    return true;
  }
}

async function listed(z, bundle) {
  const event = await get(z, bundle, "/v1/webhooks/sample", { event: "email.received" });
  return [itemOf(event, "evt_sample")];
}

// `id` is the email's, as Zapier wants an item to have one.
function itemOf({ type, timestamp, data }, id) {
  return { ...data, event: { id, type, timestamp } };
}

// Zapier hands over `Webhook-Id` as `Http-Webhook-Id`.
function withoutPrefix(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.replace(/^http-/i, ""), value]));
}

function statusOf(error) {
  try {
    return JSON.parse(error.message).status; // AppError keeps what it was made of in its message
  } catch {
    return undefined;
  }
}

const dropdown = (key, label, list, helpText) => ({ key, label, dynamic: `${list}.id.label`, required: false, helpText });

module.exports = {
  key: "new_email",
  noun: "Email",
  display: { label: "New Email", description: "Triggers when an email comes in." },
  operation: {
    type: "hook",
    inputFields: [
      dropdown("alias_id", "Alias", "alias_list", "Mail to this address."),
      dropdown("mailbox_id", "Mailbox", "mailbox_list", "All mail of this mailbox. With a new alias: where it leads."),
      dropdown("domain_id", "Domain", "domain_list", "All mail of this domain, or where the new alias is made."),
      {
        key: "alias_name",
        label: "New Alias",
        type: "string",
        required: false,
        helpText: "Makes this address in the domain, if it is not there: what stands before the @.",
      },
    ],
    performSubscribe: subscribe,
    performUnsubscribe: unsubscribe,
    perform: received,
    performList: listed,
    sample,
  },
};
