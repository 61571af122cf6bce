"""When a failed delivery is tried again: the schedule is this table, and nothing else decides.

Pure arithmetic. What is not counted as a failure (deferrals, lost leases) never comes here.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

# before the 2nd to the 16th attempt: 5.65 days from the first to the last
DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
    timedelta(hours=12),
    timedelta(hours=12),
    timedelta(hours=24),
    timedelta(hours=24),
    timedelta(hours=24),
    timedelta(hours=24),
)
MAX_ATTEMPTS = len(DELAYS) + 1

MAX_RETRY_AFTER = timedelta(hours=12)  # a receiver may slow us down, not silence us
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
MIN_DELAY_WHEN_BUSY = timedelta(seconds=60)
JITTER_SHARE = 0.1
MIN_JITTER = timedelta(seconds=1)
MAX_JITTER = timedelta(minutes=15)

MAX_SECONDS_DIGITS = 9  # more is decades: read as the largest number that fits


def is_success(status: int | None) -> bool:
    return status is not None and 200 <= status < 300  # noqa: PLR2004 - RFC 9110 section 15.3


def next_delay(
    failures: int, *, status: int | None, retry_after: timedelta | None, jitter: Callable[[], float]
) -> timedelta | None:
    """How long after this failure the next attempt is due; None when the schedule is exhausted.

    failures counts those so far, this one included, from 1. status is None when there was no answer. jitter gives a
    number in [0, 1) and only ever adds: up to 10 % of the wait, at least up to 1 s, at most up to 15 min. It is a
    share of the wait as lengthened by Retry-After, because that hint brings everybody back at the same instant.
    """
    if failures < 1:
        raise ValueError(f"failures counts from 1, not {failures}")
    if failures > len(DELAYS):
        return None
    wait = DELAYS[failures - 1]
    if status in BUSY:
        wait = max(wait, MIN_DELAY_WHEN_BUSY)
    if retry_after is not None:
        wait = max(wait, min(retry_after, MAX_RETRY_AFTER))
    return wait + min(max(wait * JITTER_SHARE, MIN_JITTER), MAX_JITTER) * jitter()


def parse_retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Reads Retry-After (RFC 9110 section 10.2.3): seconds or an HTTP-date. None for what is malformed or past."""
    text = (value or "").strip(" \t")
    if text.isascii() and text.isdigit():
        seconds = text.lstrip("0") or "0"
        return timedelta(seconds=int(seconds) if len(seconds) <= MAX_SECONDS_DIGITS else 10**MAX_SECONDS_DIGITS)
    if not text[:1].isalpha():  # the date reader takes much that is no date; all three forms begin with a day's name
        return None
    try:
        at = parsedate_to_datetime(text)
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return wait if wait >= timedelta(0) else None
