"""How a receiver verifies x-webhook-signature, to be copied from the page that shows a secret. Tests run both."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snippet:
    title: str
    code: str

    @property
    def rows(self) -> int:
        return self.code.count("\n")


NODE = """\
import { createHmac, timingSafeEqual } from "node:crypto";

// body: the raw octets as they came, before any JSON parsing
export function isGenuine(body, headers) {
  const secret = process.env.WEBHOOK_SECRET ?? "";
  // anybody can sign with an empty secret
  if (!/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/.test(secret)) throw new Error("WEBHOOK_SECRET is no secret");
  const expected = createHmac("sha256", secret).update(body).digest();
  const given = Buffer.from(headers["x-webhook-signature"] ?? "", "hex");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
"""

PYTHON = """\
import hashlib, hmac, os, re

def is_genuine(body: bytes, headers) -> bool:
    # body: the raw octets as they came, before any JSON parsing
    secret = os.environ["WEBHOOK_SECRET"]
    # anybody can sign with an empty secret
    if not re.fullmatch("whsec_[A-Za-z0-9+/]{32,}={0,2}", secret):
        raise ValueError("WEBHOOK_SECRET is no secret")
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), headers.get("x-webhook-signature", "").encode())
"""

ALL = (Snippet("Node.js", NODE), Snippet("Python", PYTHON))
