"""What is left of a row that was erased: that there was one, when it went and on whose word.

A tombstone is found by whoever knows what the row was called, and tells nothing to whoever does not: it holds a keyed
mark in place of the name. So counts still add up, and erasing twice is as good as once.
"""

import hmac
from collections.abc import Collection, Iterable
from hashlib import sha256

from django.conf import settings
from django.utils import timezone

from emailgistics.common.crypto import KeyRing, derived
from emailgistics.common.models import Tombstone

PURPOSE = b"emailgistics tombstones 1"  # keeps these keys apart from all others that come from the same secret


def bury(of: str, names: Iterable[str], *, by: str) -> None:
    """One tombstone for each name, in the caller's transaction."""
    ring: KeyRing = settings.ENCRYPTION_KEYS
    now = timezone.now()
    Tombstone.objects.bulk_create(
        Tombstone(of=of, key=ring.primary, mark=_mark(ring.primary, of, name), erased_at=now, erased_by=by[:200])
        for name in names
    )


def buried(of: str, names: Collection[str]) -> set[str]:
    """Those of the names that have a tombstone, whichever of the configured keys it was made with."""
    ring: KeyRing = settings.ENCRYPTION_KEYS
    marks = {_mark(number, of, name): name for number in ring.keys for name in names}
    found = Tombstone.objects.filter(of=of, mark__in=list(marks)).values_list("mark", flat=True)
    return {marks[bytes(mark)] for mark in found}


def _mark(number: int, of: str, name: str) -> bytes:
    ring: KeyRing = settings.ENCRYPTION_KEYS
    return hmac.digest(derived(ring.keys[number], purpose=PURPOSE), f"{of} {name}".encode(), sha256)
