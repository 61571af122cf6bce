"""Claiming what is due: fair among webhooks, within what each of them may get, and nobody else gets the same.

A claim is an UPDATE that matches only free rows and writes our lease on them; it commits before anything is sent.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from webhooks import health, models
from webhooks.models import Delivery, OutgoingStop, Webhook, WebhookHealth
from webhooks.services.claimed import ALONE_FROM_LOSSES, Claimed
from webhooks.services.queue.candidates import (
    NOTHING,
    OPEN,
    Candidate,
    Rotation,
    candidates,
    in_flight_per_webhook,
)
from webhooks.services.queue.taking import take

MAX_IN_FLIGHT = 256
MAX_IN_FLIGHT_PER_WEBHOOK = models.MAX_IN_FLIGHT
RESERVED = MAX_IN_FLIGHT // 4  # for new mail: retries cannot fill the pool
RESERVED_FOR_EACH = (
    4  # in flight of one webhook, to get another of these; half of them are for who has nothing in flight
)
NEW_UP_TO_ATTEMPTS = 2
MANY_ENDED = 16  # where so much goes on there is more, and it need not be asked first whether anything is due
LOOKS = 8  # at most so many for one claim, while webhooks have only what is due later
MAX_OCTETS_IN_FLIGHT = 64 * 1024 * 1024
ALONE_WAITS_FOR = timedelta(minutes=1)  # for a moment in which nothing is in flight


def is_anything_due() -> bool:
    return Delivery.objects.filter(OPEN, due_at__lte=Now()).exists()


def must_make_way() -> bool:
    """Whether a delivery that has to run alone has waited so long that the others have to let it."""
    return _to_run_alone().filter(due_at__lte=Now() - ALONE_WAITS_FOR).exists()


def claim(
    lease_id: UUID,
    *,
    in_flight: Mapping[UUID, int],
    ended: Mapping[UUID, int] = NOTHING,
    octets_in_flight: int = 0,
    alone_first: bool = False,
    rotation: Rotation | None = None,
) -> list[Claimed]:
    """Claims as many due deliveries as can be begun now, given how many are in flight here for each webhook.

    Commits before it returns. A webhook with nothing in flight comes first, the last quarter is for new mail, and half
    of that for who has nothing in flight: however many endpoints hang, the others go on. For ended see `candidates`;
    rotation is kept by the caller from claim to claim.
    """
    if alone_first:
        return [] if in_flight or ended else _claim_alone(lease_id)
    free = MAX_IN_FLIGHT - sum(in_flight.values())
    if free <= 0 or octets_in_flight >= MAX_OCTETS_IN_FLIGHT:
        return []
    if sum(ended.values()) < MANY_ENDED and not is_anything_due():
        return []
    rotation = rotation or Rotation()
    chosen: list[Candidate] = []
    for _ in range(LOOKS):
        found = candidates(rotation, ended=ended)  # a plain read: no write lock on SQLite while nothing is to do
        chosen = choose(found, in_flight, free=free, octets=MAX_OCTETS_IN_FLIGHT - octets_in_flight)
        if chosen or rotation.is_complete:
            break
    if not chosen:
        # what has ended is written down first: whatever becomes of this one, it takes no other along
        return [] if in_flight or ended else _claim_alone(lease_id)
    with transaction.atomic():
        return take(lease_id, _within_limits(chosen, ended))


def choose(found: Sequence[Candidate], in_flight: Mapping[UUID, int], *, free: int, octets: int) -> list[Candidate]:
    """Of these, those that may begin: in turns among webhooks, those with the least in flight first."""
    begun: Counter[UUID] = Counter(in_flight)
    room = _room_of_webhooks(found, in_flight)
    chosen: dict[UUID, Candidate] = {}

    def begin(one: Candidate, *, at_most: int) -> None:
        nonlocal octets
        if len(chosen) < at_most and octets > 0 and (one.is_test or room[one.webhook_id] > 0):
            begun[one.webhook_id] += 1
            room[one.webhook_id] -= 1
            octets -= one.size or 0
            chosen[one.id] = one

    for one in _in_turns(found, begun):
        begin(one, at_most=free - RESERVED)
    new = sorted(filter(_is_new, found), key=lambda one: one.due_at)
    for one in new:
        if not begun[one.webhook_id]:
            begin(one, at_most=free)
    for one in new:
        if one.id not in chosen and begun[one.webhook_id] < RESERVED_FOR_EACH:
            begin(one, at_most=free - RESERVED // 2)
    return list(chosen.values())


def _is_new(one: Candidate) -> bool:
    return one.is_test or one.attempts < NEW_UP_TO_ATTEMPTS


def _room_of_webhooks(found: Iterable[Candidate], in_flight: Mapping[UUID, int]) -> dict[UUID, float]:
    """How many may begin for each: what is in flight elsewhere counts, and what is in flight here as far as we know."""
    room: dict[UUID, float] = {}
    for one in found:
        if one.webhook_id not in room:
            in_all = max(one.in_flight, in_flight.get(one.webhook_id, 0))
            room[one.webhook_id] = min(room_for(one, in_flight=in_all), tokens_for(one))
    return room


def tokens_for(one: Candidate) -> float:
    """How many requests its rate limit allows now: rows that it does not allow must not take others' places."""
    if one.rate_per_minute is None:
        return float("inf")
    return int(health.tokens(one.tokens, since=one.tokens_at, now=one.now, per_minute=one.rate_per_minute))


