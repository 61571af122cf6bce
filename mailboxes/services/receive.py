"""Taking mail in: what stands between the final dot and the 250, and nothing else.

Mails that end at the same time share one transaction: its commit, which waits for the disk, is most of what one costs.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from emailgistics.common import bulk, ledger_days, tallies
from emailgistics.common.errors import RefusedError
from emailgistics.common.ids import encode_id
from emailgistics.common.models import Tally
from emailgistics.common.nudge import nudge
from mailboxes.addresses import address_key
from mailboxes.models import MAX_KEY, Email, Message, Recipient, Refusal, ResendGuard, Rule, Transcript
from mailboxes.raw import new_raw
from mailboxes.services import counted, quota
from mailboxes.services.admit import Admission
from mailboxes.services.envelope import Envelope
from mailboxes.services.route import Route
from mailboxes.services.rules import Verdict

PROCESS = "mailboxes.tasks.process"  # by name: importing the task would pull the parser into the listener
RESEND_WINDOW = timedelta(hours=48)  # hosts try a mail for days, but make a lost 250 good within hours
MAX_RECEIVED = 50  # hops; other hosts' limits against loops are about that
HEADER_OCTETS = 1 << 20  # as much of a header as the parser reads
BULK_OCTETS = 1 << 20  # of raws that go with all else: the driver copies what it sends in one go
DISCARDED = (
    "250 2.0.0 accepted, and discarded as a rule says"  # what Refusal.reply says; the client hears the first part
)

_HEADER_END = re.compile(rb"(?:\A|\n)\r?\n")  # there may be none before it
_TRACE = re.compile(rb"^received[ \t]*+:", re.IGNORECASE | re.MULTILINE)
_MARK = re.compile(rb"^(?:message-id|received)[ \t]*+:(?:[ \t]|\r?\n[ \t])*+\S", re.IGNORECASE | re.MULTILINE)

Octets = bytes | bytearray
Line = tuple[int, str, str]  # of a transcript: see models.Transcript


class RoutingLoopError(RefusedError):
    code = "routing_loop"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mail. public_id names its message, or a refusal where a rule had all of it thrown away."""

    public_id: str
    message_id: UUID | None
    is_resend: bool = False


def receive_message(
    *,
    envelope: Envelope,
    admissions: Sequence[Admission],
    raw: bytes,
    transcript: Sequence[Line] = (),
    joins: bool = False,
) -> Receipt:
    """Stores one message for all its accepted recipients, or for none. Returns once committed.

    `raw` is the octets after DATA, dots unstuffed (RFC 5321 section 4.5.2). A mailbox that was deleted after RCPT still
    gets its mail: its sender was told 250. With joins it may be in a transaction of the caller's, who says nothing of
    it before that is committed. Raises RoutingLoopError, and whatever the database raises; then nothing is stored.
    """
    incoming = Incoming(envelope=envelope, admissions=admissions, raw=raw, transcript=transcript)
    (receipt,) = receive_group([incoming], joins=joins)
    return receipt


@dataclass(slots=True)
class Entry:
    """A recipient's rows. accepted_as is the message that the mail was accepted as for it before, if it was."""

    recipients: list[Recipient]
    discards: list[Refusal]
    guard: ResendGuard | None
    accepted_as: UUID | None = None


