"""Pausing, resuming, rotating, deleting in the console: each page says what follows before it is done."""

from datetime import timedelta
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import make_alias, make_delivery, make_mailbox, make_webhook
from tests.webhooks.browsing import (
    DAY_S,
    LIST,
    URL,
    VERBS,
    now,
    page,
    secret_in,
    send,
    text_of,
    token_on,
    values_of,
)
from tests.webhooks.rows import make_delivery_in, move
from webhooks.models import OTHER_MAILBOX, Delivery
from webhooks.services import webhooks
from webhooks.services.queue import upkeep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


def test_pausing_and_resuming_say_what_follows_and_how_many(admin: Client) -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    assert "1 delivery waiting now will be held" in text_of(admin.get(page(webhook, "pause")))
    send(admin, page(webhook, "pause"), reason="they move")
    assert (now(webhook).state, now(webhook).state_reason) == ("paused", "they move")
    Delivery.objects.update(state="held")
    asked = text_of(admin.get(page(webhook, "resume")))
    assert "It is paused now: they move." in asked
    assert "1 delivery held meanwhile will be sent" in asked
    send(admin, page(webhook, "resume"))
    assert (now(webhook).state, now(webhook).state_reason) == ("active", "")


def test_attempts_in_flight_are_told_of(admin: Client) -> None:
    webhook = make_webhook()
    make_delivery(webhook, lease_id="00000000-0000-7000-8000-000000000000")
    for verb, fields in (("pause", {}), ("rotate", {"overlap": "0"}), ("delete", {})):
        told = admin.post(
            page(webhook, verb), {"form_token": token_on(admin, page(webhook, verb)), **fields}, follow=True
        )
        assert "1 attempt is in flight and will still end in its own way." in text_of(told), verb


@pytest.mark.parametrize("overlap", [0, 3600, 86400, 7 * 86400])
def test_rotating_shows_the_new_secret_and_keeps_the_old_one_as_long_as_chosen(admin: Client, overlap: int) -> None:
    webhook, old = webhooks.create_webhook(url=URL, mailbox=make_mailbox())
    new = secret_in(send(admin, page(webhook, "rotate"), overlap=str(overlap)))
    just_before = timezone.now() + timedelta(seconds=overlap - 5)
    assert webhooks.secrets_of(now(webhook), now=just_before) == ([new, old] if overlap else [new])
    assert webhooks.secrets_of(now(webhook), now=just_before + timedelta(seconds=10)) == [new]


def test_deleting_says_what_is_canceled_and_leaves_the_record(admin: Client) -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    make_delivery(webhook, state="held")
    asked = text_of(admin.get(page(webhook, "delete")))
    assert "Canceled, and never sent: 1 delivery waiting, and 1 delivery held." in asked
    assert send(admin, page(webhook, "delete"))["Location"] == LIST
    assert now(webhook).deleted_at is not None
    looked_at = admin.get(page(webhook))
    assert looked_at.status_code == HTTPStatus.OK
    assert "form_token" not in text_of(looked_at)
    for verb in VERBS:
        assert admin.get(page(webhook, verb)).status_code == HTTPStatus.NOT_FOUND
        assert admin.post(page(webhook, verb), {"overlap": DAY_S}).status_code == HTTPStatus.NOT_FOUND
    assert admin.post(page(webhook), values_of(webhook)).status_code == HTTPStatus.NOT_FOUND


def test_a_moved_alias_is_shown_as_paused_and_resuming_confirms_the_mailbox_that_was_seen(admin: Client) -> None:
    first, second, third = (make_mailbox(address=f"{name}@example.com") for name in ("one", "two", "three"))
    alias = make_alias(mailbox=first)
    webhook = make_webhook(alias=alias)
    move(alias, second)
    listed = text_of(admin.get(LIST, {"state": "paused"}))
    assert "its alias leads to another mailbox now" in listed
    assert page(webhook) in listed
    assert page(webhook) not in text_of(admin.get(LIST, {"state": "active"}))
    assert page(webhook, "resume") in text_of(admin.get(page(webhook)))
    seen = admin.get(page(webhook, "resume"))
    assert "The alias leads to two@example.com now" in text_of(seen)
    form = {"leads_to": second.public_id, "form_token": token_on(admin, page(webhook, "resume"))}
    move(alias, third)
    answer = admin.post(page(webhook, "resume"), form)
    assert "was led to three@example.com" in text_of(answer)
    assert now(webhook).current_state == "paused"
    assert third.public_id in text_of(answer)
    admin.post(page(webhook, "resume"), form | {"leads_to": third.public_id})
    assert (now(webhook).current_state, now(webhook).bound_mailbox) == ("active", third)


def test_what_resuming_does_not_send_is_counted_and_said(admin: Client) -> None:
    first, second = make_mailbox(), make_mailbox(address="two@example.com")
    alias = make_alias(mailbox=first)
    webhook = make_webhook(alias=alias)
    make_delivery_in(first, webhook)
    move(alias, second)
    make_delivery_in(second, webhook)
    upkeep.settle()
    assert "Held back" not in text_of(admin.get(page(webhook)))  # resuming now would send both
    assert "2 deliveries held meanwhile will be sent" in text_of(admin.get(page(webhook, "resume")))
    move(alias, first)
    looked_at, asked = text_of(admin.get(page(webhook))), text_of(admin.get(page(webhook, "resume")))
    for text in (looked_at, asked):
        assert f"1 delivery stays held: {OTHER_MAILBOX}." in text
    assert "Held back" in looked_at
    assert "1 delivery held meanwhile will be sent" in asked
    webhooks.resume_webhook(now(webhook))
    upkeep.settle()
    waiting = Delivery.objects.get(state="held")
    assert waiting.reason == OTHER_MAILBOX
    assert "when the webhook is active again" not in text_of(admin.get(page(webhook)))
