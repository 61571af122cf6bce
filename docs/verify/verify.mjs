// Verifies a webhook of Emailgistics. Node.js without packages; copy this file.
//
//   const event = verify(request.headers, rawBody, secret);   // throws VerificationError

import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE_S = 300;

export class VerificationError extends Error {}

// The event. body is a Buffer of the octets as received; several secrets may be given in an array while one is exchanged
// for another. headers is an object with names in any case.
export function verify(headers, body, secret, now = Date.now() / 1000) {
  const received = lowerCased(headers);
  const timestamp = received["webhook-timestamp"] ?? "";
  if (!/^[0-9]{1,11}$/.test(timestamp)) {
    throw new VerificationError("webhook-timestamp is missing or no number");
  }
  const head = Buffer.from(`${received["webhook-id"] ?? ""}.${timestamp}.`, "utf8");
  const expected = [secret].flat().map((each) => signature(each, head, body));
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
export function verifyBody(headers, body, secret) {
  const expected = createHmac("sha256", secret).update(body).digest("hex");
  return equal(lowerCased(headers)["x-webhook-signature"] ?? "", expected);
}

function signature(secret, head, body) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  return "v1," + createHmac("sha256", key).update(head).update(body).digest("base64");
}

function equal(one, other) {
  const [a, b] = [Buffer.from(one, "utf8"), Buffer.from(other, "utf8")];
  return a.length === b.length && timingSafeEqual(a, b);
}

function lowerCased(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
