"""The delivery table as a queue: claiming what is due, writing down what came of it, and owning whatever is stuck.

All of it is synchronous and short; the dispatcher calls it from one thread of its own. Every write to a claimed row
matches the lease that claimed it, so that a dispatcher that comes back late changes nothing.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks import retry
from webhooks.models import MOVED, OTHER_MAILBOX, Attempt, Delivery, Webhook
from webhooks.services.claimed import ALONE_FROM_LOSSES, Claimed, claimed
from webhooks.transport import Answer

log = get_logger(__name__)

LEASE_KIND = "dispatch"
MAX_IN_FLIGHT = 100
MAX_IN_FLIGHT_PER_WEBHOOK = 20
RESERVED = MAX_IN_FLIGHT // 4  # for new mail of webhooks with nothing in flight: trouble cannot fill the pool
NEW_UP_TO_ATTEMPTS = 2
ALONE_WAITS_FOR = timedelta(minutes=1)  # for a moment in which nothing is in flight
SETTLE_AT_ONCE = 1000

GONE = "the receiver answered 410 Gone"
DELETED = "the webhook, or what it was bound to, was deleted"

State = Delivery.State
ACTIVE = Q(webhook__in=Webhook.objects.sending())
# Webhook.obstacle as a condition on deliveries of webhooks that are on
CONFIRMED = (
    Q(webhook__alias=None)
    | Q(event__email__mailbox=F("webhook__bound_mailbox"))
    | Q(event__email__mailbox=F("webhook__endpoint_mailbox"))
)


@dataclass(frozen=True, slots=True)
class Result:
    claimed: Claimed
    answer: Answer


def due() -> QuerySet[Delivery]:
    return Delivery.objects.filter(ACTIVE, state=State.PENDING, lease_id=None, due_at__lte=Now())


def must_make_way() -> bool:
    """Whether a delivery that has to run alone has waited so long that the others have to let it."""
    long_ago = Now() - ALONE_WAITS_FOR
    return due().filter(lease_losses__gte=ALONE_FROM_LOSSES, due_at__lte=long_ago).exists()


def claim(lease_id: UUID, *, in_flight: Mapping[UUID, int], alone_first: bool = False) -> list[Claimed]:
    """Claims as many due deliveries as can be begun now, given how many are in flight for each webhook.

    Commits before it returns. The webhook's state is part of the question, so nothing starts for a paused one. A
    webhook with nothing in flight gets one first, and the last slots are for those alone: however many endpoints hang,
    the others go on.
    """
    if alone_first:
        return [] if in_flight else _claim_alone(lease_id)
    free = MAX_IN_FLIGHT - sum(in_flight.values())
    if free <= 0:
        return []
    wanted = due().filter(lease_losses__lt=ALONE_FROM_LOSSES).order_by("due_at", "id")
    if free <= RESERVED:
        wanted = wanted.filter(attempts__lt=NEW_UP_TO_ATTEMPTS)
    full = [webhook for webhook, count in in_flight.items() if count >= MAX_IN_FLIGHT_PER_WEBHOOK]
    if not wanted.exclude(webhook__in=full).exists():  # a plain read: no write lock on SQLite while nothing is to do
        return [] if in_flight else _claim_alone(lease_id)
    with transaction.atomic():
        begun = Counter(in_flight)
        chosen = _choose(wanted.exclude(webhook__in=list(in_flight)), begun, at_most=free, each=1)
        rest = wanted.exclude(webhook__in=full).exclude(pk__in=chosen)
        at_most = free - RESERVED - len(chosen)
        chosen += _choose(rest, begun, at_most=at_most, each=MAX_IN_FLIGHT_PER_WEBHOOK)
        return _take(lease_id, chosen)


def _choose(rows: QuerySet[Delivery], begun: Counter[UUID], *, at_most: int, each: int) -> list[UUID]:
    """The first rows, locked, but of no webhook so many that more than `each` are begun; counts them in `begun`."""
    chosen: list[UUID] = []
    if at_most <= 0:
        return chosen
    # SQLite ignores skip_locked, and needs none: the transaction holds the only write lock from its start
    for delivery, webhook in rows.select_for_update(skip_locked=True).values_list("pk", "webhook_id")[: 4 * at_most]:
        if len(chosen) < at_most and begun[webhook] < each:
            begun[webhook] += 1
            chosen.append(delivery)
    return chosen


def _claim_alone(lease_id: UUID) -> list[Claimed]:
    """One delivery whose dispatcher was lost with it, twice: nothing else may be in flight beside it."""
    suspicious = due().filter(lease_losses__gte=ALONE_FROM_LOSSES).order_by("due_at")
    if not suspicious.exists():
        return []
    with transaction.atomic():
        return _take(lease_id, list(suspicious.select_for_update(skip_locked=True).values_list("pk", flat=True)[:1]))


def _take(lease_id: UUID, ids: Sequence[UUID]) -> list[Claimed]:
    Delivery.objects.filter(pk__in=ids).update(lease_id=lease_id, attempts=F("attempts") + 1)
    return list(claimed(ids))


def record(results: Sequence[Result], lease_id: UUID) -> None:
    """Writes down attempts and what follows from them, in one transaction.

    What the database refuses for its content is written again one by one, at last without what the receiver sent. An
    OperationalError goes to the caller: then nothing was written.
    """
    try:
        _record(results, lease_id)
    except (DataError, IntegrityError, ValueError):
        for result in results:
            try:
                _record([result], lease_id)
            except (DataError, IntegrityError, ValueError):
                log.exception("attempt.recorded_bare", delivery=str(result.claimed.delivery_id))
                answer = replace(result.answer, response_headers=b"", response_excerpt=b"", detail="", peer_ip=None)
                _record([replace(result, answer=answer)], lease_id)


@transaction.atomic
def _record(results: Sequence[Result], lease_id: UUID) -> None:
    Attempt.objects.bulk_create((_attempt(result) for result in results), ignore_conflicts=True)
    # every attempt that comes back, however it went, did not take its dispatcher along
    done: dict[str, object] = {"lease_id": None, "lease_losses": 0}
    delivered: dict[int, list[UUID]] = {}
    written = 0
    for result in results:
        status = result.answer.status
        if status is not None and retry.is_success(status):
            delivered.setdefault(status, []).append(result.claimed.delivery_id)
        else:
            ours = Delivery.objects.filter(pk=result.claimed.delivery_id, lease_id=lease_id)
            fate = _after_failure(result)
            written += ours.update(**done, **fate)
            _tell_failure(result, state=str(fate.get("state", State.PENDING)))
            if status == HTTPStatus.GONE:
                _disable(result.claimed.webhook_id)
    for status, ids in delivered.items():
        written += Delivery.objects.filter(pk__in=ids, lease_id=lease_id).update(
            **done, state=State.DELIVERED, reason="", last_status=status, last_error="", delivered_at=Now()
        )
    if written < len(results):
        # taken over meanwhile: the attempt stays on record, and decides nothing
        log.warning("delivery.stale_results", count=len(results) - written)


def _tell_failure(result: Result, *, state: str) -> None:
    claimed, answer = result.claimed, result.answer
    log.warning(
        "webhook.attempt_failed",
        webhook=encode_id(Webhook.ID_PREFIX, claimed.webhook_id),
        delivery=encode_id(Delivery.ID_PREFIX, claimed.delivery_id),
        n=claimed.n,
        status=answer.status,
        error=answer.error,
        detail=answer.detail,
        state=state,
    )


def _disable(webhook_id: UUID) -> None:
    """The receiver is gone for good, it says (RFC 9110 section 15.5.11): its mail is held until somebody resumes."""
    active = Webhook.objects.filter(pk=webhook_id, state=Webhook.State.ACTIVE)
    if active.update(state=Webhook.State.DISABLED, state_reason=GONE):
        log.warning("webhook.disabled", webhook=encode_id(Webhook.ID_PREFIX, webhook_id), reason=GONE)


def _after_failure(result: Result) -> dict[str, object]:
    answer, failures = result.answer, result.claimed.failures + 1
    fate: dict[str, object] = {
        "failures": failures,
        "last_status": answer.status,
        "last_error": answer.error,
        "reason": answer.detail[:200],
    }
    if answer.status == HTTPStatus.GONE:
        return fate | {"state": State.HELD, "reason": GONE}
    delay = retry.next_delay(
        failures,
        status=answer.status,
        retry_after=retry.parse_retry_after(answer.retry_after, now=timezone.now()),
        jitter=random.random,
    )
    if delay is None:
        return fate | {"state": State.FAILED, "reason": f"exhausted after {result.claimed.n} attempts"}
    return fate | {"due_at": Now() + delay}


def _attempt(result: Result) -> Attempt:
    answer = result.answer
    return Attempt(
        delivery_id=result.claimed.delivery_id,
        n=result.claimed.n,
        started_at=answer.started_at,
        status=answer.status,
        error=answer.error,
        detail=answer.detail,
        dns_ms=answer.dns_ms,
        connect_ms=answer.connect_ms,
        first_byte_ms=answer.first_byte_ms,
        total_ms=answer.total_ms,
        peer_ip=answer.peer_ip,
        response_headers=answer.response_headers,
        response_excerpt=answer.response_excerpt,
    )


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
        Delivery.objects.filter(pk__in=[delivery.pk for delivery in lost]).update(
            lease_id=None, lease_losses=F("lease_losses") + 1
        )
    leases.forget_expired()
    log.warning("delivery.taken_over", count=len(lost))
    return len(lost)


def settle() -> None:
    """Brings waiting deliveries in line with their webhooks: off means held, on again means due, gone means canceled.

    It looks again and again, because a mail that is being processed while somebody pauses or resumes may store its
    delivery after any single UPDATE that the pausing made. A webhook is gone when it, or what it is bound to, was
    deleted; it is off as soon as its alias leads elsewhere. It also wipes what a rotation left, once that has ended.
    """
    _pause_moved()
    _wipe_previous_secrets()
    gone, on = Webhook.objects.gone(), Webhook.objects.live().sending()
    off = Webhook.objects.live().exclude(pk__in=Webhook.objects.sending())
    _move(gone, [State.PENDING, State.HELD], state=State.CANCELED, reason=DELETED)
    _move(off, [State.PENDING], state=State.HELD, reason="the webhook is off")
    # what was due long ago keeps its due time: the oldest go first
    _move(on, [State.HELD], only=CONFIRMED, state=State.PENDING, reason="")
    # what else is held was stopped by a webhook that was off; now something else keeps it back
    _move(on, [State.HELD], only=~CONFIRMED & ~Q(reason=OTHER_MAILBOX), reason=OTHER_MAILBOX)


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
    if not rows.exists():
        return
    with transaction.atomic():
        # locked first, and what somebody else has locked is left to him: two of these never wait for each other
        locked = rows.select_for_update(skip_locked=True, of=("self",))
        ids = list(locked.values_list("pk", flat=True)[:SETTLE_AT_ONCE])
        Delivery.objects.filter(pk__in=ids).update(**fate)
