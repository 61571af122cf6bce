"""Rows for tests: valid by default, keyword arguments for what a test is about."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from mailboxes.models import Alias, Domain, Email, Mailbox, Message, ResendGuard
from mailboxes.services import provision
from mailboxes.services.admit import admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import receive_message
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.services import webhooks

RAW = (
    b"From: Ada Lovelace <ada@example.net>\r\n"
    b"To: support@example.com\r\n"
    b"Subject: Broken engine\r\n"
    b"Date: Mon, 01 Jun 2026 10:00:00 +0200\r\n"
    b"Message-ID: <1@example.net>\r\n"
    b"\r\n"
    b"It does not turn.\r\n"
)


def make_domain(*, name: str = "example.com") -> Domain:
    existing = Domain.objects.live().filter(name=name).first()
    return existing or provision.create_domain(name=name)


def make_mailbox(*, address: str = "support@example.com") -> Mailbox:
    make_domain(name=address.rpartition("@")[2])
    return provision.create_mailbox(address=address)


def make_alias(*, address: str = "help@example.com", mailbox: Mailbox | None = None) -> Alias:
    mailbox = mailbox or make_mailbox()
    make_domain(name=address.rpartition("@")[2])
    return provision.create_alias(address=address, mailbox=mailbox)


def in_days(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


def make_message(
    *, raw: bytes = RAW, to: tuple[str, ...] = ("support@example.com",), mail_from: str = "ada@example.net"
) -> Message:
    """A mail as the listener stores it: accepted, and waiting to be processed. The same again is another one."""
    ResendGuard.objects.all().delete()
    envelope = Envelope(mail_from=mail_from, client_ip="192.0.2.1", helo="mail.example.net")
    receipt = receive_message(
        envelope=envelope, admissions=[admit(address, envelope=envelope) for address in to], raw=raw
    )
    return Message.objects.get(pk=receipt.message_id)


def make_email(*, raw: bytes = RAW, to: str = "support@example.com") -> Email:
    """A processed email."""
    from mailboxes.services import process as processing  # the parser: few tests need it

    message = make_message(raw=raw, to=(to,))
    processing.drain(linger=timedelta(0))
    return message.emails.get()


def make_webhook(*, url: str = "http://127.0.0.1:9/", **binding: Any) -> Webhook:
    """Bound to what is given. Loopback has to be allowed: the fixture `loopback_allowed`."""
    webhook, _ = webhooks.create_webhook(url=url, **(binding or {"mailbox": make_mailbox()}))
    return webhook


def make_delivery(webhook: Webhook, *, content: bytes = b"{}", **fields: Any) -> Delivery:
    """Of an event of its own, due now; fields are the delivery's."""
    mailbox = webhook.mailbox or (webhook.alias.mailbox if webhook.alias else Mailbox.objects.all()[0])
    email = make_message(to=(mailbox.address,)).emails.get()
    event = Event.objects.create(type=Event.Type.EMAIL_RECEIVED, email=email, created_at=timezone.now())
    body = EventBody.objects.create(event=event, form=webhook.payload, body=content)
    values = {"state": Delivery.State.PENDING, "due_at": timezone.now()} | fields
    return Delivery.objects.create(event=event, webhook=webhook, body=body, **values)
