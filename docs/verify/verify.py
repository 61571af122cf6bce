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


class VerificationError(Exception):
    """The request is not from whom it says, was altered, or is too old."""


def verify(
    headers: Mapping[str, str], body: bytes, secret: str | Iterable[str], *, now: float | None = None
) -> dict[str, Any]:
    """The event. body is the octets as received; several secrets may be given while one is exchanged for another."""
    received = {name.lower(): value for name, value in headers.items()}
    event_id, timestamp = received.get("webhook-id", ""), received.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_DIGITS):
        raise VerificationError("webhook-timestamp is missing or no number")
    signed = event_id.encode() + b"." + timestamp.encode() + b"." + body
    secrets = [secret] if isinstance(secret, str) else list(secret)
    expected = [_signature(each, signed) for each in secrets]
    # one for each secret that counts at the sender; all are compared, each in constant time
    given = [entry.encode() for entry in received.get("webhook-signature", "").split(" ")]
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    if True not in matches:
        raise VerificationError("no signature in webhook-signature is right")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise VerificationError("webhook-timestamp is more than 5 minutes off")
    event: dict[str, Any] = json.loads(body)
    return event


def verify_body(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """The simpler way, by x-webhook-signature: it says nothing of the time, so it does not see a replay."""
    given = {name.lower(): value for name, value in headers.items()}.get("x-webhook-signature", "")
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(given.encode(), expected.encode())


def _signature(secret: str, signed: bytes) -> bytes:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
