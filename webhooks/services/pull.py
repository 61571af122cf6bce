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
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common.crypto import DecryptionError
from emailgistics.common.errors import NotFoundError, RefusedError, UnavailableError
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks import signing
from webhooks.models import CONFIRMED, Delivery, Event, Webhook
from webhooks.services.bodies import ContentExpiredError
from webhooks.services.replay import body_to_send
from webhooks.services.webhooks import secrets_of

log = get_logger(__name__)

MAX_PULLED = 100
MAX_ACKNOWLEDGED = 100

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
    """The webhook's open deliveries with a position beyond `after`, in their order; at most limit (1 to MAX_PULLED).

    mailbox_ids: only mail of these; None is no limit. Only mail that may go to the webhook (`Webhook.obstacle`), be it
    on or paused. One that is being sent at the same time is given as well: both carry the same webhook-id, and
    leaving it out would hide it for as long as a dispatcher that died held it. Nothing is taken by pulling: what is not
    acknowledged is given again to whoever asks after an earlier position.

    Raises NotFoundError for a deleted webhook, UnavailableError if its secret does not open.
    """
    limit = max(1, min(limit, MAX_PULLED))
    found = _page(webhook, after=after, limit=limit, mailbox_ids=mailbox_ids)
    if len(found) < limit and _without_position(webhook, mailbox_ids).exists():
        _give_positions(webhook, at_most=limit - len(found), mailbox_ids=mailbox_ids)
        found = _page(webhook, after=after, limit=limit, mailbox_ids=mailbox_ids)
    if not found:
        return []
    secrets = _secrets(webhook)
    return [one for delivery in found if (one := _signed(delivery, secrets)) is not None]


def acknowledge(webhook: Webhook, ids: Sequence[UUID], *, by: str, mailbox_ids: Collection[UUID] | None = None) -> int:
    """These deliveries have arrived: how many of them were not known to have. Twice is as good as once.

    An attempt that is under way for one changes nothing any more. What was canceled or has expired stays so. At most
    MAX_ACKNOWLEDGED. Raises NotFoundError, before anything is written, if one of them is none of this webhook's.
    """
    wanted = set(ids)
    if len(wanted) > MAX_ACKNOWLEDGED:
        raise RefusedError(f"At most {MAX_ACKNOWLEDGED} deliveries are acknowledged at once.", field="ids")
    own = Delivery.objects.filter(_of(mailbox_ids), webhook=webhook, pk__in=wanted)
    with transaction.atomic():
        # in the order of their ids: two that acknowledge the same never wait for each other in a circle
        locked = own.order_by("id").select_for_update(of=("self",), no_key=True)
        if len(locked.values_list("pk", flat=True)) < len(wanted):
            raise NotFoundError("One of these is no delivery of this webhook.")
        return Delivery.objects.filter(pk__in=wanted, state__in=MAY_ARRIVE).update(
            state=State.DELIVERED,
            delivered_at=Now(),
            lease_id=None,
            lease_losses=0,
            deferred_since=None,
            last_error="",
            reason=f"acknowledged by {by}"[:200],
        )


def _give_positions(webhook: Webhook, *, at_most: int, mailbox_ids: Collection[UUID] | None) -> None:
    """To the oldest without one, beyond all that were given: only as many as are shown in the same call.

    Were more numbered than are shown, one that is kept back meanwhile would be passed by before anybody saw it.
    """
    with transaction.atomic():
        # whoever else pulls from it waits here; without its key, so that mail that is being stored does not
        row = Webhook.objects.live().filter(pk=webhook.pk).select_for_update(of=("self",), no_key=True).first()
        if row is None:
            raise NotFoundError(f"The webhook {webhook.public_id} was deleted meanwhile.")
        chosen = list(_without_position(row, mailbox_ids).order_by("id").values_list("pk", flat=True)[:at_most])
        for position, pk in enumerate(chosen, start=row.last_position + 1):
            Delivery.objects.filter(pk=pk, position=None).update(position=position)
        Webhook.objects.filter(pk=row.pk).update(last_position=row.last_position + len(chosen))


def _page(webhook: Webhook, *, after: int, limit: int, mailbox_ids: Collection[UUID] | None) -> list[Delivery]:
    rows = _open(webhook, mailbox_ids).filter(position__gt=after).order_by("position")
    return list(rows.select_related("event__email", "webhook__alias", "body")[:limit])


def _without_position(webhook: Webhook, mailbox_ids: Collection[UUID] | None) -> QuerySet[Delivery]:
    return _open(webhook, mailbox_ids).filter(position=None)


def _open(webhook: Webhook, mailbox_ids: Collection[UUID] | None) -> QuerySet[Delivery]:
    """Those that may go out to it; asked of the webhook as it is in the database, not as the caller has read it."""
    return Delivery.objects.filter(CONFIRMED, _of(mailbox_ids), webhook=webhook, state__in=OPEN)


def _of(mailbox_ids: Collection[UUID] | None) -> Q:
    alive = Q(event__email=None) | Q(event__email__mailbox__deleted_at=None)
    if mailbox_ids is None:
        return alive
    return alive & (Q(event__email=None) | Q(event__email__mailbox__in=list(mailbox_ids)))


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
