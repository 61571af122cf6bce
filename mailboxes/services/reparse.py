"""Opening stored mail again, with the parser of today.

The raw is the truth, and what was derived from it can be made again. Somebody asks for it (`reparse`), and a worker
does it (`drain`) as it opens new mail, when none waits: a request is claimed by a committed lease before octets are
touched, so that octets that kill a worker do so a few times and no more, whoever asks. All that is then known of a
message is written in one transaction, and told upwards in it.

What SPF, DKIM and DMARC said stays as it was (`authenticate`): the DNS has changed since. Of mail that was parked, and
so never checked, nothing is known of that for good. But what rules say of attachments, it is judged by now: before
anybody hears what is in it.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, models, transaction
from django.db.models import Exists, F, QuerySet
from django.db.models.functions import Least, Now
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.errors import UnavailableError
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from emailgistics.common.nudge import nudge
from mailboxes import mime, raw
from mailboxes.mime import ParsedMail
from mailboxes.models import Attachment, Email, EmailContent, Message, RawMessage, Recipient, Reparse, Rule
from mailboxes.services import attachment_rules, counted, derived, process, search
from mailboxes.services.opened import sound_alarm
from mailboxes.services.receive import PROCESS
from mailboxes.signals import News, tell

log = get_logger(__name__)

AT_ONCE = 10  # messages asked for together: what is left to do, should who asks be killed
EVERY = timedelta(seconds=5)  # fewer, at a low rate: so that they come this often, or one by one
RATE_PER_MINUTE = 600
MAX_RATE_PER_MINUTE = 6000
LOOK_EVERY = timedelta(milliseconds=50)
PATIENCE = timedelta(minutes=5)  # without one message done: no worker runs, or new mail leaves it no time
FORGET_AFTER = timedelta(days=1)  # what came of it, if nobody has taken that
SHOWN_OF_ATTACHMENT = ("id", "filename", "content_type", "detected_type", "is_inline", "content_id", "size", "sha256")


class Outcome(models.TextChoices):
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    REPAIRED = "repaired"  # it was parked, and could be opened now
    FAILED = "failed"  # it could not be opened: everything stays as it was
    RAW_GONE = "raw_gone"
    CONTENT_GONE = "content_gone"  # what it said was deleted, and does not come back by this


class EmailReport(TypedDict):
    """What came of one email. reason is a code, or empty.

    changed are names as the API and events have them, and html_safe, which neither has.
    """

    id: str
    outcome: str
    changed: list[str]
    reason: str


# --- asking


def chosen(
    *,
    message_ids: Collection[UUID] | None = None,
    is_parked: bool = False,
    since: datetime | None = None,
    until: datetime | None = None,
    older_than_version: int | None = None,
) -> QuerySet[Message]:
    """Messages that were opened before, or parked, for which all that is given holds. until is not included."""
    rows = Message.objects.exclude(state=Message.State.WAITING)
    if message_ids is not None:
        rows = rows.filter(pk__in=message_ids)
    if is_parked:
        rows = rows.filter(state=Message.State.PARKED)
    if since is not None:
        rows = rows.filter(received_at__gte=since)
    if until is not None:
        rows = rows.filter(received_at__lt=until)
    if older_than_version is not None:
        rows = rows.filter(parse_version__lt=older_than_version)
    return rows


def reparse(
    messages: QuerySet[Message],
    *,
    is_dry_run: bool = False,
    rate_per_minute: int = RATE_PER_MINUTE,
    patience: timedelta = PATIENCE,
) -> Iterator[EmailReport]:
    """Has workers open these again, oldest first, and yields what came of each of their emails.

    A dry run changes nothing and tells nobody. It is done when this ends: whoever stops asking has what was not begun
    withdrawn, and may ask for the same again. Not for inside a transaction. Raises UnavailableError.
    """
    Reparse.objects.filter(ended_at__lt=timezone.now() - FORGET_AFTER).delete()
    oldest_first = messages.order_by("pk").values_list("pk", flat=True)
    size = max(1, min(AT_ONCE, int(rate_per_minute * EVERY / timedelta(minutes=1))))
    some = list(oldest_first[:size])
    while some:
        begun = time.monotonic()
        yield from _together(some, is_dry_run=is_dry_run, patience=patience)
        least_s = len(some) * 60 / rate_per_minute
        # by id, not by what is left to do: what fails is not begun for ever
        some = list(oldest_first.filter(pk__gt=some[-1])[:size])
        if some:
            time.sleep(max(0.0, begun + least_s - time.monotonic()))


def _together(message_ids: Collection[UUID], *, is_dry_run: bool, patience: timedelta) -> Iterator[EmailReport]:
    left = _ask(message_ids, is_dry_run=is_dry_run)
    give_up_at = time.monotonic() + patience.total_seconds()
    try:
        while left:
            for row in Reparse.objects.filter(pk__in=left).exclude(ended_at=None).order_by("pk"):
                yield from row.report
                row.delete()
                give_up_at = time.monotonic() + patience.total_seconds()
            # those of a message that was deleted meanwhile are gone, too
            left = set(Reparse.objects.filter(pk__in=left).values_list("pk", flat=True))
            if left and time.monotonic() > give_up_at:
                raise UnavailableError(
                    f"No message was opened for {patience.total_seconds():.0f} s: no worker runs, or new mail, which "
                    "goes first, leaves it no time. What was not begun is withdrawn; ask again later."
                )
            if left:
                time.sleep(LOOK_EVERY.total_seconds())
    finally:
        # from a worker that has begun one, this takes the claim: it will change nothing
        Reparse.objects.filter(pk__in=left).delete()


@transaction.atomic
def _ask(message_ids: Collection[UUID], *, is_dry_run: bool) -> set[int]:
    # locked: none of them is deleted before its request is there
    present = chosen(message_ids=message_ids).order_by("pk").select_for_update(no_key=True)
    now = timezone.now()
    made = Reparse.objects.bulk_create(
        Reparse(message_id=pk, is_dry_run=is_dry_run, asked_at=now) for pk in present.values_list("pk", flat=True)
    )
    transaction.on_commit(lambda: nudge(PROCESS), robust=True)
    return {row.pk for row in made}


# --- doing it


def drain(*, until: float) -> int:
    """Opens again what was asked for, one message at a time, as long as no new mail waits.

    until: of `time.monotonic`; none is begun after it. Returns how many were done.
    """
    done = 0
    if not claimable().exists():
        return done
    with leases.held(process.LEASE_KIND) as lease:
        while time.monotonic() < until and not lease.is_lost and not process.claimable().exists():
            claimed = claim(lease.id)
            if claimed is None:
                break
            done += _work_off(claimed, lease.id)
    return done


def claimable() -> QuerySet[Reparse]:
    """What nobody has begun; nothing, while a living worker has one: the others stay free for new mail."""
    under_way = Reparse.objects.filter(ended_at=None, lease_id__in=leases.alive().values("pk"))
    return Reparse.objects.filter(~Exists(under_way), ended_at=None)


def claim(lease_id: UUID) -> Reparse | None:
    """Marks one as ours, of those that were lost least the oldest. The loss is written down now, as for new mail."""
    wanted = claimable().order_by("losses", "id")
    if not wanted.exists():  # a plain read: no write lock on SQLite while there is nothing to do
        return None
    with transaction.atomic():
        ids = list(wanted.select_for_update(skip_locked=True).values_list("pk", flat=True)[:1])
        # asked again now that it is locked
        losses = Least(F("losses") + 1, process.MAX_LOSSES)
        claimable().filter(pk__in=ids).update(lease_id=lease_id, losses=losses)
        return Reparse.objects.filter(pk__in=ids, lease_id=lease_id).first()


def open_again(claimed: Reparse, lease_id: UUID) -> bool:
    """Opens the message of a claimed request and stores what is in it. False if the claim was lost: nothing changed."""
    message = Message.objects.filter(pk=claimed.message_id).first()
    if message is None:  # deleted, and the request with it
        return False
    if claimed.losses > process.PARK_FROM_LOSSES:
        log.error("message.not_reparsed", message=message.public_id, losses=claimed.losses - 1)
        return _leave(claimed, lease_id, Outcome.FAILED, reason="processing_lost")
    if not RawMessage.objects.filter(pk=message.pk).exists():
        return _leave(claimed, lease_id, Outcome.RAW_GONE)
    try:
        octets = raw.read_raw(message)
    except raw.CorruptRawError as error:
        log.error("message.raw_unreadable", message=message.public_id, error=str(error))  # noqa: TRY400 - all is said
        return _leave(claimed, lease_id, Outcome.FAILED, reason="raw_unreadable")
    parsed = mime.parse(octets, is_null_sender=not message.mail_from)
    if mime.Defect.INTERNAL_ERROR in parsed.defects and message.parse_status != "failed":
        # a fault of ours in the parser of today: what an older one read is better than that
        return _leave(claimed, lease_id, Outcome.FAILED, reason="internal_error")
    return store(claimed, parsed, octets, lease_id=lease_id)


@transaction.atomic
def store(claimed: Reparse, parsed: ParsedMail, octets: bytes, *, lease_id: UUID) -> bool:
    """Writes what is another now to each of the message's emails, and tells `emails_processed` of those; or nothing.

    Of mail that could not be opened before, what a rule discards for an attachment is removed, and only a refusal says
    so; what was kept back because its attachments were unknown is told of as new if nothing keeps it back now. False if
    the claim was lost.
    """
    # first of all, as who deletes the message or something of it does: he comes before this, or after it
    message = Message.objects.filter(pk=claimed.message_id).select_for_update(no_key=True).first()
    if message is None or not _ours(claimed, lease_id).select_for_update():
        log.warning("reparse.claim_lost", message=encode_id(Message.ID_PREFIX, claimed.message_id))
        return False
    was_parked = message.state == Message.State.PARKED
    was_unread = was_parked or message.parse_status == "failed"
    found = {"parse_status": parsed.status, "parse_defects": list(parsed.defects)}
    is_read_otherwise = any(getattr(message, name) != value for name, value in found.items())
    for name, value in {**found, "parse_version": mime.VERSION, "state": Message.State.PROCESSED}.items():
        setattr(message, name, value)
    if not claimed.is_dry_run:
        message.save(update_fields=[*found, "parse_version", "state"])
    rows = _emails(message)
    if was_unread and not claimed.is_dry_run:
        rows = _judged(message, rows, parsed)
        if not rows:
            return True
    report, before = [], {email.pk: email.status for email, _ in rows}
    for email, content in rows:
        if content is None or email.raw_removed_at is not None:  # the raw is another mailbox's, which keeps it still
            report.append(_reported(email, Outcome.CONTENT_GONE if content is None else Outcome.RAW_GONE))
            continue
        was_kept_back = email.status == Email.Status.QUARANTINED
        names, attachments = _renew(email, content, parsed, is_dry_run=claimed.is_dry_run)
        changed = sorted(names | {"parse"} if is_read_otherwise else names)
        outcome = Outcome.CHANGED if changed else Outcome.UNCHANGED
        report.append(_reported(email, Outcome.REPAIRED if was_parked else outcome, changed))
        told = [name for name in changed if name not in derived.NOT_TOLD]
        # of what is kept back nobody has heard yet: its release tells of it as it is then
        if not claimed.is_dry_run and email.status != Email.Status.QUARANTINED:
            _tell(email, attachments, octets, None if was_kept_back else told)
        if "marks" in changed and not claimed.is_dry_run:
            sound_alarm(email, parsed)
    _count([email for email, _ in rows if email.status != before[email.pk]])
    return _end(claimed, lease_id, report)


def _count(become: Sequence[Email]) -> None:
    if become:
        counted.became(become, Recipient.objects.filter(email__in=become), at=timezone.now())


def _work_off(claimed: Reparse, lease_id: UUID) -> int:
    try:
        return int(open_again(claimed, lease_id))
    except (OperationalError, InterfaceError) as error:
        # the database, not the mail: that is no loss
        log.warning("reparse.database_away", error=type(error).__name__)
        connection.close()
        _ours(claimed, lease_id).update(lease_id=None, losses=F("losses") - 1)
        raise
    except Exception:
        # a fault of ours in this one. It keeps its loss and, until the slice ends, our lease: it is tried again by the
        # next, and no more than new mail is
        log.exception("message.not_reparsed", message=encode_id(Message.ID_PREFIX, claimed.message_id))
        return 0


def _emails(message: Message) -> list[tuple[Email, EmailContent | None]]:
    """Each with its mailbox and content, which is None where that was deleted."""
    rows = Email.objects.filter(message=message).select_related("mailbox__domain").order_by("pk")
    emails = list(rows.select_for_update(of=("self",), no_key=True))
    locked = EmailContent.objects.filter(pk__in=[email.pk for email in emails]).order_by("pk").select_for_update()
    contents = {content.pk: content for content in locked}
    for email in emails:
        email.message = message
    return [(email, contents.get(email.pk)) for email in emails]


def _judged(
    message: Message, rows: Sequence[tuple[Email, EmailContent | None]], parsed: ParsedMail
) -> list[tuple[Email, EmailContent | None]]:
    """Has rules about attachments decide; without what is discarded for one, and none if the message went with it."""
    emails = [email for email, content in rows if content is not None]
    recipients = list(Recipient.objects.filter(message=message).select_related("alias__domain"))
    verdicts = attachment_rules.verdicts_once_known(message, emails, recipients, parsed)
    discarded = {pk: verdict for pk, verdict in verdicts.items() if verdict.action == Rule.Action.DISCARD}
    if discarded and not attachment_rules.discard(message, emails, discarded, recipients):
        return []
    for email in emails:
        if email.pk in verdicts and email.pk not in discarded:
            attachment_rules.obey(email, verdicts[email.pk])
    return [(email, content) for email, content in rows if email.pk not in discarded]


def _renew(
    email: Email, content: EmailContent, parsed: ParsedMail, *, is_dry_run: bool
) -> tuple[set[str], list[Attachment]]:
    """What differs, by the names that receivers know, and the attachments that it has now."""
    email.content = content
    of_email = derived.email_columns(parsed)
    kept_back = bool(email.quarantine_reason) and email.released_at is None
    status = Email.Status.QUARANTINED if kept_back else Email.Status.PROCESSED
    names = _set(email, of_email | {"status": status}, is_dry_run=is_dry_run) - {"status"}
    names |= _set(content, derived.content_columns(parsed), is_dry_run=is_dry_run)
    before = list(Attachment.objects.filter(email=email).order_by("position"))
    after = _attachments(email, before, parsed)
    if _shown(before) != _shown(after):
        names.add("attachments")
    columns = [field.attname for field in Attachment._meta.concrete_fields]  # noqa: SLF001 - Django's documented API
    if not is_dry_run and _values(before, columns) != _values(after, columns):
        # away with all of them first: each position is taken once
        Attachment.objects.filter(email=email).delete()
        Attachment.objects.bulk_create(after)
    if not is_dry_run:
        search.index(email, content, Recipient.objects.filter(email=email), after)
    return names, after


def _set(row: Email | EmailContent, columns: derived.Columns, *, is_dry_run: bool) -> set[str]:
    before = {name: getattr(row, name) for name in columns}
    dirty = derived.differing(before, columns)
    if dirty and not is_dry_run:
        for name in dirty:
            setattr(row, name, columns[name])
        row.save(update_fields=dirty)
    return derived.shown_names(before, columns)


def _attachments(email: Email, before: Collection[Attachment], parsed: ParsedMail) -> list[Attachment]:
    """The same part with the same octets is the same attachment: events that went out have links with its id."""
    known = {(attachment.part, attachment.sha256): attachment.pk for attachment in before}
    made = [Attachment(email=email, **columns) for columns in derived.attachment_columns(parsed)]
    for attachment in made:
        attachment.pk = known.pop((attachment.part, attachment.sha256), attachment.pk)
    return made


def _shown(attachments: Collection[Attachment]) -> list[tuple[Any, ...]]:
    return _values(attachments, SHOWN_OF_ATTACHMENT)


def _values(attachments: Collection[Attachment], names: Collection[str]) -> list[tuple[Any, ...]]:
    return [tuple(getattr(attachment, name) for name in names) for attachment in attachments]


def _tell(email: Email, attachments: list[Attachment], octets: bytes, changed: list[str] | None) -> None:
    """None stands for what nobody has heard of before; nothing is said where nothing is another."""
    if changed == []:
        return
    recipients = list(Recipient.objects.filter(email=email).select_related("alias__domain"))
    if changed is not None:
        log.info("email.reparsed", email=email.public_id, changed=changed)
    tell([News(email, recipients, attachments, octets, changed)])


def _leave(claimed: Reparse, lease_id: UUID, outcome: Outcome, *, reason: str = "") -> bool:
    """Ends a request without having changed anything."""
    emails = Email.objects.filter(message=claimed.message_id).order_by("pk")
    return _end(claimed, lease_id, [_reported(email, outcome, reason=reason) for email in emails])


def _end(claimed: Reparse, lease_id: UUID, report: list[EmailReport]) -> bool:
    return bool(_ours(claimed, lease_id).update(ended_at=Now(), lease_id=None, report=report))


def _ours(claimed: Reparse, lease_id: UUID) -> QuerySet[Reparse]:
    return Reparse.objects.filter(pk=claimed.pk, lease_id=lease_id, ended_at=None)


def _reported(email: Email, outcome: Outcome, changed: Collection[str] = (), *, reason: str = "") -> EmailReport:
    return {"id": email.public_id, "outcome": str(outcome), "changed": list(changed), "reason": reason}
