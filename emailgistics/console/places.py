"""Addresses of the lists behind numbers, with exactly the rows that a number is of."""

from datetime import datetime
from urllib.parse import urlencode

from django.urls import reverse

from emailgistics.common.between import written
from webhooks.models import Delivery


def list_of(page: str, **filters: object) -> str:
    """Of the rows of a model, named with its app: `mailboxes_email`."""
    named = {name: value for name, value in filters.items() if value not in ("", None)}
    path = reverse(f"admin:{page}_changelist")
    return f"{path}?{urlencode(named)}" if named else path


def received(since: datetime, until: datetime, **of: object) -> str:
    """Emails that came in that time. of is `mailbox` or `domain`, an id."""
    return list_of("mailboxes_email", received=written(since, until), **of)


def delivered(since: datetime, until: datetime, **of: object) -> str:
    """Deliveries of mail that arrived in that time. of is `mailbox`, `domain` or `webhook`, an id."""
    state = Delivery.State.DELIVERED.value
    return list_of("webhooks_delivery", state__exact=state, delivered=written(since, until), about="mail", **of)


def failed(since: datetime, until: datetime, **of: object) -> str:
    """Deliveries of mail that were given up in that time, and still are."""
    state = Delivery.State.FAILED.value
    return list_of("webhooks_delivery", state__exact=state, last_attempt=written(since, until), about="mail", **of)
