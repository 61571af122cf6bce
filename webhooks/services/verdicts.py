"""What a batch of results says about the webhooks themselves: their health, and what their owners should hear."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from webhooks import health
from webhooks.health import Health, Outcome
from webhooks.models import WebhookHealth
from webhooks.services import announce

MANY_WEBHOOKS = 10_000  # remembered at once


class Successes:
    """Of webhooks of which nothing is known, as this process saw them: their rows are not written for successes.

    Kept for the circuit breaker, to which a few failures among thousands of successes are few.
    """

    def __init__(self) -> None:
        self._known: dict[UUID, Health] = {}

    def add(self, webhook_id: UUID, count: int) -> None:
        if len(self._known) >= MANY_WEBHOOKS:
            self._known.clear()
        known = self._known.get(webhook_id, health.SPOTLESS)
        self._known[webhook_id] = health.counted(known, results=count, failures=0, now=timezone.now())

    def of(self, webhook_id: UUID) -> Health:
        """They are counted in the webhook's row from now on."""
        return self._known.pop(webhook_id, health.SPOTLESS)


def judge(webhook_id: UUID, outcomes: Sequence[Outcome], *, at_most: int, remembered: Health = health.SPOTLESS) -> None:
    """Adds these results, in order, to the health of a webhook; in the caller's transaction.

    The row stays locked until its end: two dispatchers that judge one webhook do it one after the other. Whoever
    judges several goes by their ids.
    """
    for row in _locked([webhook_id]):
        known = health.with_successes(row.known, remembered)
        now: datetime = row.at  # type: ignore[attr-defined]  # annotated in _locked
        for outcome in outcomes:
            known, news = health.after(known, outcome, now=now, at_most=at_most)
            for one in news:
                announce.tell(webhook_id, one, health=known)
        write(row, known)


def write(row: WebhookHealth, known: Health) -> None:
    if known != row.known:
        WebhookHealth.objects.filter(pk=row.pk).update(**asdict(known))


@transaction.atomic
def start_slowly(webhook_id: UUID) -> None:
    """For a webhook that is on again: what was wrong with it before is forgotten."""
    for row in _locked([webhook_id]):
        write(row, health.AFTER_A_PAUSE)


def _locked(webhooks: Iterable[UUID]) -> list[WebhookHealth]:
    """In one order, so that nobody waits for us while we wait for him; before webhooks themselves, as everywhere."""
    rows = WebhookHealth.objects.filter(webhook__in=list(webhooks)).order_by("webhook_id").annotate(at=Now())
    return list(rows.select_for_update(of=("self",)))
