"""The same deliveries by pulling, for receivers that nothing can be sent to.

Positions are given by whoever pulls, to what is committed by then: a mail whose transaction takes long gets a later
position than one that overtook it, so whoever goes on after the last position that he saw misses neither. Ids cannot
say that; they are made before the commit.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Coalesce, Length, Now
from django.utils import timezone

from emailgistics.common.crypto import DecryptionError
from emailgistics.common.errors import NotFoundError, TooLongError, UnavailableError
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks import signing
from webhooks.models import BEFORE_RESTORE, CONFIRMED, Delivery, Event, Webhook
from webhooks.services import counted
from webhooks.services.bodies import ContentExpiredError
from webhooks.services.erase import are_erased
from webhooks.services.replay import MAILBOX_ALIVE, body_to_send
from webhooks.services.webhooks import secrets_of

log = get_logger(__name__)

MAX_PULLED = 100
MAX_PULLED_BYTES = 8 * 1024 * 1024  # of bodies at once, unless a single one is larger
MAX_ACKNOWLEDGED = 100
# octets of a body: of one that an older release made, and, about, of one that is rendered again
OCTETS = Coalesce("body__size", Length("body__body"), Value(256 * 1024))

State = Delivery.State
OPEN = (State.PENDING, State.HELD)
# what was given up may still have been pulled before
MAY_ARRIVE = (*OPEN, State.FAILED)


@dataclass(frozen=True, slots=True)
class Pulled:
    """One delivery, signed now. Its own headers' values are not among the headers: nobody reads those again."""

    position: int
    delivery_id: UUID
    event_id: str
    event_type: str
    headers: dict[str, str]
    body: str = field(repr=False)


def pull(webhook: Webhook, *, after: int, limit: int, mailbox_ids: Collection[UUID] | None = None) -> list[Pulled]:
    """The webhook's open deliveries with a position beyond `after`, in their order; at most limit (1 to MAX_PULLED),
    and no more than MAX_PULLED_BYTES, but one at least. None are given only if there is none.

    mailbox_ids: only mail of these; None is no limit. Only mail that may go to the webhook (`Webhook.obstacle`), be it
    on or paused. One that is being sent at the same time is given as well: both carry the same webhook-id, and
    leaving it out would hide it for as long as a dispatcher that died held it. Nothing is taken by pulling: what is not
    acknowledged is given again to whoever asks after an earlier position.

    Raises NotFoundError for a deleted webhook, UnavailableError if its secret does not open.
    """
    limit = max(1, min(limit, MAX_PULLED))
    while found := _found(webhook, after=after, limit=limit, mailbox_ids=mailbox_ids):
        secrets = _secrets(webhook)
        if pulled := [one for delivery in found if (one := _signed(delivery, secrets)) is not None]:
            return pulled
        after = found[-1].position or after  # nothing is left of any of these
    return []


def acknowledge(webhook: Webhook, ids: Sequence[UUID], *, by: str, mailbox_ids: Collection[UUID] | None = None) -> int:
    """These deliveries have arrived: how many of them were not known to have. Twice is as good as once.

    An attempt that is under way for one changes nothing any more. What was canceled, has expired or was erased stays
    so. At most MAX_ACKNOWLEDGED. Raises NotFoundError, before anything is written, if one of them is none of this
    webhook's.
    """
    wanted = set(ids)
    if len(wanted) > MAX_ACKNOWLEDGED:
        raise TooLongError(f"At most {MAX_ACKNOWLEDGED} deliveries are acknowledged at once.", field="ids")
    own = Delivery.objects.filter(_of(mailbox_ids), webhook=webhook, pk__in=wanted)
    with transaction.atomic():
        # in the order of their ids: two that acknowledge the same never wait for each other in a circle
        locked = own.order_by("id").select_for_update(of=("self",), no_key=True)
        missing = wanted.difference(locked.values_list("pk", flat=True))
        # whoever pulled one that was erased since has to get rid of it, too, and of those he names with it
        if missing and not are_erased(missing, of=webhook.pk):
            raise NotFoundError("One of these is no delivery of this webhook.", field="ids")
        arrived = Delivery.objects.filter(pk__in=wanted, state__in=MAY_ARRIVE)
        counted.delivered(arrived)
        return arrived.update(
            state=State.DELIVERED,
            delivered_at=Now(),
            lease_id=None,
            lease_losses=0,
            deferred_since=None,
            last_error="",
            reason=f"acknowledged by {by}"[:200],
        )


