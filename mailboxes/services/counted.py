"""What is counted of mail, and by what time: see `emailgistics/common/series.py`.

Mail counts for the mailbox that it came to, and there for each alias by which it came, and goes on counting when it is
deleted. `received` is all that was stored for the mailbox, at that time; the others, what became of it, when it did.
Mail that is let out of quarantine, or opened after all, counts once more, as what it is then.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from emailgistics.common import series
from emailgistics.common.series import EVERYTHING, Counts, Kind
from mailboxes.models import Email, Mailbox, Recipient

BECAME: Mapping[str, Kind] = {
    Email.Status.PROCESSED: Kind.PROCESSED,
    Email.Status.PARKED: Kind.PARKED,
    Email.Status.QUARANTINED: Kind.QUARANTINED,
}


def received(emails: Iterable[Email], recipients: Iterable[Recipient]) -> Counts:
    """Of mail that is stored in the caller's transaction; recipients may be those of all of them."""
    counts, aliases = Counts(), aliases_of(recipients)
    for email in emails:
        counts.add(
            Kind.RECEIVED,
            subject=email.mailbox_id,
            parts=aliases.get(email.pk, ()),
            at=email.received_at,
            amount=email.size,
        )
    return counts


def became(emails: Iterable[Email], recipients: Iterable[Recipient], *, at: datetime) -> None:
    """Counts what the status of these, which is another than before, says of them; in the caller's transaction."""
    counts, aliases = Counts(), aliases_of(recipients)
    for email in emails:
        counts.add(BECAME[email.status], subject=email.mailbox_id, parts=aliases.get(email.pk, ()), at=at)
    counts.write()


def aliases_of(recipients: Iterable[Recipient]) -> dict[UUID, set[UUID]]:
    """By email, those by which it came."""
    found: dict[UUID, set[UUID]] = {}
    for recipient in recipients:
        if recipient.alias_id is not None:
            found.setdefault(recipient.email_id, set()).add(recipient.alias_id)
    return found


def fold() -> int:
    return series.fold(_wider)


def _wider(subjects: Collection[UUID]) -> Mapping[UUID, tuple[UUID, ...]]:
    """The domain of a mailbox, which never changes, and everything. Of a key there is nothing wider."""
    domains = Mailbox.objects.filter(pk__in=subjects).values_list("pk", "domain_id")
    return {pk: (domain, EVERYTHING) for pk, domain in domains}
