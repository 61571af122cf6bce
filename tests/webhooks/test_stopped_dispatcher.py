"""A dispatcher that was stopped for longer than its lease, and goes on: it sends nothing and changes nothing."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from emailgistics.common import leases
from emailgistics.common.models import Lease
from tests.factories import make_delivery, make_mailbox
from tests.webhooks import answers
from webhooks.models import Attempt, Delivery, Webhook, WebhookHealth
from webhooks.services import dispatch, queue, webhooks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

LEASE_S, RENEW_S, TOTAL_S = 2.0, 0.4, 4.0
AT_ONCE = 2
DISPATCHER = f"""
import sys
from datetime import timedelta
from functools import partial
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
django.setup()
from emailgistics.common import leases
from webhooks.services import dispatch
from webhooks.transport import Transport
leases.LEASE_FOR, leases.RENEW_EVERY = timedelta(seconds={LEASE_S}), timedelta(seconds={RENEW_S})
dispatch.run_until_idle(make_transport=partial(Transport, total_s={TOTAL_S}))
"""


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def everything(*models: Any) -> list[list[dict[str, Any]]]:
    return [list(model.objects.order_by("pk").values()) for model in models]


def renewed_at() -> datetime:
    return Lease.objects.values_list("seen_at", flat=True).get(kind=queue.LEASE_KIND)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Just after it has renewed its lease, so it writes nothing now: it would stop with SQLite locked."""
    seen = renewed_at()
    wait_until(lambda: renewed_at() != seen)
    process.send_signal(signal.SIGSTOP)


@contextmanager
def dispatcher(monkeypatch: pytest.MonkeyPatch) -> "Iterator[subprocess.Popen[bytes]]":
    """A process of its own, with leases as short as ours."""
    monkeypatch.setattr(leases, "LEASE_FOR", timedelta(seconds=LEASE_S))
    monkeypatch.setattr(leases, "RENEW_EVERY", timedelta(seconds=RENEW_S))
    command = [sys.executable, "-c", DISPATCHER, str(connection.settings_dict["NAME"])]
    with subprocess.Popen(command, env=os.environ | {"DJANGO_SETTINGS_MODULE": "emailgistics.settings"}) as process:
        try:
            yield process
        finally:
            process.kill()  # ends one that is stopped as well


@dataclass(slots=True)
class Stopped:
    process: "subprocess.Popen[bytes]"
    receiver: answers.Receiver

    def go_on(self) -> None:
        """Until it ends."""
        self.process.send_signal(signal.SIGCONT)
        assert self.process.wait(TOTAL_S + 60) == 0


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopped]:
    """Stopped with AT_ONCE requests under way; its lease has run out, and another one has delivered everything."""
    with answers.receiver(answers.never()) as there:
        webhook, _ = webhooks.create_webhook(url=there.url, mailbox=make_mailbox(), max_in_flight=AT_ONCE)
        for _ in range(AT_ONCE + 2):
            make_delivery(webhook)
        with dispatcher(monkeypatch) as process:
            wait_until(lambda: len(there.received) == AT_ONCE)
            stop(process)
            wait_until(lambda: not leases.alive().exists())
            there.mode = answers.answer(204)
            assert queue.take_over() == AT_ONCE
            dispatch.run_until_idle(idle_for=timedelta(milliseconds=200))
            assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
            written = sorted(Attempt.objects.values_list("n", "error"))
            assert written == [(1, "")] * 2 + [(1, "lost")] * AT_ONCE + [(2, "")] * AT_ONCE
            make_delivery(webhook)  # which it could claim
            yield Stopped(process, there)


def test_a_dispatcher_stopped_past_its_lease_sends_nothing_more_and_changes_no_delivery(stopped: Stopped) -> None:
    before, sent = everything(Delivery, Attempt, Webhook), len(stopped.receiver.received)
    stopped.go_on()
    assert everything(Delivery, Attempt, Webhook) == before
    assert len(stopped.receiver.received) == sent == 2 * AT_ONCE + 2


def test_what_a_dispatcher_stopped_past_its_lease_missed_is_not_held_against_the_receiver(stopped: Stopped) -> None:
    before = everything(WebhookHealth)
    stopped.go_on()
    assert everything(WebhookHealth) == before


def test_it_does_not_ask_again_on_a_new_connection_when_the_old_one_was_closed_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_close = threading.Event()

    async def closes_when_told(request: object, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(may_close.wait)
        writer.close()

    with answers.receiver(answers.in_turn(answers.answer(204, b""), closes_when_told)) as there:
        webhook, _ = webhooks.create_webhook(url=there.url, mailbox=make_mailbox(), max_in_flight=1)
        for _ in range(2):
            make_delivery(webhook)
        with dispatcher(monkeypatch) as process:
            wait_until(lambda: len(there.received) == 2)
            assert [request.connection for request in there.received] == [1, 1]
            stop(process)
            may_close.set()
            wait_until(lambda: not leases.alive().exists())
            there.mode = answers.answer(204, b"")
            assert queue.take_over() == 1
            dispatch.run_until_idle(idle_for=timedelta(milliseconds=200))
            assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
            sent = len(there.received)
            Stopped(process, there).go_on()
            assert len(there.received) == sent == 3