@dataclass(slots=True)
class _Page:
    """What goes into one answer: few enough, small enough, and at least one."""

    limit: int
    ids: list[UUID] = field(default_factory=list)
    octets: int = 0
    is_full: bool = False

    def fill(self, rows: QuerySet[Delivery]) -> list[UUID]:
        """Those of the rows, in their order, that go into it as well."""
        before = len(self.ids)
        sized = rows.annotate(octets=OCTETS).values_list("pk", "octets")
        for pk, octets in sized[: self.limit - before]:
            if self.ids and self.octets + octets > MAX_PULLED_BYTES:
                self.is_full = True
                break
            self.ids.append(pk)
            self.octets += octets
        self.is_full = self.is_full or len(self.ids) == self.limit
        return self.ids[before:]


def _found(webhook: Webhook, *, after: int, limit: int, mailbox_ids: Collection[UUID] | None) -> list[Delivery]:
    given = _open(webhook, mailbox_ids).filter(position__gt=after).order_by("position")
    page = _Page(limit)
    page.fill(given)
    if not page.is_full and _without_position(webhook, mailbox_ids).exists():
        page = _Page(limit)
        _give_positions(webhook, page, given=given, mailbox_ids=mailbox_ids)
    rows = given.filter(pk__in=page.ids)
    return list(rows.select_related("event__email", "webhook__alias", "body"))


def _give_positions(
    webhook: Webhook, page: _Page, *, given: QuerySet[Delivery], mailbox_ids: Collection[UUID] | None
) -> None:
    """To the oldest without one, beyond all that were given: only as many as are shown in the same call.

    Were more numbered than are shown, one that is kept back meanwhile would be passed by before anybody saw it.
    """
    with transaction.atomic():
        # whoever else pulls from it waits here; without its key, so that mail that is being stored does not
        row = Webhook.objects.live().filter(pk=webhook.pk).select_for_update(of=("self",), no_key=True).first()
        if row is None:
            raise NotFoundError(f"The webhook {webhook.public_id} was deleted meanwhile.")
        page.fill(given)  # whoever pulled meanwhile has given some
        # one whose result is being written just now is left for the next call: that locks in the other order
        free = _without_position(row, mailbox_ids).select_for_update(of=("self",), skip_locked=True, no_key=True)
        chosen = [] if page.is_full else page.fill(free.order_by("id"))
        for position, pk in enumerate(chosen, start=row.last_position + 1):
            Delivery.objects.filter(pk=pk, position=None).update(position=position)
        Webhook.objects.filter(pk=row.pk).update(last_position=row.last_position + len(chosen))


def _without_position(webhook: Webhook, mailbox_ids: Collection[UUID] | None) -> QuerySet[Delivery]:
    return _open(webhook, mailbox_ids).filter(position=None)


def _open(webhook: Webhook, mailbox_ids: Collection[UUID] | None) -> QuerySet[Delivery]:
    """Those that may go out to it; asked of the webhook as it is in the database, not as the caller has read it."""
    rows = Delivery.objects.filter(CONFIRMED, _of(mailbox_ids), webhook=webhook, state__in=OPEN)
    return rows.exclude(reason=BEFORE_RESTORE)


def _of(mailbox_ids: Collection[UUID] | None) -> Q:
    if mailbox_ids is None:
        return MAILBOX_ALIVE
    return MAILBOX_ALIVE & (Q(event__email=None) | Q(event__email__mailbox__in=list(mailbox_ids)))


def _secrets(webhook: Webhook) -> list[str]:
    row = Webhook.objects.annotate(at=Now()).get(pk=webhook.pk)
    try:
        return secrets_of(row, now=row.at)  # type: ignore[attr-defined]  # annotated above
    except DecryptionError as error:
        log.error("webhook.secret_unreadable", webhook=webhook.public_id, error=str(error))  # noqa: TRY400
        raise UnavailableError("The webhook's secret does not open, so nothing can be signed.") from error


def _signed(delivery: Delivery, secrets: Sequence[str]) -> Pulled | None:
    """None if there is nothing left to send: retention ends that delivery."""
    try:
        body = bytes(body_to_send(delivery).body)
    except ContentExpiredError:
        return None
    event_id = encode_id(Event.ID_PREFIX, delivery.event_id)
    headers = signing.headers(
        event_id=event_id,
        timestamp=int(timezone.now().timestamp()),
        attempt=delivery.attempts + 1,
        body=body,
        secrets=secrets,
        version=settings.VERSION,
    )
    return Pulled(
        position=delivery.position or 0,
        delivery_id=delivery.pk,
        event_id=event_id,
        event_type=delivery.event.type,
        headers=headers,
        body=body.decode(),
    )
