"""Time zones by their IANA names."""

from functools import cache
from zoneinfo import available_timezones


def is_time_zone(name: str) -> bool:
    return name in _known()


def names() -> list[str]:
    """All, sorted."""
    return sorted(_known())


@cache
def _known() -> frozenset[str]:
    return frozenset(available_timezones())  # it looks through the file system
