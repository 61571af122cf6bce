"""Which deliveries might go out now: the oldest of each webhook that may be sent to.

Asked webhook by webhook, not for the oldest of all: a webhook with a million deliveries waiting, or one that may get
nothing now, would stand before everybody else. What it costs grows with the number of webhooks that have something
waiting, of which at most MANY are looked at, and not with what waits for them.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from webhooks.health import Health
from webhooks.models import MAX_IN_FLIGHT, Delivery, OutgoingStop, Webhook
from webhooks.services.claimed import ALONE_FROM_LOSSES
from webhooks.services.queue.postgres import rows_of, uuids

MANY = 128  # webhooks with something waiting, looked at in one claim
ENOUGH = 512  # candidates; of so many, most are left for the next claim
TESTS_AT_ONCE = 10
FIRST = UUID(int=0)

Counted = Mapping[UUID, int]  # by webhook
NOTHING: Counted = {}

OPEN = Q(state=Delivery.State.PENDING, lease_id=None)


class Candidate(NamedTuple):
    """A due delivery, what is known of its webhook, and the database's time."""

    id: UUID
    webhook_id: UUID
    is_test: bool
    attempts: int
    due_at: datetime
    size: int | None
    max_in_flight: int
    rate_per_minute: int | None
    tokens: float | None
    tokens_at: datetime | None
    open_until: datetime | None
    open_for_s: int
    cap: int | None
    in_flight: int  # of the webhook, for all dispatchers, without what has ended here
    now: datetime

    @property
    def health(self) -> Health:
        """As far as it matters for how much may begin."""
        return Health(open_until=self.open_until, open_for_s=self.open_for_s, cap=self.cap)


