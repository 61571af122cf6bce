"""Days as clocks have them: of 23 and 25 hours, of 23½, and at offsets of three quarters of an hour."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emailgistics.common.errors import RefusedError
from emailgistics.common.series import QUARTER, begins, quarter_of
from emailgistics.reports.periods import MAX_PERIODS, Interval, TooManyPeriodsError, midnight, periods, span

NOW = datetime(2030, 7, 17, 12, 7, tzinfo=UTC)


def cut(zone: str, since: date, until: date, interval: Interval) -> list[tuple[int, int]]:
    there = ZoneInfo(zone)
    return periods(midnight(since, there), midnight(until, there), interval, there)


def hours(found: Sequence[tuple[int, int]]) -> list[float]:
    return [(end - start) / 4 for start, end in found]


@pytest.mark.parametrize(
    "zone, day, expected",
    [
        ("UTC", date(2030, 3, 31), 24),
        ("Europe/Berlin", date(2030, 3, 31), 23),
        ("Europe/Berlin", date(2030, 10, 27), 25),
        ("Australia/Lord_Howe", date(2030, 10, 6), 23.5),
        ("Australia/Lord_Howe", date(2030, 4, 7), 24.5),
        ("Asia/Kathmandu", date(2030, 3, 31), 24),
        ("Asia/Beirut", date(2030, 3, 31), 23),  # which begins at 1:00
        ("America/Havana", date(2030, 11, 3), 25),  # whose 0:00 comes twice
    ],
)
def test_a_day_is_as_long_as_it_is_there(zone: str, day: date, expected: float) -> None:
    around = cut(zone, day - timedelta(days=1), day + timedelta(days=2), Interval.DAY)
    assert hours(around) == [24, expected, 24]
    assert begins(around[1][0]).astimezone(ZoneInfo(zone)).date() == day


@pytest.mark.parametrize(
    "zone, day, expected",
    [
        ("Europe/Berlin", date(2030, 3, 31), [1] * 23),
        ("Europe/Berlin", date(2030, 10, 27), [1] * 25),
        ("Australia/Lord_Howe", date(2030, 10, 6), [1, 1, 0.5, *[1] * 21]),
        ("Australia/Lord_Howe", date(2030, 4, 7), [1, 1.5, *[1] * 22]),
        ("Asia/Kathmandu", date(2030, 3, 31), [1] * 24),
    ],
)
def test_an_hour_begins_when_clocks_there_show_a_full_one(zone: str, day: date, expected: list[float]) -> None:
    found = cut(zone, day, day + timedelta(days=1), Interval.HOUR)
    assert hours(found) == expected
    local = [begins(start).astimezone(ZoneInfo(zone)) for start, _ in found]
    # where clocks go forward at 2:00 to 2:30, that hour begins in its middle
    assert {at.minute for at in local} == ({0, 30} if 0.5 in expected else {0})


def test_in_kathmandu_days_begin_at_a_quarter_past_in_utc() -> None:
    (start, _), *_ = cut("Asia/Kathmandu", date(2030, 1, 1), date(2030, 1, 3), Interval.DAY)
    assert begins(start) == datetime(2029, 12, 31, 18, 15, tzinfo=UTC)


def test_a_day_that_the_zone_left_out_is_no_row() -> None:
    found = cut("Pacific/Apia", date(2011, 12, 29), date(2012, 1, 1), Interval.DAY)
    assert [begins(start).astimezone(ZoneInfo("Pacific/Apia")).day for start, _ in found] == [29, 31]


def test_weeks_begin_on_monday_and_both_ends_may_be_shorter() -> None:
    found = cut("Europe/Berlin", date(2030, 1, 1), date(2030, 1, 23), Interval.WEEK)
    assert [begins(start).astimezone(ZoneInfo("Europe/Berlin")).date().day for start, _ in found] == [1, 7, 14, 21]
    assert hours(found) == [6 * 24, 7 * 24, 7 * 24, 2 * 24]


def test_months_are_as_long_as_they_are() -> None:
    found = cut("Europe/Berlin", date(2028, 1, 31), date(2028, 5, 1), Interval.MONTH)
    assert hours(found) == [24, 29 * 24, 31 * 24 - 1, 30 * 24]


def test_what_is_more_than_one_answer_has_is_refused_with_what_would_do() -> None:
    day = date(2030, 1, 1)
    assert len(cut("UTC", day, day + timedelta(days=MAX_PERIODS), Interval.DAY)) == MAX_PERIODS
    with pytest.raises(TooManyPeriodsError, match="ask for a shorter time, or by week") as refused:
        cut("UTC", day, day + timedelta(days=MAX_PERIODS + 1), Interval.DAY)
    assert refused.value.field == "interval"
    with pytest.raises(TooManyPeriodsError, match=r"shorter time\.$"):
        cut("UTC", date(1970, 1, 1), date(2200, 1, 1), Interval.MONTH)


@given(
    zone=st.sampled_from(sorted(available_timezones())),
    since=st.datetimes(datetime(1973, 1, 1), datetime(2100, 1, 1)),
    length=st.integers(1, 4 * 24 * 40),
    interval=st.sampled_from(Interval),
)
def test_whatever_the_clocks_do_rows_follow_each_other_without_a_gap(
    zone: str, since: datetime, length: int, interval: Interval
) -> None:
    there, first = ZoneInfo(zone), quarter_of(since.replace(tzinfo=UTC))
    found = periods(first, first + length, interval, there)
    assert (found[0][0], found[-1][1]) == (first, first + length)
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]
    assert all(start < end for start, end in found)
    for start, end in found:  # all of a row is one hour, day, week or month there
        names = {named(begins(at).astimezone(there), interval) for at in (start, end - 1)}
        assert len(names) == 1


def named(at: datetime, interval: Interval) -> object:
    match interval:
        case Interval.HOUR:
            return (at.date(), at.hour)
        case Interval.DAY:
            return at.date()
        case Interval.WEEK:
            return at.isocalendar()[:2]
        case Interval.MONTH:
            return (at.year, at.month)


def test_by_default_it_is_the_last_thirty_days_with_today() -> None:
    zone = ZoneInfo("Pacific/Kiritimati")  # where it is tomorrow by now
    begin, end = span(None, None, zone=zone, now=NOW)
    assert [begins(at).astimezone(zone).date() for at in (begin, end)] == [date(2030, 6, 19), date(2030, 7, 19)]
    begin, end = span(None, date(2030, 3, 1), zone=zone, now=NOW)
    assert [begins(at).astimezone(zone).date() for at in (begin, end)] == [date(2030, 1, 30), date(2030, 3, 1)]


def test_ends_are_taken_to_whole_quarters_of_an_hour() -> None:
    begin, end = span(NOW, NOW + timedelta(minutes=1), zone=ZoneInfo("UTC"), now=NOW)
    assert (begins(begin), end - begin) == (NOW - timedelta(minutes=7), 1)
    on_it = NOW.replace(minute=15)
    begin, end = span(on_it, on_it + QUARTER, zone=ZoneInfo("UTC"), now=NOW)
    assert (begins(begin), begins(end)) == (on_it, on_it + QUARTER)


@pytest.mark.parametrize(
    "since, until",
    [(date(2030, 1, 2), date(2030, 1, 1)), (date(2030, 1, 1), date(2030, 1, 1)), (date(2030, 7, 18), None)],
)
def test_what_ends_before_it_begins_is_refused(since: date, until: date | None) -> None:
    with pytest.raises(RefusedError) as refused:
        span(since, until, zone=ZoneInfo("UTC"), now=NOW)
    assert refused.value.field == "from"
