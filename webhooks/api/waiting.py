"""When a delivery goes out, and what keeps it back: more than its row alone knows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Exists, QuerySet
from django.utils import timezone

from webhooks import health
from webhooks.models import STOPPED, Delivery, OutgoingStop, Webhook, WebhookHealth

UNDER_WAY = "an attempt is under way"
CIRCUIT = "so much failed at this receiver that nothing is sent to it for a while"
RATE = "the webhook's limit of {} requests a minute keeps it back"


@dataclass(frozen=True, slots=True)
class Expected:
    at: datetime | None  # not before; None: nobody knows, or never again
    reason: str


def with_what_keeps_back(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """With all that `expected` looks at, in the same query."""
    stopped = Exists(OutgoingStop.objects.all())
    return rows.select_related("event", "webhook__alias", "webhook__health").annotate(is_outgoing_stopped=stopped)


def expected(delivery: Delivery, *, now: datetime | None = None) -> Expected:
    """When the next attempt is made at the earliest, and why not sooner."""
    if delivery.state != Delivery.State.PENDING:
        return Expected(None, delivery.reason)
    if delivery.lease_id is not None:
        return Expected(delivery.due_at, _joined(delivery.reason, UNDER_WAY))
    at, keeps_back = _kept_back(delivery, now or timezone.now())
    return Expected(at, _joined(delivery.reason, keeps_back))


def kept_back(delivery: Delivery, *, now: datetime | None = None) -> str:
    """What keeps back one that waits for its next attempt, beside its due time; empty if nothing does."""
    if delivery.state != Delivery.State.PENDING or delivery.lease_id is not None:
        return ""
    return _kept_back(delivery, now or timezone.now())[1]


def _kept_back(delivery: Delivery, now: datetime) -> tuple[datetime | None, str]:
    if _is_stopped(delivery):
        return None, STOPPED
    if delivery.is_test:
        return delivery.due_at, ""
    if (state := delivery.webhook.current_state) != Webhook.State.ACTIVE:  # it is held within a moment
        return None, f"the webhook is {state}"
    return _kept_back_by_health(delivery, now)


def _kept_back_by_health(delivery: Delivery, now: datetime) -> tuple[datetime, str]:
    try:
        row: WebhookHealth = delivery.webhook.health
    except ObjectDoesNotExist:  # made a moment ago, or by an older release
        return delivery.due_at, ""
    at, keeps_back = delivery.due_at, ""
    if row.open_until is not None and row.open_until > max(at, now):
        at, keeps_back = row.open_until, CIRCUIT
    if rate := delivery.webhook.rate_per_minute:
        missing = 1 - health.tokens(row.tokens, since=row.tokens_at, now=now, per_minute=rate)
        if missing > 0 and (free_at := now + timedelta(minutes=missing / rate)) > at:
            at, keeps_back = free_at, RATE.format(rate)
    return at, keeps_back


def _is_stopped(delivery: Delivery) -> bool:
    known: bool | None = getattr(delivery, "is_outgoing_stopped", None)
    return OutgoingStop.objects.exists() if known is None else known


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))
