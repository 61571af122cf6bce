"""The helpers in docs/verify, against what is really sent."""

import base64
import importlib.util
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings

from webhooks import signing

FOLDER = settings.BASE_DIR / "docs" / "verify"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT = "whsec_" + base64.b64encode(b"another secret of 32 octets long").decode()
NOW = 1_780_000_000
EVENT = {"type": "email.received", "data": {"subject": "snow ☃ 🎉 \u2028", "n": 1}}
BODY = json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()

Headers = dict[str, str]
# headers, body, secret(s), now -> the event (None: refused), and what the simpler way says
Ask = Callable[[Headers, bytes, str | list[str]], tuple[dict[str, Any] | None, bool]]


def in_python(headers: Headers, body: bytes, secret: str | list[str]) -> tuple[dict[str, Any] | None, bool]:
    spec = importlib.util.spec_from_file_location("verify", FOLDER / "verify.py")
    assert spec is not None
    assert spec.loader is not None
    helper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helper)
    simple = helper.verify_body(headers, body, secret if isinstance(secret, str) else secret[0])
    try:
        return helper.verify(headers, body, secret, now=NOW), simple
    except helper.VerificationError:
        return None, simple


@pytest.fixture(params=["python", "node"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "python":
        return in_python
    node: str = request.getfixturevalue("node")

    def in_node(headers: Headers, body: bytes, secret: str | list[str]) -> tuple[dict[str, Any] | None, bool]:
        asked = json.dumps({"headers": headers, "body": body.hex(), "secret": secret, "now": NOW})
        helper = settings.BASE_DIR / "tests" / "webhooks" / "verify_helper.mjs"
        done = subprocess.run(
            [node, str(helper), (FOLDER / "verify.mjs").as_uri()],
            input=asked, capture_output=True, text=True, check=True,
        )  # fmt: skip
        answer = json.loads(done.stdout)
        assert ("event" in answer) != ("refused" in answer)
        return answer.get("event"), answer["simple"]

    return in_node


def sent(*, at: int = NOW, secrets: list[str] | None = None, body: bytes = BODY) -> Headers:
    return signing.headers(
        event_id="evt_01jd2x8ks2f0b9t4k6y1r3m5pz",
        timestamp=at,
        attempt=1,
        body=body,
        secrets=secrets or [SECRET],
        version="1",
    )


def test_what_is_sent_verifies(ask: Ask) -> None:
    assert ask(sent(), BODY, SECRET) == (EVENT, True)


def test_the_case_of_header_names_does_not_matter(ask: Ask) -> None:
    assert ask({name.title(): value for name, value in sent().items()}, BODY, SECRET) == (EVENT, True)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_nothing_may_be_missing_or_altered(ask: Ask, name: str) -> None:
    headers = sent()
    without = {other: value for other, value in headers.items() if other != name}
    assert ask(without, BODY, SECRET) == (None, True)
    altered = headers | {name: headers[name][:-2] + ("11" if name == "webhook-timestamp" else "A=")}
    assert altered != headers
    assert ask(altered, BODY, SECRET) == (None, True)


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b" ", BODY.replace(b"1", b"2"), b"", b"\xff\x00"])
def test_an_altered_body_is_refused_both_ways(ask: Ask, body: bytes) -> None:
    assert ask(sent(), body, SECRET) == (None, False)


def test_another_secret_is_refused_both_ways(ask: Ask) -> None:
    assert ask(sent(), BODY, NEXT) == (None, False)


@pytest.mark.parametrize("off", [-300, 300])
def test_a_clock_may_be_five_minutes_off(ask: Ask, off: int) -> None:
    assert ask(sent(at=NOW + off), BODY, SECRET) == (EVENT, True)
    beyond = off + (1 if off > 0 else -1)
    assert ask(sent(at=NOW + beyond), BODY, SECRET) == (None, True)


@pytest.mark.parametrize("stamp", ["", "now", "1e9", "-1780000000", "1780000000.0", "٣", "1" * 30, " 1780000000"])
def test_a_timestamp_that_is_none_is_refused(ask: Ask, stamp: str) -> None:
    assert ask(sent() | {"webhook-timestamp": stamp}, BODY, SECRET) == (None, True)


def test_while_secrets_rotate_either_one_verifies(ask: Ask) -> None:
    headers = sent(secrets=[NEXT, SECRET])
    assert ask(headers, BODY, SECRET) == (EVENT, True)
    assert ask(headers, BODY, NEXT) == (EVENT, False)
    next_only = headers | {"x-webhook-signature": headers["x-webhook-signature-next"]}
    assert ask(next_only, BODY, NEXT) == (EVENT, True)


def test_a_receiver_may_know_several_secrets(ask: Ask) -> None:
    assert ask(sent(secrets=[NEXT]), BODY, [SECRET, NEXT])[0] == EVENT
    assert ask(sent(), BODY, [SECRET, NEXT])[0] == EVENT


@pytest.mark.parametrize(
    "given", ["", "v1", "v1,", ",", "v1a,AAAA", "v2,{mac}", "{mac}", "v1,{mac}x", "v1 ,{mac}", "é"]
)
def test_a_signature_of_another_shape_is_refused(ask: Ask, given: str) -> None:
    mac = sent()["webhook-signature"].removeprefix("v1,")
    assert ask(sent() | {"webhook-signature": given.replace("{mac}", mac)}, BODY, SECRET) == (None, True)
    assert ask(sent() | {"webhook-signature": f"v1,AAAA v1a,x v1,{mac}"}, BODY, SECRET)[0] == EVENT


def test_a_recorded_request_does_not_work_again_later(ask: Ask) -> None:
    assert ask(sent(at=NOW - 3600), BODY, SECRET)[0] is None
    # nor with a fresh time, which the signature does not cover then
    assert ask(sent(at=NOW - 3600) | {"webhook-timestamp": str(NOW)}, BODY, SECRET)[0] is None
