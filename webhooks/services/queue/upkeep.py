"""Owning whatever is stuck: what a dead dispatcher held, what waits for a webhook that is off, or on again, or gone."""

from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, UUIDField
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from emailgistics.common.series import Kind
from webhooks.models import (
    BEFORE_RESTORE,
    CONFIRMED,
    MOVED,
    OTHER_MAILBOX,
    Attempt,
    Delivery,
    OutgoingStop,
    Webhook,
    WebhookHealth,
)
from webhooks.services import counted
from webhooks.services.claimed import ALONE_FROM_LOSSES

log = get_logger(__name__)

SETTLE_AT_ONCE = 1000
WEBHOOKS_AT_ONCE = 500
FIRST = UUID(int=0)
# Twice beside others, who may have been at fault, and twice alone: it is this one that kills dispatchers.
QUARANTINED_FROM_LOSSES = ALONE_FROM_LOSSES + 2
KEPT_BACK_AT_MOST = timedelta(days=7)
LOOKED_AT_AGAIN_AFTER = timedelta(days=1)

KEPT_BACK = f"kept back for {KEPT_BACK_AT_MOST.days} days; it is looked at again every day"
QUARANTINED = f"dispatchers were lost with it {QUARANTINED_FROM_LOSSES} times; replay it once the cause is known"

State = Delivery.State


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
        counted.count(Kind.FAILED, [delivery.pk for delivery in killers])
    leases.forget_expired()
    log.warning("delivery.taken_over", count=len(lost))
    for delivery in killers:
        log.error("delivery.quarantined", delivery=delivery.public_id)
    return len(lost)


def settle(after: UUID = FIRST) -> UUID:
    """Brings waiting deliveries in line with their webhooks: off means held, on again means due, gone means canceled.

    It looks again and again, because a mail that is being processed while somebody pauses or resumes may store its
    delivery after any single UPDATE that the pausing made. A webhook is gone when it, or what it is bound to, was
    deleted; it is off as soon as its alias leads elsewhere. It also wipes what a rotation left, once that has ended.

    What it costs grows with the number of webhooks that have something open, not with how much: WEBHOOKS_AT_ONCE of
    them are looked at, from `after` on. Returns where the next look begins.
    """
    _give_health()
    _pause_moved()
    _wipe_previous_secrets()
    held, last_held = webhooks_with("state = 'held'", after)
    pending, last_pending = webhooks_with("state = 'pending' AND lease_id IS NULL", after)
    looked_at = Webhook.objects.filter(pk__in={*held, *pending})
    gone = {webhook.pk: webhook.why_gone for webhook in looked_at.gone().select_related("alias", "mailbox", "domain")}
    on = set(looked_at.sending().values_list("pk", flat=True))
    why_not = {webhook.pk: webhook.obstacle(None) for webhook in looked_at.select_related("alias")}
    for pk in pending:
        if pk in gone:
            _move(pk, State.PENDING, state=State.CANCELED, reason=gone[pk])
        elif pk not in on and why_not.get(pk):  # else it was resumed this moment, and is looked at again
            _move(pk, State.PENDING, only=Q(is_test=False), state=State.HELD, reason=why_not[pk])
    for pk in held:
        if pk in gone:
            _move(pk, State.HELD, state=State.CANCELED, reason=gone[pk])
        elif pk in on:
            _let_go(pk)
    return min((last for last in (last_held, last_pending) if last != FIRST), default=FIRST)


def webhooks_with(condition: str, after: UUID) -> tuple[list[UUID], UUID]:
    """Webhooks beyond `after` with such deliveries, up to WEBHOOKS_AT_ONCE, and the last one if there may be more.

    From each straight to the next, by an index on webhooks of just these deliveries.
    """
    beyond = f"SELECT webhook_id FROM webhooks_delivery WHERE {condition} AND webhook_id >"  # noqa: S608 - of ours
    statement = f"""
        WITH RECURSIVE found(id, n) AS (
            SELECT * FROM ({beyond} %s ORDER BY webhook_id LIMIT 1) AS first, (SELECT 1) AS one
          UNION ALL
            SELECT ({beyond} found.id ORDER BY webhook_id LIMIT 1), n + 1
              FROM found WHERE found.id IS NOT NULL AND n < {WEBHOOKS_AT_ONCE})
        SELECT id FROM found WHERE id IS NOT NULL ORDER BY n"""  # noqa: S608 - of ours
    with connection.cursor() as cursor:
        cursor.execute(statement, [UUIDField().get_db_prep_value(after, connection)])  # text on SQLite
        found = [value if isinstance(value, UUID) else UUID(value) for (value,) in cursor.fetchall()]
    return found, found[-1] if len(found) == WEBHOOKS_AT_ONCE else FIRST


def _let_go(pk: UUID) -> None:
    """Of a webhook that is on: its due time stays, so the oldest go first."""
    is_time = Q(deferred_since=None) | Q(deferred_since__lte=Now() - LOOKED_AT_AGAIN_AFTER)
    is_free = ~Q(reason=BEFORE_RESTORE)  # else it waits for somebody's word
    _move(
        pk,
        State.HELD,
        only=is_free & CONFIRMED & is_time,
        state=State.PENDING,
        reason="",
        deferred_since=None,
        begun_at=Now(),
    )
    # what else is held was stopped by a webhook that was off; now something else keeps it back
    _move(pk, State.HELD, only=is_free & ~CONFIRMED & ~Q(reason=OTHER_MAILBOX), reason=OTHER_MAILBOX)


def _give_health() -> None:
    """To webhooks that the release before has made."""
    without = Webhook.objects.filter(health=None)
    if without.exists():
        rows = [WebhookHealth(webhook_id=pk) for pk in without.values_list("pk", flat=True)[:SETTLE_AT_ONCE]]
        WebhookHealth.objects.bulk_create(rows, ignore_conflicts=True)


def hold_what_waits_too_long() -> int:
    """What a circuit, a rate limit or a fault of ours keeps back: held at last, so that people see it, not for ever.

    It is looked at again after a day; its due time stays. Called now and then: the first of these is a week old.
    """
    if OutgoingStop.objects.exists():
        return 0
    waiting = Delivery.objects.filter(state=State.PENDING, lease_id=None, is_test=False)
    since = Now() - KEPT_BACK_AT_MOST
    fate = {"state": State.HELD, "reason": KEPT_BACK, "deferred_since": Now()}
    begun = waiting.annotate(begun=Coalesce("begun_at", "created_at"))
    return _change(waiting.filter(deferred_since__lte=since).order_by("deferred_since"), **fate) + _change(
        begun.filter(due_at__lte=since, begun__lte=since).order_by("due_at"), **fate
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


def _move(webhook: UUID, among: State, *, only: Q | None = None, **fate: object) -> None:
    """Gives a webhook's open deliveries in that state, which nobody has claimed, their new one: some at a time."""
    rows = Delivery.objects.filter(webhook=webhook, state=among, lease_id=None)
    _change((rows if only is None else rows.filter(only)).order_by("id"), **fate)


def _change(rows: QuerySet[Delivery], **fate: object) -> int:
    if not rows.exists():  # a plain read: no write lock on SQLite while nothing is to do
        return 0
    with transaction.atomic():
        # locked first, and what somebody else has locked is left to him: two of these never wait for each other
        locked = rows.select_for_update(skip_locked=True, of=("self",))
        ids = list(locked.values_list("pk", flat=True)[:SETTLE_AT_ONCE])
        if fate.get("state") == State.HELD:
            counted.count(Kind.HELD, ids)
        return Delivery.objects.filter(pk__in=ids).update(**fate)
