"""What `series.py` has counted of each of many: the busiest of them, and what each counted over time.

For lists and rankings of the console, which knows all. One statement each, of one moment, whose price goes with how
many are asked for and not with how much was counted.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, QuerySet

from emailgistics.common.series import HOWEVER, Total, db_value, pieces_of, uuid_of, values_of

# as `series.READ_SUMS`: each piece of each subject is one short look into the index
_OF_PIECE = """s.subject = wanted.subject AND s.part = %s AND s.span = piece.span
                   AND s.start >= piece.since AND s.start < piece.until"""
_SUMS = {
    "postgresql": f"""
            SELECT wanted.subject, piece.n, s.kind, s.times, s.amount
              FROM wanted CROSS JOIN piece CROSS JOIN LATERAL (
                SELECT kind, SUM(times) AS times, SUM(amount) AS amount FROM common_seriessum AS s
                 WHERE {_OF_PIECE} GROUP BY kind
            ) AS s""",  # noqa: S608 - of ours
    "sqlite": f"""
            SELECT wanted.subject, piece.n, s.kind, s.times, s.amount
              FROM wanted CROSS JOIN piece CROSS JOIN common_seriessum AS s WHERE {_OF_PIECE}""",  # noqa: S608 - of ours
}
# what is not folded yet counts for the members of a subject: the mailboxes of a domain
_ENTRIES = """
            SELECT member.subject, period.n, e.kind, e.times, e.amount FROM common_seriesentry AS e
              JOIN member ON member.id = e.subject
              JOIN period ON e.quarter >= period.since AND e.quarter < period.until
             WHERE e.part = %s"""


def members_of(rows: QuerySet[Any], subject: str = "pk", member: str = "pk") -> QuerySet[Any]:
    """For `busiest` and `totals_of_each`: rows of what is asked for, and what each is made of."""
    pairs: QuerySet[Any] = rows.order_by().annotate(of_subject=F(subject), is_member=F(member))
    return pairs.values_list("of_subject", "is_member")


def busiest(
    members: QuerySet[Any], period: tuple[int, int], *, kinds: Collection[int], at_most: int
) -> dict[UUID, int]:
    """Those with most of these kinds in that time, and how often, the busiest first; who has none is left out."""
    found, values = _found(members, [period])
    wanted = ", ".join(map(str, kinds))
    rows = _rows(
        f"{found} SELECT subject, SUM(times) FROM found WHERE kind IN ({wanted}) "  # noqa: S608 - numbers, and names of ours
        f"GROUP BY subject ORDER BY SUM(times) DESC, subject LIMIT {int(at_most)}",
        values,
    )
    return {uuid_of(subject): int(times) for subject, times in rows}


def totals_of_each(
    members: QuerySet[Any], periods: Sequence[tuple[int, int]]
) -> dict[UUID, dict[int, dict[int, Total]]]:
    """By subject, by the number of the period and by kind."""
    found, values = _found(members, periods)
    rows = _rows(
        f"{found} SELECT subject, n, kind, SUM(times), SUM(amount) FROM found GROUP BY subject, n, kind",  # noqa: S608
        values,
    )
    of_each: dict[UUID, dict[int, dict[int, Total]]] = defaultdict(lambda: defaultdict(dict))
    for subject, n, kind, times, amount in rows:
        of_each[uuid_of(subject)][n][kind] = Total(int(times), int(amount))
    return of_each


def _found(members: QuerySet[Any], periods: Sequence[tuple[int, int]]) -> tuple[str, list[Any]]:
    """The beginning of a statement, with what is `found` of each, and its values."""
    try:
        named, values = members.query.sql_with_params()
    except EmptyResultSet:  # Django knows that there are none
        named, values = "SELECT subject, subject FROM common_seriessum WHERE 1 = 0", ()
    statement = f"""
        WITH period(n, since, until) AS (VALUES {values_of((n, *period) for n, period in enumerate(periods))}),
        piece(n, span, since, until) AS (VALUES {values_of(pieces_of(periods))}),
        member(subject, id) AS ({named}),
        wanted(subject) AS (SELECT DISTINCT subject FROM member),
        found(subject, n, kind, times, amount) AS ({_SUMS[connection.vendor]} UNION ALL {_ENTRIES})"""  # noqa: S608
    return statement, [*values, db_value(HOWEVER), db_value(HOWEVER)]


def _rows(statement: str, values: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
