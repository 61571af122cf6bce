"""What an answer, or a fault of our own, means beyond the one delivery."""

import asyncio
import errno
import json
import socket
from ipaddress import ip_network
from typing import Any

import pytest
from pytest_django import Settings

from tests.factories import make_delivery, make_email, make_mailbox, make_webhook
from tests.webhooks.answers import Received, answer, closed_port, receiver
from tests.webhooks.conformance.engine import CONTENT, outcome_of, run
from tests.webhooks.posting import resolving_to
from tests.webhooks.proxying import proxy
from tests.webhooks.rows import make_own_webhook
from webhooks import guard
from webhooks.guard import JudgedUrl
from webhooks.models import Attempt, Delivery, Webhook
from webhooks.services.testing import send_test

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

PUBLIC_IP = "93.184.215.14"


def test_gone_disables_the_webhook_and_holds_what_it_was_sent() -> None:
    with receiver(answer(410, b"moved away")) as there:
        webhook = make_webhook(url=there.url)
        first = make_delivery(webhook, content=CONTENT)
        run()
        later = make_delivery(webhook, content=CONTENT)
        run()
        assert len(there.received) == 1
    webhook.refresh_from_db()
    assert webhook.state == Webhook.State.DISABLED
    assert "410" in webhook.state_reason
    outcome = outcome_of(first.pk)
    assert (outcome.delivery.state, outcome.attempt.status) == ("held", 410)
    assert "410" in outcome.delivery.reason
    assert [outcome_of(later.pk).delivery.state, outcome_of(later.pk).attempts] == ["held", []]


async def small_things_only(request: Received, writer: asyncio.StreamWriter) -> None:
    await answer(413 if json.loads(request.body)["data"].get("text") else 200, b"")(request, writer)


def test_too_large_is_sent_again_at_once_without_its_text_and_counts_for_nothing() -> None:
    with receiver(small_things_only) as there:
        webhook = make_webhook(url=there.url)
        make_email()
        run()
        first, second = there.received
    (delivery,) = Delivery.objects.filter(webhook=webhook)
    outcome = outcome_of(delivery.pk)
    assert (delivery.state, delivery.failures) == ("delivered", 0)
    assert [(attempt.n, attempt.status) for attempt in outcome.attempts] == [(1, 413), (2, 200)]
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert len(second.body) < len(first.body)
    webhook.refresh_from_db()
    assert (webhook.thinned_at is not None, webhook.state) == (True, "active")


def test_too_large_without_its_text_is_a_failure_like_any_other() -> None:
    with receiver(answer(413, b"")) as there:
        webhook = make_webhook(url=there.url)
        make_email()
        run()
        assert len(there.received) == 2
    (delivery,) = Delivery.objects.filter(webhook=webhook)
    assert (delivery.state, delivery.failures, delivery.last_status) == ("pending", 1, 413)


def nothing_is_held_against_anybody(delivery: Delivery, error: str) -> None:
    outcome = outcome_of(delivery.pk)
    row = outcome.delivery
    assert (row.state, row.last_error, row.failures, row.attempts, row.lease_id) == ("pending", error, 0, 0, None)
    assert row.deferred_since is not None
    assert row.due_at is not None
    assert row.due_at > row.deferred_since
    assert outcome.attempts == []
    assert row.webhook.state == Webhook.State.ACTIVE
    assert not hasattr(row.webhook, "health") or row.webhook.health.failures == 0


@pytest.mark.parametrize(
    "number", [errno.ENETUNREACH, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ENETDOWN]
)
def test_no_way_out_is_our_own_fault(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_socket(*_: Any, **__: Any) -> socket.socket:
        raise OSError(number, "no way out")

    with receiver() as there:
        delivery = make_delivery(make_webhook(url=there.url), content=CONTENT)
        with monkeypatch.context() as patch:
            patch.setattr(guard, "guarded_socket", no_socket)
            run()
        nothing_is_held_against_anybody(delivery, "egress")
        Delivery.objects.update(due_at=delivery.due_at)
        run()
        assert [request.headers["webhook-attempt"] for request in there.received] == ["1"]
    assert outcome_of(delivery.pk).brief == ("delivered", 200, "")


def delivery_to_a_public_name() -> Delivery:
    webhook, _ = make_own_webhook(url=JudgedUrl("https://hooks.example.com/hook"), mailbox=make_mailbox())
    return make_delivery(webhook, content=CONTENT)


@pytest.mark.parametrize("number", [socket.EAI_SYSTEM, socket.EAI_MEMORY])
def test_a_resolver_without_means_is_our_own_fault(number: int) -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise socket.gaierror(number, "no means")

    delivery = delivery_to_a_public_name()
    run(lookup=lookup)
    nothing_is_held_against_anybody(delivery, "egress")


def test_a_proxy_that_is_down_is_our_own_fault(settings: Settings) -> None:
    delivery = delivery_to_a_public_name()
    with closed_port() as port:
        settings.WEBHOOK_PROXY = f"http://127.0.0.1:{port}"
        run(lookup=resolving_to(PUBLIC_IP))
    nothing_is_held_against_anybody(delivery, "proxy")


def test_a_proxy_that_does_not_know_us_is_our_own_fault(settings: Settings) -> None:
    delivery = delivery_to_a_public_name()
    with proxy(reply=b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as between:
        settings.WEBHOOK_PROXY = between.url
        run(lookup=resolving_to(PUBLIC_IP))
        assert len(between.asked) == 1
    nothing_is_held_against_anybody(delivery, "proxy")


def test_a_receiver_that_the_proxy_cannot_reach_has_failed(settings: Settings) -> None:
    delivery = delivery_to_a_public_name()
    with proxy(reply=b"HTTP/1.1 502 Bad Gateway\r\n\r\n") as between:
        settings.WEBHOOK_PROXY = between.url
        run(lookup=resolving_to(PUBLIC_IP))
    assert outcome_of(delivery.pk).brief == ("pending", None, "connect")


def test_saving_testing_and_sending_are_judged_by_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://1.1.1.1/hook"
    make_own_webhook(url=url, mailbox=make_mailbox())
    monkeypatch.setattr(guard, "NOT_PUBLIC", (*guard.NOT_PUBLIC, (ip_network("1.1.1.1/32"), "a made-up")))
    with pytest.raises(guard.RefusedUrlError, match=r"1\.1\.1\.1 is a made-up address"):
        make_own_webhook(url=url, mailbox=make_mailbox(address="other@example.com"))
    webhook = Webhook.objects.get()
    tested, sent = send_test(webhook, by="somebody"), make_delivery(webhook, content=CONTENT)
    run()
    assert [outcome_of(one.pk).attempt.error for one in (tested, sent)] == ["forbidden_address"] * 2
    assert [outcome_of(one.pk).delivery.state for one in (tested, sent)] == ["failed", "pending"]


def test_an_address_that_is_forbidden_meanwhile_is_tried_again_later(settings: Settings) -> None:
    with receiver() as there:
        delivery = make_delivery(make_webhook(url=there.url), content=CONTENT)
        settings.WEBHOOK_ALLOW_NETWORKS = []
        run()
        assert there.connections == 0
    assert outcome_of(delivery.pk).brief == ("pending", None, "forbidden_address")
    assert Attempt.objects.get().peer_ip is None
