// Verifies what a webhook of Emailgistics sends: Standard Webhooks, over `id.timestamp.body`. The package has no
// dependency, so this is docs/verify/verify.mjs for CommonJS; the packages for n8n and Zapier carry the same file.
"use strict";

const { createHmac, timingSafeEqual } = require("node:crypto");

const TOLERANCE_S = 300;
const PREFIX = "whsec_";
const MIN_KEY_BYTES = 24;

class VerificationError extends Error {}

// { id, event }. headers in any case; body is a Buffer of the octets as received, before any parsing.
// toleranceS: how old a request may be, or how far ahead its clock; Infinity where a queue stands between it and us.
// Throws VerificationError, whose message is for people.
function verify(headers, body, secret, { now = Date.now() / 1000, toleranceS = TOLERANCE_S } = {}) {
  const key = keyOf(secret);
  const received = lowerCased(headers);
  const id = received["webhook-id"] ?? "";
  const timestamp = received["webhook-timestamp"] ?? "";
  if (!id) {
    throw new VerificationError("webhook-id is missing");
  }
  if (!/^[0-9]{1,11}$/.test(timestamp)) {
    throw new VerificationError("webhook-timestamp is missing or no number");
  }
  const expected = "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  // several while a secret is exchanged; all are compared, each in constant time
  const matches = (received["webhook-signature"] ?? "").split(" ").map((one) => equal(one, expected));
  if (!matches.includes(true)) {
    throw new VerificationError("no signature in webhook-signature is right");
  }
  if (Math.abs(now - Number(timestamp)) > toleranceS) {
    throw new VerificationError("webhook-timestamp is more than 5 minutes off");
  }
  return { id, event: JSON.parse(body.toString("utf8")) };
}

function keyOf(secret) {
  const text = String(secret ?? "");
  const encoded = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : "";
  const key = Buffer.from(encoded, "base64");
  // anybody can sign with the empty key, which is what a secret that was lost would become
  if (key.length < MIN_KEY_BYTES || key.toString("base64") !== encoded) {
    throw new VerificationError("no secret of a webhook is known");
  }
  return key;
}

function equal(one, other) {
  const [a, b] = [Buffer.from(one, "utf8"), Buffer.from(other, "utf8")];
  return a.length === b.length && timingSafeEqual(a, b);
}

function lowerCased(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
}

module.exports = { verify, VerificationError, TOLERANCE_S };
