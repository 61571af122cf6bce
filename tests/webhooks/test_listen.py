"""docs/tools/listen.py as somebody runs it: a process of its own, a web process, and a program that verifies."""

import asyncio
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.conf import settings
from pytest_django.live_server_helper import LiveServer

from mailboxes.models import Mailbox
from tests.apikeys.factories import make_key
from tests.factories import make_mailbox
from tests.installation import wait_for
from tests.webhooks.answers import Mode, Received, Receiver, answer, closed_port, in_turn, receiver
from tests.webhooks.rows import make_delivery_in, make_own_webhook
from webhooks import signing
from webhooks.models import Delivery
from webhooks.services.pull import MAX_ACKNOWLEDGED

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

TOOL = settings.BASE_DIR / "docs" / "tools" / "listen.py"


@contextmanager
def listening(server: str, webhook_id: str, target: str, key: str, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PATH": os.environ["PATH"], "EMAILGISTICS_API_KEY": key, "PYTHONWARNINGS": "error"}
    # isolated: nothing but the standard library is found
    command = [sys.executable, "-I", str(TOOL), server, webhook_id, target]
    with said.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(60)


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def wait_until_delivered(count: int, said: Path) -> None:
    wait_for(lambda: states().count("delivered") == count, within_s=60, what=said.read_text())


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


def verified(there: Receiver, secret: str) -> list[str]:
    """The ids of what has come, each checked as any receiver would."""
    for request in there.received:
        signing.verify(request.headers, request.body, secret, now=int(time.time()))
        assert request.headers["x-webhook-signature"] == signing.hex_signature(request.body, secret)
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("Emailgistics/")
    return [request.headers["webhook-id"] for request in there.received]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_waits_is_posted_as_it_would_be_sent_and_acknowledged(
    number: signal.Signals, mailbox: Mailbox, live_server: LiveServer, tmp_path: Path
) -> None:
    webhook, secret = make_own_webhook(mailbox=mailbox, url="")
    rows = [make_delivery_in(mailbox, webhook, content='{"text":"Grüße \u2028"}'.encode()) for _ in range(3)]
    _, key = make_key(mailboxes=[mailbox])
    said = tmp_path / "said"
    with receiver() as there, listening(live_server.url, webhook.public_id, there.url, key, said) as process:
        wait_until_delivered(3, said)
        assert verified(there, secret) == [row.event.public_id for row in rows]
        assert there.received[0].body == '{"text":"Grüße \u2028"}'.encode()
        late = make_delivery_in(mailbox, webhook)
        wait_until_delivered(4, said)
        assert ended(process, number) == 0
    lines = said.read_text().splitlines()
    assert [line for line in lines if late.event.public_id in line] != []
    assert len(lines) == 6  # where to, four, stopped
    assert lines[-1].endswith(" stopped")
    assert key not in said.read_text()


def test_what_is_refused_comes_again_and_holds_nothing_else_up(
    mailbox: Mailbox, live_server: LiveServer, tmp_path: Path
) -> None:
    webhook, secret = make_own_webhook(mailbox=mailbox, url="")
    first, second = (make_delivery_in(mailbox, webhook) for _ in range(2))
    _, key = make_key(mailboxes=[mailbox])
    said = tmp_path / "said"
    answers = in_turn(answer(500), answer(200), answer(302, headers={"location": "http://127.0.0.1:9/"}), answer(204))
    with receiver(answers) as there, listening(live_server.url, webhook.public_id, there.url, key, said) as process:
        wait_until_delivered(2, said)
        assert ended(process, signal.SIGINT) == 0
        ids = verified(there, secret)
    assert ids == [first.event.public_id, second.event.public_id, first.event.public_id, first.event.public_id]
    assert "-> 500" in said.read_text()
    assert "-> 302" in said.read_text()


def test_it_goes_on_while_the_program_is_away(mailbox: Mailbox, live_server: LiveServer, tmp_path: Path) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox, url="")
    make_delivery_in(mailbox, webhook)
    _, key = make_key(mailboxes=[mailbox])
    said = tmp_path / "said"
    with closed_port() as port:
        target = f"http://127.0.0.1:{port}/"
        with listening(live_server.url, webhook.public_id, target, key, said) as process:
            wait_for(lambda: said.read_text().count("refused") >= 2, within_s=60, what=said.read_text())
            assert ended(process, signal.SIGTERM) == 0
    assert states() == ["pending"]


