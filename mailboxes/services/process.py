"""From stored octets to emails that can be read and told about.

A worker claims messages by a committed lease before it opens them, so that octets that kill it cannot kill the next one
for ever: a message whose worker was lost twice is opened alone, and one that was lost alone is parked: visible, its raw
safe, its webhooks told so.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Least
from django.utils import timezone

from emailgistics.common import bulk, leases
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes import mime, raw
from mailboxes.mime import ParsedMail
from mailboxes.models import Attachment, Email, EmailContent, Message, RawMessage, Recipient, Rule
from mailboxes.services import attachment_rules, authenticate, counted, derived, search
from mailboxes.signals import News, tell

log = get_logger(__name__)

LEASE_KIND = "mail"
BATCH = 16  # no more: who is claimed behind a slow mail waits for it, and for the lease if it kills the worker
BATCH_ONCE_LOST = 2  # and of those whom a worker was lost with, one killed it
SMALL_OCTETS = 256 * 1024  # of a message: what is larger is opened and stored by itself
TOGETHER = timedelta(milliseconds=20)  # who was opened waits no longer than that for others, to be stored with them
PORTION, PORTION_OCTETS = 100, 4 * 1024 * 1024  # of emails, and of their raws, that are written at once
SLOW = timedelta(seconds=0.5)  # who takes as long may not be the last to; others may take over what is claimed behind
SLICE = timedelta(seconds=10)  # no message is begun after it; Celery's hard limit leaves the last one 30 s more
LINGER = timedelta(seconds=0.5)  # mail comes in swarms: staying awake is cheaper than being woken
LOOK_EVERY = timedelta(milliseconds=20)
ALONE_FROM_LOSSES = 2
PARK_FROM_LOSSES = ALONE_FROM_LOSSES + 1
FATE = (
    "state",
    "lease_id",
    "processed_at",
    "parse_status",
    "parse_defects",
    "parse_version",
    "authentication",
)  # of a message that was opened
MAX_LOSSES = 1000  # counted no further, should even parking fail again and again


def drain(*, for_at_most: timedelta = SLICE, linger: timedelta = LINGER) -> int:
    """Processes what waits, until nothing has come for `linger` or the time is up. Returns how many were done."""
    if not claimable().exists():
        return 0
    done = 0
    until = time.monotonic() + for_at_most.total_seconds()
    with leases.held(LEASE_KIND) as lease:

        def goes_on() -> bool:
            return time.monotonic() <= until and not lease.is_lost

        # one suspicious message first, so that no stream of new mail keeps it waiting for ever; the others at the end
        done += process_messages(claim(lease.id, alone=True), lease.id, goes_on=goes_on)
        idle_since = time.monotonic()
        while goes_on():
            if claimable().exists() and (claimed := claim(lease.id) or claim(lease.id, alone=True)):
                done += process_messages(claimed, lease.id, goes_on=goes_on)
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > linger.total_seconds():
                break
            else:
                time.sleep(LOOK_EVERY.total_seconds())
    return done


def claimable() -> QuerySet[Message]:
    """Messages that wait and that no living worker holds."""
    held = leases.alive().filter(pk=OuterRef("lease_id"))
    return Message.objects.filter(state=Message.State.WAITING).filter(Q(lease_id=None) | ~Exists(held))


def claim(lease_id: UUID, *, alone: bool = False) -> list[UUID]:
    """Marks up to BATCH messages as ours (one, if alone is asked for: of those that were lost twice), oldest first.

    Those that were never lost come first; those that were come in small company. The loss is written down now and taken
    back by success: a worker that is killed cannot write anything.
    """
    suspicious = Q(losses__gte=ALONE_FROM_LOSSES)
    wanted = claimable().filter(suspicious if alone else ~suspicious).order_by("losses", "id")
    if not wanted.exists():  # a plain read: no write lock on SQLite while there is nothing to do
        return []
    with transaction.atomic():
        # SQLite ignores skip_locked, and needs none: the transaction holds the only write lock from its start
        rows = wanted.select_for_update(skip_locked=True).values_list("pk", "losses")[: 1 if alone else BATCH]
        ids = [pk for n, (pk, losses) in enumerate(rows) if not losses or n < BATCH_ONCE_LOST]
        # asked again now that they are locked: the first statement may have seen neither a lease nor the claim under it
        claimable().filter(pk__in=ids).update(lease_id=lease_id, losses=Least(F("losses") + 1, MAX_LOSSES))
        return list(Message.objects.filter(pk__in=ids, lease_id=lease_id).order_by("id").values_list("pk", flat=True))


def release(ids: Sequence[UUID], lease_id: UUID) -> None:
    """Gives back claimed messages that were not begun; that is no loss."""
    ours = Message.objects.filter(pk__in=ids, lease_id=lease_id)
    ours.update(lease_id=None, losses=F("losses") - 1)


@dataclass(frozen=True, slots=True)
class Opened:
    """A claimed message, and what is in it; octets is None where they could not be read, or were not looked at."""

    message: Message
    parsed: ParsedMail
    octets: bytes | None
    state: Message.State
    authentication: dict[str, Any] | None = None


def process_messages(ids: Sequence[UUID], lease_id: UUID, *, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Opens claimed messages and stores what is in them. Returns how many were done.

    Those that take little are stored together: half of what one costs is a transaction and its statements. One whose
    claim was lost meanwhile stays as it is. What is not begun when it no longer `goes_on`, or when somebody took long,
    is given back.
    """
    left = list(ids)
    done = 0
    try:
        while left and goes_on():
            begun_at = time.monotonic()
            opened, begun = _open_some(left, goes_on)
            done += _store_or_each(opened, lease_id)
            left = left[begun:]
            if time.monotonic() - begun_at > SLOW.total_seconds():
                break
    except (OperationalError, InterfaceError) as error:
        # the database, not the mail: give all of it back, and let the next sweep try
        log.warning("processing.database_away", error=type(error).__name__)
        connection.close()
        release(left, lease_id)
        raise
    if left:
        release(left, lease_id)
    return done


