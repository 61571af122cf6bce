"""Making, changing, pausing and deleting webhooks, and what they keep sealed: their secrets and their own headers."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apikeys.credentials import new_webhook_secret, parse_webhook_secret
from apikeys.models import ApiKey
from emailgistics.common import journal
from emailgistics.common.access import NOBODY, Actor
from emailgistics.common.crypto import DecryptionError, decrypt, encrypt
from emailgistics.common.errors import (
    ConflictError,
    InvalidChoiceError,
    NotFoundError,
    OutOfRangeError,
    RefusedError,
    UnavailableError,
)
from emailgistics.common.ids import uuid7
from emailgistics.common.logs import get_logger
from emailgistics.common.nudge import nudge
from emailgistics.common.sealed import context
from emailgistics.common.text import within
from mailboxes.addresses import shown
from mailboxes.models import ACTOR_LENGTH, Alias, Domain, Mailbox
from webhooks import guard
from webhooks import headers as own_headers
from webhooks.models import MAX_IN_FLIGHT, MOVED, Delivery, Webhook, WebhookHealth, usual_event_types
from webhooks.services import verdicts
from webhooks.services.fan_out import DISPATCH

log = get_logger(__name__)

ROTATION_OVERLAP = timedelta(hours=24)
MAX_ROTATION_OVERLAP = timedelta(days=7)
MAX_RATE_PER_MINUTE = 60_000
UNCHANGED = -1  # for what None means something else


def create_webhook(
    *,
    url: str = "",
    alias: Alias | None = None,
    mailbox: Mailbox | None = None,
    domain: Domain | None = None,
    payload: str = Webhook.Payload.FULL,
    attachments: str = Webhook.Attachments.LINKS,
    events: Sequence[str] | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
    rate_per_minute: int | None = None,
    description: str = "",
    created_by: ApiKey | None = None,
    secret: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[Webhook, str]:
    """A webhook bound to exactly one of alias, mailbox and domain, and its secret, which is not shown again.

    Without url nothing is sent: its deliveries wait until they are pulled. events None is the usual ones.
    rate_per_minute, of requests, None is no limit. secret keeps a receiver's configuration when moving here; otherwise
    a fresh one is made. headers go out beside ours, and their values are never shown again. Raises RefusedError, with
    field url for an address that may not be called.

    Inside a transaction of the caller's, url is a `guard.JudgedUrl`.
    """
    bindings = [thing for thing in (alias, mailbox, domain) if thing is not None]
    if len(bindings) != 1:
        raise RefusedError("A webhook is bound to exactly one alias, mailbox or domain: give one of them.")
    if bindings[0].deleted_at is not None:
        raise RefusedError(f"{bindings[0]} is deleted; bind the webhook to something that can still receive mail.")
    how = _checked(
        payload=payload,
        attachments=attachments,
        events=usual_event_types() if events is None else events,
        max_in_flight=max_in_flight,
        rate_per_minute=rate_per_minute,
        description=description,
    )
    own_headers.check(headers or {})
    if secret is None:
        secret = new_webhook_secret()
    else:
        parse_webhook_secret(secret)
    if url:
        url = guard.check_url(url)
    pk = uuid7()
    with transaction.atomic():
        webhook = Webhook.objects.create(
            pk=pk,
            alias=alias,
            mailbox=mailbox,
            domain=domain,
            bound_mailbox_id=alias.mailbox_id if alias else None,
            url=url,
            created_by=created_by,
            **how,
            **_fresh_secret(pk, secret),
            **_sealed_headers(pk, headers or {}),
        )
        WebhookHealth.objects.create(webhook=webhook)
    return webhook, secret


def update_webhook(
    webhook: Webhook,
    *,
    url: str | None = None,
    headers: Mapping[str, str | None] | None = None,
    payload: str | None = None,
    attachments: str | None = None,
    events: Sequence[str] | None = None,
    max_in_flight: int | None = None,
    rate_per_minute: int | None = UNCHANGED,
    description: str | None = None,
    agree: Callable[[Webhook], None] = lambda _: None,
) -> str | None:
    """Changes what is given; None leaves a thing as it is, but rate_per_minute, where it ends the limit. headers
    replaces all of them, a value of None keeps the one of that name. An empty url sends nothing from now on. Saying
    how mail comes (url, payload or attachments) forgets that the receiver once answered 413.

    Another scheme, host or port is another receiver: the headers that were kept go, and a new secret signs from now on,
    without overlap; it is returned, once. webhook then shows what is stored. Raises RefusedError, NotFoundError.

    agree is called with the row as it is, locked, and refuses the change by raising. Inside a transaction of the
    caller's, url is a `guard.JudgedUrl`.
    """
    given: dict[str, Any] = {
        "payload": payload,
        "attachments": attachments,
        "events": events,
        "max_in_flight": max_in_flight,
        "description": description,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if rate_per_minute != UNCHANGED:
        changes["rate_per_minute"] = rate_per_minute
    changes = _checked(**changes)
    if url is not None:
        if url not in ("", webhook.url):
            url = guard.check_url(url)  # looks names up, so before the transaction
        changes["url"] = url
    if {"url", "payload", "attachments"} & changes.keys():
        changes["thinned_at"] = None
    secret = None
    with transaction.atomic():
        if changes.get("url", webhook.url) != webhook.url:
            # what is known of one receiver says nothing of another; first, as whoever judges results locks
            verdicts.start_slowly(webhook.pk)
        row = _locked(webhook)
        agree(row)
        is_elsewhere = url not in (None, row.url) and not guard.is_same_origin(url, row.url)
        if is_elsewhere:
            secret = new_webhook_secret()
            changes |= _fresh_secret(row.pk, secret)
        if is_elsewhere or headers is not None:
            changes |= _changed_headers(row, _headers_after(row, headers or {}, is_elsewhere=is_elsewhere))
        if webhook.alias and ("sealed_headers" in changes or changes.get("url", row.url) != row.url):
            # the mailbox that the caller saw, not where the alias leads by now
            changes["endpoint_mailbox"] = webhook.alias.mailbox_id
        _write(row, changes)
        if is_elsewhere:
            journal.note("webhook.moved_elsewhere", of=row.public_id)
        _refresh(webhook)
    return secret


class RotationOverlapsError(ConflictError):
    """A rotation would end a secret that was promised to sign for some time yet."""

    code = "rotation_overlaps"


def rotate_secret(webhook: Webhook, *, overlap: timedelta = ROTATION_OVERLAP, may_end_overlap: bool = False) -> str:
    """A new secret, shown this once. The one before signs as well until overlap ends (0 to MAX_ROTATION_OVERLAP).

    Rotating again within it is refused, because what was the previous one would end at once; who wants that says so, or
    an overlap of 0. webhook then shows what is stored. Raises RefusedError, with field overlap, RotationOverlapsError
    and NotFoundError.
    """
    if not timedelta(0) <= overlap <= MAX_ROTATION_OVERLAP:
        raise OutOfRangeError(
            f"The previous secret goes on signing for 0 to {MAX_ROTATION_OVERLAP.days} days.", field="overlap"
        )
    secret = new_webhook_secret()
    with transaction.atomic():
        row = _locked(webhook)
        ends_at = row.previous_secret_until
        if overlap and not may_end_overlap and ends_at is not None and ends_at > timezone.now():
            raise RotationOverlapsError(
                "The secret before the last rotation still signs, and receivers may use it. Wait until "
                f"{ends_at:%Y-%m-%d %H:%M} UTC, or give an overlap of 0 to end both at once."
            )
        changes = _fresh_secret(row.pk, secret)
        if overlap:
            changes |= _overlapping(row, overlap)
        _write(row, changes)
        journal.note("webhook.secret_rotated", of=row.public_id)
        _refresh(webhook)
    return secret


def headers_of(webhook: Webhook) -> dict[str, str]:
    """Its own headers in the clear, for sending only. Raises DecryptionError."""
    headers: dict[str, str] = {}
    if webhook.sealed_headers is not None:
        headers = json.loads(decrypt(bytes(webhook.sealed_headers), context=_context("sealed_headers", webhook.pk)))
    if list(headers) != webhook.header_names:
        raise DecryptionError("the names beside the sealed headers are others: altered")
    return headers


def secrets_of(webhook: Webhook, *, now: datetime) -> list[str]:
    """What signs at that moment: the current secret, then the previous one while a rotation overlaps. Raises
    DecryptionError.

    An overlap ends by the database's clock: now comes from there, so that no host's clock lengthens it.
    """
    secrets = [_opened(webhook, "sealed_secret")]
    if webhook.previous_secret_until is not None and now < webhook.previous_secret_until:
        secrets.append(_opened(webhook, "sealed_previous_secret"))
    return secrets


def secrets_now(webhook: Webhook) -> list[str]:
    """What signs at this moment, as `secrets_of`. Raises UnavailableError."""
    row = Webhook.objects.annotate(at=Now()).get(pk=webhook.pk)
    try:
        return secrets_of(row, now=row.at)  # type: ignore[attr-defined]  # annotated above
    except DecryptionError as error:
        raise UnavailableError("The webhook's secret does not open: an operator has to look at it.") from error


def pause_webhook(webhook: Webhook, *, reason: str = "") -> None:
    """Nothing starts any more; what comes is held. Attempts in flight end as they end."""
    with transaction.atomic():
        if Webhook.objects.live().filter(pk=webhook.pk).update(state=Webhook.State.PAUSED, state_reason=reason):
            journal.note("webhook.paused", of=webhook.public_id)
    _nudge_after_commit()


def resume_webhook(webhook: Webhook) -> None:
    """What was held meanwhile becomes due.

    If its alias was moved, this confirms the move that the caller saw, in webhook.alias: that mailbox's mail goes to
    its endpoint, beside what waits of the mailbox that the endpoint was given for. Two are remembered: what waits of
    one confirmed in between stays held (`Webhook.keeps_back`) until the alias leads there again and that is confirmed.
    After a further move it stays paused. Raises NotFoundError.
    """
    changes: dict[str, Any] = {"state": Webhook.State.ACTIVE, "state_reason": ""}
    with transaction.atomic():
        verdicts.start_slowly(webhook.pk)  # first: whoever judges results locks in this order too
        row = _locked(webhook)
        if webhook.alias and webhook.alias.mailbox_id != row.bound_mailbox_id:
            changes["bound_mailbox"] = webhook.alias.mailbox_id
            changes["endpoint_mailbox"] = row.endpoint_mailbox_id or row.bound_mailbox_id
        _write(row, changes)
        journal.note("webhook.resumed", of=row.public_id)
        _nudge_after_commit()


def in_flight_of(webhook: Webhook) -> int:
    """Attempts under way now: what pausing, deleting and ending a secret cannot take back."""
    return Delivery.objects.filter(webhook=webhook, lease_id__isnull=False).count()


@transaction.atomic
def delete_webhook(webhook: Webhook, *, by: Actor = NOBODY, agree: Callable[[Webhook], None] | None = None) -> None:
    """Marks it deleted: nothing starts any more, and what waits is canceled by `queue.settle`; the emails stay.

    agree is called with the row as it is, locked, and refuses by raising. Raises NotFoundError only then.
    """
    if agree is not None:
        agree(_locked(webhook))
    marked = {"deleted_at": timezone.now(), "deleted_by": by.name[:ACTOR_LENGTH]}
    if Webhook.objects.live().filter(pk=webhook.pk).update(**marked):
        journal.note("webhook.deleted", of=webhook.public_id)
    _nudge_after_commit()


def _nudge_after_commit() -> None:
    transaction.on_commit(lambda: nudge(DISPATCH), robust=True)


def _locked(webhook: Webhook) -> Webhook:
    """The row as it is now, locked until the end of the transaction. Raises NotFoundError.

    Without its key: mail that is being stored for it refers to that, and need not wait.
    """
    rows = Webhook.objects.live().select_related("alias").select_for_update(of=("self",), no_key=True)
    row = rows.filter(pk=webhook.pk).first()
    if row is None:
        raise NotFoundError(f"The webhook {webhook.public_id} was deleted meanwhile.")
    return row


def _write(row: Webhook, changes: dict[str, Any]) -> None:
    """Writes these columns and no other: whoever pauses it at the same time is not overruled."""
    if row.is_moved and row.state == Webhook.State.ACTIVE and "state" not in changes:
        # who changes it now need not be who confirmed it: should the alias come back, it is still off
        changes = changes | {"state": Webhook.State.PAUSED, "state_reason": MOVED}
    if changes:
        Webhook.objects.filter(pk=row.pk).update(**changes)


def _refresh(webhook: Webhook) -> None:
    webhook.refresh_from_db(from_queryset=Webhook.objects.select_related("alias"))


def _headers_after(row: Webhook, given: Mapping[str, str | None], *, is_elsewhere: bool) -> dict[str, str]:
    """Raises RefusedError when what is to be kept is not there, or does not open."""
    own_headers.check_names(given)
    kept = [name for name, value in given.items() if value is None]
    stored: dict[str, str] = {}
    if kept and not is_elsewhere:
        try:
            stored = {name.lower(): value for name, value in headers_of(row).items()}
        except DecryptionError as error:
            raise RefusedError(
                "The values of the headers cannot be read any more; give all of them again.", field=own_headers.FIELD
            ) from error
        if missing := [name for name in kept if name.lower() not in stored]:
            raise RefusedError(
                f"The header {shown(missing[0])} has no value yet that could be kept; give its value.",
                field=own_headers.FIELD,
            )
    merged = {name: stored.get(name.lower()) if value is None else value for name, value in given.items()}
    headers = {name: value for name, value in merged.items() if value is not None}
    own_headers.check(headers)
    return headers


def _changed_headers(row: Webhook, headers: dict[str, str]) -> dict[str, Any]:
    try:
        is_same = headers == headers_of(row)
    except DecryptionError:
        is_same = False
    return {} if is_same else _sealed_headers(row.pk, headers)


def _checked(**how: Any) -> dict[str, Any]:
    """How mail is to come, as far as it is given. Raises RefusedError, which names the field."""
    for name, known in (("payload", Webhook.Payload.values), ("attachments", Webhook.Attachments.values)):
        if how.get(name, known[0]) not in known:
            raise InvalidChoiceError(f"{name} is one of {', '.join(known)}.", field=name)
    if "events" in how:
        chosen, known = list(how["events"]), Webhook.EventType.values
        if not chosen or set(chosen) - set(known):
            raise InvalidChoiceError(f"events is a list of at least one of {', '.join(known)}.", field="events")
        how["events"] = [name for name in known if name in chosen]
    if not 1 <= how.get("max_in_flight", 1) <= MAX_IN_FLIGHT:
        raise OutOfRangeError(f"max_in_flight is from 1 to {MAX_IN_FLIGHT}.", field="max_in_flight")
    rate = how.get("rate_per_minute")
    if rate is not None and not 1 <= rate <= MAX_RATE_PER_MINUTE:
        raise OutOfRangeError(f"rate_per_minute is from 1 to {MAX_RATE_PER_MINUTE}.", field="rate_per_minute")
    if "description" in how:
        how["description"] = within(how["description"], limit=500, field="description")
    return how


def _fresh_secret(pk: UUID, secret: str) -> dict[str, Any]:
    return {
        "sealed_secret": encrypt(secret.encode(), context=_context("sealed_secret", pk)),
        "sealed_previous_secret": None,
        "previous_secret_until": None,
    }


def _overlapping(row: Webhook, overlap: timedelta) -> dict[str, Any]:
    """The current secret as the previous one; nothing if it does not open, for then it signs nothing already."""
    try:
        current = _opened(row, "sealed_secret")
    except DecryptionError as error:
        log.warning("webhook.secret_unreadable", webhook=row.public_id, error=str(error))
        return {}
    return {
        "sealed_previous_secret": encrypt(current.encode(), context=_context("sealed_previous_secret", row.pk)),
        "previous_secret_until": Now() + overlap,
    }


def _sealed_headers(pk: UUID, headers: Mapping[str, str]) -> dict[str, Any]:
    sealed = encrypt(json.dumps(dict(headers)).encode(), context=_context("sealed_headers", pk)) if headers else None
    return {"header_names": list(headers), "sealed_headers": sealed}


def _opened(webhook: Webhook, column: str) -> str:
    return decrypt(bytes(getattr(webhook, column)), context=_context(column, webhook.pk)).decode()


def _context(column: str, pk: object) -> str:
    return context(Webhook, column, pk)
