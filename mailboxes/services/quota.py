"""How much mail is in a mailbox, and whether there is room for more.

What counts is the octets of the raw of each of its emails, as long as the mailbox keeps that, also of those in
quarantine, and though mailboxes may share a raw. They are counted in the transaction that stores or removes an email,
for all mailboxes: so a quota that is given later knows what is there, and mail that comes in at the same time waits for
nobody.
"""

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from emailgistics.common import tallies
from emailgistics.common.errors import LimitReachedError
from mailboxes.models import Email, Mailbox, tally_of
from mailboxes.services.directory import FoundMailbox


class MailboxFullError(LimitReachedError):
    code = "mailbox_full"

    def __init__(self) -> None:
        super().__init__("The mailbox is full.")


def stored(emails: Iterable[Email]) -> dict[str, int]:
    """What to count (`tallies.count`) in the transaction that stores them."""
    amounts: dict[str, int] = {}
    for email in emails:
        name = tally_of(email.mailbox_id)
        amounts[name] = amounts.get(name, 0) + email.size
    return amounts


def removed(emails: Iterable[Email]) -> dict[str, int]:
    """The same for the transaction that removes them, or their raws: of those whose raw went before it is done."""
    kept = (email for email in emails if email.raw_removed_at is None)
    return {name: -amount for name, amount in stored(kept).items()}


def used_by(mailbox_ids: Collection[UUID]) -> dict[UUID, int]:
    """Octets in each of these mailboxes. One query."""
    totals = tallies.totals([tally_of(pk) for pk in mailbox_ids])
    return {pk: totals.get(tally_of(pk), 0) for pk in mailbox_ids}


def full_among(mailboxes: Iterable[FoundMailbox], *, used: Mapping[UUID, int], size: int | None) -> list[str]:
    """What is said of those that have no room for a mail of that many octets; None where nobody knows yet."""
    least = max(size or 0, 1)  # no mail is empty, so what is full has no room even for one of unknown size
    return [
        f"{mailbox.address} is full: it holds {used[mailbox.id]} octets, and its quota is {mailbox.quota_bytes}"
        for mailbox in mailboxes
        if mailbox.quota_bytes is not None and used[mailbox.id] + least > mailbox.quota_bytes
    ]


def recount(mailbox: Mailbox) -> None:
    """Puts right what is counted, in the caller's transaction, which holds the mailbox: so nobody else does meanwhile.

    Mail that a process of an earlier release stored is not counted otherwise. Mail may come and go all the while: both
    sums are of one moment, and whatever is stored or removed after it is counted as well.
    """
    emails = Email.objects.filter(mailbox=OuterRef("pk"), raw_removed_at=None).order_by().values("mailbox")
    there = Coalesce(Subquery(emails.annotate(octets=Sum("size")).values("octets")), 0)
    row = Mailbox.objects.filter(pk=mailbox.pk).with_used_bytes().annotate(there=there)
    octets, counted = row.values_list("there", "used_bytes").get()
    tallies.count(**{tally_of(mailbox.pk): octets - counted})
    mailbox.used_bytes = octets
