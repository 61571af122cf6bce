"""The helpers in docs/verify, against what is really sent."""

import base64
import hashlib
import hmac
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings

from webhooks import signing
from webhooks.admin import snippets

FOLDER = settings.BASE_DIR / "docs" / "verify"
PROGRAMS = settings.BASE_DIR / "tests" / "webhooks"
# PHP and Go where they are installed, so that nothing is skipped where they are not; .ci/run installs PHP
LANGUAGES = ["python", "node", *filter(shutil.which, ("php", "go"))]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT = "whsec_" + base64.b64encode(b"another secret of 32 octets long").decode()
NOW = 1_780_000_000
EVENT = {"type": "email.received", "data": {"subject": "snow ☃ 🎉 \u2028", "n": 1}}
BODY = json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()

Headers = dict[str, str]
# headers, body, secret(s), now -> the event (None: refused), and what the simpler way says
Ask = Callable[[Headers, bytes, str | list[str]], tuple[dict[str, Any] | None, bool]]


# why verify refuses, and why the simpler way does; None if it does not
Refusals = Callable[[Headers, bytes, str | list[str] | None], tuple[str | None, str | None]]


def python_helper() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify", FOLDER / "verify.py")
    assert spec is not None
    assert spec.loader is not None
    helper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helper)
    return helper


def in_python(headers: Headers, body: bytes, secret: str | list[str]) -> tuple[dict[str, Any] | None, bool]:
    helper = python_helper()
    simple = helper.verify_body(headers, body, secret if isinstance(secret, str) else secret[0])
    try:
        return helper.verify(headers, body, secret, now=NOW), simple
    except helper.VerificationError:
        return None, simple


def refused_in_python(headers: Headers, body: bytes, secret: str | list[str] | None) -> tuple[str | None, str | None]:
    helper = python_helper()

    def refusal(verify: Callable[[], object]) -> str | None:
        try:
            verify()
        except helper.VerificationError as error:
            return str(error)
        return None

    simple = secret[0] if isinstance(secret, list) else secret
    return (
        refusal(lambda: helper.verify(headers, body, secret, now=NOW)),
        refusal(lambda: helper.verify_body(headers, body, simple)),
    )


def ask_process(
    command: list[str], headers: Headers, body: bytes, secret: str | list[str] | None, **more: Any
) -> dict[str, Any]:
    asked = json.dumps({"headers": headers, "body": body.hex(), "secret": secret, "now": NOW, **more})
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert ("event" in answer) != ("refused" in answer)
    assert ("simple" in answer) != ("simpleRefused" in answer)
    return answer


@pytest.fixture
def node_helper(node: str) -> list[str]:
    return [node, str(PROGRAMS / "verify_helper.mjs"), (FOLDER / "verify.mjs").as_uri()]


@pytest.fixture
def php_helper() -> list[str]:
    return ["php", str(PROGRAMS / "verify_helper.php"), str(FOLDER / "verify.php")]


