"""The octets of events: made once in each form, kept, and made again only from what is still there."""

import json
import threading
from typing import Any

import pytest
from django.db import connection

from emailgistics.common.errors import ConflictError
from mailboxes.models import Attachment, EmailContent
from tests.factories import make_mailbox, make_webhook
from tests.webhooks.events import data_of, email_of, make_event, octets_of
from webhooks.models import Delivery, Event, EventBody
from webhooks.services import bodies

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


def forget(event: Event) -> None:
    """What retention does to what a mail says."""
    Attachment.objects.filter(email=event.email_id).delete()
    EmailContent.objects.filter(email=event.email_id).delete()
    email_of(event).message.raw.delete()


def forget_bodies(event: Event) -> None:
    Delivery.objects.filter(event=event).update(body=None)
    EventBody.objects.filter(event=event).delete()


def test_a_body_is_made_once_and_stays(settings: Any) -> None:
    event = make_event()
    first = bodies.body_of(event, "thin")
    settings.BASE_URL = "https://elsewhere.example.com"
    again = bodies.body_of(event, "thin")
    assert (again.pk, bytes(again.body)) == (first.pk, bytes(first.body))
    assert b"elsewhere" in octets_of(event, "inline")


def test_bodies_outlive_what_they_were_made_of() -> None:
    event = make_event()
    full = octets_of(event)
    forget(event)
    assert octets_of(event) == full


@pytest.mark.parametrize("form", ["thin", "metadata"])
def test_a_form_that_says_less_is_cut_out_of_a_stored_one(form: str) -> None:
    event = make_event()
    expected = octets_of(event, form)
    EventBody.objects.filter(event=event, form=form).delete()
    forget(event)
    assert octets_of(event, form) == expected


def test_the_full_form_is_cut_out_of_inline() -> None:
    event = make_event(b"Content-Disposition: attachment; filename=a\r\n\r\noctets")
    full = octets_of(event)
    assert "content" in data_of(event, "inline")["attachments"][0]
    Delivery.objects.filter(event=event).update(body=None)
    EventBody.objects.filter(event=event, form="full").delete()
    forget(event)
    assert octets_of(event) == full


@pytest.mark.parametrize("form", ["full", "inline", "thin"])
def test_what_is_not_kept_any_longer_is_told_as_such(form: str) -> None:
    event = make_event()
    octets_of(event, "metadata")
    Delivery.objects.filter(event=event).update(body=None)
    EventBody.objects.filter(event=event).exclude(form="metadata").delete()
    forget(event)
    with pytest.raises(bodies.ContentExpiredError) as refused:
        bodies.body_of(event, form)
    assert isinstance(refused.value, ConflictError)
    assert refused.value.code == "content_expired"
    assert data_of(event, "metadata")["subject"] == "Broken engine"


def test_a_stored_body_that_is_no_payload_is_nothing_to_cut(caplog: pytest.LogCaptureFixture) -> None:
    event = make_event()
    forget(event)
    for broken in (b"{}", b"\xff", b"[]", b'{"data":{"attachments":1}}'):
        EventBody.objects.filter(event=event).update(body=broken)
        with pytest.raises(bodies.ContentExpiredError):
            bodies.body_of(event, "metadata")
    assert "event.body_unreadable" in caplog.text


def test_two_who_make_a_form_at_once_get_the_same_octets(settings: Any) -> None:
    event = make_event()
    forget_bodies(event)
    made: list[tuple[int, bytes]] = []
    together = threading.Barrier(4)

    def make() -> None:
        try:
            together.wait(60)
            body = bodies.body_of(Event.objects.get(pk=event.pk), "full")
            made.append((body.pk, bytes(body.body)))
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(made) == 4
    assert len(set(made)) == 1
    assert EventBody.objects.filter(event=event, form="full").count() == 1


def test_an_event_about_a_webhook_has_one_body_for_every_form() -> None:
    webhook = make_webhook()
    body = bodies.store_test_event(webhook)
    event = body.event
    assert (event.type, event.webhook, event.email) == ("webhook.test", webhook, None)
    for form in EventBody.Form.values:
        assert bodies.body_of(event, form) == body
    said = json.loads(bytes(body.body))
    assert (said["type"], said["data"]["webhook"]) == ("webhook.test", {"id": webhook.public_id, "description": ""})
    body.delete()
    with pytest.raises(bodies.ContentExpiredError):
        bodies.body_of(event, "full")


def test_that_a_webhook_was_disabled_is_told_without_its_url() -> None:
    mailbox = make_mailbox()
    webhook = make_webhook(mailbox=mailbox, url="http://127.0.0.1:9/hook?token=secret")
    body = bodies.store_disabled_event(webhook, reason="it answered 410")
    said = json.loads(bytes(body.body))
    assert said["data"] == {
        "webhook": {
            "id": webhook.public_id,
            "description": "",
            "alias_id": None,
            "mailbox_id": mailbox.public_id,
            "domain_id": None,
        },
        "reason": "it answered 410",
        "disabled_at": said["timestamp"],
    }
    assert b"127.0.0.1" not in bytes(body.body)
