"""What is left of a row that was erased: that there was one, when it went and on whose word.

A tombstone is found by whoever knows what the row was called, and tells nothing to whoever does not: it holds a keyed
mark in place of the name. So counts still add up, and erasing twice is as good as once.
"""

import hmac
from collections.abc import Collection, Iterable
from hashlib import sha256

from django.utils import timezone

from emailgistics.common import derived_keys
from emailgistics.common.models import Tombstone


def bury(of: str, names: Iterable[str], *, by: str) -> None:
    """One tombstone for each name, in the caller's transaction."""
    number, key = derived_keys.primary_key(derived_keys.TOMBSTONES)
    now = timezone.now()
    Tombstone.objects.bulk_create(
        Tombstone(of=of, key=number, mark=_mark(key, of, name), erased_at=now, erased_by=by[:200]) for name in names
    )


def buried(of: str, names: Collection[str]) -> set[str]:
    """Those of the names that have a tombstone, whichever key it was made with."""
    keys = derived_keys.all_keys(derived_keys.TOMBSTONES)
    marks = {_mark(key, of, name): name for key in keys for name in names}
    found = Tombstone.objects.filter(of=of, mark__in=list(marks)).values_list("mark", flat=True)
    return {marks[bytes(mark)] for mark in found}


def name_of(of: str, name: str) -> str:
    """What stands for that name where it must not be written: the same each time, with the same encryption key."""
    number, key = derived_keys.primary_key(derived_keys.TOMBSTONES)
    return f"{of} {number}:{_mark(key, of, name).hex()[:32]}"


def _mark(key: bytes, of: str, name: str) -> bytes:
    return hmac.digest(key, f"{of} {name}".encode(), sha256)