class Incoming:
    """A mail with the rows that it will be: whatever can be done about it before the transaction begins."""

    def __init__(
        self, *, envelope: Envelope, admissions: Sequence[Admission], raw: Octets, transcript: Sequence[Line] = ()
    ) -> None:
        """Nothing of `raw` is kept but as it is stored. Raises RoutingLoopError."""
        end = _HEADER_END.search(raw, 0, HEADER_OCTETS)
        header = raw[: end.start() if end else HEADER_OCTETS]
        if len(_TRACE.findall(header)) > MAX_RECEIVED:
            raise RoutingLoopError("This mail has passed too many hosts: it goes round in a circle.")
        self.message = Message(
            received_at=timezone.now(),
            source=envelope.source,
            mail_from=envelope.mail_from,
            client_ip=envelope.client_ip,
            helo=envelope.helo,
            tls=envelope.tls,
            size=len(raw),
            sha256=hashlib.sha256(raw).hexdigest(),
        )
        self.raw = new_raw(self.message, raw)  # compressed by now: SQLite has one writer at a time
        self.transcript = transcript
        self._envelope = envelope
        # a device that sends the same octets again and marks none of them as a mail of its own sends a new mail
        self._is_recognisable = _MARK.search(header) is not None
        self._emails: dict[UUID, Email] = {}
        self.entries = [self._entry(admission) for admission in admissions]

    @property
    def new_entries(self) -> list[Entry]:
        """Those to be stored, once it is known what came before. What a rule discards of a resend it did before."""
        new = [entry for entry in self.entries if entry.accepted_as is None]
        is_resend = len(new) < len(self.entries) and not any(entry.recipients for entry in new)
        return [] if is_resend else new

    @property
    def new_emails(self) -> list[Email]:
        emails = {recipient.email.pk: recipient.email for entry in self.new_entries for recipient in entry.recipients}
        return list(emails.values())

    def receipt(self) -> Receipt:
        """Once it is known what came before."""
        new = self.new_entries
        if any(entry.recipients for entry in new):
            return Receipt(self.message.public_id, self.message.pk)
        if new:
            return Receipt(new[0].discards[0].public_id, None)
        first = next(entry.accepted_as for entry in self.entries if entry.accepted_as)
        return Receipt(encode_id(Message.ID_PREFIX, first), first, is_resend=True)

    def _entry(self, admission: Admission) -> Entry:
        entry = Entry([], [], None)
        route = admission.route
        for mailbox_id, verdict in zip(route.mailbox_ids, admission.verdicts, strict=True):
            if not verdict.keeps:
                entry.discards.append(self._discard(route.address, verdict))
                continue
            entry.recipients.append(
                Recipient(
                    message=self.message,
                    email=self._email(mailbox_id, verdict),
                    mailbox_id=mailbox_id,
                    alias_id=route.alias_id,
                    address=route.address,
                    address_key=address_key(route.address)[:MAX_KEY],
                    kind=route.kind,
                    tag=route.tag,
                    captures=route.captures,
                    is_copy=route.is_copy(mailbox_id),
                    explanation=list(route.explanation),
                )
            )
        if entry.recipients and self._is_recognisable:
            email = entry.recipients[0].email
            entry.guard = ResendGuard(key=self._guard_key(route), email=email, accepted_at=self.message.received_at)
        return entry

    def _email(self, mailbox_id: UUID, verdict: Verdict) -> Email:
        """The one in that mailbox; kept back only if every recipient that leads there says so."""
        email = self._emails.get(mailbox_id)
        if email is None:
            email = self._emails[mailbox_id] = Email(
                message=self.message,
                mailbox_id=mailbox_id,
                received_at=self.message.received_at,
                size=self.message.size,
            )
            if verdict.action == Rule.Action.QUARANTINE:
                email.quarantine_reason, email.quarantine_rule_id = verdict.reason, verdict.rule_id
        elif verdict.action != Rule.Action.QUARANTINE:
            email.quarantine_reason, email.quarantine_rule_id = "", None
        return email

    def _discard(self, address: str, verdict: Verdict) -> Refusal:
        return Refusal(
            at=self.message.received_at,
            outcome=Refusal.Outcome.DISCARDED,
            source=self._envelope.source,
            network=self._envelope.network,
            client_ip=self._envelope.client_ip,
            helo=self._envelope.helo,
            mail_from=self._envelope.mail_from,
            recipient=address,
            reply=DISCARDED,
            code="rule",
            rule_id=verdict.rule_id,
            size=self.message.size,
            sha256=self.message.sha256,
            transcript=list(self.transcript),
        )

    def _guard_key(self, route: Route) -> UUID:
        # whose it is, too: what came before the address was another's is no word to whoever has it now
        owner = route.own_mailbox_id or route.mailbox_id
        said = [self.message.sha256, self.message.mail_from, address_key(route.address), owner.hex]
        if self._envelope.submitted_by:
            # else a key that may not read mail could guess one, hand it in, and be told whether it had come
            said.append(self._envelope.submitted_by.hex)
        return UUID(bytes=hashlib.sha256("\0".join(said).encode()).digest()[:16])


def receive_group(group: Sequence[Incoming], *, joins: bool = False) -> list[Receipt]:
    """Stores all of these mails or none, in one transaction; a receipt for each, in their order, once it is committed.

    joins is as for `receive_message`. Raises whatever the database raises.
    """
    with transaction.atomic(durable=not joins):
        _recognise([entry for incoming in group for entry in incoming.entries])
        receipts = [incoming.receipt() for incoming in group]
        counts = tallies.rows(
            mail_accepted=len(receipts),
            mail_stored=sum(receipt.message_id is not None and not receipt.is_resend for receipt in receipts),
            mail_resent=sum(receipt.is_resend for receipt in receipts),
            mail_discarded=sum(receipt.message_id is None for receipt in receipts),
            **quota.stored(email for incoming in group for email in incoming.new_emails),
            **_for_the_ledger(group),
        )
        _insert([incoming for incoming in group if incoming.new_entries], counts)
        # in one order, so that no two groups wait for each other
        for message_id in sorted(
            receipt.message_id for receipt in receipts if receipt.is_resend and receipt.message_id
        ):
            Message.objects.filter(pk=message_id).update(resends=F("resends") + 1)
        # a function with a name: Django's report on a hook that failed fails itself on a partial
        transaction.on_commit(lambda: nudge(PROCESS), robust=True)
    return receipts