def _open_some(ids: Sequence[UUID], goes_on: Callable[[], bool]) -> tuple[list[Opened], int]:
    """Opens the first of these, and those behind it while nobody waits long for that; and how many were begun."""
    messages = Message.objects.in_bulk(ids)
    small = RawMessage.objects.in_bulk([pk for pk, message in messages.items() if message.size <= SMALL_OCTETS])
    until = time.monotonic() + TOGETHER.total_seconds()
    opened: list[Opened] = []
    for begun, pk in enumerate(ids):
        message = messages.get(pk)
        is_large = pk not in small
        if begun and (is_large or time.monotonic() > until or not goes_on()):
            return opened, begun
        if message is None:
            _say_lost(pk)
            continue
        try:
            one = _open(message, small.get(pk))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - said with all there is to say
            _say_not_processed(pk, error)
        else:
            opened += [one] if one else []
        if is_large:
            return opened, begun + 1
    return opened, len(ids)


def _open(message: Message, stored: RawMessage | None) -> Opened | None:
    """stored: its raw, if that was read. None if the message was erased meanwhile."""
    if message.losses > PARK_FROM_LOSSES:
        log.error("message.parked", message=message.public_id, losses=message.losses - 1)
        return Opened(message, unparsed("processing_lost"), None, Message.State.PARKED)
    try:
        octets = raw.unpacked(message, stored) if stored else raw.read_raw(message)
    except raw.RawGoneError:
        if Message.objects.filter(pk=message.pk).exists():
            raise
        _say_lost(message.pk)
        return None
    except raw.CorruptRawError as error:
        log.error("message.raw_unreadable", message=message.public_id, error=str(error))  # noqa: TRY400 - all is said
        return Opened(message, unparsed("raw_unreadable"), None, Message.State.PARKED)
    parsed = mime.parse(octets, is_null_sender=not message.mail_from)
    # asks the DNS, so before the transaction
    checked = authenticate.results(message, octets)
    return Opened(message, parsed, octets, Message.State.PROCESSED, checked)


