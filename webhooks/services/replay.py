"""Sending again, on somebody's word: one delivery, an email to whoever wants it, or the next attempt now.

A replay is a new generation of the same row. Every change is one UPDATE that matches the state that it comes from, so
that of two at once, or of one beside the engine, exactly one happens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common.errors import ConflictError, NotFoundError
from emailgistics.common.nudge import nudge
from emailgistics.common.series import Kind
from mailboxes.models import Email
from webhooks.models import ALIVE, Delivery, Event, EventBody, Webhook
from webhooks.services import bodies, counted
from webhooks.services.bodies import ContentExpiredError
from webhooks.services.fan_out import DISPATCH, matching

State = Delivery.State
OPEN = (State.PENDING, State.HELD)
ENDED = (State.DELIVERED, State.FAILED, State.CANCELED, State.EXPIRED)
ON_ITS_WAY = "This delivery is on its way already: {}."
# mail of a mailbox that was deleted goes nowhere any more
MAILBOX_ALIVE = Q(event__email=None) | Q(event__email__mailbox__deleted_at=None)
MAILBOX_GONE = "The mailbox that this mail came to was deleted: it is not sent again."
ERASED = "There is no such thing any more: it was erased this moment."
GONE = "The webhook, or what it is bound to, was deleted: there is nowhere to send this."


@dataclass(frozen=True, slots=True)
class EmailReplay:
    """What became of asking for an email again, counted in deliveries."""

    replayed: int
    made: int  # for webhooks that had none of it
    on_their_way: int
    content_expired: int


def replay_delivery(delivery: Delivery, *, by: str) -> None:
    """Sends it again, under the same webhook-id. delivery then shows what is stored.

    Raises ConflictError if it has not ended, and for a deleted webhook or mailbox; ContentExpiredError, which is one,
    if what was sent is no longer kept; NotFoundError if it was erased.
    """
    if not Webhook.objects.live().filter(pk=delivery.webhook_id).exists():
        raise ConflictError(GONE)
    with transaction.atomic():
        # locked, so that its octets are not pruned between our look at them and our UPDATE
        row = with_all(Delivery.objects.filter(pk=delivery.pk)).select_for_update(of=("self",), no_key=True).first()
        if row is None:
            raise NotFoundError(ERASED)
        is_on_its_way = begin_again(row, by=by)
    if not is_on_its_way:
        _refresh(delivery)
        raise ConflictError(ON_ITS_WAY.format(delivery.state))
    nudge_after_commit()
    _refresh(delivery)


def replay_email(email: Email, *, by: str, webhooks: QuerySet[Webhook]) -> EmailReplay:
    """Sends an email's event to every live webhook among these that wants it now, also to those that had none of it.

    What is on its way already is left alone. Raises ConflictError for an email that was not opened yet, or whose
    mailbox was deleted, ContentExpiredError if nothing of it could be sent for that reason, NotFoundError if it was
    erased.
    """
    if email.mailbox.deleted_at is not None:
        raise ConflictError(MAILBOX_GONE)
    if email.status == Email.Status.WAITING:  # of one that is parked, webhooks are told as well
        raise ConflictError("This email has not been opened yet, so there is nothing to tell of it.")
    if email.status == Email.Status.QUARANTINED:
        raise ConflictError("This email is kept back by a rule: release it, and its webhooks are told of it.")
    chosen = wanting(email, webhooks)
    done = dict.fromkeys(("replayed", "made", "on_their_way", "content_expired"), 0)
    with transaction.atomic():
        # before any of its deliveries, as who erases it does
        if not Email.objects.filter(pk=email.pk).select_for_update(no_key=True):
            raise NotFoundError(ERASED)
        for webhook in chosen:
            done[_send_to(webhook, email, by=by)] += 1
        nudge_after_commit()
    if done["content_expired"] and not any(done[name] for name in ("replayed", "made", "on_their_way")):
        raise ContentExpiredError("What this email says is no longer kept, so it cannot be sent again.")
    return EmailReplay(**done)


def wanting(email: Email, webhooks: QuerySet[Webhook]) -> list[Webhook]:
    """Those among these that are told of such an email now."""
    matched = matching(email, list(email.recipients.select_related("alias")))
    # in the order of their ids: two replays of one email never wait for each other in a circle
    rows = matched.filter(ALIVE, pk__in=webhooks.values("pk")).order_by("id")
    return [webhook for webhook in rows if Webhook.EventType.EMAIL_RECEIVED in webhook.events]


def retry_now(delivery: Delivery) -> None:
    """Makes the next attempt of a pending delivery due at once. delivery then shows what is stored.

    Raises ConflictError if it is not waiting for one, NotFoundError if it was erased.
    """
    waiting = Delivery.objects.filter(pk=delivery.pk, state=State.PENDING, lease_id=None)
    # one that is due already keeps its place
    waiting.filter(due_at__gt=Now()).update(due_at=Now())
    _refresh(delivery)
    match delivery.state:
        case State.PENDING if delivery.lease_id is None:
            nudge_after_commit()
        case State.PENDING:
            raise ConflictError("An attempt of this delivery is under way.")
        case State.HELD:
            raise ConflictError(f"This delivery is held: {delivery.reason or 'the webhook is paused or disabled'}.")
        case _:
            raise ConflictError(f"This delivery has ended ({delivery.state}); replay it to send it again.")


def cancel_delivery(delivery: Delivery, *, by: str) -> None:
    """Ends one that has not ended. An attempt that is under way may still arrive; it changes nothing any more.

    delivery then shows what is stored. Raises ConflictError if it has ended, NotFoundError if it was erased.
    """
    is_canceled = Delivery.objects.filter(pk=delivery.pk, state__in=OPEN).update(
        state=State.CANCELED, lease_id=None, deferred_since=None, reason=f"canceled by {by}"[:200]
    )
    _refresh(delivery)
    if not is_canceled:
        raise ConflictError(f"This delivery has ended already ({delivery.state}).")


def begin_again(delivery: Delivery, *, by: str) -> bool:
    """Whether an ended delivery is on its way again by this; False if it had not ended.

    The row is locked by the caller, and read by `with_all`. Raises ContentExpiredError, and ConflictError if the
    mailbox of its mail was deleted.
    """
    if delivery.state not in ENDED:
        return False
    if delivery.event.email is not None and delivery.event.email.mailbox.deleted_at is not None:
        raise ConflictError(MAILBOX_GONE)
    body = body_to_send(delivery)
    on_its_way = _on_its_way(delivery.webhook, delivery.event, by=by)
    is_begun = bool(
        Delivery.objects.filter(pk=delivery.pk, state__in=ENDED).update(
            **on_its_way,
            body=body,
            generation=F("generation") + 1,
            failures=0,
            lease_losses=0,
            deferred_since=None,
            begun_at=Now(),
            delivered_at=None,
            position=None,  # who pulls gets it as something new
        )
    )
    if is_begun and on_its_way["state"] == State.HELD:
        counted.count(Kind.HELD, [delivery.pk])
    return is_begun


def body_to_send(delivery: Delivery) -> EventBody:
    """The octets that were sent before, unless they are gone or say more than the webhook may be told by now.

    Then in the form that the webhook gets now, which is written down with the delivery. Needs `webhook`, `event` and
    `body`. Raises ContentExpiredError.
    """
    body = delivery.body
    if body is not None and (delivery.event.email_id is None or _may_be_told(delivery.webhook, body)):
        return body
    body = bodies.body_of(delivery.event, delivery.webhook.form)
    Delivery.objects.filter(pk=delivery.pk).update(body=body)
    return body


def nudge_after_commit() -> None:
    transaction.on_commit(lambda: nudge(DISPATCH), robust=True)


def with_all(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """With all that `begin_again` looks at."""
    return rows.select_related("webhook__alias", "event__email__mailbox", "body").defer("body__body")


def _refresh(delivery: Delivery) -> None:
    try:
        delivery.refresh_from_db()
    except Delivery.DoesNotExist as error:
        raise NotFoundError(ERASED) from error


def _may_be_told(webhook: Webhook, body: EventBody) -> bool:
    return webhook.payload != Webhook.Payload.METADATA or body.form == EventBody.Form.METADATA


def _send_to(webhook: Webhook, email: Email, *, by: str) -> str:
    """Which of the counts of EmailReplay it is."""
    now = timezone.now()
    event, _ = Event.objects.get_or_create(type=Event.Type.EMAIL_RECEIVED, email=email, defaults={"created_at": now})
    try:
        rows = with_all(Delivery.objects.filter(event=event, webhook=webhook))
        existing = rows.select_for_update(of=("self",), no_key=True).first()
        if existing is None:
            body = bodies.kept_body_of(event, webhook.form)
            fresh: Mapping[str, Any] = {"body": body, **_on_its_way(webhook, event, by=by)}
            existing, is_new = Delivery.objects.get_or_create(event=event, webhook=webhook, defaults=fresh)
            if is_new:
                counted.came([existing])
            if is_new and existing.state == State.HELD:
                counted.count(Kind.HELD, [existing.pk])
            return "made" if is_new else "on_their_way"
        return "replayed" if begin_again(existing, by=by) else "on_their_way"
    except ContentExpiredError:
        return "content_expired"


def _on_its_way(webhook: Webhook, event: Event, *, by: str) -> dict[str, Any]:
    obstacle = webhook.obstacle(event.email.mailbox_id if event.email else None)
    reason = f"replayed by {by}"
    return {
        "state": State.HELD if obstacle else State.PENDING,
        "reason": (f"{reason}; {obstacle}" if obstacle else reason)[:200],
        "due_at": Now(),
    }
