"""Counting what may be many, for lists."""

from typing import Any

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery

from emailgistics.common.planning import only

MAX_COUNTED = 1_000  # of each row of a list


class BoundedCount(Subquery):
    """How many rows a sliced subquery has: never looks at more than its slice."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) bounded)"
    output_field = IntegerField()


def how_many(rows: QuerySet[Any], *, of: str) -> BoundedCount:
    """By the field that leads to the row of the list; one more than MAX_COUNTED says that there are more."""
    of_it = rows.filter(**only(of, OuterRef("pk")))
    return BoundedCount(of_it.order_by().values("pk")[: MAX_COUNTED + 1])


def said(count: int) -> str:
    return f"{MAX_COUNTED:,}+" if count > MAX_COUNTED else f"{count:,}"
