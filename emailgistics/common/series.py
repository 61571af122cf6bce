"""What happened when: counts by the quarter of an hour of a mailbox, an alias's mail in it, a webhook or an API key.

A quarter of an hour, because the days of every time zone are made of whole ones. Entries are added in the transaction
that does what they count: both are there or neither is, and nobody waits for a row that others add to. `fold` makes
sums of them, by quarter, hour and day, so that a year takes few rows; and beside the subject itself for what it is part
of. Whoever reads adds sums and entries up in one statement: between two, a fold could come.

Counts are of what happened. They stay what they are when mail is deleted, an alias moves or a mailbox goes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import QuerySet, UUIDField

from emailgistics.common import bulk
from emailgistics.common.models import SeriesEntry, SeriesSum

QUARTER = timedelta(minutes=15)
QUARTER_S = 900
SPANS = (96, 4, 1)  # a day, an hour and a quarter of one, in quarters
EVERYTHING = UUID(int=0)  # as a subject: all mailboxes there are, and were
HOWEVER = UUID(int=0)  # as a part: by whatever alias it came, or by none
NO_KEY = UUID(int=1)
FOLD_AT_MOST = 10_000  # entries in one transaction
SUMS_AT_ONCE = 500  # in one statement

# of how long deliveries took: each upper bound is the one before times the square root of 2, from 1 ms to 12 days
STEPS_OF_DOUBLING = 2
MAX_STEP = 60


class Kind(IntEnum):
    RECEIVED = 1  # with its octets
    PROCESSED = 2
    PARKED = 3
    QUARANTINED = 4
    FAILED = 5
    HELD = 6
    RETRIES = 7
    API_CALLS = 8
    FAILURES = 9  # attempts that failed, of a webhook alone
    DELIVERED = 100  # and as many more as the step of how long it took: see `delivered_within`


class Key(NamedTuple):
    """Of an entry; ordered, so that whoever folds at the same time goes in the same order."""

    subject: UUID
    part: UUID
    quarter: int
    kind: int
    is_restricted: bool


class Counts:
    """What one transaction counts: the same things are made one entry."""

    def __init__(self) -> None:
        self._found: dict[Key, list[int]] = defaultdict(lambda: [0, 0])

    def add(
        self,
        kind: int,
        *,
        subject: UUID,
        at: datetime,
        parts: Iterable[UUID] = (),
        is_restricted: bool = False,
        times: int = 1,
        amount: int = 0,
    ) -> None:
        """parts: the aliases by which the mail came. is_restricted: a key with an allowlist may not know of it."""
        for part in {HOWEVER, *parts}:
            found = self._found[Key(subject, part, quarter_of(at), kind, is_restricted)]
            found[0] += times
            found[1] += amount

    def entries(self) -> list[SeriesEntry]:
        """What `write` inserts, for who inserts it with more."""
        return [
            SeriesEntry(
                subject=key.subject,
                part=key.part,
                quarter=key.quarter,
                kind=key.kind,
                is_restricted=key.is_restricted,
                times=times,
                amount=amount,
            )
            for key, (times, amount) in self._found.items()
        ]

    def write(self) -> None:
        """In the caller's transaction. At most one statement."""
        if entries := self.entries():
            bulk.insert(entries)


