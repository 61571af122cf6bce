"""What is no longer kept: records of attempts, the octets of events whose deliveries have ended, what waited too long.

Little by little, from the oldest on, in transactions of their own: it runs beside the sending. What is still to be sent
is never pruned; it expires first, and its owner hears of that a week before.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks.models import Attempt, Delivery, EventBody, Notice, Webhook
from webhooks.services import announce

log = get_logger(__name__)

AT_ONCE = 500
ANNOUNCED_BEFORE = timedelta(days=7)
EXPIRED = "not delivered within the time that undelivered mail is kept for its webhook"

State = Delivery.State
OPEN_STATES = (State.PENDING, State.HELD)
UNFINISHED = Q(state__in=OPEN_STATES)


def prune() -> int:
    """One slice of everything; returns how many rows it was about. 0: nothing is left to do for now."""
    return sum(slice_of() for slice_of in SLICES)


def _announce_expiry() -> int:
    """Once a week for each webhook, as long as something is about to expire."""
    soon = Delivery.objects.filter(UNFINISHED, is_test=False, created_at__lte=_ago(_held_for() - ANNOUNCED_BEFORE))
    said = Notice.objects.filter(
        webhook=OuterRef("webhook"), kind=Notice.Kind.EXPIRING, at__gte=Now() - ANNOUNCED_BEFORE
    )
    oldest = soon.filter(~Exists(said)).order_by().values("webhook").annotate(first=Min("created_at"))
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
        at__gte=OuterRef("created_at"),
        at__lte=Now() - ANNOUNCED_BEFORE,
    )
    rows = Delivery.objects.filter(UNFINISHED, lease_id=None, created_at__lte=_ago(_held_for()))
    rows = rows.filter(Q(is_test=True) | Exists(announced))
    if not rows.exists():  # a plain read: no write lock on SQLite while nothing is to do
        return 0
    with transaction.atomic():
        locked = rows.order_by("id").select_for_update(skip_locked=True, of=("self",))
        ids = list(locked.values_list("pk", flat=True)[:AT_ONCE])
        Delivery.objects.filter(pk__in=ids).update(state=State.EXPIRED, reason=EXPIRED)
    log.warning("delivery.expired", count=len(ids))
    return len(ids)


def _prune_attempts() -> int:
    """By id, which is their order in time: no index more for it."""
    limit = _ago(timedelta(days=settings.WEBHOOK_LOG_DAYS))
    oldest = Attempt.objects.order_by("id").values_list("pk", "started_at")[:AT_ONCE]
    ids = [pk for pk, started_at in oldest if started_at < limit]
    return Attempt.objects.filter(pk__in=ids).delete()[0] if ids else 0


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
        rows = Delivery.objects.filter(body__in=ids).order_by("pk").select_for_update(of=("self",), no_key=True)
        # asked again now that they are locked: somebody may have replayed one meanwhile
        begun_again = {body for state, body in rows.values_list("state", "body_id") if state in OPEN_STATES}
        ended = [pk for pk in ids if pk not in begun_again]
        Delivery.objects.filter(body__in=ended).update(body=None)
        EventBody.objects.filter(pk__in=ended).delete()
    return len(ended)


def _held_for() -> timedelta:
    return timedelta(days=settings.WEBHOOK_HELD_DAYS)


def _ago(span: timedelta) -> datetime:
    return timezone.now() - span


SLICES: tuple[Callable[[], int], ...] = (_announce_expiry, _expire, _prune_attempts, _prune_bodies)
