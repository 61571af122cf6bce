import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from mailboxes.models import Email, Mailbox, Recipient
from mailboxes.services import process, provision
from tests.factories import make_alias, make_domain, make_mailbox, make_message, make_webhook
from webhooks import payloads
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
    assert data["route"] == {"kind": "plus", "tag": "urgent", "captures": {}}
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


def test_of_mail_in_a_further_mailbox_its_own_webhooks_and_its_domains_hear_and_those_of_the_alias_do_not() -> None:
    own, other = make_mailbox(), make_mailbox(address="archive@example.org")
    alias = provision.create_alias(address="order-*@example.com", mailbox=own, further_mailboxes=[other])
    hooks = {
        "alias": make_webhook(alias=alias),
        "own": make_webhook(mailbox=own),
        "domain": make_webhook(domain=own.domain),
        "other": make_webhook(mailbox=other),
        "other domain": make_webhook(domain=other.domain),
    }
    names = {webhook.pk: name for name, webhook in hooks.items()}

    def heard(mailbox: Mailbox) -> set[str]:
        rows = Delivery.objects.filter(event__email__mailbox=mailbox).values_list("webhook", flat=True)
        return {names[pk] for pk in rows}

    make_message(to=("order-7@example.com",))
    process_now()
    assert (heard(own), heard(other)) == ({"alias", "own", "domain"}, {"other", "other domain"})
    Delivery.objects.all().delete()
    provision.update_mailbox(own, is_active=False)  # then the further one is the only one
    make_message(to=("order-8@example.com",))
    process_now()
    assert (heard(own), heard(other)) == (set(), {"other", "other domain"})


def test_a_payload_in_a_further_mailbox_does_not_name_the_alias_nor_the_other_mailbox() -> None:
    own, other = make_mailbox(), make_mailbox(address="archive@example.org")
    alias = provision.create_alias(address="order-*@example.com", mailbox=own, further_mailboxes=[other])
    make_webhook(mailbox=own)
    make_webhook(mailbox=other)
    make_message(to=("Order-Ab7@example.com",))
    process_now()
    bodies = {
        body.event.email.mailbox_id: json.loads(bytes(body.body))["data"]
        for body in EventBody.objects.select_related("event__email")
        if body.event.email
    }
    route = {"kind": "pattern", "tag": None, "captures": {"1": "Ab7"}}
    first, second = bodies[own.pk], bodies[other.pk]
    assert first["alias"] == {"id": alias.public_id, "address": "order-*@example.com"}
    assert first["domain"]["name"] == "example.com"
    assert first["recipients"] == [{"address": "Order-Ab7@example.com", "alias_id": alias.public_id, **route}]
    assert (second["alias"], second["domain"]) == (None, {"id": other.domain.public_id, "name": "example.org"})
    assert second["route"] == first["route"] == route
    assert second["recipients"] == [{"address": "Order-Ab7@example.com", "alias_id": None, **route}]
    for word in (alias.public_id, own.public_id, own.domain.public_id, "support@"):
        assert word not in json.dumps({name: second[name] for name in second if name not in ("text", "headers", "to")})


def test_who_is_named_himself_beside_an_alias_that_copies_to_him_hears_of_it_as_his() -> None:
    own, other = make_mailbox(), make_mailbox(address="sales@example.com")
    provision.create_alias(address="help@example.com", mailbox=own, further_mailboxes=[other])
    beside = make_alias(address="buy@example.com", mailbox=other)
    make_webhook(mailbox=other)
    hook = make_webhook(alias=beside)
    make_message(to=("help@example.com", "buy@example.com"))
    process_now()
    assert Delivery.objects.filter(webhook=hook).count() == 1
    body = EventBody.objects.get(event__email__mailbox=other)
    data = json.loads(bytes(body.body))["data"]
    assert data["alias"]["id"] == beside.public_id
    assert [recipient["alias_id"] for recipient in data["recipients"]] == [None, beside.public_id]


def test_captures_are_in_the_order_in_which_javascript_keeps_them() -> None:
    captures = {"b": "2", "10": "x", "2": "y", "01": "z", "a": "1", "4294967295": "big", "0": "w"}
    recipient = Recipient(captures=captures)
    assert list(payloads._captures(recipient)) == ["0", "2", "10", "01", "4294967295", "a", "b"]


@pytest.fixture
def mail() -> bytes:
    return (
        b"From: Ada <ada@example.net>\r\nSubject: Broken engine\r\nX-Secret: 1\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nIt does not turn.\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\r\n"
        b"%PDF\r\n--b--\r\n"
    )
