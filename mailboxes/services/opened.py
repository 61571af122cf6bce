"""What was opened, written down: with each email that the message is, what finds it, and the news of it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from emailgistics.common import bulk
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes import mime
from mailboxes.mime import ParsedMail
from mailboxes.models import Attachment, Email, EmailContent, Message, Recipient, Rule
from mailboxes.services import attachment_rules, counted, derived, search
from mailboxes.signals import News, tell

log = get_logger(__name__)

PORTION, PORTION_OCTETS = 100, 4 * 1024 * 1024  # of emails, and of their raws, that are written at once
# what `_decide` sets of a message that was opened
FATE = ("state", "lease_id", "processed_at", "parse_status", "parse_defects", "parse_version", "authentication")


@dataclass(frozen=True, slots=True)
class Opened:
    """A claimed message, and what is in it; octets is None where they could not be read, or were not looked at."""

    message: Message
    parsed: ParsedMail
    octets: bytes | None
    state: Message.State
    authentication: dict[str, Any] | None = None


def store(opened: Sequence[Opened], *, lease_id: UUID | None) -> int:
    """Writes what was parsed to each of the messages' emails and tells `emails_processed`, all or nothing.

    Returns of how many messages: without those whose claim was lost. Of what a rule keeps back nobody is told before
    its release; what a rule discards for an attachment is removed. Mail that is parked is kept back, too, where a rule
    stops attachments: what it has in it is unknown (attachment_rules).
    """
    kept, stored = _store(opened, lease_id)
    for one in opened:
        if one not in kept:
            say_lost(one.message.pk)
    for one, email in stored:
        sound_alarm(email, one.parsed)
    return len(kept)


@transaction.atomic
def _store(opened: Sequence[Opened], lease_id: UUID | None) -> tuple[list[Opened], list[tuple[Opened, Email]]]:
    """Those that were ours still, and their emails that stay."""
    ours = Message.objects.filter(
        pk__in=[one.message.pk for one in opened], lease_id=lease_id, state=Message.State.WAITING
    )
    locked = set(ours.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    kept = [one for one in opened if one.message.pk in locked]
    now = timezone.now()
    for one in kept:
        _decide(one, at=now)
    bulk.update([one.message for one in kept], FATE)
    recipients = list(Recipient.objects.filter(message__in=locked).select_related("alias__domain"))
    emails = list(Email.objects.filter(message__in=locked).select_related("mailbox__domain"))
    staying = [(one, email) for one in kept for email in _judged(one, emails, recipients)]
    of_email: dict[UUID, list[Recipient]] = defaultdict(list)
    for recipient in recipients:
        of_email[recipient.email_id].append(recipient)
    for some in _portions(staying):
        _write(some, of_email)
    counted.became([email for _, email in staying], recipients, at=now)
    return kept, staying


def _decide(opened: Opened, *, at: datetime) -> None:
    # the rest of a message never changes, so it need not be read again
    message, parsed = opened.message, opened.parsed
    message.state, message.lease_id, message.processed_at = opened.state, None, at
    message.parse_status, message.parse_defects = parsed.status, list(parsed.defects)
    message.parse_version = mime.VERSION
    message.authentication = opened.authentication


def _judged(opened: Opened, emails: Iterable[Email], recipients: Iterable[Recipient]) -> list[Email]:
    """Has rules about attachments decide; the emails of the message that stay. The arguments may be those of others."""
    message = opened.message
    own = [email for email in emails if email.message_id == message.pk]
    of_message = [recipient for recipient in recipients if recipient.message_id == message.pk]
    verdicts = attachment_rules.verdicts_of(message, own, of_message, opened.parsed)
    discarded = {pk: verdict for pk, verdict in verdicts.items() if verdict.action == Rule.Action.DISCARD}
    if discarded and not attachment_rules.discard(message, own, discarded, of_message):
        return []
    staying = [email for email in own if email.pk not in discarded]
    for email in staying:
        email.message = message
        if verdict := verdicts.get(email.pk):
            attachment_rules.obey(email, verdict)
    return staying


def _portions(staying: Sequence[tuple[Opened, Email]]) -> Iterator[list[tuple[Opened, Email]]]:
    """As much at once as one can have in memory several times over: a large mail to many mailboxes is many portions."""
    portion: list[tuple[Opened, Email]] = []
    octets = 0
    for opened, email in staying:
        octets += opened.message.size
        if portion and (octets > PORTION_OCTETS or len(portion) == PORTION):
            yield portion
            portion, octets = [], opened.message.size
        portion.append((opened, email))
    if portion:
        yield portion


def _write(some: Sequence[tuple[Opened, Email]], of_email: Mapping[UUID, list[Recipient]]) -> None:
    contents, entries, news = [], [], []
    attachments: list[Attachment] = []
    for opened, email in some:
        email.status = Email.Status.QUARANTINED if email.quarantine_reason else Email.Status(opened.state.value)
        for name, value in derived.email_columns(opened.parsed).items():
            setattr(email, name, value)
        content = EmailContent(email=email, **derived.content_columns(opened.parsed))
        own = [Attachment(email=email, **columns) for columns in derived.attachment_columns(opened.parsed)]
        contents.append(content)
        entries.append(search.new_entry(email, content, of_email[email.pk], own))
        attachments += own
        if email.status != Email.Status.QUARANTINED:
            news.append(News(email, of_email[email.pk], own, opened.octets))
    bulk.update([email for _, email in some], [*derived.email_columns(some[0][0].parsed), "status"])
    bulk.insert(contents, attachments, entries)
    tell(news)
    for _, email in some:  # what they hold is many times what an email is, and nobody needs it any more
        for held in ("content", "search_entry"):
            email._state.fields_cache.pop(held, None)  # noqa: SLF001 - Django offers no other way


def sound_alarm(email: Email, parsed: ParsedMail) -> None:
    """Says in the log that somebody sent a key or a secret of ours by mail. The key's public id is all that is said."""
    secrets = {mime.Mark.API_KEY, mime.Mark.WEBHOOK_SECRET}.intersection(parsed.marks)
    if secrets:
        log.warning(
            "email.own_secret_found",
            email=email.public_id,
            mailbox=email.mailbox.public_id,
            found=sorted(map(str, secrets)),
            api_keys=list(parsed.api_keys),
        )


def say_lost(message_id: UUID) -> None:
    """Somebody took the message over, or erased it: what we make of it changes nothing any more."""
    log.warning("message.claim_lost", message=encode_id(Message.ID_PREFIX, message_id))
