"""Retention of mail: what the clocks of its mailbox have come to the end of goes, with what was told of it.

In batches, each a transaction in which it is also written down how far its clock has come: whatever ends a process, the
next one goes on there. Several may work at once, each on a clock of its own, and nobody waits for a lock of another.

Nothing goes of an email that waits, is in quarantine, or has a delivery that is pending, held or to be replayed by a
job. It is looked at again, a day later. One that was sent again, or late, when a clock had ended already is kept for
LINK_TTL from then on: so long the links in what was sent have to open something.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from emailgistics.common.logs import get_logger
from mailboxes.models import Email
from mailboxes.retention import WIDEST_FIRST, Kind
from mailboxes.services import retain
from webhooks.models import Attempt, Delivery, Event, EventBody, ReplayJob
from webhooks.services import counted
from webhooks.services.replay import ENDED

log = get_logger(__name__)

AT_ONCE = 100  # emails of a transaction: a tenth of a second, for which SQLite lets nobody else write
LOOK_EVERY = timedelta(milliseconds=50)
NEVER = datetime(2000, 1, 1, tzinfo=UTC)  # nothing was sent before
SLICE = timedelta(milliseconds=200)  # of each second, in the thread that claims and records


@dataclass(slots=True)
class Pruned:
    """How many emails lost their raw, or with it what they say, or went altogether."""

    raws: int = 0
    contents: int = 0
    emails: int = 0
    batches_s: list[float] = field(default_factory=list)  # how long each transaction took

    @property
    def total(self) -> int:
        return self.raws + self.contents + self.emails


def prune_mail(
    *, for_at_most: timedelta | None = SLICE, sets_clocks: bool = True, now: datetime | None = None
) -> tuple[Pruned, bool]:
    """What went, and whether that was all for now. At least one batch, if something is due; without a limit, all.

    sets_clocks: whether every mailbox is looked at first, which takes its time where there are very many.
    """
    now = now or timezone.now()
    until = time.monotonic() + for_at_most.total_seconds() if for_at_most is not None else None
    done, is_all = Pruned(), True
    if sets_clocks:
        retain.set_clocks(now=now)
    for take in (_postponed_batch, partial(_next_batch, is_patient=until is None)):
        while take(done, now):
            if until is not None and time.monotonic() > until:
                is_all = False
                break
    if done.total:
        log.info("mail.pruned", raws=done.raws, contents=done.contents, emails=done.emails)
    return done, is_all


def _postponed_batch(done: Pruned, now: datetime) -> bool:
    if not retain.is_one_postponed(now=now):  # a plain read: no write lock on SQLite while nothing is to do
        return False
    begun = time.monotonic()
    with transaction.atomic(durable=True):
        due = retain.take_postponed(AT_ONCE, now=now)
        if due is None:
            return False
        _prune(due.ids, done, now)
    done.batches_s.append(time.monotonic() - begun)
    return True


def _next_batch(done: Pruned, now: datetime, *, is_patient: bool) -> bool:
    """is_patient: what others work on is waited for, too, until they are done with it."""
    if not retain.is_a_clock_due(now=now):  # as above
        return False
    begun = time.monotonic()
    with transaction.atomic(durable=True):
        due = retain.take_next(AT_ONCE, now=now)
        if due is not None:
            _prune(due.ids, done, now)
    if due is None:
        time.sleep(LOOK_EVERY.total_seconds() if is_patient else 0)
        return is_patient
    if due.ids:
        done.batches_s.append(time.monotonic() - begun)
    return True


def _prune(ids: Collection[UUID], done: Pruned, now: datetime) -> None:
    held = retain.hold_free(ids)
    later = dict.fromkeys(retain.those_there(ids) - {email.pk for email in held}, now + retain.BUSY_FOR)
    uses, going = _uses(held), {kind: list[Email]() for kind in WIDEST_FIRST}
    for email in held:
        use = uses.get(email.pk, NO_USE)
        kind, ended_at = next(((kind, at) for kind, at in retain.ends(email) if at <= now), (None, now))
        if retain.is_still_at_work(email) or use.is_needed:
            later[email.pk] = now + retain.LOOK_AGAIN_AFTER
        elif kind is not None and (use.last_at <= ended_at or use.last_at + settings.LINK_TTL <= now):
            going[kind].append(email)
        elif kind is not None:
            later[email.pk] = use.last_at + settings.LINK_TTL
    _remove(going, done)
    retain.postpone(later)


def _remove(going: Mapping[Kind, Sequence[Email]], done: Pruned) -> None:
    """Each with all that is a part of it."""
    if raws := going[Kind.RAW]:
        retain.remove_raws(raws)
    if contents := going[Kind.CONTENT]:
        _remove_bodies(contents)
        retain.remove_contents(contents)
    if emails := going[Kind.LOG]:
        _remove_news(emails)
        retain.remove_emails(emails)
    done.raws += len(raws)
    done.contents += len(contents)
    done.emails += len(emails)


def _remove_bodies(emails: Sequence[Email]) -> None:
    """The octets that were sent, and those of answers, which may repeat them."""
    Delivery.objects.filter(event__email__in=emails, body__isnull=False).update(body=None)
    EventBody.objects.filter(event__email__in=emails).only("pk").delete()
    Attempt.objects.filter(delivery__event__email__in=emails).update(response_headers=b"", response_excerpt=b"")


def _remove_news(emails: Sequence[Email]) -> None:
    ids = list(Delivery.objects.filter(event__email__in=emails).values_list("pk", flat=True))
    counted.went(ids)
    Attempt.objects.filter(delivery__in=ids).delete()
    Delivery.objects.filter(pk__in=ids).only("pk").delete()
    EventBody.objects.filter(event__email__in=emails).only("pk").delete()  # without reading the octets first
    Event.objects.filter(email__in=emails).delete()


@dataclass(slots=True)
class _Use:
    """What an email was told of: whether something is still to be sent, and when something was sent last."""

    is_needed: bool = False
    last_at: datetime = NEVER


NO_USE = _Use()


def _uses(emails: Sequence[Email]) -> dict[UUID, _Use]:
    """By email. Deliveries that have ended are locked: nobody begins one of them again meanwhile."""
    rows = Delivery.objects.filter(event__email__in=emails).order_by("pk")
    ended = rows.filter(state__in=ENDED).select_for_update(of=("self",), skip_locked=True, no_key=True)
    locked = set(ended.values_list("pk", flat=True))
    jobs = ReplayJob.objects.filter(
        Q(last_delivery_id=None) | Q(last_delivery_id__lt=OuterRef("pk")),
        state=ReplayJob.State.RUNNING,
        webhook=OuterRef("webhook"),
        since__lte=OuterRef("created_at"),
        until__gt=OuterRef("created_at"),
    )
    found: dict[UUID, _Use] = {}
    for email_id, pk, is_asked_for, *times in rows.annotate(is_asked_for=Exists(jobs)).values_list(
        "event__email", "pk", "is_asked_for", "last_attempt_at", "begun_at", "delivered_at"
    ):
        use = found.setdefault(email_id, _Use())
        use.is_needed |= is_asked_for or pk not in locked
        use.last_at = max([use.last_at, *filter(None, times)])
    return found
