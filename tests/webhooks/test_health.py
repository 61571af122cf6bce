"""The arithmetic of a webhook's health: the circuit, slow start, the way to being disabled, the rate limit."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks import health
from webhooks.health import ALERTS_AT_PERCENT, SPOTLESS, Health, News, Outcome
from webhooks.services.queue.ending import SAYS_SOMETHING

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
SUCCESS, FAILURE = Outcome.SUCCESS, Outcome.FAILURE
OPENED = Health(open_until=NOON + 30 * SECOND, open_for_s=30, cap=1)

histories = st.lists(st.tuples(st.sampled_from(Outcome), st.timedeltas(timedelta(0), 2 * DAY)), max_size=60)
busy_histories = st.lists(st.tuples(st.sampled_from(Outcome), st.timedeltas(timedelta(0), MINUTE)), max_size=60)
limits = st.integers(1, 20)


def after_all(
    outcomes: list[tuple[Outcome, timedelta]], *, at_most: int = 20, known: Health = SPOTLESS
) -> tuple[Health, list[News], datetime]:
    """The health after these results, each so long after the one before; what was told, and when it ended."""
    now, told = NOON, []
    for outcome, later in outcomes:
        now += later
        known, news = health.after(known, outcome, now=now, at_most=at_most)
        told += news
    return known, told, now


def steadily(outcome: Outcome, count: int, *, every: timedelta = SECOND) -> list[tuple[Outcome, timedelta]]:
    return [(outcome, every)] * count


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, SUCCESS), (204, SUCCESS), (299, SUCCESS), (None, FAILURE), (199, FAILURE), (301, FAILURE), (400, FAILURE),
        (404, FAILURE), (408, FAILURE), (429, FAILURE), (499, FAILURE), (500, FAILURE), (503, FAILURE), (599, FAILURE),
    ],
)  # fmt: skip
def test_what_an_answer_says_of_its_receiver(status: int | None, outcome: Outcome) -> None:
    assert health.outcome_of(status) == outcome


@pytest.mark.parametrize(
    ("results", "is_open"),
    [
        ([FAILURE] * 9, False),
        ([FAILURE] * 10, True),
        ([FAILURE] * 4 + [SUCCESS] * 3 + [FAILURE] * 3, True),
        ([FAILURE] * 3 + [SUCCESS] * 4 + [FAILURE] * 3, False),
        ([FAILURE] * 6 + [SUCCESS] * 3 + [FAILURE], True),
        ([FAILURE] * 6 + [SUCCESS] * 4 + [FAILURE], False),
    ],
)
def test_the_circuit_opens_at_70_percent_of_at_least_ten_results(results: list[Outcome], is_open: bool) -> None:
    known, told, now = after_all([(outcome, SECOND) for outcome in results])
    assert (News("opened") in told) == is_open
    assert (health.room(known, in_flight=0, now=now, at_most=20) == 0) == is_open
    assert known.open_until == (now + 30 * SECOND if is_open else None)


@pytest.mark.parametrize(("every", "is_open"), [(timedelta(seconds=33), True), (timedelta(seconds=34), False)])
def test_the_ten_results_came_within_five_minutes(every: timedelta, is_open: bool) -> None:
    known, _, _ = after_all(steadily(FAILURE, 10, every=every))
    assert bool(known.open_for_s) == is_open


def test_the_five_minutes_slide() -> None:
    """Nine, and nine more as the first window ends: eighteen of eighteen within little more than five minutes."""
    first = steadily(FAILURE, 1) + steadily(SUCCESS, 1) + steadily(FAILURE, 8, every=timedelta(seconds=34))
    _, told, _ = after_all([*first, *steadily(FAILURE, 9, every=timedelta(seconds=5))])
    assert News("opened") in told


@pytest.mark.parametrize("every", [timedelta(seconds=34), timedelta(minutes=1), timedelta(minutes=11)])
def test_however_long_it_goes_on_fewer_than_ten_in_five_minutes_open_nothing(every: timedelta) -> None:
    _, told, _ = after_all(steadily(FAILURE, 200, every=every))
    assert News("opened") not in told


def test_a_window_begins_with_the_successes_that_are_remembered() -> None:
    remembered = health.counted(SPOTLESS, results=1000, failures=0, now=NOON)
    known = health.with_successes(SPOTLESS, remembered)
    known, told, now = after_all(steadily(FAILURE, 10), known=known)
    assert told == []
    assert (known.window_results, known.window_failures) == (1010, 10)
    # of a window that is kept already they are a part
    assert health.with_successes(known, remembered) == known
    assert now - NOON == 10 * SECOND


def test_a_circuit_stays_open_for_30_seconds_doubling_to_15_minutes() -> None:
    known, now, waits = OPENED, NOON, []
    for _ in range(8):
        assert known.open_until is not None
        waits.append((known.open_until - now) / SECOND)
        now = known.open_until
        known, news = health.after(known, FAILURE, now=now, at_most=20)
        assert News("opened") not in news
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_one_probe_at_a_time_goes_out_when_the_circuit_has_been_open_long_enough() -> None:
    until = NOON + 30 * SECOND
    assert health.room(OPENED, in_flight=0, now=until - timedelta(microseconds=1), at_most=20) == 0
    assert [health.room(OPENED, in_flight=n, now=until, at_most=20) for n in (0, 1, 2)] == [1, 0, 0]
    assert health.is_limited(OPENED)


def test_what_was_begun_before_the_circuit_opened_does_not_lengthen_it() -> None:
    known, _ = health.after(OPENED, FAILURE, now=NOON + SECOND, at_most=20)
    assert (known.open_until, known.open_for_s) == (OPENED.open_until, OPENED.open_for_s)


def test_a_probe_that_succeeds_closes_the_circuit_and_what_was_counted_is_forgotten() -> None:
    known, told, now = after_all(steadily(FAILURE, 10))
    known, news = health.after(known, SUCCESS, now=now + 30 * SECOND, at_most=20)
    assert News("opened") in told
    assert News("closed") in news
    assert (known.open_until, known.open_for_s, known.window_results, known.window_failures) == (None, 0, 0, 0)
    known, told, _ = after_all(steadily(FAILURE, 9), known=known)
    assert News("opened") not in told


@pytest.mark.parametrize(
    ("at_most", "caps"), [(20, [1, 2, 4, 8, 16, None]), (8, [1, 2, 4, None]), (3, [1, 2, None]), (1, [1, None])]
)
def test_after_a_pause_requests_at_once_double_with_each_success(at_most: int, caps: list[int | None]) -> None:
    known, seen = health.AFTER_A_PAUSE, []
    for _ in caps:
        seen.append(known.cap)
        rooms = [health.room(known, in_flight=0, now=NOON, at_most=at_most)]
        assert rooms == [known.cap or at_most]
        known, _ = health.after(known, SUCCESS, now=NOON, at_most=at_most)
    assert seen == caps
    assert known == SPOTLESS


@pytest.mark.parametrize(
    ("failing_for", "failures", "share"),
    [
        (DAY, 1, 0.05), (timedelta(0), 100, 0), (5 * DAY, 19, 0.95), (5 * DAY - SECOND, 1000, 1), (5 * DAY, 20, 1),
        (50 * DAY, 200, 1), (2.5 * DAY, 20, 0.5), (5 * DAY, 10, 0.5), (4.5 * DAY, 18, 0.9),
    ],
)  # fmt: skip
def test_the_way_to_being_disabled_is_five_days_and_twenty_failures(
    failing_for: timedelta, failures: int, share: float
) -> None:
    known = Health(failing_since=NOON, failures=failures)
    assert health.way_to_disabling(known, now=NOON + failing_for) == pytest.approx(share, abs=1e-4)
    is_there = health.way_to_disabling(known, now=NOON + failing_for) >= 1
    assert is_there == (failing_for >= 5 * DAY and failures >= 20)


def test_alerts_come_at_50_70_and_90_percent_once_each_and_then_it_is_disabled() -> None:
    known, told, _ = after_all(steadily(FAILURE, 100, every=timedelta(hours=2)))
    kinds = [news for news in told if news.kind != "disabled"]
    assert kinds == [News("failing", percent) for percent in ALERTS_AT_PERCENT]
    assert News("disabled") in told
    assert known.failures == 100


def test_many_failures_at_once_and_few_over_a_long_time_disable_nothing() -> None:
    _, told, _ = after_all(steadily(FAILURE, 5000, every=timedelta(seconds=60)))
    assert News("disabled") not in told
    _, told, _ = after_all(steadily(FAILURE, 19, every=5 * DAY))
    assert News("disabled") not in told


@given(histories, limits)
def test_it_is_disabled_only_by_a_failure_after_five_days_and_twenty_failures_without_a_success(
    history: list[tuple[Outcome, timedelta]], at_most: int
) -> None:
    known, now = SPOTLESS, NOON
    since, failures = None, 0
    for outcome, later in history:
        now += later
        known, news = health.after(known, outcome, now=now, at_most=at_most)
        since, failures = (None, 0) if outcome is SUCCESS else (since or now, failures + 1)
        is_over = since is not None and now - since >= 5 * DAY and failures >= 20
        assert (News("disabled") in news) == is_over
        assert (known.failing_since, known.failures) == (since, failures)


@given(histories, limits)
def test_each_alert_comes_once_on_one_way_and_recovery_only_after_an_alert(
    history: list[tuple[Outcome, timedelta]], at_most: int
) -> None:
    known, now, alerts = SPOTLESS, NOON, [0]
    for outcome, later in history:
        now += later
        known, news = health.after(known, outcome, now=now, at_most=at_most)
        if outcome is SUCCESS:
            assert (News("recovered") in news) == (alerts != [0])
            alerts = [0]
        told = [one.percent for one in news if one.kind == "failing"]
        assert all(percent > alerts[-1] for percent in told)
        alerts += told + [100 for one in news if one.kind == "disabled"]


@given(busy_histories, limits, st.integers(0, 30), st.timedeltas(timedelta(0), timedelta(minutes=20)))
def test_there_is_never_negative_room_nor_more_than_the_webhook_allows(
    history: list[tuple[Outcome, timedelta]], at_most: int, in_flight: int, later: timedelta
) -> None:
    known, _, now = after_all(history, at_most=at_most)
    room = health.room(known, in_flight=in_flight, now=now + later, at_most=at_most)
    assert 0 <= room <= max(0, at_most - in_flight)
    assert known.cap is None or 1 <= known.cap <= at_most
    if known.open_for_s:
        assert room <= max(0, 1 - in_flight)


@given(busy_histories, limits)
def test_no_history_closes_a_webhook_for_longer_than_15_minutes(
    history: list[tuple[Outcome, timedelta]], at_most: int
) -> None:
    known, _, now = after_all(history, at_most=at_most)
    assert health.room(known, in_flight=0, now=now + timedelta(minutes=15), at_most=at_most) >= 1
    assert 0 <= known.open_for_s <= 900
    assert (known.open_until is None) == (known.open_for_s == 0)


@given(busy_histories, limits)
def test_enough_successes_make_a_webhook_spotless_again(history: list[tuple[Outcome, timedelta]], at_most: int) -> None:
    known, _, now = after_all(history, at_most=at_most)
    for _ in range(11):
        now += MINUTE
        known, _ = health.after(known, SUCCESS, now=now, at_most=at_most)
    assert known.is_spotless


@given(busy_histories, limits)
def test_a_circuit_opens_only_over_seven_failures_in_ten_of_at_least_ten(
    history: list[tuple[Outcome, timedelta]], at_most: int
) -> None:
    known, now, results = SPOTLESS, NOON, []
    for outcome, later in history:
        now += later
        results.append((outcome, now))
        before = known
        known, news = health.after(known, outcome, now=now, at_most=at_most)
        if News("opened") in news:
            assert before.open_for_s == 0
            assert known.window_results + known.before_results >= 10
            recent = [said for said, at in results if now - at < 10 * MINUTE]
            assert recent.count(FAILURE) >= 10 * 0.7
            assert known.window_started_at is not None
            assert now - known.window_started_at < 5 * MINUTE


@given(
    st.integers(1, 60_000),
    st.lists(st.tuples(st.timedeltas(timedelta(0), 5 * MINUTE), st.integers(0, 2000)), max_size=40),
)
def test_a_rate_limit_never_gives_more_than_its_rate_and_one_bucket(
    per_minute: int, asked: list[tuple[timedelta, int]]
) -> None:
    held, since, now, given_out = None, None, NOON, 0
    capacity = max(1.0, per_minute / 60)
    for later, wanted in asked:
        now += later
        there = health.tokens(held, since=since, now=now, per_minute=per_minute)
        assert 0 <= there <= capacity
        spent = min(wanted, int(there))
        held, since = there - spent, now
        given_out += spent
        assert given_out <= capacity + (now - NOON) / MINUTE * per_minute + 1e-6


@given(st.integers(1, 60_000), st.floats(0, 1000))
def test_a_rate_limit_gives_something_within_a_minute_however_low_it_is(per_minute: int, held: float) -> None:
    later = health.tokens(held, since=NOON, now=NOON + MINUTE, per_minute=per_minute)
    assert int(later + 1e-9) >= 1


def test_a_clock_that_was_put_back_takes_no_tokens_away() -> None:
    assert health.tokens(0.5, since=NOON, now=NOON - DAY, per_minute=60) == 0.5


def test_a_spotless_webhook_has_room_for_all_it_allows() -> None:
    assert [health.room(SPOTLESS, in_flight=n, now=NOON, at_most=5) for n in (0, 4, 5, 9)] == [5, 1, 0, 0]
    assert not health.is_limited(SPOTLESS)
    assert health.is_limited(replace(SPOTLESS, cap=4))


@given(st.lists(st.sampled_from(list(Outcome)), max_size=40), st.integers(1, 20))
def test_a_few_fields_tell_whether_a_health_is_spotless(outcomes: list[Outcome], at_most: int) -> None:
    """By these the dispatcher knows that a success changes nothing, without reading the others."""
    for known in itertools.accumulate(
        outcomes, lambda known, outcome: health.after(known, outcome, now=NOON, at_most=at_most)[0], initial=SPOTLESS
    ):
        says = [getattr(known, name) for name in SAYS_SOMETHING]
        assert any(says) == (not known.is_spotless)
