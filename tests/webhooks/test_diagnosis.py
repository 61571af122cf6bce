"""Why a request does not verify: each mistake that people make has an explanation of its own."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from webhooks import diagnosis
from webhooks.diagnosis import explain
from webhooks.signing import headers as signed_headers
from webhooks.signing import hex_signature, sign

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(64, 96))).decode()
NOW = 1_893_456_000
EVENT = "evt_01jd2x8kt6n5r7m3f0b9q4y1hs"
BODY = '{"type":"email.received","data":{"subject":"Grüße","to":["a","b"],"n":1}}'.encode()


def sent(body: bytes = BODY, *, secrets: tuple[str, ...] = (SECRET,), at: int = NOW) -> dict[str, Any]:
    return dict(signed_headers(event_id=EVENT, timestamp=at, attempt=1, body=body, secrets=list(secrets), version="1"))


def code(headers: Any, body: bytes | str | None = BODY, secrets: tuple[str, ...] = (SECRET,), **how: Any) -> str:
    found = explain(headers, body, list(secrets), now=NOW, **how)
    assert found.is_valid == found.code.startswith("valid")
    assert found.reason
    assert found.is_valid or found.remedy
    told = repr(found)
    for secret in (SECRET, OLD, OTHER):
        assert secret not in told
        assert secret.removeprefix("whsec_") not in told
        assert sign(event_id=EVENT, timestamp=NOW, body=BODY, secrets=[secret])[3:] not in told
        assert hex_signature(BODY, secret) not in told
    return found.code


def v1(key: bytes, signed: bytes) -> dict[str, Any]:
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return sent() | {"webhook-signature": f"v1,{mac}", "x-webhook-signature": ""}


SIGNED = b"%b.%d.%b" % (EVENT.encode(), NOW, BODY)


def test_what_was_sent_verifies_however_it_is_pasted() -> None:
    headers = sent()
    lines = "\r\n".join(f"{name.title()}: {value}" for name, value in headers.items())
    cgi = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    lists = {name: [value] for name, value in headers.items()}
    for pasted in (headers, lines, f"POST /hook HTTP/1.1\n{lines}", cgi, lists):
        assert code(pasted) == "valid"
    assert code(headers, BODY.decode()) == "valid"
    assert code(sent(secrets=(SECRET, OLD)), secrets=(SECRET, OLD)) == "valid"
    assert code({"x-webhook-signature": hex_signature(BODY, SECRET)}) == "valid_hex"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_is_named(name: str) -> None:
    headers = {key: value for key, value in sent().items() if key not in (name, "x-webhook-signature")}
    assert code(headers) == "header_missing"
    assert name in explain(headers, BODY, [SECRET], now=NOW).reason
    assert code({}) == code("") == code("nonsense") == "header_missing"


@pytest.mark.parametrize("stamp", ["soon", "1.5", "-1", "٣", "1" * 12, "2030-01-01T00:00:00Z"])
def test_a_timestamp_that_is_no_number_is_told(stamp: str) -> None:
    assert code(sent() | {"webhook-timestamp": stamp}) == "timestamp_invalid"


def test_the_age_is_told_in_seconds_once_the_signature_is_right() -> None:
    for at, expected, told in ((NOW - 301, "timestamp_too_old", "301 s"), (NOW + 400, "timestamp_in_future", "400 s")):
        assert code(sent(at=at)) == expected
        assert told in explain(sent(at=at), BODY, [SECRET], now=NOW).reason
    assert code(sent(at=NOW - 300)) == code(sent(at=NOW + 300)) == "valid"
    assert code(sent(at=NOW - 900), b"{}") != "timestamp_too_old"


def test_secrets_are_told_apart_as_far_as_they_are_known() -> None:
    assert code(sent(secrets=(OLD,)), secrets=(SECRET, OLD)) == "previous_secret"
    assert code(sent(secrets=(OTHER,)), sent=BODY) == "another_secret"
    assert code(sent(secrets=(OTHER,))) == "another_secret"
    assert code({"x-webhook-signature": hex_signature(BODY, OTHER)}) == "another_secret"


def test_a_secret_in_the_wrong_form_is_told() -> None:
    bare = SECRET.removeprefix("whsec_")
    for key in (SECRET.encode(), bare.encode()):
        assert code(v1(key, SIGNED)) == "secret_as_text"
    for text in (SECRET.replace("_", ""), SECRET.replace("_", "/")):
        stripped = text.rstrip("=")
        cut = stripped[: len(stripped) - (len(stripped) % 4 == 1)]
        assert code(v1(base64.b64decode(cut + "=" * (-len(cut) % 4)), SIGNED)) == "secret_with_prefix_decoded"
    assert code(v1(base64.b64decode(bare), BODY)) == "signed_body_alone"
    for octets in (base64.b64decode(bare), bare.encode()):
        assert code({"x-webhook-signature": hmac.new(octets, BODY, "sha256").hexdigest()}) == "secret_decoded"


PARSED = json.loads(BODY)
CHANGED: dict[str, tuple[bytes, str]] = {
    "spacing": (json.dumps(PARSED, ensure_ascii=False).encode(), "body_reserialized"),
    "indent": (json.dumps(PARSED, indent=2, ensure_ascii=False).encode(), "body_reserialized"),
    "escapes": (json.dumps(PARSED, separators=(",", ":")).encode(), "body_reserialized"),
    "newline": (BODY + b"\n", "body_newline"),
    "crlf": (BODY + b"\r\n", "body_newline"),
    "bom": (b"\xef\xbb\xbf" + BODY, "body_bom"),
    "twice": (json.dumps(BODY.decode()).encode(), "body_quoted"),
}


@pytest.mark.parametrize("how", CHANGED)
@pytest.mark.parametrize("only_hex", [False, True])
def test_a_body_in_other_octets_is_told(how: str, only_hex: bool) -> None:
    body, expected = CHANGED[how]
    headers = {"x-webhook-signature": hex_signature(BODY, SECRET)} if only_hex else sent()
    assert code(headers, body) == expected
    assert code(headers, body, secrets=(OTHER, SECRET)) == expected


def test_line_ends_that_were_changed_are_told() -> None:
    body = b'{"a":\n1}'
    assert code(sent(body), body.replace(b"\n", b"\r\n")) == "body_crlf"


def test_what_was_really_sent_tells_what_was_done_to_it() -> None:
    swapped = json.dumps(dict(reversed(PARSED.items())), ensure_ascii=False, separators=(",", ":")).encode()
    assert code(sent(), swapped, sent=BODY) == "body_reserialized"
    assert code(sent(), BODY[:-9], sent=BODY) == "body_truncated"
    assert code(sent(), BODY.replace(b"1", b"2"), sent=BODY) == "body_changed"
    assert code(sent(), json.dumps({"b": 1, "a": 2})) == "body_reserialized_probably"


def test_an_empty_body_is_told() -> None:
    assert code(sent(), b"") == code({"x-webhook-signature": "0" * 64}, b"") == "body_empty"


def test_one_signature_that_is_right_tells_what_is_wrong_with_the_other() -> None:
    assert code(sent() | {"webhook-id": "msg_1"}) == "id_changed"
    assert code(sent() | {"webhook-id": EVENT.replace("h", "j")}) == "v1_differs"
    assert code(sent() | {"webhook-timestamp": str(NOW - 1)}) == "v1_differs"
    assert code(sent() | {"x-webhook-signature": "0" * 64}) == "hex_differs"
    upper = hex_signature(BODY, SECRET).upper()
    assert code(sent() | {"x-webhook-signature": upper}) == code({"x-webhook-signature": upper}) == "hex_upper_case"


def test_the_signature_for_after_a_rotation_is_told() -> None:
    both = (SECRET, OLD)
    headers = sent(secrets=both)
    assert code({"x-webhook-signature": headers["x-webhook-signature-next"]}, secrets=both) == "next_signature"
    assert code({"x-webhook-signature-next": headers["x-webhook-signature-next"]}, secrets=both) == (
        "next_signature_only"
    )
    assert code({"x-webhook-signature": headers["x-webhook-signature"]}, secrets=both) == "valid_hex"


def test_a_signature_header_that_is_not_as_sent_is_told() -> None:
    whole = sent()["webhook-signature"]
    for spoiled, expected in (
        (f"{whole},{whole}", "signature_list"), (f"v1,AAAA, v1,{whole[4:]}", "signature_list"),
        (whole[3:], "signature_form"),
        (f"v2{whole[2:]}", "signature_form"), (whole[:20], "signature_truncated"), ("v1,A", "signature_truncated"),
        (whole.replace("v1", "V1"), "signature_form"),
    ):  # fmt: skip
        assert code(sent() | {"webhook-signature": spoiled, "x-webhook-signature": ""}) == expected


HOSTILE: list[Callable[[int], bytes]] = [
    lambda n: b"[" * n, lambda n: b'"' * n, lambda n: b" " * n, lambda n: b"\r\n" * (n // 2),
    lambda n: b"\\u0000" * (n // 6), lambda n: b"1" * n, lambda n: b"\xff" * n,
]  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE)
def test_nothing_that_is_pasted_takes_long_or_fails(make: Callable[[int], bytes]) -> None:
    began = time.monotonic()
    headers = sent() | {"webhook-signature": " ".join(["v1," + "A" * 44] * 100_000), "x-webhook-signature": "é\ud800"}
    assert code(headers, make(diagnosis.MAX_BODY_BYTES)) not in ("valid", "body_too_large")
    assert time.monotonic() - began < 20  # it tells linear from quadratic
    assert code(headers, make(diagnosis.MAX_BODY_BYTES + 6) + b"xxxxxx") == "body_too_large"
    assert code("\n" * 100_000 + "webhook-id", "\ud800") == "header_missing"


def test_the_id_among_pasted_headers_is_found() -> None:
    assert diagnosis.event_id_of("WEBHOOK-ID: evt_1") == diagnosis.event_id_of({"Webhook-Id": "evt_1"}) == "evt_1"
    assert diagnosis.event_id_of({}) == ""


def test_without_a_body_what_was_sent_stands_in_for_it() -> None:
    found = explain(sent(), None, [SECRET], now=NOW, sent=BODY)
    assert (found.is_valid, found.code, found.reason.count("with the body as it was sent")) == (True, "valid", 1)
    assert code(sent(secrets=(OTHER,)), None, sent=BODY) == "another_secret"
    assert code(sent(), None) == "body_missing"
    assert code({}, None) == "body_missing"
    assert code({}, None, sent=BODY) == "header_missing"
    large = b"x" * (diagnosis.MAX_BODY_BYTES + 1)
    assert code(sent(large), None, sent=large) == "valid"
    assert code(sent(large), large) == "body_too_large"
