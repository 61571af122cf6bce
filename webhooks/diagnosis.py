"""Why a received request does not verify: what a person pasted, tried against the mistakes that people make.

Pure, and best effort: it answers the most certain explanation that it finds. What it answers never holds a secret, nor
a signature that would verify.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from apikeys.credentials import WEBHOOK_SECRET_PREFIX, parse_webhook_secret
from webhooks.signing import MAX_TIMESTAMP_DIGITS, SIGNATURE_VERSION, TOLERANCE_S

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_ENTRIES = 20  # of webhook-signature: ours has two at most
MAC_OCTETS = 32
BOM = b"\xef\xbb\xbf"
ID, STAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
HEX, HEX_NEXT = "x-webhook-signature", "x-webhook-signature-next"
EVENT_ID = re.compile(r"evt_[0-9a-hjkmnp-tv-z]{26}")

RAW = "Verify the octets as they came, before any JSON parsing, and keep no copy that was decoded and encoded again."
NO_BODY = "Give the body; or a webhook-id that was sent not long ago, and, for mail, a key that has emails:content."
WITH_SENT = "That is with the body as it was sent: if the receiver finds otherwise, its body or its secret is another."
COPY = "Copy the secret of this webhook into the receiver, or rotate it and copy the new one."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """code is for programs; reason and remedy are for the person who configures the receiver."""

    is_valid: bool
    code: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class _Request:
    headers: Mapping[str, str]
    body: bytes
    secrets: Sequence[str]
    entries: Sequence[str]  # of webhook-signature

    def signed(self, body: bytes) -> bytes:
        return b".".join((_octets(self.headers[ID]), _octets(self.headers[STAMP]), body))

    def has_v1(self, key: bytes, body: bytes) -> bool:
        return self.has_mac(key, self.signed(body))

    def has_mac(self, key: bytes, signed: bytes) -> bool:
        mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        wanted = f"{SIGNATURE_VERSION},".encode() + mac
        return any(hmac.compare_digest(_octets(entry), wanted) for entry in self.entries)

    def has_hex(self, key: bytes, body: bytes, *, name: str = HEX) -> bool:
        given = _octets(self.headers.get(name, "").lower())
        return hmac.compare_digest(given, hmac.new(key, body, hashlib.sha256).hexdigest().encode())


def explain(
    headers: Mapping[str, object] | str,
    body: bytes | str | None,
    secrets: Sequence[str],
    *,
    now: int,
    sent: bytes | None = None,
) -> Diagnosis:
    """What is wrong with a request as somebody received it, or that nothing is.

    headers in any case, as a mapping or as the lines of a request. secrets: the current one, then the previous one
    while it is kept. now is in Unix seconds. sent is what was really sent under that webhook-id, if that is known; it
    stands in for the body if that is None.
    """
    given = _read(headers)
    if body is None:
        if sent is None:
            return _wrong("body_missing", "There is no body that these headers could be verified with.", NO_BODY)
        found = _of(given, sent, secrets, now, sent)
        return replace(found, reason=f"{found.reason} {WITH_SENT}") if found.is_valid else found
    octets = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    if len(octets) > MAX_BODY_BYTES:
        return _wrong(
            "body_too_large", f"More than {MAX_BODY_BYTES} octets of body are not looked into.", "Try a smaller event."
        )
    return _of(given, octets, secrets, now, sent)


def event_id_of(headers: Mapping[str, object] | str) -> str:
    """The webhook-id among pasted headers; empty without one."""
    return _read(headers).get(ID, "")


def _of(given: Mapping[str, str], octets: bytes, secrets: Sequence[str], now: int, sent: bytes | None) -> Diagnosis:
    request = _Request(given, octets, secrets, given.get(SIGNATURE, "").split()[:MAX_ENTRIES])
    if given.get(SIGNATURE) or not (given.get(HEX) or given.get(HEX_NEXT)):
        return _of_standard(request, now=now, sent=sent)
    return _of_hex(request, sent) or _of_body(request, sent)


def _of_standard(request: _Request, *, now: int, sent: bytes | None) -> Diagnosis:
    missing = [name for name in (ID, STAMP, SIGNATURE) if not request.headers.get(name)]
    if missing:
        names = " and no ".join(missing)
        return _wrong("header_missing", f"The request has no {names} header.", "Pass all headers on to the receiver.")
    stamp = request.headers[STAMP]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= MAX_TIMESTAMP_DIGITS):
        return _wrong(
            "timestamp_invalid",
            "webhook-timestamp is not a number of Unix seconds.",
            "It is whole seconds, not milliseconds and no date: use it as the header has it.",
        )
    if request.has_v1(parse_webhook_secret(request.secrets[0]), request.body):
        return (
            _of_age(now - int(stamp))
            or _of_other_hex(request)
            or Diagnosis(is_valid=True, code="valid", reason="The request verifies with the secret of this webhook.")
        )
    return (
        _of_previous(request)
        or _of_entries(request)
        or _of_key(request)
        or _of_body_as(request)
        or _of_id(request)
        or _of_body(request, sent)
    )


def _of_age(age_s: int) -> Diagnosis | None:
    if abs(age_s) <= TOLERANCE_S:
        return None
    if age_s > 0:
        return _wrong(
            "timestamp_too_old",
            f"The signature is right, and the request is {age_s} s old; {TOLERANCE_S} s are tolerated.",
            "An old request that is looked at now, or the receiver's clock is ahead: check its clock.",
        )
    return _wrong(
        "timestamp_in_future",
        f"The signature is right, and the request is {-age_s} s in the future; {TOLERANCE_S} s are tolerated.",
        "A clock is wrong: check the receiver's first.",
    )


def _of_other_hex(request: _Request) -> Diagnosis | None:
    """For a request whose v1 signature is right."""
    given = request.headers.get(HEX)
    if not given:
        return None
    if not any(request.has_hex(secret.encode(), request.body) for secret in request.secrets):
        return _wrong(
            "hex_differs",
            f"webhook-signature verifies, and {HEX} does not: that header was changed, or made with an older secret.",
            "Verify webhook-signature; it also dates the request.",
        )
    return _of_case(given)


def _of_case(given: str) -> Diagnosis | None:
    if given == given.lower():
        return None
    return _wrong("hex_upper_case", f"{HEX} is in upper case here.", "It is sent in lower case: compare it as such.")


def _of_previous(request: _Request) -> Diagnosis | None:
    for secret in request.secrets[1:]:
        if request.has_v1(parse_webhook_secret(secret), request.body):
            return _wrong(
                "previous_secret",
                "It was signed with the previous secret of this webhook alone.",
                "It was sent before the secret was rotated. What is sent now is signed with the new one as well.",
            )
    return None


def _of_entries(request: _Request) -> Diagnosis | None:
    """webhook-signature as it is written: signatures between spaces, each `v1,` and base64."""
    given = request.headers[SIGNATURE]
    if re.search(rf",\s*{SIGNATURE_VERSION},", given):
        return _wrong(
            "signature_list",
            "webhook-signature holds several signatures separated by commas.",
            "They are separated by spaces, and the comma belongs to each: `v1,… v1,…`. Something joined two headers.",
        )
    if not any(entry.startswith(f"{SIGNATURE_VERSION},") for entry in request.entries):
        return _wrong(
            "signature_form",
            "There is no entry in webhook-signature that begins with `v1,`.",
            "Pass the header on as it came; the version in front of each signature belongs to it.",
        )
    if not any(_is_whole(entry) for entry in request.entries):
        return _wrong(
            "signature_truncated",
            "No signature in webhook-signature is whole: `v1,` and 44 characters of base64.",
            "Something cut the header off or re-coded it; keep at least 200 characters of it, `+` and `/` unchanged.",
        )
    return None


def _is_whole(entry: str) -> bool:
    version, _, encoded = entry.partition(",")
    try:
        return version == SIGNATURE_VERSION and len(base64.b64decode(encoded, validate=True)) == MAC_OCTETS
    except (binascii.Error, ValueError):
        return False


def _of_key(request: _Request) -> Diagnosis | None:
    """Signed here by somebody's own code, with the secret in another form than it is used in."""
    for secret in request.secrets:
        decoded, text = parse_webhook_secret(secret), secret.encode()
        bare = secret.removeprefix(WEBHOOK_SECRET_PREFIX).encode()
        if request.has_v1(text, request.body) or request.has_v1(bare, request.body):
            return _wrong(
                "secret_as_text",
                "webhook-signature was made with the text of the secret as the key.",
                f"The key is what stands after {WEBHOOK_SECRET_PREFIX}, base64-decoded.",
            )
        if any(request.has_v1(key, request.body) for key in _decoded_with_prefix(secret)):
            return _wrong(
                "secret_with_prefix_decoded",
                f"webhook-signature was made with the secret base64-decoded together with its {WEBHOOK_SECRET_PREFIX}.",
                f"Take {WEBHOOK_SECRET_PREFIX} off before you decode it.",
            )
        if request.has_mac(decoded, request.body):
            return _wrong(
                "signed_body_alone",
                "webhook-signature was made over the body alone.",
                "It is over webhook-id, a dot, webhook-timestamp, a dot, and the body.",
            )
    return None


