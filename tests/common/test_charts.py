"""Bars as numbers."""

from emailgistics.common.charts import Bar, grouped, stacked


def test_columns_are_stacked_from_the_bottom_and_the_highest_fills_the_height() -> None:
    chart = stacked([{"good": 30, "bad": 10}, {"good": 0, "bad": 0}, {"good": 20, "bad": 0}], width=120, height=80)
    assert chart == [
        [Bar("good", 5.0, 20.0, 30.0, 60.0), Bar("bad", 5.0, 0.0, 30.0, 20.0)],
        [],
        [Bar("good", 85.0, 40.0, 30.0, 40.0)],
    ]


def test_what_is_small_beside_the_largest_is_still_seen_and_nothing_leaves_the_picture() -> None:
    (bars,) = stacked([{"good": 100_000, "bad": 1}], width=10, height=24)
    assert [bar.height for bar in bars] == [24.0, 1.0]
    assert min(bar.y for bar in bars) == 0


def test_no_days_and_days_without_calls_are_an_empty_picture() -> None:
    assert stacked([], width=10, height=10) == []
    assert stacked([{"good": 0}, {}], width=10, height=10) == [[], []]


def test_kinds_side_by_side_have_their_places_and_the_highest_bar_fills_the_height() -> None:
    chart = grouped([{"p50": 20, "p95": 80}, {"p50": None, "p95": 40}], width=80, height=40)
    assert chart == [
        [Bar("p50", 5.0, 30.0, 15.0, 10.0), Bar("p95", 20.0, 0.0, 15.0, 40.0)],
        [Bar("p95", 60.0, 20.0, 15.0, 20.0)],
    ]
    assert grouped([{}, {"p50": 0}], width=10, height=10) == [[], []]
