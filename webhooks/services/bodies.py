"""The octets of an event in each form: rendered when the first delivery needs that form, and kept as they are."""

import json
from collections.abc import Callable, Iterable

from django.db import IntegrityError
from django.utils import timezone

from emailgistics.common.errors import ConflictError
from emailgistics.common.logs import get_logger
from mailboxes import raw
from mailboxes.models import Attachment, Email, EmailContent, Recipient
from webhooks import payloads
from webhooks.models import Event, EventBody, Webhook
from webhooks.payloads import Json, StoredEmail

log = get_logger(__name__)

RICHEST_FIRST = (EventBody.Form.INLINE, EventBody.Form.FULL, EventBody.Form.THIN, EventBody.Form.METADATA)


class ContentExpiredError(ConflictError):
    """What the event told is not kept any longer, and cannot be made again."""

    code = "content_expired"


def body_of(event: Event, form: str) -> EventBody:
    """The event's octets in that form, the same for ever once they were made. Raises ContentExpiredError.

    An event that is about no email has one form only, which goes to every webhook.
    """
    kept = EventBody.objects.filter(event=event)
    if event.email_id is None:
        body = kept.order_by("id").first()
    else:
        body = kept.filter(form=form).first() or _rendered_now(event, form) or _cut_down(event, form)
    if body is None:
        raise ContentExpiredError("What this event told is not kept any longer.")
    return body


def kept_body_of(event: Event, form: str) -> EventBody:
    """The same, and it is not pruned before the end of the caller's transaction."""
    body = body_of(event, form)
    if not EventBody.objects.select_for_update(no_key=True).filter(pk=body.pk):
        body = body_of(event, form)  # pruned as we looked at it; the one that is made now is too young for that
    return body


def new_bodies(
    event: Event, stored: StoredEmail, forms: Iterable[str], *, octets: bytes | None = None
) -> list[EventBody]:
    """Renders the email of an event in each form; octets is its raw, for whoever has it at hand. Unsaved rows.

    For an event that the caller makes in his transaction, so that nobody else renders it.
    """
    full = _full(event, stored)
    made = {form: _octets(full, form, stored, octets) for form in sorted(set(forms))}
    return [EventBody(event=event, form=form, body=body, size=len(body)) for form, body in made.items()]


def store_event(
    event_type: Event.Type, *, webhook: Webhook, payload: Callable[[Event], Json], form: str = EventBody.Form.FULL
) -> EventBody:
    """An event about a webhook, told as `payload` says; in the caller's transaction."""
    event = Event.objects.create(type=event_type, webhook=webhook, created_at=timezone.now())
    return EventBody.objects.create(event=event, form=form, body=payloads.render(payload(event)))


def store_test_event(webhook: Webhook) -> EventBody:
    return store_event(
        Event.Type.WEBHOOK_TEST, webhook=webhook, payload=lambda event: payloads.webhook_test(event, webhook)
    )


def store_disabled_event(webhook: Webhook, *, reason: str) -> EventBody:
    """The reason is for people, and holds nothing of the webhook's URL."""
    return store_event(
        Event.Type.WEBHOOK_DISABLED,
        webhook=webhook,
        payload=lambda event: payloads.webhook_disabled(event, webhook, reason=reason),
    )


def _rendered_now(event: Event, form: str) -> EventBody | None:
    email = Email.objects.select_related("message", "mailbox__domain").filter(events=event).first()
    content = EmailContent.objects.filter(email=email).first()
    if email is None or content is None:
        return None
    stored = StoredEmail(
        email=email,
        content=content,
        recipients=list(Recipient.objects.filter(email=email).select_related("alias__domain")),
        attachments=list(Attachment.objects.filter(email=email).order_by("position")),
    )
    return _store(event, form, _octets(_full(event, stored), form, stored, None))


def _cut_down(event: Event, form: str) -> EventBody | None:
    """Out of a stored body that says more, when that is all that is left."""
    richer = RICHEST_FIRST[: RICHEST_FIRST.index(EventBody.Form(form))]
    body = EventBody.objects.filter(event=event, form__in=richer).order_by("id").first()
    if body is None:
        return None
    try:
        octets = payloads.render(payloads.in_form(json.loads(bytes(body.body)), form))
    except (ValueError, LookupError, TypeError, AttributeError):
        log.exception("event.body_unreadable", event_id=event.public_id)
        return None
    return _store(event, form, octets)


def _full(event: Event, stored: StoredEmail) -> Json:
    if event.type != Event.Type.EMAIL_REPARSED:
        return payloads.email_received(event, stored)
    received = Event.objects.filter(type=Event.Type.EMAIL_RECEIVED, email=stored.email).first()
    return payloads.email_reparsed(event, stored, received=received)


def _store(event: Event, form: str, octets: bytes) -> EventBody:
    """Who comes second gets what the first one stored: two renderings may name different keys in their links."""
    try:
        body, _ = EventBody.objects.get_or_create(event=event, form=form, defaults={"body": octets})
    except IntegrityError as error:
        if Event.objects.filter(pk=event.pk).exists():
            raise
        raise ContentExpiredError("What this event told was erased.") from error
    return body


def _octets(full: Json, form: str, stored: StoredEmail, octets: bytes | None) -> bytes:
    if form != EventBody.Form.INLINE:
        return payloads.render(payloads.in_form(full, form))
    fitting = any(attachment.size <= payloads.MAX_INLINE_BYTES for attachment in stored.attachments)
    whole = (octets if octets is not None else _raw(stored.email)) if fitting else None

    def read(attachment: Attachment) -> bytes | None:
        return None if whole is None else raw.decoded(attachment, whole)

    return payloads.render(payloads.with_content(full, stored.attachments, read))


def _raw(email: Email) -> bytes | None:
    try:
        return raw.raw_of(email)
    except raw.UNREADABLE as error:
        log.warning("event.raw_unavailable", email=email.public_id, error=type(error).__name__)
        return None