def room_for(one: Candidate, *, in_flight: int) -> int:
    return health.room(one.health, in_flight=in_flight, now=one.now, at_most=one.max_in_flight)


def _in_turns(found: Iterable[Candidate], begun: Mapping[UUID, int]) -> list[Candidate]:
    """By how many of the same webhook come before, in flight or in the list; then the oldest first."""
    seen: Counter[UUID] = Counter(begun)
    turns = []
    for one in found:
        turns.append((seen[one.webhook_id], one.due_at, one))
        seen[one.webhook_id] += 1
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])]


def _within_limits(chosen: Sequence[Candidate], ended: Mapping[UUID, int]) -> list[UUID]:
    """Of these, those that may begin whatever other dispatchers have begun meanwhile.

    For a webhook with limits of its own, or in trouble, its row is locked and all is counted again: whoever has it
    locked is claiming for it right now, and it is left to him. Where there is trouble, what has ended counts until it
    is judged: it may be the probe that all others wait for.
    """
    limited = {one.webhook_id for one in chosen if _is_limited(one)}
    if not limited:
        return [one.id for one in chosen]
    rows = WebhookHealth.objects.filter(webhook__in=limited).order_by("webhook_id").annotate(at=Now())
    locked = {row.webhook_id: row for row in rows.select_for_update(skip_locked=True, of=("self",))}
    begun = Counter(in_flight_per_webhook(list(limited)))
    begun.subtract({pk: n for pk, n in ended.items() if pk in locked and not health.is_limited(locked[pk].known)})
    kept, spent = [], Counter[UUID]()
    for one in chosen:
        if one.webhook_id in limited and not one.is_test:
            row = locked.get(one.webhook_id)
            if row is None or _room_by(row, one, begun[one.webhook_id], spent[one.webhook_id]) <= 0:
                continue
            begun[one.webhook_id] += 1
            spent[one.webhook_id] += 1
        kept.append(one.id)
    _spend_tokens([one for one in chosen if spent[one.webhook_id]], locked, spent)
    return kept


def _is_limited(one: Candidate) -> bool:
    return (
        health.is_limited(one.health)
        or one.rate_per_minute is not None
        or one.max_in_flight < MAX_IN_FLIGHT_PER_WEBHOOK
    )


def _room_by(row: WebhookHealth, one: Candidate, in_flight: int, spent: int) -> int:
    now_known = one._replace(open_until=row.open_until, open_for_s=row.open_for_s, cap=row.cap, now=_at(row))
    room = room_for(now_known, in_flight=in_flight)
    if one.rate_per_minute is None:
        return room
    return min(room, int(_tokens(row, one)) - spent)


def _tokens(row: WebhookHealth, one: Candidate) -> float:
    rate = one.rate_per_minute or 0
    return health.tokens(row.tokens, since=row.tokens_at, now=_at(row), per_minute=rate)


def _at(row: WebhookHealth) -> datetime:
    """The database's time when the row was locked."""
    at: datetime = row.at  # type: ignore[attr-defined]  # annotated in _within_limits
    return at


def _spend_tokens(chosen: Iterable[Candidate], locked: Mapping[UUID, WebhookHealth], spent: Mapping[UUID, int]) -> None:
    for one in {one.webhook_id: one for one in chosen if one.rate_per_minute is not None}.values():
        row = locked[one.webhook_id]
        left = _tokens(row, one) - spent[one.webhook_id]
        WebhookHealth.objects.filter(pk=one.webhook_id).update(tokens=left, tokens_at=_at(row))


def _to_run_alone() -> QuerySet[Delivery]:
    """Deliveries whose dispatcher was lost with them, twice: nothing else may be in flight beside one of them."""
    suspicious = Delivery.objects.filter(OPEN, due_at__lte=Now(), lease_losses__gte=ALONE_FROM_LOSSES)
    is_closed = Q(webhook__health__open_until=None) | Q(webhook__health__open_until__lte=Now())
    may_go = Q(webhook__in=Webhook.objects.sending()) & is_closed
    is_test = Q(is_test=True, webhook__deleted_at=None) & ~Q(webhook__url="")
    return suspicious.filter(may_go | is_test)


def _claim_alone(lease_id: UUID) -> list[Claimed]:
    if not _to_run_alone().exists() or OutgoingStop.objects.exists():
        return []
    with transaction.atomic():
        return take(lease_id, list(_to_run_alone().order_by("due_at").values_list("pk", flat=True)[:1]))
