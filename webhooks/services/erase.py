"""Erasing emails with everything that stands on them: events, their octets, deliveries and attempts.

What is held or waits goes too, and so does what is being sent: that request may still arrive, but what comes of it
changes nothing, because every write to a delivery looks for its row.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from emailgistics.common import audit, journal, tombstones
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes.addresses import address_key
from mailboxes.models import Email
from mailboxes.services import erase, mentions
from webhooks.models import Attempt, Delivery, Event, Webhook
from webhooks.services import counted

log = get_logger(__name__)

DELIVERY = "delivery"  # what tombstones are of
ADDRESS, ADDRESS_ERASED = "address", "email.address_erased"  # in the audit log
ANSWER_ERASED = "attempt.answer_erased"  # in the journal
OPENED_WITHIN = timedelta(seconds=10)  # mail that has just come, if there is a worker
LOOK_EVERY = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class Erased:
    """An email that is no more. deliveries of it went with it; None if it was erased before."""

    email_id: UUID
    deliveries: int | None


@dataclass(frozen=True, slots=True)
class ErasedAddress:
    """unopened: mails that came before and wait to be opened, so that nobody knows yet what their From says.

    refusals: how much was on record of mail that was refused or discarded. transcripts: of other mail, on whose
    connections the address was named. rules: that name it and stay, because somebody wants them.
    """

    emails: list[Erased]
    unopened: int
    refusals: int
    transcripts: int = 0
    rules: tuple[str, ...] = ()


def erase_email(email_id: UUID, *, by: str) -> Erased:
    """Twice is as good as once. Returns once committed. Raises NotFoundError for what never was an email.

    Locks in this order: message, email, deliveries by their ids, events. Who tells of an email anew holds the email,
    who makes octets for one of its deliveries holds that delivery, and neither waits for a lock before it.
    """
    erased = _erase_if_there(email_id, by=by)
    if erased.deliveries is None and not erase.was_erased(email_id):
        raise NotFoundError(f"There is no email {encode_id(Email.ID_PREFIX, email_id)}.")
    return erased


def _erase_if_there(email_id: UUID, *, by: str) -> Erased:
    """Of what was found a moment ago: somebody else may have erased it meanwhile, or its retention has ended."""
    with transaction.atomic(durable=True):
        email = erase.hold_email(email_id)
        if email is None:
            return Erased(email_id, None)
        deliveries = erase_news(email, by=by)
        erase.erase_held(email, by=by)
    log.info("email.erased", email=encode_id(Email.ID_PREFIX, email_id), deliveries=deliveries, by=by)
    return Erased(email_id, deliveries)


def erase_emails(ids: Collection[UUID], *, by: str) -> list[Erased]:
    """Each on its own, in that order. Raises NotFoundError, before the first is erased, if one of them never was."""
    there = set(Email.objects.filter(pk__in=ids).values_list("pk", flat=True))
    for email_id in ids:
        if email_id not in there and not erase.was_erased(email_id):
            raise NotFoundError(f"There is no email {encode_id(Email.ID_PREFIX, email_id)}; nothing was erased.")
    return [_erase_if_there(email_id, by=by) for email_id in dict.fromkeys(ids)]


def erase_address(
    address: str, *, by: str, with_mentions: bool = False, wait_for: timedelta = OPENED_WITHIN
) -> ErasedAddress:
    """Every email that came before, with that envelope sender, From address or recipient, and refusals likewise.

    with_mentions: also mail of others that has it in a header, its text or the name of an attachment, and what else
    receivers answered with it. Mail that has just come is waited for, for a while. What could not be opened at all is
    found by its envelope alone, and by its octets with mentions. It is on record who did it, under a mark that tells
    nobody whose address it was. Raises InvalidAddressError.
    """
    unopened = _wait_for_opening(wait_for)
    found = erase.emails_of(address)
    if with_mentions:
        found |= mentions.emails_mentioning(address)
    erased = [_erase_if_there(email_id, by=by) for email_id in sorted(found)]
    if with_mentions:
        _erase_from_answers(address)
    refusals, transcripts = erase.erase_refusals_of(address), mentions.erase_from_transcripts(address)
    mentions.erase_from_ended_rules(address)
    rules = tuple(rule.public_id for rule in mentions.rules_naming(address))
    counts = {"emails": len(erased), "refusals": refusals, "transcripts": transcripts, "mentions": with_mentions}
    audit.record(ADDRESS_ERASED, of=tombstones.name_of(ADDRESS, address_key(address)), by=by, details=counts)
    return ErasedAddress(erased, unopened, refusals, transcripts, rules)


def are_erased(deliveries: Collection[UUID], *, of: UUID) -> bool:
    """Whether all of them were deliveries to that webhook."""
    names = {_name(of, pk) for pk in deliveries}
    return tombstones.buried(DELIVERY, names) == names


def erase_news(email: Email, *, by: str) -> int:
    rows = Delivery.objects.filter(event__email=email).order_by("id")
    held = list(rows.select_for_update(of=("self",)).values_list("webhook_id", "pk"))
    tombstones.bury(DELIVERY, (_name(*one) for one in held), by=by)
    ids = [pk for _, pk in held]
    counted.went(ids)
    Delivery.objects.filter(pk__in=ids).delete()  # with their attempts
    Event.objects.filter(email=email).delete()  # with their bodies
    return len(held)


def _erase_from_answers(address: str) -> None:
    """Of attempts that are left: mail in which it does not stand, to a receiver that knows it from elsewhere."""
    mention = mentions.Mention(address)
    said = Attempt.objects.exclude(response_excerpt=b"", response_headers=b"", detail="").order_by()
    columns = ("response_excerpt", "response_headers", "detail")
    found = []
    for delivery_id, n, excerpt, headers, detail in said.values_list("delivery_id", "n", *columns).iterator():
        texts = [detail, *(bytes(octets).decode(errors="replace") for octets in (excerpt, headers))]
        if mention.is_in(texts):
            found.append((delivery_id, n))
    for delivery_id, n in found:
        erase_answer(delivery_id, n)


@transaction.atomic
def erase_answer(delivery_id: UUID, n: int) -> bool:
    """What came of that attempt stays, what the receiver said goes. False if there is no such attempt."""
    rows = Attempt.objects.filter(delivery=delivery_id, n=n)
    count = rows.update(response_excerpt=b"", response_headers=b"", detail="")
    if count:
        journal.note(ANSWER_ERASED, of=encode_id(Delivery.ID_PREFIX, delivery_id), n=n)
    return bool(count)


def _wait_for_opening(wait_for: timedelta) -> int:
    """How many of the mails that wait to be opened now still do when the time is up."""
    newest = erase.newest_unopened()
    if newest is None:
        return 0
    until = time.monotonic() + wait_for.total_seconds()
    while (count := erase.count_unopened(newest)) and time.monotonic() < until:
        time.sleep(LOOK_EVERY.total_seconds())
    return count


def _name(webhook_id: UUID, delivery_id: UUID) -> str:
    """By which a delivery's tombstone is found: whoever was sent it for a webhook knows both."""
    return f"{encode_id(Webhook.ID_PREFIX, webhook_id)} {encode_id(Delivery.ID_PREFIX, delivery_id)}"
