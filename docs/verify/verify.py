"""Verifies a webhook of Emailgistics. Standard library only; copy this file.

`event = verify(request.headers, request.body, secret)` raises VerificationError.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

TOLERANCE_S = 300
MAX_DIGITS = 11
PREFIX = "whsec_"
MIN_KEY_BYTES = 24


class VerificationError(Exception):
    """The request is not from whom it says, was altered, or is too old."""


def verify(
    headers: Mapping[str, str], body: bytes, secret: str | Iterable[str] | None, *, now: float | None = None
) -> dict[str, Any]:
    """The event. body is the octets as received; several secrets may be given while one is exchanged for another."""
    secrets = [secret] if secret is None or isinstance(secret, str) else list(secret)
    keys = [_key(each) for each in secrets]
    received = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp = received.get("webhook-id", ""), received.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_DIGITS):
        raise VerificationError("webhook-timestamp is missing or no number")
    signed = event_id.encode() + b"." + timestamp.encode() + b"." + body
    expected = [_signature(key, signed) for key in keys]
    # one for each secret that counts at the sender; all are compared, each in constant time
    given = [entry.encode() for entry in received.get("webhook-signature", "").split(" ")]
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    if True not in matches:
        raise VerificationError("no signature in webhook-signature is right")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise VerificationError("webhook-timestamp is more than 5 minutes off")
    event: dict[str, Any] = json.loads(body)
    return event


def verify_body(headers: Mapping[str, str], body: bytes, secret: str | None) -> bool:
    """The simpler way, by x-webhook-signature: it says nothing of the time, so it does not see a replay.

    Raises VerificationError if no secret is configured.
    """
    _key(secret)
    given = {name.lower(): value for name, value in headers.items()}.get("x-webhook-signature", "")
    expected = hmac.new((secret or "").encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given.encode(), expected.encode())


def _key(secret: str | None) -> bytes:
    text = secret or ""
    encoded = text.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    # anybody can sign with the empty key, which is what a variable that is not set, or a placeholder, would become
    if encoded == text or len(key) < MIN_KEY_BYTES or base64.b64encode(key).decode() != encoded:
        raise VerificationError("no secret is configured: it is whsec_ and at least 24 octets in base64")
    return key


def _signature(key: bytes, signed: bytes) -> bytes:
    return b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
