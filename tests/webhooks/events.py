"""Events of mails, by the way that mail takes."""

import json
from typing import Any

from mailboxes import mime
from mailboxes.models import Email, Mailbox, Message
from mailboxes.services.opened import Opened, store
from tests.factories import RAW, make_mailbox, make_message, make_webhook
from webhooks.models import Event, EventBody, Webhook
from webhooks.services import bodies


def make_event(raw: bytes = RAW, *, mailbox: Mailbox | None = None, **message: Any) -> Event:
    """Of a mail that was parsed, stored and fanned out to one webhook of its mailbox."""
    mailbox = mailbox or make_mailbox()
    if not Webhook.objects.filter(mailbox=mailbox).exists():
        make_webhook(mailbox=mailbox)
    return process_event(make_message(raw=raw, to=(mailbox.address,), **message), raw)


def process_event(message: Message, raw: bytes) -> Event:
    """What a worker does with a message that it has claimed."""
    assert store([Opened(message, mime.parse(raw), raw, Message.State.PROCESSED)], lease_id=None)
    return Event.objects.get(email__message=message)


def octets_of(event: Event, form: str = EventBody.Form.FULL) -> bytes:
    return bytes(bodies.body_of(Event.objects.get(pk=event.pk), form).body)


def data_of(event: Event, form: str = EventBody.Form.FULL) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(octets_of(event, form))["data"]
    return data


def email_of(event: Event) -> Email:
    return Email.objects.get(pk=event.email_id)
