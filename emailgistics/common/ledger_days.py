"""What the ledger counts as it happens: how many rows came and went, by the day in their ids.

A UUIDv7 carries when it was made (RFC 9562 section 5.7), so a day's rows are one range of the primary key, whenever
they are counted again; what came and went is counted under the same day, in the transaction in which it does. So each
day can be balanced by itself, at a cost that does not grow with what is stored.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from emailgistics.common.ids import first_id_at, made_at

MESSAGES, EMAILS, DELIVERIES = "messages", "emails", "deliveries"
CAME, WENT, ACCEPTED = "came", "went", "accepted"  # accepted: a difference that somebody has looked into
KINDS = (CAME, WENT, ACCEPTED)


def came(account: str, ids: Iterable[UUID]) -> dict[str, int]:
    """What to count (`tallies.count`) in the transaction that inserts these."""
    return _by_day(account, CAME, ids)


def went(account: str, ids: Iterable[UUID]) -> dict[str, int]:
    """The same for the transaction that deletes them."""
    return _by_day(account, WENT, ids)


def name_of(account: str, kind: str, day: date) -> str:
    return f"{account}_{kind} {day.isoformat()}"


def day_of(name: str) -> date | None:
    """The day of such a name, None of any other tally."""
    _, separator, text = name.partition(" ")
    return date.fromisoformat(text) if separator else None


def ids_of(day: date) -> tuple[UUID, UUID]:
    """The first id that was made on it, in UTC, and the first that was made after it."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return first_id_at(begin), first_id_at(begin + timedelta(days=1))


def _by_day(account: str, kind: str, ids: Iterable[UUID]) -> dict[str, int]:
    return dict(Counter(name_of(account, kind, made_at(id_).date()) for id_ in ids))