def test_it_goes_on_while_the_server_is_away(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with (
        closed_port() as port,
        listening(f"http://127.0.0.1:{port}", "wh_x", "http://127.0.0.1:9/", "k", said) as process,
    ):
        wait_for(lambda: said.read_text().count("trouble") >= 2, within_s=60, what=said.read_text())
        assert ended(process, signal.SIGINT) == 0


@pytest.mark.parametrize(("key", "webhook_id", "told"), [("emgk_wrong", "", "401"), ("", "wh_x", "404")])
def test_what_will_never_do_ends_it(
    key: str, webhook_id: str, told: str, mailbox: Mailbox, live_server: LiveServer, tmp_path: Path
) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox, url="")
    key = key or make_key()[1]
    said = tmp_path / "said"
    with listening(live_server.url, webhook_id or webhook.public_id, "http://127.0.0.1:9/", key, said) as process:
        assert process.wait(60) == 1
    assert told in said.read_text()


def test_without_a_key_it_says_where_to_put_it(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with listening("http://127.0.0.1:9", "wh_x", "http://127.0.0.1:9/", "", said) as process:
        assert process.wait(60) == 2
    assert "EMAILGISTICS_API_KEY" in said.read_text()


def test_controls_reach_no_terminal(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with closed_port() as port:
        target = "http://127.0.0.1:9/\x1b[2J\n"
        with listening(f"http://127.0.0.1:{port}", "wh_x", target, "k", said) as process:
            wait_for(lambda: "trouble" in said.read_text(), within_s=60, what=said.read_text())
            ended(process, signal.SIGTERM)
    assert "\x1b" not in said.read_text()
    assert "\\x1b[2J\\n" in said.read_text()


def test_its_help_says_what_the_key_needs_and_where_it_is_put() -> None:
    done = subprocess.run([sys.executable, "-I", str(TOOL), "--help"], capture_output=True, text=True, check=True)
    for told in ("EMAILGISTICS_API_KEY", "webhooks:write", "emails:content"):
        assert told in done.stdout


# --- how often it asks


class Clock:
    """In the place of the tool's event: it notes how long it is waited for, and stops the tool at its end."""

    def __init__(self, waits: int) -> None:
        self.waits: list[float] = []
        self.most = waits

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def is_set(self) -> bool:
        return len(self.waits) >= self.most


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("listen", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(n: int) -> dict[str, Any]:
    return {
        "position": n,
        "delivery_id": f"dlv_{n}",
        "event_id": f"evt_{n}",
        "event_type": "t",
        "headers": {"webhook-id": f"evt_{n}"},
        "body": "{}",
    }


def page(*positions: int) -> Mode:
    """What the API answers to a pull."""
    return answer(200, json.dumps({"data": [entry(n) for n in positions]}).encode())


ACKNOWLEDGED = answer(200, b'{"acknowledged":1}')


@pytest.fixture
def waits(tool: ModuleType) -> Callable[..., list[float]]:
    """How long it waits, one time after the other, while the API answers like this; the last answer goes on."""

    def run(*answers: Mode, count: int) -> list[float]:
        tool_clock = Clock(count)
        any_tool: Any = tool
        any_tool.stopped = tool_clock
        with receiver(in_turn(*answers)) as server, receiver() as target:
            tool.listen(server.url, "k", target.url)
            run.pulled = [r.target.partition("?")[2] for r in server.received if r.method == "GET"]  # type: ignore[attr-defined]  # beside the answer
            run.posted = len(target.received)  # type: ignore[attr-defined]  # the same
        return tool_clock.waits

    return run


def test_while_nothing_comes_it_asks_less_and_less(waits: Callable[..., list[float]]) -> None:
    assert waits(page(), count=6) == [1, 5, 10, 10, 10, 10]


def test_once_something_comes_it_asks_often_again(waits: Callable[..., list[float]]) -> None:
    answers = [page(), page(), page(), page(1), ACKNOWLEDGED, page()]
    assert waits(*answers, count=7) == [1, 5, 10, 1, 5, 10, 10]


def test_a_page_with_fewer_than_asked_is_not_the_last(waits: Any) -> None:
    answers = [page(4), ACKNOWLEDGED, page(7), ACKNOWLEDGED, page()]
    assert waits(*answers, count=1) == [1]
    assert [query.partition("&")[0] for query in waits.pulled] == ["after=0", "after=4", "after=7"]
    assert waits.posted == 2


@pytest.mark.parametrize("status", [429, 503])
def test_it_comes_back_when_the_api_says_so(waits: Callable[..., list[float]], status: int) -> None:
    def refusal(retry_after: str) -> Mode:
        return answer(status, b"{}", {"retry-after": retry_after})

    hints = ["40", formatdate(time.time() + 90, usegmt=True), "99999999", "soon", "-5"]
    first, second, *others = waits(*map(refusal, hints), page(), count=6)
    assert first == 40
    assert 80 < second <= 90
    # no longer than an hour; what says nothing is the tool's own, which has doubled meanwhile
    assert others == [3600, 8, 16, 1]


def test_a_hint_is_no_reason_to_hurry(waits: Callable[..., list[float]]) -> None:
    busy = [answer(429, b"{}", {"retry-after": "1"})]
    assert waits(*itertools.chain(busy * 7), count=7) == [1, 2, 4, 8, 16, 32, 60]


# --- how it acknowledges


def acknowledged(server: Receiver) -> list[list[str]]:
    """What each call said to have arrived."""
    return [json.loads(request.body)["ids"] for request in server.received if request.method == "POST"]


async def taken_but_every_third(request: Received, writer: asyncio.StreamWriter) -> None:
    third = int(request.headers["webhook-id"].removeprefix("evt_")) % 3 == 0
    await answer(500 if third else 204)(request, writer)


def test_what_was_taken_is_acknowledged_at_once_and_nothing_else_is(tool: Any) -> None:
    numbers, tool.ACKNOWLEDGE_WITHIN_S = range(1, tool.PULL_AT_ONCE + 1), 60.0
    with receiver(in_turn(page(*numbers), ACKNOWLEDGED, page())) as server, receiver(taken_but_every_third) as target:
        assert tool.pass_on(server.url, "k", target.url) == (len(numbers), len(numbers) // 3)
        assert acknowledged(server) == [[f"dlv_{n}" for n in numbers if n % 3]]
    assert tool.PULL_AT_ONCE <= MAX_ACKNOWLEDGED


def test_of_nothing_taken_nothing_is_said(tool: Any) -> None:
    with receiver(in_turn(page(1, 2), page())) as server, receiver(answer(500)) as target:
        assert tool.pass_on(server.url, "k", target.url) == (2, 2)
        assert acknowledged(server) == []


def test_a_slow_program_does_not_keep_back_what_it_has_taken(tool: Any) -> None:
    tool.ACKNOWLEDGE_WITHIN_S = 0.0
    with receiver(in_turn(page(1, 2, 3), *[ACKNOWLEDGED] * 3, page())) as server, receiver() as target:
        tool.pass_on(server.url, "k", target.url)
        assert acknowledged(server) == [["dlv_1"], ["dlv_2"], ["dlv_3"]]


def test_what_was_taken_before_trouble_is_acknowledged(tool: Any) -> None:
    broken = answer(200, json.dumps({"data": [entry(1), {"position": 2}]}).encode())
    with receiver(in_turn(broken, ACKNOWLEDGED)) as server, receiver() as target:
        with pytest.raises(LookupError):
            tool.pass_on(server.url, "k", target.url)
        assert acknowledged(server) == [["dlv_1"]]


def test_what_was_taken_before_it_is_stopped_is_acknowledged(tool: Any) -> None:
    async def taken_and_stopped(request: Received, writer: asyncio.StreamWriter) -> None:
        if request.headers["webhook-id"] == "evt_2":
            tool.stopped.set()
        await answer(204)(request, writer)

    with receiver(in_turn(page(1, 2, 3), ACKNOWLEDGED)) as server, receiver(taken_and_stopped) as target:
        tool.pass_on(server.url, "k", target.url)
        assert acknowledged(server) == [["dlv_1", "dlv_2"]]
        assert len(target.received) == 2


def test_what_could_not_be_acknowledged_comes_again(tool: Any) -> None:
    with receiver(in_turn(page(1), answer(503, b"{}"), page(1), ACKNOWLEDGED, page())) as server, receiver() as target:
        with pytest.raises(OSError, match="503"):
            tool.pass_on(server.url, "k", target.url)
        tool.pass_on(server.url, "k", target.url)
        assert len(target.received) == 2
