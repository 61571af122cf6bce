"""How long deliveries took, in steps; what else is counted is tested where it is asked for: tests/reports/."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emailgistics.common import series
from emailgistics.common.series import HOWEVER, QUARTER, Counts, Kind


@given(st.timedeltas(timedelta(milliseconds=2), timedelta(days=12)))
def test_how_long_it_took_is_kept_to_19_percent(took: timedelta) -> None:
    ms = took / timedelta(milliseconds=1)
    assert series.typical_ms(series.delivered_within(took)) == pytest.approx(ms, rel=0.19, abs=0.5)


def test_what_took_no_time_or_less_or_for_ever_is_in_the_first_or_last_step() -> None:
    bounds = [series.delivered_within(timedelta(days=days)) for days in (-1, 0, 1000)]
    assert bounds == [Kind.DELIVERED, Kind.DELIVERED, Kind.DELIVERED + series.MAX_STEP]


def test_a_quarter_of_an_hour_is_from_its_beginning_to_before_the_next() -> None:
    begin = datetime(2030, 1, 31, 18, 45, tzinfo=UTC)
    number = series.quarter_of(begin)
    assert series.begins(number) == begin
    assert series.quarter_of(begin + QUARTER - timedelta(microseconds=1)) == number
    assert series.quarter_of(begin + QUARTER) == number + 1


def test_the_same_in_one_transaction_is_one_entry() -> None:
    counts, mailbox, alias, at = Counts(), uuid4(), uuid4(), datetime(2030, 1, 31, tzinfo=UTC)
    for octets in (10, 20):
        counts.add(Kind.RECEIVED, subject=mailbox, at=at, parts=[alias], amount=octets)
    counts.add(Kind.RECEIVED, subject=mailbox, at=at + QUARTER)
    found = {
        (entry.part, entry.quarter - series.quarter_of(at)): (entry.times, entry.amount) for entry in counts.entries()
    }
    assert found == {(HOWEVER, 0): (2, 30), (alias, 0): (2, 30), (HOWEVER, 1): (1, 0)}
