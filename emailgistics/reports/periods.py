"""Hours, days, weeks and months as a time zone has them, in quarters of an hour since 1970.

Whatever its clocks do: a day has 23, 24 or 25 hours, or 23½; an hour that comes twice is two. Every boundary is on a
quarter of an hour, as all clocks of the world have been since 1972.
"""

import re
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from emailgistics.common.errors import OutOfRangeError, RefusedError
from emailgistics.common.series import QUARTER, QUARTER_S, begins, quarter_of

MAX_PERIODS = 1000  # of one answer
DEFAULT_DAYS = 30
DAY = timedelta(days=1)
MINUTES = QUARTER // timedelta(minutes=1)
FIRST_YEAR, LAST_YEAR = 1970, 2200
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
WHEN = (
    "A date, which stands for its beginning in that time zone, or a time with its offset: 2030-01-31, "
    "2030-01-31T18:00Z."
)


class Interval(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"  # from Monday on, as in ISO 8601
    MONTH = "month"


class TooManyPeriodsError(RefusedError):
    code = "too_many_periods"

    def __init__(self, interval: Interval) -> None:
        coarser = list(Interval)[list(Interval).index(interval) + 1 :]
        remedy = f", or by {coarser[0]}" if coarser else ""
        super().__init__(
            f"By {interval} this would be more than {MAX_PERIODS} rows: ask for a shorter time{remedy}.",
            field="interval",
        )


def parse_when(text: str, *, field: str) -> datetime | date:
    """Raises RefusedError for that field."""
    try:
        at = date.fromisoformat(text) if DATE.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusedError(WHEN, field=field) from error
    if isinstance(at, datetime) and at.tzinfo is None:
        raise RefusedError(f"Say the offset as well, such as the Z in {text[:16]}Z. {WHEN}", field=field)
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise OutOfRangeError(f"This is in a year from {FIRST_YEAR} to {LAST_YEAR}.", field=field)
    return at


def span(
    since: datetime | date | None, until: datetime | date | None, *, zone: ZoneInfo, now: datetime
) -> tuple[int, int]:
    """Whole quarters, from the one that since is in to the one that until is in or begins; the last 30 days by default.

    A date stands for its beginning there. Raises RefusedError.
    """
    if until is None:
        end = midnight(now.astimezone(zone).date() + DAY, zone)
    else:
        end = int(-(-_seconds(until, zone) // QUARTER_S))
    if since is None:
        begin = midnight(begins(end - 1).astimezone(zone).date() - DAY * (DEFAULT_DAYS - 1), zone)
    else:
        begin = int(_seconds(since, zone) // QUARTER_S)
    if begin >= end:
        raise OutOfRangeError(
            "from has to be before to: make from earlier, or to later. Without to, that is the end of today.",
            field="from",
        )
    return begin, end


def periods(since: int, until: int, interval: Interval, zone: ZoneInfo) -> list[tuple[int, int]]:
    """From one boundary to the next, without gaps; at both ends they may be shorter. Raises TooManyPeriodsError."""
    found: list[tuple[int, int]] = []
    while since < until:
        if len(found) == MAX_PERIODS:
            raise TooManyPeriodsError(interval)
        end = min(_next(since, interval, zone), until)
        found.append((since, end))
        since = end
    return found


def midnight(day: date, zone: ZoneInfo) -> int:
    """The first quarter of that day; of one that begins later than at 0:00, the first there is."""
    return quarter_of(datetime.combine(day, time(), zone))


def _next(quarter: int, interval: Interval, zone: ZoneInfo) -> int:
    """The first boundary after the beginning of that quarter."""
    if interval is Interval.HOUR:
        return _next_hour(quarter, zone)
    day = begins(quarter).astimezone(zone).date()
    while (found := midnight(day := _following(day, interval), zone)) <= quarter:
        pass  # a day that the zone has left out, as islands do that change sides of the date line
    return found


def _next_hour(quarter: int, zone: ZoneInfo) -> int:
    """Where clocks show another hour, or the same one again."""
    hour = begins(quarter).astimezone(zone).hour
    while True:
        quarter += 1
        at = begins(quarter).astimezone(zone)
        if at.hour != hour or at.minute < MINUTES:
            return quarter


def _following(day: date, interval: Interval) -> date:
    if interval is Interval.DAY:
        return day + DAY
    if interval is Interval.WEEK:
        return day + DAY * (7 - day.weekday())
    return (day.replace(day=1) + DAY * 32).replace(day=1)


def _seconds(at: datetime | date, zone: ZoneInfo) -> float:
    return (at if isinstance(at, datetime) else datetime.combine(at, time(), zone)).timestamp()
