"""What one attempt needs of a claimed delivery, and the last look at whether it may be made.

All of it is read in one statement, so that the endpoint, what may be sent there and the secrets are of one moment:
between choosing a delivery and reading its webhook, somebody may pause that, move its alias or point it elsewhere.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from emailgistics.common.crypto import DecryptionError
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks import payloads
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.services.webhooks import headers_of, secrets_of

log = get_logger(__name__)

ALONE_FROM_LOSSES = 2


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to attempt: attempt number n, already spent.

    secrets and headers are None where they do not decrypt, body where it cannot be cut down to what the webhook gets:
    an attempt that fails, and holds nobody else up.
    """

    delivery_id: UUID
    webhook_id: UUID
    event_id: str
    url: str
    secrets: list[str] | None = field(repr=False)
    headers: dict[str, str] | None = field(repr=False)
    body: bytes | None = field(repr=False)
    n: int
    failures: int
    is_suspicious: bool


def claimed(ids: Sequence[UUID]) -> Iterator[Claimed]:
    """Of these deliveries, claimed in the caller's transaction, those that may go out; the others are given back."""
    rows = (
        Delivery.objects.filter(pk__in=ids)
        .select_related("webhook__alias", "body")
        .annotate(mailbox_id=F("event__email__mailbox"), at=Now())
        .order_by("due_at", "id")
    )
    for delivery in rows:
        mailbox_id, at = delivery.mailbox_id, delivery.at  # type: ignore[attr-defined]  # annotated above
        if obstacle := delivery.webhook.obstacle(mailbox_id):
            _give_back(delivery, reason=obstacle)
        else:
            yield _claimed(delivery, at=at)


def _give_back(delivery: Delivery, *, reason: str) -> None:
    """The attempt was not made, so its number is not spent."""
    Delivery.objects.filter(pk=delivery.pk).update(
        lease_id=None, attempts=F("attempts") - 1, state=Delivery.State.HELD, reason=reason
    )


def _claimed(delivery: Delivery, *, at: datetime) -> Claimed:
    webhook = delivery.webhook
    secrets: list[str] | None = None
    headers: dict[str, str] | None = None
    try:
        secrets = secrets_of(webhook, now=at)
    except DecryptionError as error:
        log.error("webhook.secret_unreadable", webhook=webhook.public_id, error=str(error))  # noqa: TRY400
    try:
        headers = headers_of(webhook)
    except DecryptionError as error:
        log.error("webhook.headers_unreadable", webhook=webhook.public_id, error=str(error))  # noqa: TRY400
    return Claimed(
        delivery_id=delivery.pk,
        webhook_id=webhook.pk,
        event_id=encode_id(Event.ID_PREFIX, delivery.event_id),
        url=webhook.url,
        secrets=secrets,
        headers=headers,
        body=_body(delivery),
        n=delivery.attempts,
        failures=delivery.failures,
        is_suspicious=delivery.lease_losses >= ALONE_FROM_LOSSES,
    )


def _body(delivery: Delivery) -> bytes | None:
    """The octets to send: as rendered, unless the webhook gets metadata by now and they say more than that.

    What waits obeys as well: lowering the payload is followed by pointing the webhook elsewhere, which needs less then.
    """
    body, form = delivery.body, delivery.webhook.payload
    if form != body.form and form == Webhook.Payload.METADATA:
        try:
            thin = payloads.render(payloads.in_form(json.loads(bytes(body.body)), form))
        except (ValueError, LookupError, TypeError, AttributeError):
            log.exception("event.body_unreadable", delivery=delivery.public_id)
            return None
        body, _ = EventBody.objects.get_or_create(event_id=delivery.event_id, form=form, defaults={"body": thin})
        Delivery.objects.filter(pk=delivery.pk).update(body=body)
    return bytes(body.body)
