"""Retention, as far as it is about mail: which emails are due, and removing of them what is not kept any longer.

Events and deliveries go with it, or keep it: `webhooks.services.prune` is the whole of it, and has every batch in one
transaction with how far it has come. What others are at is never waited for; it is looked at again soon.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.utils import timezone

from emailgistics.common import ledger_days, tallies
from emailgistics.common.ids import first_id_at, made_at
from mailboxes.models import (
    Attachment,
    Email,
    EmailContent,
    Mailbox,
    Message,
    PostponedRemoval,
    RawMessage,
    RetentionClock,
    Transcript,
)
from mailboxes.retention import WIDEST_FIRST, InForce, Kind, in_force
from mailboxes.services import quota, search

LOOK_AT_LEAST = timedelta(days=1)  # a mailbox that gets no mail costs a look a day
LOOK_AGAIN_AFTER = timedelta(days=1)  # at what is needed still
BUSY_FOR = timedelta(minutes=1)  # what somebody else has locked


@dataclass(frozen=True, slots=True)
class Due:
    """Emails that a clock has come to, or that were passed over before; the clock is None then."""

    ids: list[UUID]
    clock: RetentionClock | None


def set_clocks(*, now: datetime) -> None:
    """Every mailbox has the clocks that are in force for it, also one that was deleted: its mail stays until they end.

    A clock with another number of days begins anew, and comes to what it had passed before.
    """
    clocks = {(clock.mailbox_id, clock.kind): clock for clock in RetentionClock.objects.all()}
    columns = ("pk", *(f"{kind}_days" for kind in WIDEST_FIRST))
    made, changed, ended = [], [], []
    for mailbox in Mailbox.objects.only(*columns).iterator():
        for kind, days in _clocks_of(in_force(mailbox)):
            clock = clocks.get((mailbox.pk, kind))
            if clock is None and days is not None:
                made.append(RetentionClock(mailbox=mailbox, kind=kind, days=days, due_at=now))
            elif clock is not None and days is None:
                ended.append(clock.pk)
            elif clock is not None and clock.days != days:
                changed.append((clock.pk, days))
    RetentionClock.objects.bulk_create(made, ignore_conflicts=True)
    RetentionClock.objects.filter(pk__in=ended).delete()
    for pk, days in changed:
        RetentionClock.objects.filter(pk=pk).update(days=days, position=None, due_at=now)


def due(*, now: datetime | None = None) -> dict[str, int]:
    """How many emails have come to the end of a clock, by what would go: raws, contents, emails. It counts them all.

    Each counts once; some may be needed still.
    """
    now = now or timezone.now()
    found = dict.fromkeys(("raws", "contents", "emails"), 0)
    for mailbox in Mailbox.objects.iterator():
        holds = in_force(mailbox)
        limits = [first_id_at(now - timedelta(days=days)) if days else None for _, days in _clocks_of(holds)]
        log, content, raw = limits
        rows = Email.objects.filter(mailbox=mailbox)
        kept_from = rows.filter(pk__gte=log) if log else rows
        told = kept_from.filter(content_removed_at=None)
        readable = (told.filter(pk__gte=content) if content else kept_from).filter(raw_removed_at=None)
        found["emails"] += rows.filter(pk__lt=log).count() if log else 0
        found["contents"] += told.filter(pk__lt=content).count() if content else 0
        found["raws"] += readable.filter(pk__lt=raw).count() if raw else 0
    return found


def is_one_postponed(*, now: datetime) -> bool:
    """Until now: it is to be looked at again."""
    return PostponedRemoval.objects.filter(due_at__lte=now).exists()


def take_postponed(at_once: int, *, now: datetime) -> Due | None:
    """Emails that are to be looked at again, in the caller's transaction; None if there are none for now."""
    rows = PostponedRemoval.objects.filter(due_at__lte=now).order_by("due_at")
    ids = list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True)[:at_once])
    PostponedRemoval.objects.filter(pk__in=ids).delete()
    return Due(ids, None) if ids else None


def is_a_clock_due(*, now: datetime) -> bool:
    return RetentionClock.objects.filter(due_at__lte=now).exists()


def take_next(at_once: int, *, now: datetime) -> Due | None:
    """The next emails of the clock that has waited longest, which nobody else works on; None if no clock is due.

    Without any email, that clock rests until one will be due; and with other days than are in force here, until it is
    set: what it passed by meanwhile, nobody would come to again.
    """
    rows = RetentionClock.objects.select_related("mailbox").filter(due_at__lte=now).order_by("due_at")
    clock = rows.select_for_update(skip_locked=True, of=("self",), no_key=True).first()
    if clock is None:
        return None
    if in_force(clock.mailbox).days_of(clock.kind) != clock.days:
        RetentionClock.objects.filter(pk=clock.pk).update(due_at=now + BUSY_FOR)
        return Due([], clock)
    left = Email.objects.filter(mailbox=clock.mailbox_id).order_by("pk")
    if clock.position is not None:
        left = left.filter(pk__gt=clock.position)
    limit = first_id_at(now - timedelta(days=clock.days))
    ids = list(left.filter(pk__lt=limit).values_list("pk", flat=True)[:at_once])
    if len(ids) == at_once:  # there may be more; others have waited longer now
        RetentionClock.objects.filter(pk=clock.pk).update(position=ids[-1], due_at=now)
    else:
        following = left.filter(pk__gte=limit).values_list("pk", flat=True).first()
        latest = now + min(LOOK_AT_LEAST, timedelta(days=clock.days))
        due_at = min(latest, made_at(following) + timedelta(days=clock.days)) if following else latest
        # ids know milliseconds: of one that is due within this very one, it would be due for ever
        due_at = max(due_at, now + timedelta(milliseconds=1))
        position = ids[-1] if ids else clock.position
        RetentionClock.objects.filter(pk=clock.pk).update(position=position, due_at=due_at)
    return Due(ids, clock)


