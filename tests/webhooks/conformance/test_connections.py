"""Connections that serve many deliveries, and those that turn out dead."""

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.factories import make_delivery, make_mailbox, make_webhook
from tests.webhooks.answers import Mode, Receiver, answer, in_turn, raw, receiver, reset
from tests.webhooks.conformance.engine import CONTENT, SOON, outcome_of
from tests.webhooks.posting import resolving_to
from tests.webhooks.rows import make_own_webhook
from webhooks.guard import JudgedUrl
from webhooks.models import Attempt, Delivery
from webhooks.services import dispatch
from webhooks.transport import Transport

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


def deliver_many(there: Receiver, count: int, *, at_once: int) -> Transport:
    """As many events to one receiver; the transport that took them there."""
    webhook = make_webhook(url=there.url, max_in_flight=at_once, mailbox=make_mailbox())
    for _ in range(count):
        make_delivery(webhook, content=CONTENT)
    made: list[Transport] = []

    def make_transport() -> Transport:
        made.append(Transport(total_s=5))
        return made[-1]

    dispatch.run_until_idle(idle_for=SOON, make_transport=make_transport)
    (transport,) = made
    return transport


def all_were_delivered_at_once() -> bool:
    deliveries = Delivery.objects.values_list("state", "attempts", "failures")
    return set(deliveries) == {("delivered", 1, 0)} and Attempt.objects.count() == len(deliveries)


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (20, 20)])
def test_fifty_deliveries_to_one_receiver_open_few_connections(at_once: int, most: int) -> None:
    with receiver() as there:
        transport = deliver_many(there, 50, at_once=at_once)
        assert len(there.received) == 50
        assert there.connections == transport.opened <= most
    assert transport.opened + transport.reused == 50
    assert all_were_delivered_at_once()


def test_a_receiver_that_keeps_nothing_open_gets_a_connection_for_each() -> None:
    with receiver(raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", close=True)) as there:
        transport = deliver_many(there, 5, at_once=1)
        assert [request.connection for request in there.received] == [1, 2, 3, 4, 5]
    assert (transport.opened, transport.reused) == (5, 0)
    assert all_were_delivered_at_once()


async def answer_and_leave(request: object, writer: asyncio.StreamWriter) -> None:
    """It said nothing of closing, and closes while the connection is idle."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


def test_a_connection_that_is_closed_while_idle_costs_nobody_anything() -> None:
    with receiver(answer_and_leave) as there:
        deliver_many(there, 5, at_once=1)
        assert len({request.headers["webhook-id"] for request in there.received}) == 5
    assert all_were_delivered_at_once()


@pytest.mark.parametrize("dead", [reset(), raw(b"", close=True)], ids=["reset", "closed"])
def test_a_kept_connection_that_is_dead_is_replaced_once_and_counts_as_one_attempt(dead: Mode) -> None:
    with receiver(in_turn(answer(), dead, answer(202))) as there:
        transport = deliver_many(there, 2, at_once=1)
        assert [request.connection for request in there.received] == [1, 1, 2]
        first, again, anew = (request.headers["webhook-id"] for request in there.received)
        assert first != again == anew
        assert {request.headers["webhook-attempt"] for request in there.received} == {"1"}
    assert (transport.opened, transport.reused) == (2, 1)
    assert sorted(Attempt.objects.values_list("status", flat=True)) == [200, 202]
    assert all_were_delivered_at_once()


def test_it_is_replaced_once_and_no_more() -> None:
    with receiver(in_turn(answer(), reset())) as there:
        deliver_many(there, 2, at_once=1)
        assert [request.connection for request in there.received] == [1, 1, 2]
    assert sorted(Delivery.objects.values_list("state", "last_error", "attempts", "failures")) == [
        ("delivered", "", 1, 0),
        ("pending", "closed", 1, 1),
    ]


def test_an_attempt_is_on_record_with_its_times_its_peer_and_what_was_said(
    tls: ssl.SSLContext, authority: Path, settings: Settings
) -> None:
    settings.WEBHOOK_CA_BUNDLE = str(authority)

    def slow_lookup(host: str, port: int) -> list[str]:
        time.sleep(0.1)
        return ["127.0.0.1"]

    async def slowly(request: object, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 5\r\nX-A:  b\r\nx-a: \xe9\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"\0\xff\xfeno")

    before = datetime.now(UTC)
    with receiver(slowly, tls=tls) as there:
        url = JudgedUrl(f"https://hooks.example.com:{there.port}/hook")
        webhook, _ = make_own_webhook(url=url, mailbox=make_mailbox(), max_in_flight=1)
        pks = [make_delivery(webhook, content=CONTENT).pk for _ in range(2)]
        dispatch.run_until_idle(idle_for=SOON, make_transport=lambda: Transport(total_s=5, lookup=slow_lookup))
        assert there.connections == 1
    first, second = (outcome_of(pk).attempt for pk in pks)
    assert (first.n, first.status, first.error, first.detail) == (1, 500, "", "The receiver answered 500.")
    assert (first.peer_ip, second.peer_ip) == ("127.0.0.1", "127.0.0.1")
    assert bytes(first.response_headers) == b"Content-Length: 5\r\nX-A: b\r\nx-a: \xe9"
    assert bytes(first.response_excerpt) == b"\0\xff\xfeno"
    assert before <= first.started_at <= second.started_at <= datetime.now(UTC)
    assert first.dns_ms is not None
    assert first.connect_ms is not None
    assert first.first_byte_ms is not None
    assert first.total_ms is not None
    assert 95 <= first.dns_ms <= 1000
    assert 0 < first.connect_ms <= 1000
    assert first.dns_ms + first.connect_ms + 195 <= first.first_byte_ms <= first.total_ms - 95
    assert first.total_ms <= timedelta(seconds=5).total_seconds() * 1000
    # on the connection that was open
    assert (second.dns_ms, second.connect_ms) == (None, None)
    assert second.total_ms is not None
    assert second.total_ms >= 295


def test_a_literal_has_no_lookup_on_record() -> None:
    with receiver() as there:
        deliver_many(there, 1, at_once=1)
    attempt = Attempt.objects.get()
    assert (attempt.dns_ms, attempt.connect_ms is None, attempt.peer_ip) == (None, False, "127.0.0.1")


def test_names_are_looked_up_once_for_many_deliveries() -> None:
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return resolving_to("127.0.0.1")(host, port)

    with receiver() as there:
        url = JudgedUrl(f"http://hooks.example.com:{there.port}/hook")
        webhook, _ = make_own_webhook(url=url, mailbox=make_mailbox())
        for _ in range(20):
            make_delivery(webhook, content=CONTENT)
        dispatch.run_until_idle(idle_for=SOON, make_transport=lambda: Transport(total_s=5, lookup=lookup))
        assert len(there.received) == 20
    assert asked == ["hooks.example.com"]
