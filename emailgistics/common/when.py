"""Times as people write them after a flag: an instant, or how long ago."""

import re
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from emailgistics.common.errors import RefusedError

DURATION = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[hd])")
WHEN_HELP = "2030-01-31T18:00:00Z, or how long ago: 24h, 7d"


def parse_duration(text: str) -> timedelta | None:
    """`24h` or `7d`; None for anything else."""
    match = DURATION.fullmatch(text)
    if match is None:
        return None
    count = int(match["count"])
    return timedelta(hours=count) if match["unit"] == "h" else timedelta(days=count)


def parse_when(text: str, *, name: str) -> datetime:
    """A time with its offset, or `24h`, `7d` ago. Raises RefusedError."""
    if (ago := parse_duration(text)) is not None:
        try:
            return timezone.now() - ago
        except OverflowError as error:
            raise RefusedError(f"--{name} is before all calendars.", field=name) from error
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise RefusedError(f"--{name} is written {WHEN_HELP}.", field=name)
    return at