def _store_or_each(opened: Sequence[Opened], lease_id: UUID) -> int:
    """Stores all of them together; if that fails, each by itself, so that one takes no other along."""
    try:
        return store(opened, lease_id=lease_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - as above
        if len(opened) > 1:
            log.warning("messages.stored_one_by_one", error=type(error).__name__)
            return sum(_store_or_each([one], lease_id) for one in opened)
        # a fault of ours in this one. It keeps its loss, and our lease until the slice ends: so it is tried again a
        # little later, at most twice, and then parked
        _say_not_processed(opened[0].message.pk, error)
        return 0


@transaction.atomic
def store(opened: Sequence[Opened], *, lease_id: UUID | None) -> int:
    """Writes what was parsed to each of the messages' emails and tells `emails_processed`, all or nothing.

    Returns of how many messages: without those whose claim was lost. Of what a rule keeps back nobody is told before
    its release; what a rule discards for an attachment is removed. Mail that is parked is kept back, too, where a rule
    stops attachments: what it has in it is unknown (attachment_rules).
    """
    ours = Message.objects.filter(
        pk__in=[one.message.pk for one in opened], lease_id=lease_id, state=Message.State.WAITING
    )
    locked = set(ours.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
    for one in opened:
        if one.message.pk not in locked:
            _say_lost(one.message.pk)
    kept = [one for one in opened if one.message.pk in locked]
    if not kept:
        return 0
    now = timezone.now()
    for one in kept:
        _decide(one, at=now)
    bulk.update([one.message for one in kept], FATE)
    recipients = list(Recipient.objects.filter(message__in=locked).select_related("alias__domain"))
    emails = list(Email.objects.filter(message__in=locked).select_related("mailbox__domain"))
    staying = [(one, email) for one in kept for email in _judged(one, emails, recipients)]
    for some in _portions(staying):
        _write(some, recipients)
    counted.became([email for _, email in staying], recipients, at=now)
    return len(kept)


def _decide(opened: Opened, *, at: datetime) -> None:
    # the rest of a message never changes, so it need not be read again
    message, parsed = opened.message, opened.parsed
    message.state, message.lease_id, message.processed_at = opened.state, None, at
    message.parse_status, message.parse_defects, message.parse_version = (
        parsed.status,
        list(parsed.defects),
        mime.VERSION,
    )
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


def _write(some: Sequence[tuple[Opened, Email]], recipients: Iterable[Recipient]) -> None:
    of_email: dict[UUID, list[Recipient]] = defaultdict(list)
    for recipient in recipients:
        of_email[recipient.email_id].append(recipient)
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
    for opened, email in some:
        sound_alarm(email, opened.parsed)


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


def _say_lost(message_id: UUID) -> None:
    """Somebody took the message over, or erased it: what we make of it changes nothing any more."""
    log.warning("message.claim_lost", message=encode_id(Message.ID_PREFIX, message_id))


def _say_not_processed(message_id: UUID, error: Exception) -> None:
    log.error("message.not_processed", message=encode_id(Message.ID_PREFIX, message_id), exc_info=error)


def unparsed(defect: str) -> ParsedMail:
    """What is known of a mail that could not be opened: nothing but why."""
    return ParsedMail(
        status="failed",
        defects=(defect,),
        headers=(),
        subject="",
        date=None,
        message_id="",
        in_reply_to="",
        references=(),
        from_=None,
        sender=None,
        reply_to=(),
        to=(),
        cc=(),
        text="",
        text_truncated=False,
        html="",
        html_truncated=False,
        preview="",
        attachments=(),
        kind="normal",
    )
