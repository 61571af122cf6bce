"""Owning whatever is stuck: what a dead dispatcher held, what waits for a webhook that is off, or on again, or gone."""

from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks.models import CONFIRMED, MOVED, OTHER_MAILBOX, PULLED, Attempt, Delivery, Webhook, WebhookHealth
from webhooks.services.claimed import ALONE_FROM_LOSSES

log = get_logger(__name__)

SETTLE_AT_ONCE = 1000
# Twice beside others, who may have been at fault, and twice alone: it is this one that kills dispatchers.
QUARANTINED_FROM_LOSSES = ALONE_FROM_LOSSES + 2
KEPT_BACK_AT_MOST = timedelta(days=7)
LOOKED_AT_AGAIN_AFTER = timedelta(days=1)
NOTED_AFTER = timedelta(hours=1)

DELETED = "the webhook, or what it was bound to, was deleted"
OFF = "the webhook is off"
KEPT_BACK = f"kept back for {KEPT_BACK_AT_MOST.days} days; it is looked at again every day"
QUARANTINED = f"dispatchers were lost with it {QUARANTINED_FROM_LOSSES} times; replay it once the cause is known"

State = Delivery.State
AGAIN: dict[str, object] = {"state": State.PENDING, "reason": "", "deferred_since": None}


def take_over() -> int:
    """Frees what a dead dispatcher held: its attempt is written down as lost, and is due again at once.

    The retry schedule does not move: whether the receiver was at fault, nobody knows.
    """
    alive = leases.alive().filter(pk=OuterRef("lease_id"))
    orphans = Delivery.objects.filter(lease_id__isnull=False).filter(~Exists(alive))
    if not orphans.exists():
        leases.forget_expired()
        return 0
    with transaction.atomic():
        locked = list(orphans.select_for_update(skip_locked=True).values_list("pk", flat=True))
        # asked again now that they are locked: the first statement may not have seen the lease of a new holder
        lost = list(orphans.filter(pk__in=locked))
        now = timezone.now()
        Attempt.objects.bulk_create(
            (Attempt(delivery=delivery, n=delivery.attempts, started_at=now, error="lost") for delivery in lost),
            ignore_conflicts=True,
        )
        again = [delivery.pk for delivery in lost if delivery.lease_losses + 1 < QUARANTINED_FROM_LOSSES]
        Delivery.objects.filter(pk__in=again).update(lease_id=None, lease_losses=F("lease_losses") + 1)
        killers = [delivery for delivery in lost if delivery.lease_losses + 1 >= QUARANTINED_FROM_LOSSES]
        Delivery.objects.filter(pk__in=[delivery.pk for delivery in killers]).update(
            lease_id=None, state=State.FAILED, reason=QUARANTINED, last_status=None, last_error="quarantined"
        )
    leases.forget_expired()
    log.warning("delivery.taken_over", count=len(lost))
    for delivery in killers:
        log.error("delivery.quarantined", delivery=delivery.public_id)
    return len(lost)


def settle() -> None:
    """Brings waiting deliveries in line with their webhooks: off means held, on again means due, gone means canceled.

    It looks again and again, because a mail that is being processed while somebody pauses or resumes may store its
    delivery after any single UPDATE that the pausing made. A webhook is gone when it, or what it is bound to, was
    deleted; it is off as soon as its alias leads elsewhere. It also wipes what a rotation left, once that has ended.
    """
    _give_health()
    _pause_moved()
    _wipe_previous_secrets()
    gone, on = Webhook.objects.gone(), Webhook.objects.live().sending()
    pulled = Webhook.objects.live().filter(url="")
    off = Webhook.objects.live().exclude(pk__in=Webhook.objects.sending()).exclude(url="")
    _move(gone, [State.PENDING, State.HELD], state=State.CANCELED, reason=DELETED)
    _move(off, [State.PENDING], only=Q(is_test=False), state=State.HELD, reason=OFF)
    _move(pulled, [State.PENDING], state=State.HELD, reason=PULLED)
    # what was due long ago keeps its due time: the oldest go first
    _move(on, [State.HELD], only=CONFIRMED & (Q(due_at__lte=Now()) | ~Q(reason=KEPT_BACK)), **AGAIN)
    # what else is held was stopped by a webhook that was off; now something else keeps it back
    _move(on, [State.HELD], only=~CONFIRMED & ~Q(reason=OTHER_MAILBOX), reason=OTHER_MAILBOX)
    _hold_what_waits_too_long()


def _give_health() -> None:
    """To webhooks that the release before has made."""
    without = Webhook.objects.filter(health=None)
    if without.exists():
        rows = [WebhookHealth(webhook_id=pk) for pk in without.values_list("pk", flat=True)[:SETTLE_AT_ONCE]]
        WebhookHealth.objects.bulk_create(rows, ignore_conflicts=True)


def _hold_what_waits_too_long() -> None:
    """What a circuit, a rate limit or a fault of ours keeps back: held at last, so that people see it, not for ever."""
    waiting = Delivery.objects.filter(state=State.PENDING, lease_id=None, is_test=False)
    overdue = waiting.filter(due_at__lte=Now() - NOTED_AFTER, deferred_since=None)
    _change(overdue.order_by("due_at"), deferred_since=Now())
    too_long = waiting.filter(due_at__lte=Now() + NOTED_AFTER, deferred_since__lte=Now() - KEPT_BACK_AT_MOST)
    _change(
        too_long.order_by("due_at"),
        state=State.HELD,
        reason=KEPT_BACK,
        due_at=Now() + LOOKED_AT_AGAIN_AFTER,
        deferred_since=None,
    )


def _pause_moved() -> None:
    """Writes down what holds already (`Webhook.current_state`), so that it holds though the alias comes back."""
    moved = Webhook.objects.live().moved().filter(state=Webhook.State.ACTIVE)
    for pk, bound in list(moved.values_list("pk", "bound_mailbox")):
        # asked of the row itself: somebody may have confirmed the move since
        as_seen = Webhook.objects.filter(pk=pk, bound_mailbox=bound, state=Webhook.State.ACTIVE)
        if as_seen.update(state=Webhook.State.PAUSED, state_reason=MOVED):
            log.warning("webhook.paused", webhook=encode_id(Webhook.ID_PREFIX, pk), reason=MOVED)


def _wipe_previous_secrets() -> None:
    ended = Webhook.objects.filter(previous_secret_until__lte=Now())
    if ended.exists():  # a plain read: no write lock on SQLite while nothing is to do
        ended.update(sealed_previous_secret=None, previous_secret_until=None)


def _move(webhooks: QuerySet[Webhook], states: Sequence[State], *, only: Q | None = None, **fate: object) -> None:
    """Gives the open deliveries of these webhooks, which nobody has claimed, their new state: some at a time."""
    rows = Delivery.objects.filter(webhook__in=webhooks, state__in=states, lease_id=None).order_by("id")
    if only is not None:
        rows = rows.filter(only)
    _change(rows, **fate)


def _change(rows: QuerySet[Delivery], **fate: object) -> None:
    if not rows.exists():  # a plain read: no write lock on SQLite while nothing is to do
        return
    with transaction.atomic():
        # locked first, and what somebody else has locked is left to him: two of these never wait for each other
        locked = rows.select_for_update(skip_locked=True, of=("self",))
        ids = list(locked.values_list("pk", flat=True)[:SETTLE_AT_ONCE])
        Delivery.objects.filter(pk__in=ids).update(**fate)
