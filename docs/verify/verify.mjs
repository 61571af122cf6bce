// Verifies a webhook of Emailgistics. Node.js without packages; copy this file.
//
//   const event = verify(request.headers, rawBody, secret);   // throws VerificationError

import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE_S = 300;
const PREFIX = "whsec_";
const MIN_KEY_BYTES = 24;

export class VerificationError extends Error {}

// The event. body is a Buffer of the octets as received; several secrets may be given in an array while one is exchanged
// for another. headers is an object with names in any case, or a Headers of fetch.
export function verify(headers, body, secret, now = Date.now() / 1000) {
  const keys = [secret].flat().map(keyOf);
  const received = lowerCased(headers);
  const timestamp = received["webhook-timestamp"] ?? "";
  if (!/^[0-9]{1,11}$/.test(timestamp)) {
    throw new VerificationError("webhook-timestamp is missing or no number");
  }
  const head = Buffer.from(`${received["webhook-id"] ?? ""}.${timestamp}.`, "utf8");
  const expected = keys.map((key) => signature(key, head, body));
  // one for each secret that counts at the sender; all are compared, each in constant time
  const given = (received["webhook-signature"] ?? "").split(" ");
  const matches = given.flatMap((one) => expected.map((other) => equal(one, other)));
  if (!matches.includes(true)) {
    throw new VerificationError("no signature in webhook-signature is right");
  }
  if (Math.abs(now - Number(timestamp)) > TOLERANCE_S) {
    throw new VerificationError("webhook-timestamp is more than 5 minutes off");
  }
  return JSON.parse(body.toString("utf8"));
}

// The simpler way, by x-webhook-signature: it says nothing of the time, so it does not see a replay.
// Throws VerificationError if no secret is configured.
export function verifyBody(headers, body, secret) {
  keyOf(secret);
  const expected = createHmac("sha256", secret).update(body).digest("hex");
  return equal(lowerCased(headers)["x-webhook-signature"] ?? "", expected);
}

function keyOf(secret) {
  const text = String(secret ?? "");
  const encoded = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : "";
  const key = Buffer.from(encoded, "base64");
  // anybody can sign with the empty key, which is what a variable that is not set, or a placeholder, would become;
  // Node decodes what it can, so what it made of the text is written again and compared
  if (key.length < MIN_KEY_BYTES || key.toString("base64") !== encoded) {
    throw new VerificationError("no secret is configured: it is whsec_ and at least 24 octets in base64");
  }
  return key;
}

function signature(key, head, body) {
  return "v1," + createHmac("sha256", key).update(head).update(body).digest("base64");
}

function equal(one, other) {
  const [a, b] = [Buffer.from(one, "utf8"), Buffer.from(other, "utf8")];
  return a.length === b.length && timingSafeEqual(a, b);
}

function lowerCased(headers) {
  const entries = typeof headers.entries === "function" ? headers.entries() : Object.entries(headers);
  return Object.fromEntries(Array.from(entries, ([name, value]) => [name.toLowerCase(), value]));
}
