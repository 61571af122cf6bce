"""How the news of an email came on: for the log of emails, and for the page of one.

However many webhooks had news of a mail, its page shows LATEST of their deliveries, what needs somebody first, and
counts the others; of each delivery it shows its last attempts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, F, IntegerField, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.instants import instant
from emailgistics.common.roles import Action, may
from mailboxes.admin.fate import Sequel, Standing
from mailboxes.models import Email
from webhooks.admin import show
from webhooks.admin.bindings import is_gone
from webhooks.admin.deliveries import OPEN, RARELY_S, refresh_s
from webhooks.admin.history import SECRETS
from webhooks.admin.standings import Counts, counts_of
from webhooks.models import Attempt, Delivery, Event

LATEST = 25  # deliveries on a mail's page
ATTEMPTS = 3  # of each of these
MAX_EVENTS = 20
State = Delivery.State
STATE_NAMES: Mapping[str, Any] = {
    State.PENDING: gettext_lazy("pending"),
    State.HELD: gettext_lazy("held"),
    State.DELIVERED: gettext_lazy("delivered"),
    State.FAILED: gettext_lazy("failed"),
    State.CANCELED: gettext_lazy("canceled"),
    State.EXPIRED: gettext_lazy("expired"),
}
# what somebody may have to do something about stands first
URGENCY = Case(
    When(state=State.PENDING, failures__gt=0, then=Value(0)),
    When(state=State.FAILED, then=Value(1)),
    When(state=State.PENDING, then=Value(2)),
    When(state=State.HELD, then=Value(3)),
    When(state=State.EXPIRED, then=Value(4)),
    default=Value(5),
    output_field=IntegerField(),
)


class Deliveries:
    """See `mailboxes.admin.fate.Beyond`."""

    def standings(self, emails: Sequence[Email]) -> Mapping[UUID, Standing]:
        counts = counts_of([email.pk for email in emails])
        return {email.pk: counts.get(email.pk, Counts()).standing for email in emails}

    def sequel(self, request: HttpRequest, email: Email) -> Sequel:
        now = timezone.now()
        events = list(Event.objects.filter(email=email).order_by("pk")[:MAX_EVENTS])
        counts = counts_of([email.pk]).get(email.pk, Counts())
        deliveries = latest_of(events) if counts.total else []
        attempts = _last_attempts(deliveries)
        told = [
            _told(delivery, attempts[delivery.pk], now=now, may_replay=may(request, Action.REPLAY))
            for delivery in deliveries
        ]
        # any that waits may be one that is not among those shown
        rest = _rest_s(counts, deliveries)
        context = {
            "events": [(event, show.page_of(event), instant(event.created_at)) for event in events],
            "deliveries": told,
            "counts": counts,
            "more": max(0, counts.total - len(told)),
            "list_url": show.list_url(Delivery, q=email.public_id),
        }
        soon = [seconds for delivery in deliveries if (seconds := refresh_s(delivery, now=now))]
        return Sequel("webhooks/fate.html", context, min([*soon, *rest], default=0))


def latest_of(events: Sequence[Event]) -> list[Delivery]:
    rows: QuerySet[Delivery] = Delivery.objects.filter(event__in=events)
    related = rows.select_related("event", "webhook__alias", "webhook__mailbox", "webhook__domain")
    shown = show.with_what_delays(related.defer(*(f"webhook__{column}" for column in SECRETS)))
    return list(shown.order_by(URGENCY, "-pk")[:LATEST])


def _rest_s(counts: Counts, shown: Sequence[Delivery]) -> list[int]:
    waiting = sum(delivery.state == State.PENDING for delivery in shown)
    return [RARELY_S] if counts.pending > waiting else []


def _last_attempts(deliveries: Sequence[Delivery]) -> dict[UUID, list[Attempt]]:
    """Newest first."""
    found: dict[UUID, list[Attempt]] = defaultdict(list)
    rows = Attempt.objects.filter(delivery__in=deliveries, n__gt=F("delivery__attempts") - ATTEMPTS)
    for attempt in rows.defer("response_headers", "response_excerpt").order_by("-n"):
        found[attempt.delivery_id].append(attempt)
    return found


def _told(delivery: Delivery, attempts: Sequence[Attempt], *, now: datetime, may_replay: bool) -> dict[str, Any]:
    when, why = show.next_attempt(delivery, now=now)
    return {
        "delivery": delivery,
        "url": show.page_of(delivery),
        "webhook": show.endpoint(delivery.webhook),
        "webhook_url": show.page_of(delivery.webhook),
        "event_type": delivery.event.type,
        "state": STATE_NAMES[delivery.state],
        "colour": show.DELIVERY_COLOURS[delivery.state],
        "at": instant(delivery.delivered_at or delivery.last_attempt_at or delivery.created_at),
        "next": when if delivery.state in OPEN else "",
        "why": why or delivery.reason,
        "earlier": max(0, delivery.attempts - ATTEMPTS),
        "may_replay": may_replay and delivery.state not in OPEN and not is_gone(delivery.webhook),
        "attempts": [
            {
                "n": attempt.n,
                "url": show.page_of(attempt),
                "started": instant(attempt.started_at),
                "answer": show.answer(attempt.status, attempt.error),
                "took": None if attempt.total_ms is None else _("%(count)s ms") % {"count": f"{attempt.total_ms:,}"},
                "detail": attempt.detail,
            }
            for attempt in attempts
        ],
    }
