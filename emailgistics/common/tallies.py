"""Counters that are part of a transaction: what they count happened, or neither did.

A row for each count, because one row that all add to would make all of them wait for each other until they commit. Now
and then rows are folded into one.
"""

from collections.abc import Collection

from django.db import transaction
from django.db.models import Count, Sum

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


def totals(names: Collection[str] | None = None) -> dict[str, int]:
    """By name, of these or of all; without those that nothing was ever added to. One query."""
    rows = Tally.objects.all() if names is None else Tally.objects.filter(name__in=names)
    return dict(rows.order_by("name").values_list("name").annotate(Sum("amount")))


def fold() -> None:
    """Makes one row of the many of each name. Whoever folds at the same time takes others, or none."""
    counted = Tally.objects.order_by().values("name").annotate(rows=Count("pk"))
    for name in counted.filter(rows__gt=1).values_list("name", flat=True):
        while _fold(name) == FOLD_AT_MOST:
            pass


@transaction.atomic
def _fold(name: str) -> int:
    """Returns how many rows there were to fold, up to FOLD_AT_MOST."""
    rows = Tally.objects.filter(name=name).order_by("pk").select_for_update(skip_locked=True)
    amounts = dict(rows.values_list("pk", "amount")[:FOLD_AT_MOST])
    if len(amounts) > 1:
        Tally.objects.filter(pk__in=list(amounts)).delete()
        Tally.objects.create(name=name, amount=sum(amounts.values()))
    return len(amounts)
