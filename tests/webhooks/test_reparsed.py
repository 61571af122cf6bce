"""The event `email.reparsed`: who hears of it, in which words, and that `email.received` stays what it was."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.access import Scope
from mailboxes.models import Alias, Attachment, Email, EmailContent, Mailbox, Message, Reparse
from mailboxes.services import process, provision, reparse
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_email, make_mailbox, make_message
from tests.mailboxes.test_process import dead_lease
from tests.mailboxes.test_reparse import TWO_FILES
from tests.webhooks.asking import call, one, problem
from tests.webhooks.events import octets_of
from tests.webhooks.rows import again, move
from tests.webhooks.test_schemas import CONTENT, HEADER, LINKED, OF_FORM, check, real_mails, schema_of
from webhooks.files import links
from webhooks.models import OTHER_MAILBOX, Delivery, Event, EventBody, Webhook
from webhooks.services import pull, queue, replay, webhooks
from webhooks.services.claimed import Claimed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

BOTH = ["email.received", "email.reparsed"]


def make_curious(*, events: list[str] | None = None, **how: Any) -> Webhook:
    """A webhook that wants to hear of what is read otherwise."""
    return webhooks.create_webhook(url="http://127.0.0.1:9/", events=events or BOTH, **how)[0]


def read_otherwise(email: Email, **columns: Any) -> None:
    """As an older parser would have left it; then a worker opens it again."""
    Email.objects.filter(pk=email.pk).update(**(columns or {"subject": "old"}))
    open_again(email)


def open_again(email: Email) -> None:
    Reparse.objects.create(message_id=email.message_id, asked_at=timezone.now())
    assert reparse.drain(until=time.monotonic() + 10) == 1


def told(webhook: Webhook, event_type: str = "email.reparsed") -> Any:
    """What the one delivery of such an event says."""
    delivery = Delivery.objects.select_related("body").get(webhook=webhook, event__type=event_type)
    return json.loads(bytes(delivery.body.body))


def claim() -> list[Claimed]:
    """What a dispatcher would begin now."""
    with leases.held("dispatch") as lease:
        return queue.claim(lease.id, in_flight={})


def parked() -> Email:
    """A mail over which workers were lost: its webhooks were told that it could not be opened."""
    message = make_message()
    Message.objects.filter(pk=message.pk).update(losses=process.PARK_FROM_LOSSES, lease_id=dead_lease().pk)
    process.drain(linger=timedelta(0))
    return message.emails.get()


def test_who_wants_it_is_told_once_and_by_the_names_of_what_is_another() -> None:
    mailbox = make_mailbox()
    webhook = make_curious(mailbox=mailbox)
    email = make_email()
    received = Event.objects.get()
    before = told(webhook, "email.received")
    read_otherwise(email, subject="old", from_name="old")
    payload = told(webhook)
    assert payload["type"] == "email.reparsed"
    data = payload["data"]
    assert data.pop("changed") == ["from", "subject"]
    assert data.pop("received_event_id") == received.public_id
    data["raw"].pop("url")
    before["data"]["raw"].pop("url")
    # read as it was read when it came, which was right
    assert data == before["data"]
    open_again(email)
    assert Event.objects.filter(type="email.reparsed").count() == 1


def test_who_did_not_ask_for_it_hears_nothing() -> None:
    mailbox = make_mailbox()
    webhook = webhooks.create_webhook(url="http://127.0.0.1:9/", mailbox=mailbox)[0]
    assert webhook.events == ["email.received", "webhook.disabled"]
    email = make_email()
    read_otherwise(email)
    assert Email.objects.get().subject == "Broken engine"
    assert [event.type for event in Event.objects.all()] == ["email.received"]


def test_who_wants_only_that_is_not_told_of_mail_that_comes() -> None:
    webhook = make_curious(mailbox=make_mailbox(), events=["email.reparsed"])
    email = make_email()
    assert not Event.objects.exists()
    read_otherwise(email)
    assert told(webhook)["data"]["received_event_id"] is None


def test_a_dry_run_tells_nobody() -> None:
    make_curious(mailbox=make_mailbox())
    email = make_email()
    Email.objects.update(subject="old")
    Reparse.objects.create(message_id=email.message_id, asked_at=timezone.now(), is_dry_run=True)
    reparse.drain(until=time.monotonic() + 10)
    assert not Event.objects.filter(type="email.reparsed").exists()


def test_of_a_parked_mail_that_is_repaired_webhooks_hear_what_it_says() -> None:
    webhook = make_curious(mailbox=make_mailbox())
    email = parked()
    assert told(webhook, "email.received")["data"]["parse"] == {"status": "failed", "defects": ["processing_lost"]}
    open_again(email)
    data = told(webhook)["data"]
    assert (data["subject"], data["parse"]) == ("Broken engine", {"status": "ok", "defects": []})
    assert {"subject", "text", "parse"} <= set(data["changed"])
    assert data["received_event_id"] == Event.objects.get(type="email.received").public_id


def test_the_event_of_when_it_came_is_replayed_octet_for_octet() -> None:
    webhook = make_curious(mailbox=make_mailbox())
    email = parked()
    body = EventBody.objects.get()
    octets = bytes(body.body)
    open_again(email)
    delivery = Delivery.objects.get(event__type="email.received")
    Delivery.objects.update(state="delivered")
    replay.replay_delivery(delivery, by="Ada")
    assert (delivery.state, delivery.body_id) == ("pending", body.pk)
    body.refresh_from_db()
    assert bytes(body.body) == octets
    assert webhook.deliveries.count() == 2


def test_it_is_replayed_and_pulled_like_any_other() -> None:
    webhook = make_curious(mailbox=make_mailbox())
    email = make_email()
    read_otherwise(email)
    delivery = Delivery.objects.get(event__type="email.reparsed")
    octets = bytes(delivery.body.body)
    Delivery.objects.filter(pk=delivery.pk).update(state="delivered")
    replay.replay_delivery(delivery, by="Ada")
    assert (delivery.state, delivery.generation) == ("pending", 2)
    # also once its octets were pruned: made again, the same ones
    Delivery.objects.update(body=None, state="failed")
    EventBody.objects.all().delete()
    replay.replay_delivery(delivery, by="Ada")
    assert bytes(Delivery.objects.get(pk=delivery.pk).body.body) == octets
    webhooks.update_webhook(webhook, url="")
    (pulled,) = [one for one in pull.pull(webhook, after=0, limit=10) if one.event_type == "email.reparsed"]
    assert pulled.body.encode() == octets


def test_an_attachment_that_stays_keeps_its_id_and_the_links_that_were_sent_open_it() -> None:
    webhook = make_curious(mailbox=make_mailbox())
    email = make_email(raw=TWO_FILES)
    sent = told(webhook, "email.received")["data"]["attachments"]
    Attachment.objects.filter(position=1).update(filename="old")
    open_again(email)
    now = told(webhook)["data"]
    assert now["changed"] == ["attachments"]
    assert [one["id"] for one in now["attachments"]] == [one["id"] for one in sent]
    received = Event.objects.get(type="email.received")
    for attachment in sent:
        *_, event, part, token = attachment["url"].split("/")
        assert links.verified(event, part, token) == received.pk
        found = links.opened(received.pk, now=timezone.now())
        assert found is not None
        assert links.attachment_of(found, part) is not None


def test_links_that_were_revoked_stay_so_in_what_is_told_later() -> None:
    make_curious(mailbox=make_mailbox())
    email = make_email()
    links.revoke_links(email)
    read_otherwise(email)
    event = Event.objects.get(type="email.reparsed")
    assert event.links_revoked_at is not None
    assert links.opened(event.pk, now=timezone.now()) is None


def test_each_webhook_gets_the_form_that_it_wants_and_metadata_names_nothing_of_the_content() -> None:
    mailbox = make_mailbox()
    full = make_curious(mailbox=mailbox)
    inline = make_curious(mailbox=mailbox, attachments="inline")
    metadata = make_curious(mailbox=mailbox, payload="metadata")
    email = make_email(raw=TWO_FILES)
    EmailContent.objects.update(text="old", html="old", headers=[], in_reply_to="old", references=["old"], preview="")
    Attachment.objects.filter(position=0).update(filename="secret name")
    read_otherwise(email, subject="old")
    changed = ["attachments", "headers", "html", "in_reply_to", "preview", "references", "subject", "text"]
    assert told(full)["data"]["changed"] == told(inline)["data"]["changed"] == changed
    assert [one["content"] for one in told(inline)["data"]["attachments"]] == ["b25l", "dHdv"]
    data = told(metadata)["data"]
    assert data["changed"] == ["attachments", "subject"]
    assert not data.keys() & (CONTENT | HEADER)
    assert all(not one.keys() & LINKED for one in data["attachments"])
    assert not set(data["changed"]) & (CONTENT | HEADER)
    assert "/files/" not in json.dumps(data)


def test_what_waits_goes_as_metadata_once_the_webhook_may_be_told_no_more() -> None:
    webhook = make_curious(mailbox=make_mailbox())
    email = make_email()
    read_otherwise(email)
    webhooks.update_webhook(webhook, payload="metadata")
    claimed = claim()
    assert len(claimed) == 2
    assert {one.form for one in claimed} == {"metadata"}
    assert all(one.is_about_mail and one.body and b"It does not turn" not in one.body for one in claimed)


def test_only_webhooks_of_where_the_mail_went_hear_of_it() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    alias = make_alias(mailbox=support)
    hearing = {
        make_curious(alias=alias), make_curious(mailbox=support), make_curious(domain=support.domain)
    }  # fmt: skip
    make_curious(mailbox=sales)
    message = make_message(to=("help@example.com",))
    process.drain(linger=timedelta(0))
    read_otherwise(message.emails.get())
    found = Delivery.objects.filter(event__type="email.reparsed").values_list("webhook", flat=True)
    assert set(found) == {webhook.pk for webhook in hearing}


def test_of_a_moved_alias_nobody_new_is_told_and_what_was_deleted_hears_nothing() -> None:
    old, new = make_mailbox(), make_mailbox(address="sales@example.com")
    alias: Alias = make_alias(mailbox=old)
    webhook = make_curious(alias=alias)
    deleted = make_curious(mailbox=old)
    message = make_message(to=("help@example.com",))
    process.drain(linger=timedelta(0))
    email = message.emails.get()
    webhooks.delete_webhook(deleted)
    move(alias, new)
    webhooks.resume_webhook(again(webhook))
    webhooks.update_webhook(again(webhook), url="http://127.0.0.1:10/mine")
    read_otherwise(email)
    delivery = Delivery.objects.get(event__type="email.reparsed")
    assert (delivery.webhook, delivery.state, delivery.reason) == (webhook, "held", OTHER_MAILBOX)


def test_mail_of_a_deleted_mailbox_goes_nowhere() -> None:
    mailbox: Mailbox = make_mailbox()
    make_curious(domain=mailbox.domain)
    email = make_email()
    provision.delete_mailbox(mailbox, with_mail=True)
    read_otherwise(email)
    assert claim() == []
    assert not Delivery.objects.filter(attempts__gt=0).exists()


def test_every_form_of_every_mail_is_what_the_schema_says() -> None:
    schema, mailbox = schema_of("email.reparsed"), make_mailbox()
    make_curious(mailbox=mailbox)
    names = schema["$defs"]["EmailReparsedData"]["properties"].keys()
    for raw in real_mails()[:40]:
        email = make_email(raw=raw)
        read_otherwise(email, subject="as nobody wrote it", date=None)
        event = Event.objects.get(type="email.reparsed", email=email)
        for form, (said, _) in OF_FORM.items():
            data = check(octets_of(event, form), schema)["data"]
            assert data.keys() == names - ((CONTENT | HEADER) - said), form
            assert set(data["changed"]) <= names
            assert "subject" in data["changed"]


# --- asking for it


def test_a_webhook_asks_for_it_in_the_api_and_gets_the_usual_events_otherwise() -> None:
    mailbox, client = make_mailbox(), make_client()
    body = {"mailbox_id": mailbox.public_id, "url": "http://127.0.0.1:9/"}
    made = call(client, "POST", "/webhooks", body).json()
    assert made["events"] == ["email.received", "webhook.disabled"]
    assert one(client, "PATCH", made["id"], {"events": BOTH}).json()["events"] == BOTH
    assert call(client, "POST", "/webhooks", body | {"events": ["email.reparsed"]}).json()["events"] == [BOTH[1]]


def test_a_key_without_content_does_not_have_a_full_webhook_told_of_what_is_read_otherwise() -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=[mailbox], scopes=[Scope.WEBHOOKS_WRITE])
    for events in (["webhook.disabled"], ["email.received"]):
        webhook = make_curious(mailbox=mailbox, events=events)
        lacks = one(client, "PATCH", webhook, {"events": [*events, "email.reparsed"]})
        assert problem(lacks) == (403, "insufficient_scope")
        assert Webhook.objects.get(pk=webhook.pk).events == events
    lean = make_curious(mailbox=mailbox, payload="metadata", events=["webhook.disabled"])
    assert one(client, "PATCH", lean, {"events": BOTH}).status_code == 200


def test_the_log_and_the_report_hold_names_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    make_curious(mailbox=make_mailbox())
    email = make_email()
    with caplog.at_level("INFO"):
        read_otherwise(email, subject="a secret of old")
    logged = caplog.text + json.dumps(Reparse.objects.get().report)
    assert email.public_id in logged
    assert "'changed': ['subject']" in logged
    for content in ("secret", "Broken engine", "ada@example.net"):
        assert content not in logged
