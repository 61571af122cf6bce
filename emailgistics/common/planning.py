"""What PostgreSQL's planner may not choose for a query, whatever it expects: it does not know what comes where.

A list of which a page is shown is read in the order of an index, which ends where enough is found. The planner thinks
of all of it: that what is asked for is rare, or the next row as good as any, and reads a table for it.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

IN_ORDER = ("enable_seqscan", "enable_bitmapscan", "enable_sort")
ONE_BY_ONE = ("enable_hashjoin", "enable_mergejoin", "enable_material", "enable_memoize")
# compiling takes a hundred times as long as what it would save here, and begins because of what is switched off
ALWAYS = ("jit",)


def only(column: str, value: Any) -> dict[str, Any]:
    """A filter for rows with that value, of which the planner expects few: so that it goes to them by their index.

    Where it expects many, it walks by everybody's rows in the order of their ids until it has met enough of them, which
    may be never. It thinks so of what is said three times.
    """
    return {column: value, f"{column}__gte": value, f"{column}__lte": value}


@contextmanager
def planned(*, without: Sequence[str], within: timedelta | None = None) -> Iterator[None]:
    """For reading only: with these settings off, and each statement canceled after that time."""
    if connection.vendor != "postgresql":
        yield
        return
    changed = dict.fromkeys((*ALWAYS, *without), "off")
    if within is not None:
        changed["statement_timeout"] = str(within // timedelta(milliseconds=1))
    settings = ", ".join("set_config(%s, %s, true)" for _ in changed)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {settings}", [text for pair in changed.items() for text in pair])
        yield
        transaction.set_rollback(True)  # nothing was written, and the settings are undone


def rows_expected(rows: QuerySet[Any]) -> int:
    """How many the planner expects, by what ANALYZE noted of the tables; nothing is read of them. On PostgreSQL."""
    told = rows.order_by().values("pk").explain(format="json")
    if not told:  # Django knows that there is none, and asks nobody
        return 0
    (plan,) = json.loads(told)
    return int(plan["Plan"]["Plan Rows"])
