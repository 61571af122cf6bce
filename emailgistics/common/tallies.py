"""Counters that are part of a transaction: what they count happened, or neither did.

A row for each count, because one row that all add to would make all of them wait for each other until they commit. Now
and then rows are folded into one.
"""

from django.db import transaction
from django.db.models import Sum

from emailgistics.common.models import Tally

FOLD_AT_MOST = 10_000  # rows of one name in one transaction


def count(**amounts: int) -> None:
    """Adds to the counters of these names, in the caller's transaction."""
    Tally.objects.bulk_create(rows(**amounts))


def rows(**amounts: int) -> list[Tally]:
    """What `count` inserts, for who inserts it with more."""
    return [Tally(name=name, amount=amount) for name, amount in amounts.items() if amount]


def total(name: str) -> int:
    return Tally.objects.filter(name=name).aggregate(Sum("amount"))["amount__sum"] or 0


def totals() -> dict[str, int]:
    rows = Tally.objects.order_by("name").values("name").annotate(total=Sum("amount"))
    return {row["name"]: row["total"] for row in rows}


def fold() -> None:
    """Makes one row of the many of each name. Whoever folds at the same time takes others, or none."""
    for name in Tally.objects.order_by().values_list("name", flat=True).distinct():
        with transaction.atomic():
            rows = Tally.objects.filter(name=name).order_by("pk").select_for_update(skip_locked=True)
            amounts = dict(rows.values_list("pk", "amount")[:FOLD_AT_MOST])
            if len(amounts) > 1:
                Tally.objects.filter(pk__in=list(amounts)).delete()
                Tally.objects.create(name=name, amount=sum(amounts.values()))
