"""The console as a browser without scripts sees it: forms are opened, filled in and sent."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

from django.test import Client
from django.utils import timezone

from webhooks.models import Delivery, Event, EventBody, ReplayJob, Webhook
from webhooks.services import webhooks

LIST, ADD = "/admin/webhooks/webhook/", "/admin/webhooks/webhook/add/"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
URL = "http://127.0.0.1:9/hook"
VERBS = ("pause", "resume", "rotate", "delete")
DAY_S = "86400"


def page(webhook: Webhook, what: str = "change") -> str:
    return f"{LIST}{webhook.pk}/{what}/"


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    return text


def token_on(client: Client, url: str) -> str:
    """Of the page's own form; buttons beside it have others."""
    return token_in(client.get(url))


def token_in(response: Any, *, within: str = 'class="wh-form"') -> str:
    found = re.search(rf'{within}.*?name="form_token" value="([^"]+)"', text_of(response), re.DOTALL)
    assert found, text_of(response)
    return found[1]


def send(client: Client, where: str, **fields: Any) -> Any:
    """Opens the form and sends it."""
    return client.post(where, {"form_token": token_on(client, where), **fields})


def new_values(binding: Any, **other: Any) -> dict[str, Any]:
    values = {"payload": "full", "attachments": "links", "events": ["email.received"], "max_in_flight": "20"}
    return {"binding": binding.public_id, "url": URL, **values, **other}


def values_of(webhook: Webhook, **other: Any) -> dict[str, Any]:
    """What its page would send if only that were changed."""
    names = ("url", "payload", "attachments", "events", "max_in_flight", "description")
    now = {name: getattr(webhook, name) for name in names}
    now |= {"headers": "\r\n".join(f"{name}: ***" for name in webhook.header_names)}
    now |= {"rate_per_minute": webhook.rate_per_minute or ""}
    return now | {f"initial-{name}": value for name, value in now.items()} | other


def as_rendered(response: Any, **typed: Any) -> dict[str, Any]:
    """What a browser would send of the form on that page, after somebody typed."""
    form, seen = response.context["form"], dict[str, Any]()
    for name in (form[name].html_initial_name for name in form.fields):
        tags = re.findall(rf'<input[^>]* name="{name}"[^>]*>', text_of(response))
        assert tags, name
        values = [unescape(found[1]) if (found := re.search(r' value="([^"]*)"', tag)) else "" for tag in tags]
        seen[name] = values if name == "initial-events" else values[0]
    now = {name: form[name].value() for name in form.fields}
    shown = {name: value if isinstance(value, list) else str(value or "") for name, value in now.items()}
    return {"form_token": token_in(response), **seen, **shown, **typed}


def secret_in(response: Any) -> str:
    found = set(SECRET.findall(text_of(response)))
    assert len(found) == 1, text_of(response)
    return found.pop()


def now(webhook: Webhook) -> Webhook:
    return Webhook.objects.select_related("alias").get(pk=webhook.pk)


def secrets_now(webhook: Webhook) -> list[str]:
    return webhooks.secrets_of(now(webhook), now=timezone.now())


def make_job(webhook: Webhook, **fields: Any) -> ReplayJob:
    """Of the last day, under way."""
    at = timezone.now()
    span = {"since": at - timedelta(days=1), "until": at, "of_state": "failed", "rate_per_minute": 600, "due_at": at}
    return ReplayJob.objects.create(webhook=webhook, **{"total": 0, "created_by": "grace", **span, **fields})


def make_event_about(webhook: Webhook, event_type: str, **fields: Any) -> Delivery:
    """A delivery to it of an event that is about no email."""
    event = Event.objects.create(type=event_type, webhook=webhook, created_at=timezone.now())
    body = EventBody.objects.create(event=event, form="full", body=b"{}")
    values = {"state": Delivery.State.PENDING, "due_at": timezone.now(), "body": body} | fields
    return Delivery.objects.create(event=event, webhook=webhook, **values)
