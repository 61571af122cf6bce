"""What is no longer kept: records of attempts, notices, octets of events whose deliveries have ended, what waited long.

Little by little, from the oldest on, in transactions of their own: it runs beside the sending. What is still to be sent
is never pruned; it expires first, and its owner hears of that a week before.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks.models import Attempt, Delivery, EventBody, Notice, Webhook, why_mailbox_gone
from webhooks.services import announce
from webhooks.services.queue.upkeep import hold_what_waits_too_long

log = get_logger(__name__)

AT_ONCE = 500
ANNOUNCED_BEFORE = timedelta(days=7)
EXPIRED = "not delivered within the time that undelivered mail is kept for its webhook"

State = Delivery.State
UNFINISHED = Q(state__in=[State.PENDING, State.HELD])


def prune() -> int:
    """One slice of everything; returns how many rows it was about. 0: nothing is left to do for now."""
    return sum(slice_of() for slice_of in SLICES)


def _announce_expiry() -> int:
    """Once a week for each webhook, as long as something is about to expire."""
    soon = _waiting().filter(is_test=False, waits_since__lte=_ago(_held_for() - ANNOUNCED_BEFORE))
    said = Notice.objects.filter(
        webhook=OuterRef("webhook"), kind=Notice.Kind.EXPIRING, at__gte=Now() - ANNOUNCED_BEFORE
    )
    oldest = soon.filter(~Exists(said)).order_by().values("webhook").annotate(first=Min("waits_since"))
    count = 0
    for row in oldest[:AT_ONCE]:
        until = max(row["first"] + _held_for(), timezone.now() + ANNOUNCED_BEFORE)
        text = (
            f"It has not taken mail since {row['first']:%Y-%m-%d %H:%M} UTC. That is kept until {until:%Y-%m-%d %H:%M} "
            "UTC: resume the webhook, repair its receiver, or pull."
        )
        announce.notify(row["webhook"], Notice.Kind.EXPIRING, text)
        log.warning("webhook.mail_expires", webhook=encode_id(Webhook.ID_PREFIX, row["webhook"]), at=until.isoformat())
        count += 1
    return count


def _expire() -> int:
    """Only what was announced a week ago, since it came."""
    announced = Notice.objects.filter(
        webhook=OuterRef("webhook"),
        kind=Notice.Kind.EXPIRING,
        at__gte=OuterRef("waits_since"),
        at__lte=Now() - ANNOUNCED_BEFORE,
    )
    rows = _waiting().filter(lease_id=None, waits_since__lte=_ago(_held_for()))
    rows = rows.filter(Q(is_test=True) | Exists(announced))
    if not rows.exists():  # a plain read: no write lock on SQLite while nothing is to do
        return 0
    with transaction.atomic():
        locked = rows.order_by("id").select_for_update(skip_locked=True, of=("self",))
        ids = list(locked.values_list("pk", flat=True)[:AT_ONCE])
        Delivery.objects.filter(pk__in=ids).update(state=State.EXPIRED, reason=EXPIRED)
    log.warning("delivery.expired", count=len(ids))
    return len(ids)


def _cancel_for_deleted_mailboxes() -> int:
    """Mail of a deleted mailbox is nobody's: claims refuse it at once, and what is held or due later ends here."""
    open_ones = Delivery.objects.filter(UNFINISHED, lease_id=None, event__email__mailbox__deleted_at__isnull=False)
    if not open_ones.exists():
        return 0
    with transaction.atomic():
        locked = open_ones.order_by("id").select_for_update(skip_locked=True, of=("self",))
        found = list(locked.values_list("pk", "event__email__mailbox__deleted_by")[:AT_ONCE])
        for by in {by for _, by in found}:
            rows = Delivery.objects.filter(pk__in=[pk for pk, of in found if of == by])
            rows.update(state=State.CANCELED, reason=why_mailbox_gone(by))
    return len(found)


def _prune_attempts() -> int:
    """By id, which is their order in time: no index more for it."""
    limit = _ago(timedelta(days=settings.WEBHOOK_LOG_DAYS))
    oldest = Attempt.objects.order_by("id").values_list("pk", "started_at")[:AT_ONCE]
    ids = [pk for pk, started_at in oldest if started_at < limit]
    if not ids:
        return 0
    with transaction.atomic():
        # those of a mail that is being erased are left to whoever does that: he deletes them in another order
        free = Attempt.objects.filter(pk__in=ids).select_for_update(skip_locked=True)
        return Attempt.objects.filter(pk__in=list(free.values_list("pk", flat=True))).delete()[0]


def _prune_notices() -> int:
    """By id as well."""
    limit = _ago(timedelta(days=settings.WEBHOOK_HELD_DAYS))
    oldest = Notice.objects.order_by("id").values_list("pk", "at")[:AT_ONCE]
    ids = [pk for pk, at in oldest if at < limit]
    return Notice.objects.filter(pk__in=ids).delete()[0] if ids else 0


def _prune_bodies() -> int:
    """A replay of one that is gone renders it again from the email, as long as that is kept."""
    limit = _ago(timedelta(days=settings.WEBHOOK_BODY_DAYS))
    of_body = Delivery.objects.filter(body=OuterRef("pk"))
    needed = of_body.filter(UNFINISHED | Q(last_attempt_at__gt=limit))
    old = EventBody.objects.filter(~Exists(needed), event__created_at__lt=limit).order_by("id")
    if not old.exists():
        return 0
    with transaction.atomic():
        ids = list(old.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:AT_ONCE])
        rows = Delivery.objects.filter(body__in=ids).order_by("pk")
        # asked again, and locked: one that somebody has locked may be about to begin again
        locked = rows.filter(~UNFINISHED).select_for_update(skip_locked=True, of=("self",), no_key=True)
        free = set(locked.values_list("pk", flat=True))
        needed_again = {body for pk, body in rows.values_list("pk", "body_id") if pk not in free}
        ended = [pk for pk in ids if pk not in needed_again]
        Delivery.objects.filter(body__in=ended).update(body=None)
        EventBody.objects.filter(pk__in=ended).only("pk").delete()  # without reading the octets first
    return len(ended)


def _waiting() -> Any:  # a QuerySet[Delivery], and what is annotated
    """What has not ended, with when it began to wait: a replay begins anew."""
    return Delivery.objects.filter(UNFINISHED).annotate(waits_since=Coalesce("begun_at", "created_at"))


def _held_for() -> timedelta:
    return timedelta(days=settings.WEBHOOK_HELD_DAYS)


def _ago(span: timedelta) -> datetime:
    return timezone.now() - span


SLICES: tuple[Callable[[], int], ...] = (
    hold_what_waits_too_long,
    _cancel_for_deleted_mailboxes,
    _announce_expiry,
    _expire,
    _prune_attempts,
    _prune_notices,  # after _expire, which asks them
    _prune_bodies,
)
