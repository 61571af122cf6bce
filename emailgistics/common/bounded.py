"""Numbers for the console that cost the same whatever there is: each counted up to a bound, all by one statement."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet


def counts(rows: Mapping[str, QuerySet[Any]], *, at_most: int) -> dict[str, int]:
    """How many of each there are, at one moment. Of more than `at_most`, one more than that."""
    parts: list[str] = []
    values: list[Any] = []
    for one in rows.values():
        try:
            statement, given = one.order_by().values("pk")[: at_most + 1].query.sql_with_params()
        except EmptyResultSet:  # Django knows that there are none
            parts.append("(SELECT 0)")
            continue
        parts.append(f"(SELECT COUNT(*) FROM ({statement}) AS counted)")  # noqa: S608 - Django's
        values += given
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", values)
        found: tuple[int, ...] = cursor.fetchone()
    return dict(zip(rows, found, strict=True))


def shown(count: int, *, at_most: int) -> str:
    return f"{at_most:,}+" if count > at_most else f"{count:,}"
