"""What proves to a receiver that a request is ours: the headers of an attempt, and how they are verified.

Two signatures, for two kinds of receivers. `webhook-signature` is Standard Webhooks: HMAC-SHA256 over
`id.timestamp.body`, so neither the id nor the time can be changed. `x-webhook-signature` is the hex HMAC-SHA256 of the
body alone, which the product's documented snippet verifies; whoever can should use the first.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from apikeys.credentials import parse_webhook_secret

SIGNATURE_VERSION = "v1"
TOLERANCE_S = 300  # what the Standard Webhooks libraries allow
MAX_TIMESTAMP_DIGITS = 11


class SignatureError(Exception):
    """A request does not verify. The message says why, for the person who configures the receiver."""


def sign(*, event_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """The `webhook-signature` header: one `v1,<base64>` for each secret, in their order."""
    if not event_id or "." in event_id:
        raise ValueError("an event id without a dot is needed: the dot separates what is signed")
    signed = b"%b.%d.%b" % (event_id.encode("ascii"), timestamp, body)
    return " ".join(f"{SIGNATURE_VERSION},{_mac(parse_webhook_secret(secret), signed)}" for secret in secrets)


def hex_signature(body: bytes, secret: str) -> str:
    """The `x-webhook-signature` header: the key is the secret's text as shown to people, prefix and all."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def headers(
    *, event_id: str, timestamp: int, attempt: int, body: bytes, secrets: Sequence[str], version: str
) -> dict[str, str]:
    """All request headers of an attempt that are ours.

    secrets: the current one, and while a rotation overlaps the previous one after it. The plain hex header can carry
    one signature only: it stays with the previous secret until the overlap ends, so that a receiver that knows nothing
    of rotations never breaks within it.
    """
    if not secrets:
        raise ValueError("a webhook has at least one secret")
    ours = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(event_id=event_id, timestamp=timestamp, body=body, secrets=secrets),
        "x-webhook-signature": hex_signature(body, secrets[-1]),
        "webhook-attempt": str(attempt),
        "user-agent": f"Emailgistics/{version}",
        "accept-encoding": "identity",
    }
    if len(secrets) > 1:
        ours["x-webhook-signature-next"] = hex_signature(body, secrets[0])
    return ours


def verify(headers: Mapping[str, str], body: bytes, secret: str, *, now: int, tolerance_s: int = TOLERANCE_S) -> None:
    """Checks a received request (Standard Webhooks). now is in Unix seconds; header names may be in any case.

    Raises SignatureError, and ValueError for a secret that is none.
    """
    key = parse_webhook_secret(secret)
    received = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not received.get(name)]
    if missing:
        raise SignatureError(f"The request has no {' and no '.join(missing)} header.")
    stamp = received["webhook-timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= MAX_TIMESTAMP_DIGITS):
        raise SignatureError("webhook-timestamp is not a number of Unix seconds.")
    # the signature before the age: an old request whose signature is right is the more useful thing to be told
    signed = b"%b.%b.%b" % (received["webhook-id"].encode("utf-8", "surrogateescape"), stamp.encode("ascii"), body)
    if not _matches_any(received["webhook-signature"], _mac(key, signed)):
        raise SignatureError(
            "No v1 signature in webhook-signature matches: another secret, or the body is not byte for byte what was "
            "sent (verify the raw body, before any JSON parsing)."
        )
    age_s = now - int(stamp)
    if abs(age_s) > tolerance_s:
        when = f"{age_s} s old" if age_s > 0 else f"{-age_s} s in the future"
        raise SignatureError(f"The request is {when}; {tolerance_s} s are tolerated. Replayed, or a clock is wrong.")


def _matches_any(listed: str, expected: str) -> bool:
    """Every entry is compared, each in constant time: the answer's time says nothing of where a match is."""
    wanted = f"{SIGNATURE_VERSION},{expected}".encode()
    matches = [hmac.compare_digest(entry.encode("utf-8", "surrogateescape"), wanted) for entry in listed.split(" ")]
    return any(matches)


def _mac(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
