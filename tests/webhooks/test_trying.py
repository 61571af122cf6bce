"""Trying a webhook out over HTTP: what it holds up, and what it tells a key that may not read mail."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from emailgistics.common.access import Scope
from mailboxes.models import Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox
from tests.webhooks.asking import NOT_FOUND, one, problem
from tests.webhooks.browsing import make_event_about
from tests.webhooks.rows import make_delivery_in, make_own_webhook
from webhooks import signing
from webhooks.api.views import trying
from webhooks.models import Delivery, Webhook
from webhooks.services import stop, testing

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

BODY = b'{"type":"email.received","data":{"subject":"a secret"}}'
GUESSES = {BODY[:20]: "body_truncated", BODY.replace(b":", b": "): "body_reserialized", b'{"x":1}': "body_changed"}


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def without_content(mailbox: Mailbox) -> Client:
    return make_client(mailboxes=[mailbox], scopes=set(Scope) - {Scope.EMAILS_CONTENT})


def signed(delivery: Delivery, secret: str, body: bytes = BODY) -> dict[str, str]:
    now = int(timezone.now().timestamp())
    return signing.headers(
        event_id=delivery.event.public_id, timestamp=now, attempt=1, body=body, secrets=[secret], version="1"
    )


def check(client: Client, webhook: Webhook, headers: Any, body: bytes | None = None) -> dict[str, Any]:
    asked = {"headers": headers} | ({} if body is None else {"body": body.decode()})
    answer = one(client, "POST", webhook, asked, verb="check-signature")
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    return told


def forged(delivery: Delivery) -> dict[str, str]:
    """Headers that anybody can write who knows the id of an event."""
    return signed(delivery, make_own_webhook(mailbox=delivery.webhook.mailbox)[1], b"another")


def test_only_keys_with_content_learn_how_a_body_differs_from_what_was_sent(
    mailbox: Mailbox, without_content: Client
) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox)
    delivery = make_delivery_in(mailbox, webhook, content=BODY)
    reading, elsewhere = (
        make_client(mailboxes=[mailbox]),
        make_client(mailboxes=[make_mailbox(address="a@example.org")]),
    )
    headers = forged(delivery)
    for guess, code in GUESSES.items():
        assert check(reading, webhook, headers, guess)["code"] == code
        told = check(without_content, webhook, headers, guess)
        assert told["code"] in ("another_secret", "body_reserialized_probably")
        assert str(len(BODY)) not in told["reason"]
        # the same as of an event that was never sent
        unknown = headers | {"webhook-id": "evt_01jd2x8kt6n5r7m3f0b9q4y1hs"}
        assert check(without_content, webhook, unknown, guess) == told
    # the very octets are told from others by their signature alone
    assert check(reading, webhook, headers, BODY)["code"] == "another_secret"
    assert "is what was sent" not in check(without_content, webhook, headers, BODY)["reason"]
    asked = {"headers": headers, "body": "x"}
    assert problem(one(elsewhere, "POST", webhook, asked, verb="check-signature")) == NOT_FOUND


def test_what_says_nothing_of_a_mail_is_compared_for_every_key(mailbox: Mailbox, without_content: Client) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox)
    lean = make_delivery_in(mailbox, webhook, content=BODY, form="metadata")
    about = make_event_about(webhook, "webhook.disabled")
    for delivery in (lean, about):
        told = check(without_content, webhook, forged(delivery), b'{"x":1}')
        assert told["code"] == "body_changed"
    # by what was sent, and not by what the webhook gets now
    rich = make_delivery_in(mailbox, webhook, content=BODY, form="full")
    Webhook.objects.update(payload="metadata")
    assert check(without_content, webhook, forged(rich), b'{"x":1}')["code"] == "another_secret"


def test_headers_alone_are_looked_at_with_what_was_sent(mailbox: Mailbox, without_content: Client) -> None:
    webhook, secret = make_own_webhook(mailbox=mailbox)
    large = b'{"x":"%b"}' % (b"x" * 3 * 2**20)
    delivery = make_delivery_in(mailbox, webhook, content=large)
    reading, headers = make_client(mailboxes=[mailbox]), signed(delivery, secret, large)
    told = check(reading, webhook, headers)
    assert (told["is_valid"], told["code"]) == (True, "valid")
    assert "with the body as it was sent" in told["reason"]
    assert check(reading, webhook, forged(delivery))["code"] == "another_secret"
    lacking = check(without_content, webhook, headers)
    assert (lacking["is_valid"], lacking["code"]) == (False, "body_missing")
    assert "emails:content" in lacking["remedy"]
    for unknown in ({}, headers | {"webhook-id": "x"}, headers | {"webhook-id": "evt_01jd2x8kt6n5r7m3f0b9q4y1hs"}):
        assert check(reading, webhook, unknown) == lacking


def test_a_secret_that_does_not_open_is_a_503_and_said_to_be(mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox)
    delivery = make_delivery_in(mailbox, webhook)
    Webhook.objects.update(sealed_secret=b"x")
    pasted = {"headers": {"webhook-id": delivery.event.public_id}, "body": "x"}
    paths = SchemaGenerator().get_schema(public=True)["paths"]  # type: ignore[no-untyped-call]  # theirs
    for method, verb, body in (("POST", "check-signature", pasted), ("GET", "pull", None)):
        assert problem(one(make_client(), method, webhook, body, verb=verb)) == (503, "unavailable")
        assert "503" in paths[f"/v1/webhooks/{{id}}/{verb}"][method.lower()]["responses"]


# --- tests


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[Delivery]:
    """Each that is waited for, in place of waiting."""
    seen: list[Delivery] = []

    def wait(delivery: Delivery, *, at_most: timedelta) -> Delivery:
        assert at_most == timedelta(seconds=5)
        seen.append(delivery)
        return delivery

    monkeypatch.setattr(trying.testing, "wait_for_end", wait)
    return seen


@pytest.fixture
def busy() -> Iterator[None]:
    """As many wait as may."""
    for _ in range(trying.MAX_WAITING):
        assert trying.waiting.acquire(blocking=False)
    yield
    for _ in range(trying.MAX_WAITING):
        trying.waiting.release()


def test_a_test_is_refused_while_the_one_before_has_not_ended(mailbox: Mailbox, waits: list[Delivery]) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox)
    assert one(make_client(), "POST", webhook, verb="test").status_code == 202
    assert problem(one(make_client(), "POST", webhook, verb="test")) == (409, "test_under_way")
    assert (len(waits), Delivery.objects.count()) == (1, 1)
    Delivery.objects.update(state="delivered")
    assert one(make_client(), "POST", webhook, verb="test").status_code == 202


@pytest.mark.usefixtures("busy")
def test_no_more_than_a_few_requests_wait_at_a_time(mailbox: Mailbox, waits: list[Delivery]) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox)
    answer = one(make_client(), "POST", webhook, verb="test")
    assert (answer.status_code, answer.json()["state"], waits) == (202, "pending", [])


def test_who_waited_makes_room_though_it_fails(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(delivery: Delivery, *, at_most: timedelta) -> Delivery:
        raise RuntimeError("a fault")

    monkeypatch.setattr(trying.testing, "wait_for_end", fail)
    monkeypatch.setattr(trying, "waiting", threading.BoundedSemaphore(1))
    client = make_client()
    client.raise_request_exception = False
    for _ in range(2):
        webhook, _ = make_own_webhook(mailbox=mailbox)
        assert one(client, "POST", webhook, verb="test").status_code == 500


def test_a_test_is_not_waited_for_while_all_is_stopped(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox)
    monkeypatch.setattr(testing.time, "sleep", lambda _: pytest.fail("waited"))
    stop.stop_outgoing(by="Ada")
    answer = one(make_client(), "POST", webhook, verb="test")
    assert answer.status_code == 202
    assert answer.json()["reason"] == "all outgoing webhooks are stopped"