def postpone(ids: Mapping[UUID, datetime]) -> None:
    """Looked at again then, in place of what was said before."""
    PostponedRemoval.objects.bulk_create(
        # in one order, so that two clocks of a mailbox never wait for each other in a circle
        (PostponedRemoval(email_id=pk, due_at=at) for pk, at in sorted(ids.items())),
        update_conflicts=True,
        unique_fields=["email_id"],
        update_fields=["due_at"],
    )


def count_postponed() -> int:
    """Emails whose clock has ended, and that something needs still."""
    return PostponedRemoval.objects.count()


def those_there(ids: Collection[UUID]) -> set[UUID]:
    return set(Email.objects.filter(pk__in=ids).values_list("pk", flat=True))


def hold_free(ids: Collection[UUID]) -> list[Email]:
    """Those that nobody else is at, with message and mailbox, locked until the end of the caller's transaction.

    Messages before emails, as everybody locks them.
    """
    messages = dict(Email.objects.filter(pk__in=ids).values_list("pk", "message_id"))
    rows = Message.objects.filter(pk__in=set(messages.values())).order_by("pk").select_for_update(skip_locked=True)
    free = set(rows.values_list("pk", flat=True))
    emails = Email.objects.filter(pk__in=[pk for pk, message in messages.items() if message in free]).order_by("pk")
    return list(emails.select_for_update(of=("self",), skip_locked=True).select_related("message", "mailbox"))


def is_still_at_work(email: Email) -> bool:
    """It waits to be opened, or a rule keeps it back until somebody releases it."""
    return email.status in (Email.Status.WAITING, Email.Status.QUARANTINED)


def ends(email: Email) -> Iterator[tuple[Kind, datetime]]:
    """When each clock that is in force and has something to remove of it comes to its end, the widest first."""
    removed = {Kind.RAW: email.raw_removed_at, Kind.CONTENT: email.content_removed_at, Kind.LOG: None}
    for kind, days in _clocks_of(in_force(email.mailbox)):
        if days is not None and removed[kind] is None:
            yield kind, made_at(email.pk) + timedelta(days=days)


def remove_raws(emails: Sequence[Email]) -> None:
    """They are read by nobody for these mails; the octets go with the last mailbox that keeps them. Held by us."""
    going = [email for email in emails if email.raw_removed_at is None]
    tallies.count(**quota.removed(going))
    now = timezone.now()
    Email.objects.filter(pk__in=[email.pk for email in going]).update(raw_removed_at=now)
    kept = Email.objects.filter(message=OuterRef("pk"), raw_removed_at=None)
    unread = RawMessage.objects.filter(~Exists(kept), pk__in={email.message_id for email in going})
    unread.only("pk").delete()  # without reading the octets first
    for email in going:
        email.raw_removed_at = now


def remove_contents(emails: Sequence[Email]) -> None:
    """What they say, with their headers and their raws: what is left is the log. Held by us."""
    remove_raws(emails)
    ids = [email.pk for email in emails]
    EmailContent.objects.filter(pk__in=ids).only("pk").delete()
    Attachment.objects.filter(email__in=ids).delete()
    said: dict[str, object] = dict.fromkeys(("subject", "from_name", "from_address", "message_id_header"), "")
    said |= {"date": None, "content_removed_at": timezone.now()}
    Email.objects.filter(pk__in=ids).update(**said)
    for email in emails:
        for name, value in said.items():
            setattr(email, name, value)
    search.index_what_is_left(emails)


def remove_emails(emails: Sequence[Email]) -> None:
    """The rows themselves, of which no event is left, and their messages with the last of them. Held by us.

    The transcript names all recipients and goes at once, as when one of them is erased.
    """
    ids, message_ids = [email.pk for email in emails], {email.message_id for email in emails}
    tallies.count(**quota.removed(emails), **ledger_days.went(ledger_days.EMAILS, ids))
    Email.objects.filter(pk__in=ids).only("pk").delete()
    Transcript.objects.filter(pk__in=message_ids).delete()
    others = Email.objects.filter(message=OuterRef("pk"))
    empty = Message.objects.filter(~Exists(others), pk__in=message_ids)
    gone = list(empty.values_list("pk", flat=True))
    tallies.count(**ledger_days.went(ledger_days.MESSAGES, gone))
    RawMessage.objects.filter(pk__in=gone).only("pk").delete()
    Message.objects.filter(pk__in=gone).delete()


def _clocks_of(holds: InForce) -> Iterable[tuple[Kind, int | None]]:
    return ((kind, holds.days_of(kind)) for kind in WIDEST_FIRST)
