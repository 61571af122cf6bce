"""What one attempt needs of a claimed delivery, and the last look at whether it may be made.

All that is known of a webhook was read in one statement, not before the claim, so that the endpoint, what may be sent
there and the secrets are of one moment: between choosing a delivery and claiming it, somebody may pause its webhook,
move its alias or point it elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import F

from emailgistics.common.crypto import DecryptionError
from emailgistics.common.errors import ConflictError, RefusedError
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from emailgistics.common.series import Kind
from mailboxes.models import Mailbox
from webhooks import headers as own_headers
from webhooks.models import Delivery, Event, EventBody, Webhook, why_mailbox_gone
from webhooks.services import bodies, counted
from webhooks.services.webhooks import headers_of, secrets_of

log = get_logger(__name__)

ALONE_FROM_LOSSES = 2

Form = EventBody.Form
# what says no more than these do may go out as it was stored
SAYS_NO_MORE_THAN = {
    Form.FULL: frozenset(Form),
    Form.INLINE: frozenset(Form),
    Form.THIN: frozenset({Form.THIN, Form.METADATA}),
    Form.METADATA: frozenset({Form.METADATA}),
}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to attempt: attempt number n, already spent.

    secrets and headers are None where they do not decrypt, body where it cannot be made as the webhook gets it: a
    fault of ours, that costs the delivery nothing and holds nobody else up. headers_refused says why they may not be
    sent, where they may not.
    """

    delivery_id: UUID
    webhook_id: UUID
    event_id: str
    url: str
    secrets: list[str] | None = field(repr=False)
    headers: dict[str, str] | None = field(repr=False)
    headers_refused: str
    body: bytes | None = field(repr=False)
    n: int
    failures: int
    is_suspicious: bool
    is_test: bool
    form: str  # in which it goes out
    is_about_mail: bool
    max_in_flight: int


class Row(NamedTuple):
    id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    mailbox_id: UUID | None
    mailbox_deleted_at: datetime | None
    body_id: int | None
    form: str | None
    body: bytes | memoryview | None
    n: int
    failures: int
    lease_losses: int
    is_test: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook as it is at one moment."""

    webhook: Webhook
    secrets: list[str] | None
    headers: dict[str, str] | None
    headers_refused: str  # why; empty if they may be sent


def may_go_out(rows: Iterable[Row], endpoints: Mapping[UUID, Endpoint]) -> Iterator[Claimed]:
    """Of these, claimed in the caller's transaction, those that may; the others are given back.

    By their events: octets that are made here are locked until its end, and two claims make them in one order.
    """
    for row in sorted(rows, key=lambda row: (row.event_id, endpoints[row.webhook_id].webhook.form)):
        endpoint = endpoints[row.webhook_id]
        if endpoint.webhook.is_gone:
            _give_back(row.id, state=Delivery.State.CANCELED, reason=endpoint.webhook.why_gone)
        elif row.mailbox_deleted_at is not None:
            _give_back(row.id, state=Delivery.State.CANCELED, reason=_why_gone(row))
        elif obstacle := _obstacle(endpoint.webhook, row):
            _give_back(row.id, state=Delivery.State.HELD, reason=obstacle)
        else:
            yield _claimed(row, endpoint)


def _why_gone(row: Row) -> str:
    """Of one that is about mail of a deleted mailbox."""
    deleted_by = Mailbox.objects.filter(pk__in=[row.mailbox_id]).values_list("deleted_by", flat=True)
    return why_mailbox_gone(next(iter(deleted_by), ""))


def endpoint_of(webhook: Webhook, *, at: datetime) -> Endpoint:
    """Opens what is sealed and checks it, once for all deliveries that were claimed with it.

    at is the database's time when it was read.
    """
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
    return Endpoint(webhook, secrets, headers, _refused(headers or {}))


def _refused(headers: dict[str, str]) -> str:
    try:
        own_headers.check(headers)
    except RefusedError as error:
        return error.message
    return ""


def _obstacle(webhook: Webhook, row: Row) -> str:
    """A test says nothing of any mail, and somebody wants to see what happens: only a missing URL stops it."""
    if row.is_test and webhook.url:
        return ""
    return webhook.obstacle(row.mailbox_id)


def _give_back(delivery_id: UUID, *, state: Delivery.State, reason: str) -> None:
    """The attempt was not made, so its number is not spent."""
    Delivery.objects.filter(pk=delivery_id).update(
        lease_id=None, attempts=F("attempts") - 1, state=state, reason=reason
    )
    if state == Delivery.State.HELD:
        counted.count(Kind.HELD, [delivery_id])


def _claimed(row: Row, endpoint: Endpoint) -> Claimed:
    body, form = _body(row, endpoint.webhook)
    return Claimed(
        delivery_id=row.id,
        webhook_id=row.webhook_id,
        event_id=encode_id(Event.ID_PREFIX, row.event_id),
        url=endpoint.webhook.url,
        secrets=endpoint.secrets,
        headers=endpoint.headers,
        headers_refused=endpoint.headers_refused,
        body=body,
        n=row.n,
        failures=row.failures,
        is_suspicious=row.lease_losses >= ALONE_FROM_LOSSES,
        is_test=row.is_test,
        form=form,
        is_about_mail=row.mailbox_id is not None,
        max_in_flight=endpoint.webhook.max_in_flight,
    )


def _body(row: Row, webhook: Webhook) -> tuple[bytes | None, str]:
    """The octets to send, and their form: as rendered, unless the webhook gets less by now than they say.

    What waits obeys as well: lowering the payload is followed by pointing the webhook elsewhere, which needs less then.
    """
    wanted = webhook.form
    if row.body is not None and row.form is not None:
        is_fit = row.mailbox_id is None or row.form in SAYS_NO_MORE_THAN[Form(wanted)]
        if is_fit:
            return bytes(row.body), row.form
    try:
        other = bodies.kept_body_of(Event.objects.get(pk=row.event_id), wanted)
    except (ConflictError, ValueError, LookupError, TypeError, AttributeError):
        log.exception("event.body_unreadable", delivery=encode_id(Delivery.ID_PREFIX, row.id))
        return None, wanted
    Delivery.objects.filter(pk=row.id).update(body=other)
    return bytes(other.body), other.form