def _recognise(entries: Sequence[Entry]) -> None:
    """Finds the entries whose mail was accepted for that recipient before, be it a moment ago in the same group.

    Guards are inserted first and looked at then: of two that come at once the database lets one in, and the other waits
    until that is committed.
    """
    guards: dict[UUID, ResendGuard] = {}
    for entry in entries:
        entry.accepted_as = None
        if entry.guard is not None:
            guards.setdefault(entry.guard.key, entry.guard)
    if not guards:
        return
    there = _accepted_with(guards)
    for entry in entries:
        if entry.guard is None:
            continue
        guard = guards[entry.guard.key]
        if guard.key in there:
            entry.accepted_as = there[guard.key]
        elif guard.email.message_id != entry.guard.email.message_id:
            entry.accepted_as = guard.email.message_id


def _accepted_with(guards: Mapping[UUID, ResendGuard]) -> dict[UUID, UUID]:
    """Sets up these guards; for those that are there already, the message that was accepted with it, now locked.

    Without those whose email was erased in this moment: then it is a new mail. A guard whose time is over gives way.
    """
    found = guards.keys() - _set_up(guards[key] for key in sorted(guards))
    if not found:
        return {}
    until = next(iter(guards.values())).accepted_at - RESEND_WINDOW
    gone, _ = ResendGuard.objects.filter(key__in=found, accepted_at__lte=until).delete()
    if gone:  # or somebody else does the same, and has his guard there now
        found -= _set_up(guards[key] for key in sorted(found))
    emails = dict(ResendGuard.objects.filter(key__in=found).values_list("key", "email_id"))
    messages = dict(Email.objects.filter(pk__in=emails.values()).values_list("pk", "message_id"))
    # who erases a mail holds its message: he is done by now, or waits until we have answered
    held = Message.objects.filter(pk__in=messages.values()).order_by("pk").select_for_update(no_key=True)
    list(held.values_list("pk"))
    there = set(Email.objects.filter(pk__in=emails.values()).values_list("pk", flat=True))
    return {key: messages[email_id] for key, email_id in emails.items() if email_id in there and email_id in messages}


def _set_up(guards: Iterable[ResendGuard]) -> set[UUID]:
    """Inserts the guards that are not there, and returns their keys. In SQL, because Django does not say which.

    They come in the order of their keys, so that no two groups wait for each other.
    """
    new = list(guards)
    if not new:
        return set()
    fields = ResendGuard._meta.concrete_fields  # noqa: SLF001
    row = f"({', '.join('%s' for _ in fields)})"
    sql = (
        f"INSERT INTO {ResendGuard._meta.db_table} ({', '.join(str(field.column) for field in fields)}) "  # noqa: S608, SLF001
        f"VALUES {', '.join(row for _ in new)} ON CONFLICT DO NOTHING RETURNING key"
    )
    values = [field.get_db_prep_save(getattr(guard, field.attname), connection) for guard in new for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return {key if isinstance(key, UUID) else UUID(key) for (key,) in cursor.fetchall()}


def _for_the_ledger(group: Sequence[Incoming]) -> dict[str, int]:
    emails = [email for incoming in group for email in incoming.new_emails]
    messages = {email.message_id for email in emails}
    return {
        **ledger_days.came(ledger_days.MESSAGES, messages),
        **ledger_days.came(ledger_days.EMAILS, (email.pk for email in emails)),
    }


def _insert(mails: Sequence[Incoming], counts: Sequence[Tally]) -> None:
    entries = [entry for incoming in mails for entry in incoming.new_entries]
    recipients = [recipient for entry in entries for recipient in entry.recipients]
    kept = [incoming for incoming in mails if incoming.new_emails]
    emails = [email for incoming in kept for email in incoming.new_emails]
    raws = [incoming.raw for incoming in kept]
    is_large = sum(len(raw.data) for raw in raws) > BULK_OCTETS
    bulk.insert(
        [incoming.message for incoming in kept],
        [] if is_large else raws,
        emails,
        recipients,
        [Transcript(message=incoming.message, lines=incoming.transcript) for incoming in kept if incoming.transcript],
        [refusal for entry in entries for refusal in entry.discards],
        counts,
        counted.received(emails, recipients).entries(),
    )
    if is_large:
        for raw in raws:
            raw.save(force_insert=True)