@dataclass(slots=True)
class Rotation:
    """What one look tells the next.

    after: where it begins, when there are more webhooks with something waiting than one look takes. each: how many of
    every webhook's oldest it asks for. Many webhooks with much waiting would make one look long, and most of what it
    finds is not needed; few need all that they may have.
    """

    after: UUID = FIRST
    each: int = MAX_IN_FLIGHT

    @property
    def is_complete(self) -> bool:
        """Whether the last look reached the end."""
        return self.after == FIRST

    def learn(self, found: list[Candidate], *, last: UUID) -> None:
        self.after = last
        if len(found) >= ENOUGH:
            self.each = max(1, self.each // 2)
        elif 2 * len(found) <= ENOUGH:
            self.each = min(MAX_IN_FLIGHT, 2 * self.each)


def candidates(rotation: Rotation, *, ended: Counted = NOTHING) -> list[Candidate]:
    """Due deliveries: of every webhook as many as it may have, up to rotation.each, its oldest; and tests, which a
    pause does not stop.

    ended: how many attempts of a webhook have ended here and are not written down yet. They are still ours, and in
    flight no longer.
    """
    find = _on_postgres if connection.vendor == "postgresql" else one_by_one
    found, last = find(rotation.after, each=rotation.each, ended=ended)
    rotation.learn(found, last=last)
    return found


def in_flight_per_webhook(webhooks: list[UUID] | None = None) -> dict[UUID, int]:
    """Attempts under way in all dispatchers."""
    leased = Delivery.objects.filter(lease_id__isnull=False)
    if webhooks is not None:
        leased = leased.filter(webhook__in=webhooks)
    return dict(leased.order_by().values("webhook_id").annotate(n=Count("pk")).values_list("webhook_id", "n"))


SIZE = "(SELECT size FROM webhooks_eventbody WHERE id = d.body_id)"
IN_FLIGHT = "COALESCE((SELECT n FROM busy WHERE webhook_id = w.id), 0)"

# `waiting` goes from each webhook with something waiting straight to the next: an index scan that skips. What is asked
# of single rows is asked in subqueries: as joins, in whichever order, they would be planned longer than they take.
STATEMENT = f"""
WITH RECURSIVE waiting(id, n) AS (
    (SELECT webhook_id, 1 FROM webhooks_delivery
      WHERE state = 'pending' AND lease_id IS NULL AND webhook_id > %(after)s ORDER BY webhook_id LIMIT 1)
  UNION ALL
    SELECT (SELECT d.webhook_id FROM webhooks_delivery d
             WHERE d.state = 'pending' AND d.lease_id IS NULL AND d.webhook_id > waiting.id
             ORDER BY d.webhook_id LIMIT 1), n + 1
      FROM waiting WHERE waiting.id IS NOT NULL AND n < %(many)s
), busy AS MATERIALIZED (
    SELECT webhook_id, sum(n) AS n
      FROM (SELECT webhook_id, 1 AS n FROM webhooks_delivery WHERE lease_id IS NOT NULL
            UNION ALL
            SELECT unnest(%(ended)s::uuid[]), -1) AS leased
     GROUP BY webhook_id
), sending AS MATERIALIZED (
    SELECT w.id, w.max_in_flight, w.rate_per_minute, h.tokens, h.tokens_at, h.open_until, h.open_for_s, h.cap,
           {IN_FLIGHT} AS in_flight
      FROM waiting
      JOIN webhooks_webhook w ON w.id = waiting.id
      JOIN webhooks_webhookhealth h ON h.webhook_id = waiting.id
     WHERE w.state = 'active' AND w.url <> '' AND w.deleted_at IS NULL
       AND (h.open_until IS NULL OR h.open_until <= statement_timestamp())
       AND (SELECT deleted_at FROM mailboxes_mailbox WHERE id = w.mailbox_id) IS NULL
       AND (SELECT deleted_at FROM mailboxes_domain WHERE id = w.domain_id) IS NULL
       AND (SELECT deleted_at IS NULL AND mailbox_id = w.bound_mailbox_id
              FROM mailboxes_alias WHERE id = w.alias_id) IS NOT FALSE
       AND NOT EXISTS (SELECT 1 FROM webhooks_outgoingstop)
)
(SELECT d.id, w.id, false, d.attempts, d.due_at, {SIZE}, w.max_in_flight, w.rate_per_minute, w.tokens, w.tokens_at,
        w.open_until, w.open_for_s, w.cap, w.in_flight, statement_timestamp(), 0, NULL::uuid
   FROM sending w
  CROSS JOIN LATERAL (
        SELECT id, attempts, due_at, body_id, row_number() OVER (ORDER BY due_at) AS nth
          FROM webhooks_delivery
         WHERE webhook_id = w.id AND state = 'pending' AND lease_id IS NULL AND due_at <= statement_timestamp()
           AND lease_losses < {ALONE_FROM_LOSSES} AND NOT is_test
         ORDER BY due_at LIMIT %(each)s) d
  WHERE d.nth + w.in_flight <= w.max_in_flight
  ORDER BY d.nth + w.in_flight, d.due_at LIMIT {ENOUGH})
UNION ALL
(SELECT d.id, w.id, true, d.attempts, d.due_at, {SIZE}, w.max_in_flight, w.rate_per_minute, h.tokens, h.tokens_at,
        h.open_until, h.open_for_s, h.cap, {IN_FLIGHT}, statement_timestamp(), 0, NULL::uuid
   FROM webhooks_delivery d
   JOIN webhooks_webhook w ON w.id = d.webhook_id
   JOIN webhooks_webhookhealth h ON h.webhook_id = d.webhook_id
  WHERE d.is_test AND d.state = 'pending' AND d.lease_id IS NULL AND d.due_at <= statement_timestamp()
    AND d.lease_losses < {ALONE_FROM_LOSSES} AND w.url <> '' AND w.deleted_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM webhooks_outgoingstop)
  LIMIT {TESTS_AT_ONCE})
UNION ALL
(SELECT {", ".join(["NULL"] * len(Candidate._fields))}, count(id),
        (SELECT id FROM waiting WHERE id IS NOT NULL ORDER BY n DESC LIMIT 1)
   FROM waiting)
"""  # noqa: S608 - made of constants of ours


def _on_postgres(after: UUID, *, each: int, ended: Counted = NOTHING) -> tuple[list[Candidate], UUID]:
    values = {"after": after, "many": MANY, "each": each, "ended": uuids(Counter(ended).elements())}
    rows = rows_of(STATEMENT, values)
    width = len(Candidate._fields)
    *found, (looked_at, last) = (row if row[0] is not None else row[width:] for row in rows)
    return [Candidate(*row[:width]) for row in found], last if looked_at == MANY else FIRST


def one_by_one(after: UUID, *, each: int = MAX_IN_FLIGHT, ended: Counted = NOTHING) -> tuple[list[Candidate], UUID]:
    """The same, in many small statements: for SQLite, which has no LATERAL, and where they cost next to nothing."""
    if OutgoingStop.objects.exists():
        return [], FIRST
    waiting: list[UUID] = []
    last = after
    while len(waiting) < MANY:
        beyond = Delivery.objects.filter(OPEN, webhook__gt=last).order_by("webhook_id")
        found = beyond.values_list("webhook_id", flat=True).first()
        if found is None:
            break
        waiting.append(last := found)
    sending = Webhook.objects.sending().filter(Q(health__open_until=None) | Q(health__open_until__lte=Now()))
    rows: list[Candidate] = []
    busy = Counter(in_flight_per_webhook())
    busy.subtract(ended)
    for webhook, at_most in sending.filter(pk__in=waiting).values_list("pk", "max_in_flight"):
        heads = _due().filter(webhook=webhook, is_test=False).order_by("due_at")
        rows += _rows(heads[: max(0, min(each, at_most - busy[webhook]))], busy)
    tests = _due().filter(is_test=True, webhook__deleted_at=None).exclude(webhook__url="")
    rows += _rows(tests[:TESTS_AT_ONCE], busy)
    return rows, last if len(waiting) == MANY else FIRST


def _due() -> QuerySet[Delivery]:
    return Delivery.objects.filter(
        OPEN, due_at__lte=Now(), lease_losses__lt=ALONE_FROM_LOSSES, webhook__health__isnull=False
    )


def _rows(deliveries: QuerySet[Delivery], busy: Mapping[UUID, int]) -> list[Candidate]:
    values = deliveries.annotate(at=Now()).values_list(
        "pk",
        "webhook_id",
        "is_test",
        "attempts",
        "due_at",
        "body__size",
        "webhook__max_in_flight",
        "webhook__rate_per_minute",
        "webhook__health__tokens",
        "webhook__health__tokens_at",
        "webhook__health__open_until",
        "webhook__health__open_for_s",
        "webhook__health__cap",
        "at",
    )
    return [Candidate(*row[:-1], busy.get(row[1], 0), row[-1]) for row in values]
