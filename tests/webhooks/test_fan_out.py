import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from mailboxes.models import Email
from mailboxes.services import process, provision
from tests.factories import make_alias, make_domain, make_mailbox, make_message, make_webhook
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.models.webhook import PULLED
from webhooks.services import webhooks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


def process_now() -> None:
    process.drain(linger=timedelta(0))


def test_a_webhook_hears_of_mail_for_what_it_is_bound_to_and_of_nothing_else() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    alias = make_alias(mailbox=support)
    make_mailbox(address="info@example.org")
    bound = {
        "alias": make_webhook(alias=alias),
        "mailbox": make_webhook(mailbox=support),
        "domain": make_webhook(domain=support.domain),
        "other mailbox": make_webhook(mailbox=sales),
        "other domain": make_webhook(domain=make_domain(name="example.org")),
    }

    def who_hears(address: str) -> set[str]:
        Delivery.objects.all().delete()
        make_message(to=(address,))
        process_now()
        heard = set(Delivery.objects.values_list("webhook", flat=True))
        return {name for name, webhook in bound.items() if webhook.pk in heard}

    assert who_hears("help@example.com") == {"alias", "mailbox", "domain"}
    assert who_hears("support@example.com") == {"mailbox", "domain"}
    assert who_hears("sales@example.com") == {"other mailbox", "domain"}
    assert who_hears("info@example.org") == {"other domain"}


def test_one_mail_to_two_mailboxes_is_two_events_and_neither_names_the_other() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    make_webhook(mailbox=support)
    make_webhook(mailbox=sales)
    make_message(to=("support@example.com", "sales@example.com"))
    process_now()
    bodies = {bytes(delivery.body.body) for delivery in Delivery.objects.select_related("body")}
    assert len(bodies) == 2
    for body in bodies:
        data = json.loads(body)["data"]
        assert data["envelope"]["rcpt_to"] == [data["mailbox"]["address"]]
        assert (b"sales@example.com" in body) != (data["mailbox"]["address"] == "support@example.com")


def test_a_mail_that_nobody_wants_to_hear_of_makes_no_event() -> None:
    make_mailbox()
    make_message()
    process_now()
    assert Email.objects.get().status == "processed"
    assert not Event.objects.exists()


def test_mail_for_a_paused_webhook_is_held() -> None:
    webhook = make_webhook()
    webhooks.pause_webhook(webhook)
    make_message()
    process_now()
    assert Delivery.objects.get().state == "held"


def test_a_webhook_that_only_wants_other_news_hears_nothing_of_mail() -> None:
    webhook = make_webhook()
    Webhook.objects.filter(pk=webhook.pk).update(events=["webhook.disabled"])
    make_message()
    process_now()
    assert Email.objects.get().status == "processed"
    assert not Event.objects.exists()
    Webhook.objects.filter(pk=webhook.pk).update(events=["email.received"])
    make_message()
    process_now()
    assert Delivery.objects.get().webhook == webhook


def test_each_webhook_gets_the_form_that_it_wants() -> None:
    mailbox = make_mailbox()
    wanted = {
        "full": {},
        "inline": {"attachments": "inline"},
        "thin": {"thinned_at": timezone.now(), "attachments": "inline"},
        "metadata": {"payload": "metadata", "attachments": "inline", "thinned_at": timezone.now()},
    }
    webhook_of = {form: make_webhook(mailbox=mailbox, url=f"http://127.0.0.1:9/{form}") for form in wanted}
    for form, fields in wanted.items():
        Webhook.objects.filter(pk=webhook_of[form].pk).update(**fields)
    make_message()
    process_now()
    assert dict(Delivery.objects.values_list("webhook__url", "body__form")) == {
        f"http://127.0.0.1:9/{form}": form for form in wanted
    }
    assert Event.objects.count() == 1
    # the dispatcher bounds by it what is in flight
    assert {body.size == len(body.body) for body in EventBody.objects.all()} == {True}


def test_a_webhook_without_a_url_keeps_its_mail_to_be_pulled() -> None:
    webhook = make_webhook()
    Webhook.objects.filter(pk=webhook.pk).update(url="")
    make_message()
    process_now()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason) == ("held", PULLED)


def test_a_deleted_webhook_hears_nothing() -> None:
    webhooks.delete_webhook(make_webhook())
    make_message()
    process_now()
    assert not Delivery.objects.exists()


def test_a_webhook_for_metadata_gets_no_content(mail: bytes) -> None:
    mailbox = make_mailbox()
    make_webhook(mailbox=mailbox, payload=Webhook.Payload.METADATA)
    make_webhook(mailbox=mailbox)
    make_message(raw=mail)
    process_now()
    bodies = {body.form: json.loads(bytes(body.body))["data"] for body in EventBody.objects.all()}
    assert set(bodies["full"]) - set(bodies["metadata"]) == {
        "text", "text_truncated", "html", "html_truncated", "preview", "reply", "headers", "headers_truncated",
        "sender", "reply_to", "in_reply_to", "references", "list", "calendar",
    }  # fmt: skip
    told = json.dumps(bodies["metadata"])
    for content in ("It does not turn", "plan.pdf", "X-Secret", "/raw", "/files/"):
        assert content in json.dumps(bodies["full"])
        assert content not in told
    assert bodies["metadata"]["subject"] == "Broken engine"


def test_the_payload_says_where_the_mail_came_in_and_by_whom() -> None:
    alias = make_alias()
    make_webhook(alias=alias)
    make_message(to=("help+urgent@example.com",))
    process_now()
    data: dict[str, Any] = json.loads(bytes(EventBody.objects.get().body))["data"]
    email = Email.objects.get()
    assert data["id"] == email.public_id
    assert data["mailbox"] == {"id": alias.mailbox.public_id, "address": "support@example.com", "name": ""}
    assert data["alias"] == {"id": alias.public_id, "address": "help@example.com"}
    assert data["domain"] == {"id": alias.domain.public_id, "name": "example.com"}
    assert data["route"] == {"kind": "plus", "tag": "urgent"}
    assert data["envelope"] == {
        "mail_from": "ada@example.net",
        "rcpt_to": ["help+urgent@example.com"],
        "client_ip": "192.0.2.1",
        "helo": "mail.example.net",
        "tls": None,
    }
    assert data["parse"] == {"status": "ok", "defects": []}
    event = Event.objects.get()
    assert data["raw"]["url"].startswith(f"{settings.BASE_URL}/files/{event.public_id}/raw/k")


def test_an_alias_of_one_domain_that_leads_into_another_belongs_to_its_own() -> None:
    make_domain(name="example.org")
    mailbox = make_mailbox()
    alias = provision.create_alias(address="team@example.org", mailbox=mailbox)
    there, here = make_webhook(domain=alias.domain), make_webhook(domain=mailbox.domain)
    make_message(to=("team@example.org",))
    process_now()
    assert list(Delivery.objects.values_list("webhook", flat=True)) == [there.pk]
    assert here.pk != there.pk


@pytest.fixture
def mail() -> bytes:
    return (
        b"From: Ada <ada@example.net>\r\nSubject: Broken engine\r\nX-Secret: 1\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nIt does not turn.\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\r\n"
        b"%PDF\r\n--b--\r\n"
    )
