"""The built-in receiver over a real socket."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from aiohttp import web

from tests.installation import found_in
from webhooks import signing, sink
from webhooks.sink import Sink

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps(
    {
        "type": "email.received",
        "data": {
            "id": "email_1",
            "subject": "\x1b[31mred\n<b>",
            "from": {"name": "", "address": "ada@example.net"},
            "envelope": {"rcpt_to": ["help@example.com"]},
        },
    }
).encode()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def url(tmp_path: Path, said: list[str]) -> Iterator[str]:
    address: Future[tuple[str, Callable[[], object]]] = Future()

    async def listen() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        runner = web.AppRunner(
            Sink(secret=SECRET, record=tmp_path / "received.jsonl", say=said.append).app(), shutdown_timeout=1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        address.set_result((f"http://127.0.0.1:{port}/", lambda: loop.call_soon_threadsafe(stopped.set)))
        await stopped.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    there, stop = address.result(timeout=10)
    yield there
    stop()
    thread.join()


def post(url: str, body: bytes, *, secret: str = SECRET) -> int:
    headers = signing.headers(
        event_id="evt_1", timestamp=int(time.time()), attempt=2, body=body, secrets=[secret], version="0"
    )
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code if json.load(refusal)["error"] else 0


def test_what_verifies_is_accepted_recorded_and_shown(url: str, tmp_path: Path, said: list[str]) -> None:
    assert post(url, BODY) == 204
    (entry,) = [json.loads(line) for line in (tmp_path / "received.jsonl").read_text().splitlines()]
    named = {name: entry[name] for name in ("verified", "webhook_id", "attempt", "email_id")}
    assert named == {"verified": True, "webhook_id": "evt_1", "attempt": "2", "email_id": "email_1"}
    with urllib.request.urlopen(url) as page:
        shown = page.read().decode()
    assert found_in("verified", shown)
    assert "<b>" not in shown
    (line,) = said
    assert line.startswith("verified email.received evt_1 attempt 2: ")
    assert line.isprintable()


def test_what_does_not_verify_is_refused_and_recorded_as_such(url: str, tmp_path: Path, said: list[str]) -> None:
    assert post(url, BODY, secret="whsec_" + "A" * 32) == 401
    (entry,) = [json.loads(line) for line in (tmp_path / "received.jsonl").read_text().splitlines()]
    assert entry["verified"] is False
    assert entry["reason"]
    assert said[0].startswith("REFUSED")


def test_a_signed_body_that_is_no_event_is_no_reason_to_fall_over(url: str) -> None:
    for body in (b"", b"{}", b"[]", b"null", b'{"type": 1, "data": null}', b"\xff"):
        assert post(url, body) == 204


def test_news_of_webhooks_are_told_as_such(url: str, said: list[str]) -> None:
    for kind in ("webhook.test", "webhook.disabled"):
        body = json.dumps({"type": kind, "data": {"webhook": {"id": "wh_1"}, "message": "This is a test."}})
        assert post(url, body.encode()) == 204
    assert [line.partition(": ")[2] for line in said] == ["a test wh_1", "about webhook wh_1"]


def test_controls_are_escaped_and_long_text_is_cut() -> None:
    assert sink.printable("a\x1b[2J\u202eb\n") == "a\\x1b[2J\\u202eb\\n"
    assert len(sink.printable("x" * 1000)) == 201
