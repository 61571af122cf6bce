"""What waits to be worked on, and since when: each from an index of what is unfinished."""

from datetime import datetime

from django.db.models import Min, OuterRef, Subquery
from django.db.models.functions import Now

from mailboxes.models import Message
from webhooks.models import Delivery, OutgoingStop, Webhook


def oldest_waiting_mail() -> datetime | None:
    """When the message came that has waited longest to be opened; one that workers were lost with counts, too."""
    waiting = Message.objects.filter(state=Message.State.WAITING)
    # by the order of the index: those that were lost are few
    fresh = waiting.filter(losses=0).order_by("id").values_list("received_at", flat=True).first()
    lost = waiting.filter(losses__gt=0).aggregate(since=Min("received_at"))["since"]
    return min(filter(None, (fresh, lost)), default=None)


def oldest_due_delivery() -> datetime | None:
    """Since when the delivery has been due that was due first, of those that may go out now.

    Not what a circuit breaker or a stop keeps back, and what nobody is to send: their webhooks are paused or pulled.
    Asked webhook by webhook: one with a million waiting behind an open circuit breaker does not stand before the rest.
    """
    if OutgoingStop.objects.exists():
        return None
    open_ones = Delivery.objects.filter(webhook=OuterRef("pk"), state=Delivery.State.PENDING, lease_id=None)
    first = Subquery(open_ones.order_by("due_at").values("due_at")[:1])
    webhooks = Webhook.objects.sending().exclude(health__open_until__gt=Now()).annotate(first=first)
    found: datetime | None = webhooks.filter(first__lte=Now()).aggregate(since=Min("first"))["since"]
    return found
