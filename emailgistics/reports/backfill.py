"""Statistics of what happened before there were any: out of the mail and the deliveries that are still there.

What was deleted since is missing, and of each email and each delivery only the last state is known. Calls of keys are
not counted afterwards.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from emailgistics.common.models import SeriesSum
from emailgistics.common.series import EVERYTHING, HOWEVER, Counts, Kind, begins, delivered_within, quarter_of
from mailboxes.models import Email, Recipient
from mailboxes.services import counted
from webhooks.models import Delivery
from webhooks.services import counted as deliveries_counted

AT_ONCE = 2000

State = Delivery.State
Row = TypeVar("Row", bound=Model)


@transaction.atomic
def backfill() -> int:
    """Counts what happened before the first quarter of an hour in which anything is counted; returns how many emails.

    All of it or nothing; twice is as good as once. With the embedded database, mail has to wait until it is done.
    """
    counted.fold()
    before = _first_counted()
    emails = Email.objects.filter(received_at__lt=before).select_related("message").order_by("pk")
    deliveries = Delivery.objects.filter(is_test=False, event__email__received_at__lt=before)
    found = 0
    for some in _chunks(emails):
        counts, aliases = _Before(before), _aliases({email.pk for email in some})
        for email in some:
            _count_email(counts, email, aliases.get(email.pk, set()))
        counts.write()
        found += len(some)
    for chunk in _chunks(deliveries.select_related("webhook__alias", "event__email").order_by("pk")):
        counts, aliases = _Before(before), _aliases({one.event.email_id for one in chunk if one.event.email_id})
        for delivery in chunk:
            _count_delivery(counts, delivery, aliases)
        counts.write()
    return found


class _Before(Counts):
    """Of what was later, somebody has taken account already."""

    def __init__(self, before: datetime) -> None:
        super().__init__()
        self.before = before

    def note(self, kind: int, email: Email, aliases: set[UUID], at: datetime | None, *, amount: int = 0) -> None:
        if at is not None and at < self.before:
            self.add(kind, subject=email.mailbox_id, parts=aliases, at=at, amount=amount)

    def note_delivery(self, kind: int, of: Delivery, aliases: set[UUID], at: datetime | None, times: int = 1) -> None:
        if at is not None and at < self.before and of.event.email is not None:
            deliveries_counted.add(self, kind, of.webhook, of.event.email, aliases, at=at, times=times)


def _first_counted() -> datetime:
    sums = SeriesSum.objects.filter(subject=EVERYTHING, part=HOWEVER, span=1).order_by("start")
    first = sums.values_list("start", flat=True).first()
    return begins(quarter_of(timezone.now()) if first is None else first)


def _chunks(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    remaining = rows.iterator(chunk_size=AT_ONCE)
    while some := list(islice(remaining, AT_ONCE)):
        yield some


def _aliases(emails: set[UUID]) -> dict[UUID, set[UUID]]:
    return counted.aliases_of(Recipient.objects.filter(email__in=emails, alias__isnull=False))


def _count_email(counts: _Before, email: Email, aliases: set[UUID]) -> None:
    counts.note(Kind.RECEIVED, email, aliases, email.received_at, amount=email.size)
    if kind := counted.BECAME.get(email.status):
        counts.note(kind, email, aliases, email.released_at or email.message.processed_at)


def _count_delivery(counts: _Before, delivery: Delivery, aliases_of: dict[UUID, set[UUID]]) -> None:
    email, at = delivery.event.email, delivery.last_attempt_at
    if email is None:
        return
    aliases, retries = aliases_of.get(email.pk, set()), delivery.failures
    if delivery.state == State.DELIVERED and delivery.delivered_at:
        took = delivery.delivered_at - (delivery.begun_at or delivery.created_at)
        counts.note_delivery(delivered_within(took), delivery, aliases, delivery.delivered_at)
    elif delivery.state == State.FAILED:
        counts.note_delivery(Kind.FAILED, delivery, aliases, at)
        retries -= 1  # the first attempt failed as well
    elif delivery.state == State.HELD:
        counts.note_delivery(Kind.HELD, delivery, aliases, delivery.created_at)
    if retries > 0:
        counts.note_delivery(Kind.RETRIES, delivery, aliases, at, retries)
    if delivery.failures:
        counts.note_delivery(Kind.FAILURES, delivery, aliases, at, delivery.failures)
