"""From stored octets to emails that can be read and told about.

A worker claims messages by a committed lease before it opens them, so that octets that kill it cannot kill the next one
for ever: a message whose worker was lost twice is opened alone, and one that was lost alone is parked: visible, its raw
safe, its webhooks told so.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Least
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes import mime, raw
from mailboxes.mime import ParsedMail
from mailboxes.models import Attachment, Email, EmailContent, Message, Recipient, Rule
from mailboxes.services import attachment_rules, authenticate, counted, derived, search
from mailboxes.signals import tell_of_new

log = get_logger(__name__)

LEASE_KIND = "mail"
BATCH = 4  # few: who is claimed behind a slow mail waits for it, and for the lease if it kills the worker
SLICE = timedelta(seconds=10)  # no message is begun after it; Celery's hard limit leaves the last one 30 s more
LINGER = timedelta(seconds=0.5)  # mail comes in swarms: staying awake is cheaper than being woken
LOOK_EVERY = timedelta(milliseconds=20)
ALONE_FROM_LOSSES = 2
PARK_FROM_LOSSES = ALONE_FROM_LOSSES + 1
MAX_LOSSES = 1000  # counted no further, should even parking fail again and again


def drain(*, for_at_most: timedelta = SLICE, linger: timedelta = LINGER) -> int:
    """Processes what waits, until nothing has come for `linger` or the time is up. Returns how many were done."""
    if not claimable().exists():
        return 0
    done = 0
    until = time.monotonic() + for_at_most.total_seconds()
    with leases.held(LEASE_KIND) as lease:
        # one suspicious message first, so that no stream of new mail keeps it waiting for ever; the others at the end
        done += _work_off(claim(lease.id, alone=True), lease, until)
        idle_since = time.monotonic()
        while time.monotonic() < until and not lease.is_lost:
            if claimable().exists() and (claimed := claim(lease.id) or claim(lease.id, alone=True)):
                done += _work_off(claimed, lease, until)
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
    """Marks up to BATCH messages as ours (one, if alone is asked for: of those that were lost before), oldest first.

    The loss is written down now and taken back by success: a worker that is killed cannot write anything.
    """
    suspicious = Q(losses__gte=ALONE_FROM_LOSSES)
    wanted = claimable().filter(suspicious if alone else ~suspicious).order_by("losses", "id")
    if not wanted.exists():  # a plain read: no write lock on SQLite while there is nothing to do
        return []
    with transaction.atomic():
        # SQLite ignores skip_locked, and needs none: the transaction holds the only write lock from its start
        ids = list(wanted.select_for_update(skip_locked=True).values_list("pk", flat=True)[: 1 if alone else BATCH])
        # asked again now that they are locked: the first statement may have seen neither a lease nor the claim under it
        claimable().filter(pk__in=ids).update(lease_id=lease_id, losses=Least(F("losses") + 1, MAX_LOSSES))
        return list(Message.objects.filter(pk__in=ids, lease_id=lease_id).order_by("id").values_list("pk", flat=True))


def release(ids: Sequence[UUID], lease_id: UUID) -> None:
    """Gives back claimed messages that were not begun; that is no loss."""
    ours = Message.objects.filter(pk__in=ids, lease_id=lease_id)
    ours.update(lease_id=None, losses=F("losses") - 1)


def process_message(message_id: UUID, lease_id: UUID) -> bool:
    """Opens one claimed message and stores what is in it. False if the claim was lost meanwhile: nothing changed."""
    message = Message.objects.filter(pk=message_id).first()
    if message is None:
        return _is_lost(message_id)
    if message.losses > PARK_FROM_LOSSES:
        log.error("message.parked", message=message.public_id, losses=message.losses - 1)
        return store(message, unparsed("processing_lost"), None, lease_id=lease_id, state=Message.State.PARKED)
    try:
        octets = raw.read_raw(message)
    except raw.RawGoneError:
        if Message.objects.filter(pk=message_id).exists():
            raise
        return _is_lost(message_id)
    except raw.CorruptRawError as error:
        log.error("message.raw_unreadable", message=message.public_id, error=str(error))  # noqa: TRY400 - all is said
        return store(message, unparsed("raw_unreadable"), None, lease_id=lease_id, state=Message.State.PARKED)
    parsed = mime.parse(octets, is_null_sender=not message.mail_from)
    # asks the DNS, so before the transaction
    checked = authenticate.results(message, octets)
    return store(message, parsed, octets, lease_id=lease_id, state=Message.State.PROCESSED, authentication=checked)


@transaction.atomic
def store(
    message: Message,
    parsed: ParsedMail,
    octets: bytes | None,
    *,
    lease_id: UUID,
    state: Message.State,
    authentication: dict[str, Any] | None = None,
) -> bool:
    """Writes what was parsed to each of the message's emails and tells `email_processed`, all or nothing.

    Of what a rule keeps back nobody is told before its release; what a rule discards for an attachment is removed. Mail
    that is parked is kept back, too, where a rule stops attachments: what it has in it is unknown (attachment_rules).
    """
    ours = Message.objects.filter(pk=message.pk, lease_id=lease_id, state=Message.State.WAITING)
    now = timezone.now()
    fate = {
        "state": state,
        "lease_id": None,
        "processed_at": now,
        "parse_status": parsed.status,
        "parse_defects": list(parsed.defects),
        "parse_version": mime.VERSION,
        "authentication": authentication,
    }
    if not ours.update(**fate):
        return _is_lost(message.pk)
    for name, value in fate.items():  # the rest of a message never changes, so it need not be read again
        setattr(message, name, value)
    recipients = list(Recipient.objects.filter(message=message).select_related("alias__domain"))
    emails = list(Email.objects.filter(message=message).select_related("mailbox__domain"))
    verdicts = attachment_rules.verdicts_of(message, emails, recipients, parsed)
    discarded = {pk: verdict for pk, verdict in verdicts.items() if verdict.action == Rule.Action.DISCARD}
    if discarded and not attachment_rules.discard(message, emails, discarded, recipients):
        return True
    kept = [email for email in emails if email.pk not in discarded]
    for email in kept:
        if verdict := verdicts.get(email.pk):
            attachment_rules.obey(email, verdict)
        email.message = message
        status = Email.Status.QUARANTINED if email.quarantine_reason else Email.Status(state.value)
        attachments = _store_email(email, parsed, recipients, status=status)
        if status != Email.Status.QUARANTINED:
            tell_of_new(email, recipients, attachments, octets)
        sound_alarm(email, parsed)
    counted.became(kept, recipients, at=now)
    return True


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


def _is_lost(message_id: UUID) -> bool:
    """Somebody took the message over, or erased it: what we make of it changes nothing any more."""
    log.warning("message.claim_lost", message=encode_id(Message.ID_PREFIX, message_id))
    return False


def _store_email(
    email: Email, parsed: ParsedMail, recipients: Sequence[Recipient], *, status: Email.Status
) -> list[Attachment]:
    found = derived.email_columns(parsed) | {"status": status}
    for name, value in found.items():
        setattr(email, name, value)
    email.save(update_fields=found)
    content = EmailContent.objects.create(email=email, **derived.content_columns(parsed))
    attachments = Attachment.objects.bulk_create(
        Attachment(email=email, **columns) for columns in derived.attachment_columns(parsed)
    )
    search.index(email, content, [one for one in recipients if one.email_id == email.pk], attachments)
    return attachments


def _work_off(claimed: Sequence[UUID], lease: leases.HeldLease, until: float) -> int:
    done = 0
    for position, message_id in enumerate(claimed):
        if time.monotonic() > until or lease.is_lost:
            release(claimed[position:], lease.id)
            break
        try:
            done += process_message(message_id, lease.id)
        except (OperationalError, InterfaceError) as error:
            # the database, not the mail: give all of it back, and let the next sweep try
            log.warning("processing.database_away", error=type(error).__name__)
            connection.close()
            release(claimed[position:], lease.id)
            raise
        except Exception:
            # a fault of ours in this one. It keeps its loss, and our lease until the slice ends: so it is tried again
            # a little later, at most twice, and then parked
            log.exception("message.not_processed", message=encode_id(Message.ID_PREFIX, message_id))
    return done


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
