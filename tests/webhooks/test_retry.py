from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks import retry

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
S, M, H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def no_jitter() -> float:
    return 0.0


def delay_after(failures: int, *, status: int | None = 500, retry_after: timedelta | None = None) -> timedelta | None:
    return retry.next_delay(failures, status=status, retry_after=retry_after, jitter=no_jitter)


def test_sixteen_attempts_are_spread_over_five_days_and_a_half() -> None:
    delays = [delay_after(failures) for failures in range(1, 16)]
    wanted = [
        5 * S,
        30 * S,
        2 * M,
        10 * M,
        30 * M,
        H,
        2 * H,
        4 * H,
        8 * H,
        12 * H,
        12 * H,
        24 * H,
        24 * H,
        24 * H,
        24 * H,
    ]
    assert delays == wanted
    assert retry.MAX_ATTEMPTS == 16
    assert round(sum(wanted, timedelta()) / timedelta(days=1), 2) == 5.65


def test_the_sixteenth_failure_is_the_last() -> None:
    assert [delay_after(failures) for failures in (16, 17, 1000)] == [None, None, None]


def test_failures_count_from_one() -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        delay_after(0)


@pytest.mark.parametrize(
    ("failures", "hint", "wait"),
    [
        (1, 60 * S, 60 * S),  # longer than ours: theirs
        (6, 60 * S, H),  # shorter: ours
        (1, timedelta(days=30), 12 * H),  # nobody silences us for long
        (12, timedelta(days=30), 24 * H),  # ours is longer than the longest of theirs
    ],
)
def test_retry_after_lengthens_a_wait_and_never_shortens_it(failures: int, hint: timedelta, wait: timedelta) -> None:
    assert delay_after(failures, retry_after=hint) == wait


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_receiver_has_a_minute_of_peace(status: int) -> None:
    assert delay_after(1, status=status) == M
    assert delay_after(1, status=status, retry_after=2 * S) == M
    assert delay_after(4, status=status) == 10 * M


@pytest.mark.parametrize(
    ("failures", "most"),
    [(1, S), (2, 3 * S), (6, 6 * M), (9, 15 * M), (15, 15 * M)],
)
def test_jitter_adds_up_to_a_tenth_within_a_second_and_a_quarter_of_an_hour(failures: int, most: timedelta) -> None:
    without = delay_after(failures)
    half = retry.next_delay(failures, status=500, retry_after=None, jitter=lambda: 0.5)
    assert without is not None
    assert half == without + most / 2


@given(
    failures=st.integers(1, 40),
    status=st.none() | st.integers(100, 999),
    retry_after=st.none() | st.timedeltas(min_value=timedelta(0)),
    share=st.floats(0, 1, exclude_max=True),
)
def test_every_wait_is_at_least_the_schedule_and_bounded(
    failures: int, status: int | None, retry_after: timedelta | None, share: float
) -> None:
    delay = retry.next_delay(failures, status=status, retry_after=retry_after, jitter=lambda: share)
    if failures > 15:
        assert delay is None
        return
    assert delay is not None
    base = retry.DELAYS[failures - 1]
    assert base <= delay <= max(base, 12 * H) + 15 * M
    if retry_after is not None:
        assert delay >= min(retry_after, 12 * H)


def test_only_2xx_is_success() -> None:
    assert [
        status for status in (None, 0, 100, 199, 200, 202, 204, 299, 300, 304, 410, 500) if retry.is_success(status)
    ] == [
        200,
        202,
        204,
        299,
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 120\t", 120),
        ("00120", 120),
        ("9" * 5000, 10**9),
        ("Mon, 01 Jun 2026 12:02:00 GMT", 120),
        ("Monday, 01-Jun-26 12:02:00 GMT", 120),  # RFC 850, obsolete and still to be read
        ("Mon Jun  1 12:02:00 2026", 120),  # asctime, likewise
        ("Thu, 31 Dec 2099 23:59:59 GMT", int((datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC) - NOON).total_seconds())),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: int) -> None:
    assert retry.parse_retry_after(value, now=NOON) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        None, "", " ", "-1", "+1", "120.5", "1e9", "1_000", "0x10", "١٢", "120 s", "soon", "Mon", "Mon,",
        "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 01 Jun 2026 11:59:59 GMT", "Mon, 32 Jun 2026 12:00:00 GMT",
        "2026-06-01T12:02:00Z",
    ],
)  # fmt: skip
def test_a_malformed_or_past_retry_after_is_none(value: str | None) -> None:
    assert retry.parse_retry_after(value, now=NOON) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9 A-Za-z:+-]{0,40}"))
def test_no_text_makes_retry_after_raise(value: str) -> None:
    hint = retry.parse_retry_after(value, now=NOON)
    assert hint is None or hint >= timedelta(0)


@given(st.datetimes(min_value=datetime(2026, 6, 1, 12), max_value=datetime(2999, 1, 1), timezones=st.just(UTC)))
def test_every_http_date_to_come_is_read(at: datetime) -> None:
    at = at.replace(microsecond=0)
    assert retry.parse_retry_after(format_datetime(at, usegmt=True), now=NOON) == at - NOON
