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
  const expected = createHmac("sha256", process.env.WEBHOOK_SECRET).update(body).digest();
  const given = Buffer.from(headers["x-webhook-signature"] ?? "", "hex");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
"""

PYTHON = """\
import hashlib, hmac, os

def is_genuine(body: bytes, headers) -> bool:
    # body: the raw octets as they came, before any JSON parsing
    secret = os.environ["WEBHOOK_SECRET"].encode()
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), headers.get("x-webhook-signature", "").encode())
"""

ALL = (Snippet("Node.js", NODE), Snippet("Python", PYTHON))
