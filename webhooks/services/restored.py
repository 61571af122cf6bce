"""After a restore: what was on its way when the backup was made may have been sent since, so nobody sends it unasked.

Sending stops before anything else. Then somebody says from when on the database is the one that counts (`resume`): what
is older and not done is held, what comes from then on flows, and what is held is released or dropped by hand.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import BigIntegerField, Count, F, Min, Q, QuerySet, Value
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import leases, watermark
from emailgistics.common.errors import ConflictError, OutOfRangeError
from emailgistics.common.logs import get_logger
from emailgistics.common.nudge import nudge
from emailgistics.common.series import Kind
from mailboxes.models import Message
from mailboxes.services import process as processing
from webhooks.models import BEFORE_RESTORE, Delivery, OutgoingStop, ReplayJob, Webhook
from webhooks.services import counted
from webhooks.services.fan_out import DISPATCH

log = get_logger(__name__)

AT_ONCE = 1000
POSITIONS_AHEAD = 2**32  # more than any webhook can have given, for pulling, since the backup
RESTORE = "restore"  # who stopped outgoing webhooks
WHY = "a backup was restored; what was on its way then may have been sent since"
SET_BACK = "the database is older than this installation remembers it: was a backup restored?"
DROPPED = "it was on its way when a restored backup was made, and was dropped by {}"

State = Delivery.State
OPEN = Q(state__in=[State.PENDING, State.HELD])


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is held of a webhook since a restore."""

    webhook_id: UUID
    count: int
    oldest_at: datetime


def stop_sending(reason: str = WHY) -> None:
    """Until `resume`. Replays that the backup had under way end: nobody asks for them now."""
    with transaction.atomic():
        values = {"stopped_at": timezone.now(), "stopped_by": RESTORE, "reason": reason, "is_restore": True}
        OutgoingStop.objects.update_or_create(pk=1, defaults={"is_restore": True}, create_defaults=values)
        running = ReplayJob.objects.filter(state=ReplayJob.State.RUNNING)
        running.update(state=ReplayJob.State.CANCELED, ended_at=Now())
    log.error("webhooks.stopped_by_restore", reason=reason)


def stop_if_set_back() -> None:
    """By whoever sends, before the first attempt and every minute: the net for a restore that nobody told us of."""
    if is_stopped():  # asked first: what was set back before somebody resumed this moment counts no longer
        return
    if watermark.is_set_back():
        stop_sending(SET_BACK)
    else:
        watermark.remember()


def is_stopped() -> bool:
    return OutgoingStop.objects.filter(is_restore=True).exists()


def resume(*, since: datetime, by: str) -> int:
    """From since on, which is when the restored database was taken into use, it is the one that counts.

    Opens what was accepted before and waits to be opened, holds what is older than since and not done, cancels tests
    among it, and lets attempts start again, unless somebody had stopped them besides. Returns how many are held by it.
    Twice is as good as once. Raises OutOfRangeError, and ConflictError while attempts or mail of before are under way.
    """
    if since > timezone.now():
        raise OutOfRangeError(
            "That is in the future; it is when the restored database was taken into use.", field="since"
        )
    stop_sending()
    _open_mail_of_before(since)
    if Delivery.objects.filter(lease_id__in=leases.alive().values("pk")).exists():
        raise ConflictError("Attempts are under way. They end within seconds: say it again then.")
    older = Q(event__email__received_at__lt=since) | Q(event__email=None, event__created_at__lt=since)
    rows = Delivery.objects.filter(OPEN, older).exclude(reason=BEFORE_RESTORE)
    _change(rows.filter(is_test=True), state=State.CANCELED, lease_id=None, reason=DROPPED.format(by))
    held = _change(
        rows.filter(is_test=False), state=State.HELD, lease_id=None, deferred_since=None, reason=BEFORE_RESTORE
    )
    _give_positions_anew()
    with transaction.atomic():
        watermark.begin_anew()
        OutgoingStop.objects.filter(stopped_by=RESTORE).delete()
        OutgoingStop.objects.update(is_restore=False)
        transaction.on_commit(lambda: nudge(DISPATCH), robust=True)
    log.warning("webhooks.resumed_after_restore", since=since.isoformat(), held=held, by=by)
    return held


def waiting() -> list[Waiting]:
    """Per webhook, the oldest first."""
    counts = held().order_by().values("webhook_id").annotate(count=Count("pk"), oldest_at=Min("created_at"))
    return [Waiting(**row) for row in counts.order_by("oldest_at")]


def held(webhook: Webhook | None = None) -> "QuerySet[Delivery]":
    rows = Delivery.objects.filter(state=State.HELD, reason=BEFORE_RESTORE)
    return rows if webhook is None else rows.filter(webhook=webhook)


def release(rows: "QuerySet[Delivery]") -> int:
    """Sends them after all, under the webhook-id that they have: those of a webhook that is off once it is on."""
    count = _change(rows, state=State.PENDING, reason="", begun_at=Now())
    nudge(DISPATCH)
    return count


def drop(rows: "QuerySet[Delivery]", *, by: str) -> int:
    """They end, on record as not sent; each can still be replayed."""
    return _change(rows, state=State.CANCELED, reason=DROPPED.format(by)[:200])


def _open_mail_of_before(since: datetime) -> None:
    """Its news is made now, while nothing is sent: so it is held with what had been made before the backup."""
    waits = Message.objects.filter(state=Message.State.WAITING, received_at__lt=since)
    while waits.exists() and processing.drain(linger=timedelta(0)):
        pass
    if count := waits.count():
        raise ConflictError(
            f"{count} mails of before wait to be opened; a worker is at it, or has to be started first."
        )


def _give_positions_anew() -> None:
    """Beyond all that were given since the backup: whoever pulls and goes on after the last one that he saw then would
    pass by what comes, and what is released. In this order: what is numbered meanwhile is beyond, and stays so.
    """
    # said to be a large one: bound as an ordinary integer, it would be cut to 32 bits without a word
    ahead = Value(POSITIONS_AHEAD, output_field=BigIntegerField())
    Webhook.objects.update(last_position=F("last_position") + ahead)
    _change(Delivery.objects.filter(OPEN, position__lte=F("webhook__last_position") - ahead), position=None)


def _change(rows: "QuerySet[Delivery]", **fate: Any) -> int:
    """Some at a time, each batch in a transaction of its own."""
    count = 0
    while ids := list(rows.order_by("id").values_list("pk", flat=True)[:AT_ONCE]):
        with transaction.atomic():
            locked = rows.filter(pk__in=ids).order_by("id").select_for_update(of=("self",))
            before = dict(locked.values_list("pk", "state"))
            if fate.get("state") == State.HELD:
                counted.count(Kind.HELD, [pk for pk, state in before.items() if state != State.HELD])
            count += Delivery.objects.filter(pk__in=before).update(**fate)
    return count
