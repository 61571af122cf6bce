"""What needs the numbered keys of the environment. A number that rows still need cannot be dropped: `selftest` refuses.

Each app registers its own in `AppConfig.ready`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from emailgistics.common.crypto import KeyRing

PEPPERS, ENCRYPTION = "API_KEY_PEPPERS", "ENCRYPTION_KEYS"
RINGS = (PEPPERS, ENCRYPTION)


@dataclass(frozen=True, slots=True)
class Needing:
    """Rows that need one number; until is when the last of them will not any more, where that is known."""

    rows: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Use:
    ring: str
    of: str  # "webhook secrets", for people
    by_number: Callable[[], Mapping[int, Needing]]  # asks the database
    remedy: str  # what has to be done before the number can go


_uses: dict[str, Use] = {}


def register(use: Use) -> None:
    _uses[use.of] = use


def uses_of(ring: str) -> list[Use]:
    return [use for use in _uses.values() if use.ring == ring]


def ring_of(name: str) -> KeyRing:
    ring: KeyRing = getattr(settings, name)
    return ring