def _decoded_with_prefix(secret: str) -> Iterator[bytes]:
    """As decoders read it that pass over what is no base64, or take `_` for `/`."""
    for text in (secret.replace("_", ""), secret.replace("_", "/")):
        bare = text.rstrip("=")
        cut = bare[: len(bare) - (len(bare) % 4 == 1)]  # one character left over is no octet
        yield base64.b64decode(cut + "=" * (-len(cut) % 4))


def _of_hex(request: _Request, sent: bytes | None) -> Diagnosis | None:
    """For a request without webhook-signature."""
    if not request.headers.get(HEX):
        is_right = any(request.has_hex(secret.encode(), request.body, name=HEX_NEXT) for secret in request.secrets[:1])
        return _wrong(
            "next_signature_only",
            f"There is only {HEX_NEXT}, {'made with the new secret' if is_right else 'and it does not verify either'}.",
            f"It is there while a rotation overlaps. Verify webhook-signature, or {HEX} with the secret before.",
        )
    text = request.secrets[-1].encode()
    if request.has_hex(text, request.body):
        return _of_case(request.headers[HEX]) or Diagnosis(
            is_valid=True, code="valid_hex", reason=f"{HEX} verifies. The request says nothing of its age."
        )
    if len(request.secrets) > 1 and request.has_hex(request.secrets[0].encode(), request.body):
        return _wrong(
            "next_signature",
            f"{HEX} holds what {HEX_NEXT} is: made with the new secret, while the one before still signs {HEX}.",
            f"Until the overlap ends, {HEX} is made with the secret before.",
        )
    for secret in request.secrets:
        bare = secret.removeprefix(WEBHOOK_SECRET_PREFIX).encode()
        if request.has_hex(parse_webhook_secret(secret), request.body) or request.has_hex(bare, request.body):
            return _wrong(
                "secret_decoded",
                f"{HEX} was made with the secret decoded, or without its {WEBHOOK_SECRET_PREFIX}.",
                f"For {HEX} the key is the text of the secret, prefix and all.",
            )
    return None if sent is not None or request.body else _empty()


