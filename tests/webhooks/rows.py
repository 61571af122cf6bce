"""Deliveries of mail in a certain mailbox, for what an alias that moves is about."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from mailboxes.models import Alias, Mailbox
from mailboxes.services import provision
from tests.factories import make_message
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.services import webhooks

URL = "http://127.0.0.1:9/hook"


def make_own_webhook(*, url: str = URL, headers: Mapping[str, str] | None = None, **how: Any) -> tuple[Webhook, str]:
    return webhooks.create_webhook(url=url, headers=headers, **how)


def make_delivery_in(mailbox: Mailbox, webhook: Webhook, *, content: bytes = b"{}", **fields: Any) -> Delivery:
    """Of an email in that mailbox, due now."""
    email = make_message(to=(mailbox.address,)).emails.get()
    event = Event.objects.create(type=Event.Type.EMAIL_RECEIVED, email=email, created_at=timezone.now())
    body = EventBody.objects.create(event=event, form=fields.pop("form", webhook.payload), body=content)
    values = {"state": Delivery.State.PENDING, "due_at": timezone.now()} | fields
    return Delivery.objects.create(event=event, webhook=webhook, body=body, **values)


def move(alias: Alias, mailbox: Mailbox) -> None:
    provision.update_alias(Alias.objects.get(pk=alias.pk), mailbox=mailbox)


def again(webhook: Webhook) -> Webhook:
    """As somebody reads it now."""
    return Webhook.objects.select_related("alias").get(pk=webhook.pk)


def states() -> dict[Any, str]:
    return dict(Delivery.objects.values_list("pk", "state"))