def quarter_of(at: datetime) -> int:
    """The number of the quarter of an hour that it is in, since 1970."""
    return int(at.timestamp() // QUARTER_S)


def begins(quarter: int) -> datetime:
    return datetime.fromtimestamp(quarter * QUARTER_S, UTC)


def delivered_within(took: timedelta) -> int:
    """The kind that says how long it took, to one step."""
    ms = max(took / timedelta(milliseconds=1), 1)
    return Kind.DELIVERED + min(math.ceil(math.log2(ms) * STEPS_OF_DOUBLING), MAX_STEP)


def typical_ms(kind: int) -> int:
    """Of that kind of delivery: the middle of its step, which is off by 19 % at most."""
    return round(2 ** ((kind - Kind.DELIVERED - 0.5) / STEPS_OF_DOUBLING))


def percentile_ms(delivered: Counter[int], percent: int) -> int | None:
    """Of as many of a hundred deliveries, by their kinds, none took longer: by nearest rank. None if there are none."""
    rank = -(-delivered.total() * percent // 100)
    for kind in sorted(delivered):
        rank -= delivered[kind]
        if rank <= 0:
            return typical_ms(kind)
    return None


def fold(wider: Callable[[Collection[UUID]], Mapping[UUID, Sequence[UUID]]]) -> int:
    """Makes sums of the entries that there are, and returns how many there were. Whoever folds meanwhile takes others.

    wider says of which other subjects each of these is a part as well.
    """
    folded = 0
    while (taken := _fold(wider)) == FOLD_AT_MOST:
        folded += taken
    return folded + taken


@transaction.atomic
def _fold(wider: Callable[[Collection[UUID]], Mapping[UUID, Sequence[UUID]]]) -> int:
    rows = _take(FOLD_AT_MOST)
    parts_of = wider({key.subject for key, _, _ in rows}) if rows else {}
    found: dict[tuple[UUID, UUID, int, int, int, bool], list[int]] = defaultdict(lambda: [0, 0])
    for key, times, amount in rows:
        for subject in (key.subject, *parts_of.get(key.subject, ())):
            for span in SPANS:
                start = key.quarter - key.quarter % span
                added = found[subject, key.part, span, start, key.kind, key.is_restricted]
                added[0] += times
                added[1] += amount
    sums = [(*key, *found[key]) for key in sorted(found)]
    for first in range(0, len(sums), SUMS_AT_ONCE):
        _add(sums[first : first + SUMS_AT_ONCE])
    return len(rows)


def _take(at_most: int) -> list[tuple[Key, int, int]]:
    """The oldest, which are gone then. In SQL: Django cannot delete what it reads in one statement."""
    table = SeriesEntry._meta.db_table  # noqa: SLF001
    skipping = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    statement = (
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT %s {skipping}) "  # noqa: S608 - of ours
        "RETURNING subject, part, quarter, kind, is_restricted, times, amount"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [at_most])
        return [
            (Key(uuid_of(subject), uuid_of(part), quarter, kind, bool(is_restricted)), times, amount)
            for subject, part, quarter, kind, is_restricted, times, amount in cursor.fetchall()
        ]


def _add(sums: Sequence[tuple[Any, ...]]) -> None:
    """To what is there, or as the first. The ORM's `update_conflicts` can only replace."""
    table = SeriesSum._meta.db_table  # noqa: SLF001
    place = f"({', '.join(['%s'] * len(sums[0]))})"
    statement = (
        f"INSERT INTO {table} (subject, part, span, start, kind, is_restricted, times, amount) "  # noqa: S608 - of ours
        f"VALUES {', '.join([place] * len(sums))} "
        "ON CONFLICT (subject, part, span, start, kind, is_restricted) DO UPDATE "
        f"SET times = {table}.times + excluded.times, amount = {table}.amount + excluded.amount"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            statement, [value for subject, part, *rest in sums for value in (db_value(subject), db_value(part), *rest)]
        )


def prune(before: datetime) -> int:
    """Deletes what is older, some at a time. Returns how many rows went."""
    return bulk.delete_little_by_little(SeriesSum.objects.filter(start__lt=quarter_of(before)))


# Each run of each subject is one look into the index, whatever the planner thinks of it (OFFSET holds it to that): left
# to itself, it reads all that a subject has. Only what hundreds of mailboxes have made together is then told apart by
# periods, of which there may be a thousand. LIMIT tells the planner how many units there are: it would take each piece
# for a thousand, and compile what is over sooner than that.
READ_SUMS = {
    "postgresql": """
            SELECT unit.n, s.kind, s.times, s.amount FROM (
                SELECT s.span, s.start, s.kind, SUM(s.times) AS times, SUM(s.amount) AS amount
                  FROM wanted CROSS JOIN run CROSS JOIN LATERAL (
                    SELECT span, start, kind, times, amount FROM common_seriessum AS s
                     WHERE s.subject = wanted.subject AND s.part = wanted.part AND s.span = run.span
                       AND s.start >= run.since AND s.start < run.until AND (%s OR NOT s.is_restricted)
                    OFFSET 0
                ) AS s GROUP BY s.span, s.start, s.kind
            ) AS s JOIN (
                SELECT n, span, generate_series(since, until - 1, span) AS start FROM piece LIMIT {units}
            ) AS unit ON unit.span = s.span AND unit.start = s.start""",
    # which takes a CROSS JOIN in the order in which it is written
    "sqlite": """
            SELECT piece.n, s.kind, s.times, s.amount FROM wanted CROSS JOIN piece CROSS JOIN common_seriessum AS s
             WHERE s.subject = wanted.subject AND s.part = wanted.part AND s.span = piece.span
               AND s.start >= piece.since AND s.start < piece.until AND (%s OR NOT s.is_restricted)""",
}


class Selection(NamedTuple):
    """Whose counts are asked for."""

    subjects: Collection[UUID]
    members: QuerySet[Any]  # ids of what makes those up, whose entries are to be folded into them yet
    part: UUID
    key_id: UUID | None  # its calls, too, whatever else is asked for
    knows_all: bool  # also what only those may know of who see all mailboxes


class Total(NamedTuple):
    times: int
    amount: int


def totals(of: Selection, periods: Sequence[tuple[int, int]]) -> dict[int, dict[int, Total]]:
    """By the number of the period, which is from quarter to quarter, and by kind. One statement, of one moment."""
    members, named = _members(of.members)
    pieces = list(pieces_of(periods))
    units = sum((until - since) // span for _, span, since, until in pieces)
    # of a subject that there is not nothing was counted
    key_id = of.key_id or NO_KEY
    wanted = [*((subject, of.part) for subject in of.subjects), (key_id, HOWEVER)]
    statement = f"""
        WITH period(n, since, until) AS (VALUES {values_of((n, *period) for n, period in enumerate(periods))}),
        piece(n, span, since, until) AS (VALUES {values_of(pieces)}),
        run(span, since, until) AS (VALUES {values_of(_runs(pieces))}),
        wanted(subject, part) AS (VALUES {", ".join(["(%s, %s)"] * len(wanted))})
        SELECT n, kind, SUM(times), SUM(amount) FROM (
            {READ_SUMS[connection.vendor].format(units=units)}
            UNION ALL
            SELECT period.n, kind, times, amount FROM (
                SELECT quarter, kind, SUM(times) AS times, SUM(amount) AS amount FROM {SeriesEntry._meta.db_table}
                 WHERE (part = %s AND subject IN ({members}) OR part = %s AND subject = %s)
                   AND (%s OR NOT is_restricted)
                 GROUP BY quarter, kind
            ) AS e JOIN period ON e.quarter >= period.since AND e.quarter < period.until
        ) AS found GROUP BY n, kind"""  # noqa: S608, SLF001 - numbers, and names of ours
    values = [db_value(value) for pair in wanted for value in pair]
    values += [of.knows_all, db_value(of.part), *named, db_value(HOWEVER), db_value(key_id), of.knows_all]
    found: dict[int, dict[int, Total]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        for n, kind, times, amount in cursor.fetchall():
            found[n][kind] = Total(int(times), int(amount))  # PostgreSQL sums to Decimal
    return found


def pieces_of(periods: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int, int]]:
    for n, (since, until) in enumerate(periods):
        yield from ((n, *piece) for piece in _cut(since, until, SPANS))


def _runs(pieces: Sequence[tuple[int, int, int, int]]) -> list[tuple[int, int, int]]:
    """Pieces of one span that follow upon each other, as one."""
    runs: list[tuple[int, int, int]] = []
    for span, since, until in sorted(piece[1:] for piece in pieces):
        if runs and runs[-1][0] == span and runs[-1][2] == since:
            runs[-1] = (span, runs[-1][1], until)
        else:
            runs.append((span, since, until))
    return runs


def _cut(since: int, until: int, spans: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Whole days as far as there are any, before and after them whole hours, and quarters for what is left."""
    span, *finer = spans
    first, last = -(-since // span) * span, until // span * span
    if first < last:
        yield span, first, last
    if finer and first < last:
        yield from _cut(since, first, finer)
        yield from _cut(last, until, finer)
    elif finer:
        yield from _cut(since, until, finer)


def _members(rows: QuerySet[Any]) -> tuple[str, Sequence[Any]]:
    try:
        return rows.query.sql_with_params()
    except EmptyResultSet:  # Django knows that there are none
        return f"SELECT subject FROM {SeriesEntry._meta.db_table} WHERE 1 = 0", ()  # noqa: S608, SLF001


def values_of(rows: Iterable[tuple[int, ...]]) -> str:
    return ", ".join(f"({', '.join(map(str, row))})" for row in rows)


def db_value(value: UUID) -> Any:
    return UUIDField().get_db_prep_value(value, connection)  # text on SQLite


def uuid_of(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