@pytest.fixture(scope="session")
def go_helper(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Built once, as a program that has copied the file would be."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "emailgistics").mkdir()
    shutil.copy(FOLDER / "verify.go", folder / "emailgistics")
    shutil.copy(PROGRAMS / "verify_helper.go", folder / "main.go")
    (folder / "go.mod").write_text("module receiver\n\ngo 1.19\n")
    environment = os.environ | {"GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    subprocess.run(["go", "build", "-o", "receiver", "."], cwd=folder, env=environment, check=True)
    return [str(folder / "receiver")]


@pytest.fixture(params=LANGUAGES)
def helper(request: pytest.FixtureRequest) -> list[str] | None:
    """The command that runs a language's helper; None for that of Python, which is imported."""
    command: list[str] | None = None
    if request.param != "python":
        command = request.getfixturevalue(f"{request.param}_helper")
    return command


@pytest.fixture
def ask(helper: list[str] | None) -> Ask:
    if helper is None:
        return in_python

    def in_process(headers: Headers, body: bytes, secret: str | list[str]) -> tuple[dict[str, Any] | None, bool]:
        answer = ask_process(helper, headers, body, secret)
        return answer.get("event"), answer["simple"]

    return in_process


@pytest.fixture
def refusals(helper: list[str] | None) -> Refusals:
    if helper is None:
        return refused_in_python

    def in_process(headers: Headers, body: bytes, secret: str | list[str] | None) -> tuple[str | None, str | None]:
        answer = ask_process(helper, headers, body, secret)
        return answer.get("refused"), answer.get("simpleRefused")

    return in_process


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


# --- a receiver that was never given its secret


def forged(*, key: bytes, text: str, body: bytes = BODY) -> Headers:
    """What anybody can send to a receiver whose secret is known: signed with key, and with the secret's text."""
    headers = sent(body=body)
    signed = f"{headers['webhook-id']}.{NOW}.".encode() + body
    mac = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    simple = hmac.new(text.encode(), body, hashlib.sha256).hexdigest()
    return headers | {"webhook-signature": f"v1,{mac}", "x-webhook-signature": simple}


SHORT = b"x" * 23
NO_SECRETS = [
    (None, b""),
    ("", b""),
    ("whsec_", b""),
    ("whsec_…", b""),
    ("whsec_...", b""),
    ("whsec_=", b""),
    ("whsec_" + base64.b64encode(SHORT).decode(), SHORT),
    # right but for its form: without the prefix, its padding or its alphabet, with what a decoder would pass over
    (SECRET.removeprefix("whsec_"), base64.b64decode(SECRET.removeprefix("whsec_"))),
    (NEXT.rstrip("="), b"another secret of 32 octets long"),
    (NEXT + "\n", b"another secret of 32 octets long"),
    (NEXT[:10] + " " + NEXT[10:], b"another secret of 32 octets long"),
    ("whsec_" + base64.urlsafe_b64encode(b"\xff" * 24).decode(), b"\xff" * 24),
]


@pytest.mark.parametrize(("secret", "key"), NO_SECRETS)
def test_without_a_secret_nothing_is_believed(refusals: Refusals, secret: str | None, key: bytes) -> None:
    headers = forged(key=key, text=secret or "")
    why, why_simple = refusals(headers, BODY, secret)
    assert why is not None
    assert why.startswith("no secret is configured")
    assert why_simple == why
    assert refusals(headers, BODY, [secret or "", SECRET]) == (why, why)
    assert refusals(sent(), BODY, SECRET) == (None, None)


def test_the_headers_of_fetch_are_taken_too(node_helper: list[str]) -> None:
    assert ask_process(node_helper, sent(), BODY, SECRET, asHeaders=True) == {"event": EVENT, "simple": True}
    missing = {name: value for name, value in sent().items() if name != "webhook-signature"}
    assert "refused" in ask_process(node_helper, missing, BODY, SECRET, asHeaders=True)


def test_a_header_with_the_name_of_a_function_is_a_header(node_helper: list[str]) -> None:
    assert ask_process(node_helper, sent() | {"entries": "x"}, BODY, SECRET)["event"] == EVENT


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_…", SECRET.removeprefix("whsec_"), SECRET + "\n"])
def test_the_snippets_of_the_console_refuse_without_a_secret(node: str, tmp_path: Path, secret: str) -> None:
    (tmp_path / "hook.mjs").write_text(snippets.NODE)
    (tmp_path / "hook.py").write_text(snippets.PYTHON)
    in_node = 'import {isGenuine} from "./hook.mjs"; isGenuine(Buffer.from("{}"), {"x-webhook-signature": "HEX"})'
    in_python = "from hook import is_genuine; is_genuine(b'{}', {'x-webhook-signature': 'HEX'})"
    right = hmac.new(secret.encode(), b"{}", hashlib.sha256).hexdigest()
    for command, code in (([node, "--input-type=module", "-e"], in_node), ([sys.executable, "-c"], in_python)):
        done = subprocess.run(
            [*command, code.replace("HEX", right)],
            cwd=tmp_path,
            env={"WEBHOOK_SECRET": secret, "PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"WEBHOOK_SECRET is no secret" in done.stderr) == (1, True), done.stderr


def test_php_and_go_ask_for_a_secret_as_well() -> None:
    """Where they cannot be run, at least that both ways of each pass the same gate."""
    php, go = ((FOLDER / f"verify.{suffix}").read_text() for suffix in ("php", "go"))
    assert php.count("no secret is configured") == go.count("no secret is configured") == 1
    assert php.count("emailgistics_key(") == 2  # its definition, and by the simpler way
    assert php.count("array_map('emailgistics_key'") == 1
    assert go.count("keyOf(secret") == 3