def _of_body_as(request: _Request) -> Diagnosis | None:
    """The body brought back to what was signed."""
    keys = [(parse_webhook_secret(secret), secret.encode()) for secret in request.secrets]
    for code, body, reason in _as_it_may_have_been(request.body):
        for key, text in keys:
            has_v1 = bool(request.headers.get(SIGNATURE)) and request.has_v1(key, body)
            if has_v1 or request.has_hex(text, body):
                return _wrong(code, reason, RAW)
    return None


def _as_it_may_have_been(body: bytes) -> Iterator[tuple[str, bytes, str]]:
    """Bodies that may have become this one, each with what was done to it."""
    if body.startswith(BOM):
        yield "body_bom", body.removeprefix(BOM), "A byte order mark was put before the body."
    stripped = body.strip(b" \t\r\n")
    if stripped != body:
        yield "body_newline", stripped, "Spaces or a line end were added around the body."
    if b"\r\n" in body:
        yield "body_crlf", body.replace(b"\r\n", b"\n"), "The line ends of the body were changed to CRLF."
    try:
        value = json.loads(body)
        compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        return
    if isinstance(value, str):
        yield "body_quoted", value.encode("utf-8", "surrogatepass"), "The body was encoded as JSON once more, as text."
    if compact != stripped:
        yield (
            "body_reserialized",
            compact,
            "The body is the same JSON in other octets: its spacing or its escapes were changed.",
        )


