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


def bury(of: str, names: Iterable[str], *, by: str) -> list[Tombstone]:
    """One tombstone for each name, in the caller's transaction."""
    number, key = derived_keys.primary_key(derived_keys.TOMBSTONES)
    now = timezone.now()
    return Tombstone.objects.bulk_create(
        Tombstone(of=of, key=number, mark=_mark(key, of, name), erased_at=now, erased_by=by[:200]) for name in names
    )


def buried(of: str, names: Collection[str]) -> set[str]:
    """Those of the names that have a tombstone, whichever key it was made with."""
    marks = _marks(of, names)
    found = Tombstone.objects.filter(of=of, mark__in=list(marks)).values_list("mark", flat=True)
    return {marks[bytes(mark)] for mark in found}


def name_of(of: str, name: str) -> str:
    """What stands for that name where it must not be written: the same each time, with the same encryption key."""
    number, key = derived_keys.primary_key(derived_keys.TOMBSTONES)
    return f"{of} {number}:{_mark(key, of, name).hex()[:32]}"


def named_by(wanted: set[bytes], of: str, names: Collection[str]) -> dict[bytes, str]:
    """Those of the names that one of these marks is of, by mark: for marks that are not in this database."""
    return {mark: name for mark, name in _marks(of, names).items() if mark in wanted}


def print_of_key(number: int) -> str:
    """By which it is known, elsewhere, with which key a mark was made: it tells nothing of the key."""
    key = derived_keys.key_of(derived_keys.TOMBSTONES, number)
    return "" if key is None else _print(key)


def prints_of_keys() -> set[str]:
    """Of all keys that there are here: a mark made with another one is of a name that cannot be found."""
    return {_print(key) for key in derived_keys.all_keys(derived_keys.TOMBSTONES)}


def _marks(of: str, names: Collection[str]) -> dict[bytes, str]:
    keys = derived_keys.all_keys(derived_keys.TOMBSTONES)
    return {_mark(key, of, name): name for key in keys for name in names}


def _print(key: bytes) -> str:
    return hmac.digest(key, b"print of the key", sha256).hex()[:16]


def _mark(key: bytes, of: str, name: str) -> bytes:
    return hmac.digest(key, f"{of} {name}".encode(), sha256)
