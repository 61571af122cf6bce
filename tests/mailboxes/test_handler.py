"""What the listener does on its threads: in groups, and each mail for itself where a group fails."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import IntegrityError, OperationalError

from emailgistics.common.errors import LimitReachedError, UnavailableError
from mailboxes.models import Email, Message
from mailboxes.services import receive
from mailboxes.services.admit import admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Incoming, Receipt
from mailboxes.smtp import handler as handlers
from mailboxes.smtp.handler import Handler, Mail, Outcome
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db(transaction=True)

ENVELOPE = Envelope(mail_from="ada@example.net", client_ip="192.0.2.1")


def run(handler: Handler, *calls: Callable[[Handler], Awaitable[Any]]) -> list[Any]:
    async def main() -> list[Any]:
        try:
            return await asyncio.gather(*(call(handler) for call in calls), return_exceptions=True)
        finally:
            assert await handler.close(within_s=10)

    return asyncio.run(main())


def storing(number: int, *, is_lost: bool = False, octets: int = 100) -> Callable[[Handler], Awaitable[Outcome]]:
    found = admit("support@example.com", envelope=ENVELOPE)
    if is_lost:  # a mailbox that is not there: the foreign key objects at the commit
        found = replace(found, route=replace(found.route, mailbox_ids=(uuid4(),)))
    raw = b"Message-ID: <%d@example.net>\r\n\r\n" % number + b"x" * octets

    async def store(handler: Handler) -> Outcome:
        return await handler.store(Mail(envelope=ENVELOPE, admissions=[found], raw=raw))

    return store


def test_mails_that_end_at_once_share_a_transaction() -> None:
    make_mailbox()
    groups: list[int] = []

    def counted(group: Sequence[Incoming]) -> list[Receipt]:
        groups.append(len(group))
        return receive.receive_group(group)

    answers = run(Handler(receive_group=counted), *(storing(n) for n in range(50)))
    assert len({answer.public_id for answer in answers}) == 50
    assert groups == [20, 20, 10]
    assert Message.objects.count() == 50


def test_one_that_the_database_refuses_does_not_spoil_it_for_the_others() -> None:
    make_mailbox()
    answers = run(Handler(), storing(1), storing(2, is_lost=True), storing(3))
    assert isinstance(answers[1], UnavailableError)
    assert isinstance(answers[1].__cause__, IntegrityError)
    assert set(Message.objects.values_list("pk", flat=True)) == {answers[0].message_id, answers[2].message_id}
    assert Email.objects.count() == 2


def test_a_routing_loop_is_one_mails_own_affair() -> None:
    make_mailbox()
    found = admit("support@example.com", envelope=ENVELOPE)

    async def loop(handler: Handler) -> Outcome:
        return await handler.store(Mail(envelope=ENVELOPE, admissions=[found], raw=b"Received: x\r\n" * 51 + b"\r\n"))

    answers = run(Handler(), storing(1), loop, storing(2))
    assert isinstance(answers[1], receive.RoutingLoopError)
    assert Message.objects.count() == 2


def test_a_database_that_is_away_is_asked_once_for_all_of_a_group() -> None:
    make_mailbox()
    calls: list[int] = []

    def away(group: Sequence[Incoming]) -> list[Receipt]:
        calls.append(len(group))
        raise OperationalError("could not connect")

    answers = run(Handler(receive_group=away), *(storing(n) for n in range(5)))
    assert [isinstance(answer, UnavailableError) for answer in answers] == [True] * 5
    assert calls == [5]


def test_two_groups_that_cross_are_tried_again_each_mail_alone() -> None:
    make_mailbox()
    calls: list[int] = []

    def crossed(group: Sequence[Incoming]) -> list[Receipt]:
        calls.append(len(group))
        if len(group) > 1:
            raise OperationalError from psycopg.errors.DeadlockDetected("deadlock detected")
        return receive.receive_group(group)

    answers = run(Handler(receive_group=crossed), storing(1), storing(2))
    assert calls == [2, 1, 1]
    assert [isinstance(answer, Receipt) for answer in answers] == [True, True]


@pytest.mark.on_sqlite
def test_a_full_disk_is_a_limit_and_no_fault() -> None:
    make_mailbox()
    causes: list[Exception] = [psycopg.errors.DiskFull("no space left on device"), sqlite_says_full()]

    def full(_: Sequence[Incoming]) -> list[Receipt]:
        raise OperationalError from causes.pop()

    for _ in range(2):
        (answer,) = run(Handler(receive_group=full), storing(1))
        assert isinstance(answer, LimitReachedError)


def sqlite_says_full() -> sqlite3.Error:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count=1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.execute("CREATE TABLE full (x)")
    return caught.value


def test_a_large_mail_does_not_keep_small_ones_waiting() -> None:
    make_mailbox()
    order: list[int] = []
    small_done = asyncio.Event()

    store_large, store_small = storing(1, octets=handlers.LARGE_OCTETS), storing(2)

    async def large(handler: Handler) -> None:
        await store_large(handler)
        order.append(1)

    async def small(handler: Handler) -> None:
        await store_small(handler)
        order.append(2)
        small_done.set()

    gate = threading.Event()

    def gated(group: Sequence[Incoming]) -> list[Receipt]:
        if group[0].message.size >= handlers.LARGE_OCTETS:
            assert gate.wait(10)
        return receive.receive_group(group)

    async def opens(_: Handler) -> None:
        await small_done.wait()
        gate.set()

    run(Handler(receive_group=gated), large, small, opens)
    assert order == [2, 1]