def _of_id(request: _Request) -> Diagnosis | None:
    """The body and the secret are right, so it is the rest of what v1 signs."""
    if not any(request.has_hex(secret.encode(), request.body) for secret in request.secrets):
        return None
    if EVENT_ID.fullmatch(request.headers[ID]) is None:
        return _wrong(
            "id_changed",
            "The body and the secret are right, and webhook-id is none of ours: it was changed on the way.",
            "Use webhook-id as it came, and not an id of a gateway.",
        )
    return _wrong(
        "v1_differs",
        f"{HEX} verifies, so the body and the secret are right, and webhook-signature does not: webhook-id, "
        "webhook-timestamp or the signature itself are those of another request, or were changed.",
        "Take all headers of one and the same request.",
    )


def _of_body(request: _Request, sent: bytes | None) -> Diagnosis:
    """What is left: the body, or the secret."""
    if not request.body:
        return _empty()
    if not request.headers.get(SIGNATURE) and (found := _of_body_as(request)):
        return found
    if sent is not None and sent != request.body:
        return _of_difference(request.body, sent)
    if sent is not None:
        return _wrong("another_secret", "The body is what was sent; the signature is by another secret.", COPY)
    if any(code == "body_reserialized" for code, _, _ in _as_it_may_have_been(request.body)):
        return _wrong(
            "body_reserialized_probably",
            "The body is not written as it is sent, compact and without escapes that are not needed: most likely it "
            "was parsed and encoded again. It may be another secret as well.",
            f"{RAW} {COPY}",
        )
    return _wrong(
        "another_secret",
        "No signature matches: made with the secret of another webhook, or the body or webhook-id were changed.",
        f"{COPY} {RAW}",
    )


def _of_difference(body: bytes, sent: bytes) -> Diagnosis:
    try:
        is_same = json.loads(body) == json.loads(sent)
    except (ValueError, RecursionError):
        is_same = False
    if is_same:
        reason = "The body is the same JSON as was sent in other octets: spacing, order of names, or escapes."
        return _wrong("body_reserialized", reason, RAW)
    if sent.startswith(body):
        reason = f"The body was cut off: {len(body)} of {len(sent)} octets are here."
        return _wrong("body_truncated", reason, "Raise the limit for bodies in the receiver, or before it.")
    return _wrong("body_changed", "The body is not what was sent under this webhook-id.", RAW)


def _empty() -> Diagnosis:
    return _wrong(
        "body_empty",
        "The body is empty, and no event is.",
        "Something read it before: take the raw body first, and parse it afterwards.",
    )


def _wrong(code: str, reason: str, remedy: str) -> Diagnosis:
    return Diagnosis(is_valid=False, code=code, reason=reason, remedy=remedy)


def _read(headers: Mapping[str, object] | str) -> dict[str, str]:
    """By lower-case name; also as CGI and WSGI call them (HTTP_WEBHOOK_ID)."""
    if isinstance(headers, str):
        pairs: list[tuple[str, object]] = [
            (name, value) for name, _, value in (line.partition(":") for line in headers.splitlines())
        ]
    else:
        pairs = list(headers.items())
    read: dict[str, str] = {}
    for name, value in pairs:
        single = value[0] if isinstance(value, list) and value else value
        known = name.strip(" \t\"'").lower().replace("_", "-").removeprefix("http-")
        read.setdefault(known, str(single).strip(" \t\r\n\"',"))
    return read


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
