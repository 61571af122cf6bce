"""The counting itself, in process and in Redis, with a clock that is moved by hand."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from apikeys import limits
from apikeys.limits import LocalCounter, SharedCounter, Verdict
from apikeys.plans import Limits
from apikeys.services import change_plan
from emailgistics.common import away
from emailgistics.common.ids import uuid7
from tests import environment
from tests.apikeys.factories import client_of, make_key
from tests.installation import ROOT, RedisServer

HOUR, DAY = 3600, 86_400
MIDNIGHT = 20_000 * DAY
STANDARD = Limits(100, 1000, 10_000)
CALLS, THREADS = 640, 32

Counter = LocalCounter | SharedCounter


@dataclass(slots=True)
class Clock:
    now: float = MIDNIGHT

    def __call__(self) -> float:
        return self.now


Make = Callable[[Clock], Counter]
MakeShared = Callable[..., SharedCounter]


@pytest.fixture
def shared() -> Iterator[MakeShared]:
    """Makes counters in Redis, and closes their connections."""
    with ExitStack() as opened:

        def make(url: str = environment.REDIS_URL, clock: Clock | None = None) -> SharedCounter:
            counter = SharedCounter(url, clock=clock)
            opened.callback(counter.close)
            return counter

        yield make


@pytest.fixture(params=[
    pytest.param(False, marks=pytest.mark.on_sqlite, id="in process"),
    pytest.param(True, marks=pytest.mark.on_postgres, id="in Redis"),
])  # fmt: skip
def make_counter(request: pytest.FixtureRequest, shared: MakeShared) -> Make:
    return (lambda clock: shared(clock=clock)) if request.param else LocalCounter


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def charge(make_counter: Make, clock: Clock) -> Callable[..., Verdict]:
    """Spends of one key."""
    counter, key = make_counter(clock), uuid7()
    return lambda of=STANDARD, cost=1: counter.charge(key, of, cost)


def remaining(verdict: Verdict) -> list[int]:
    return [quota.remaining for quota in verdict.quotas]


def names(verdict: Verdict) -> list[str]:
    return [quota.window.name for quota in verdict.violated]


# --- what holds whatever happens

COSTS = st.integers(1, 9)
PAUSES = st.one_of(
    st.floats(0, 3),
    st.floats(55, 66),
    st.sampled_from([0.0, 0.001, 0.999, 1.0, 59.0, 59.999, 60.0, 60.001, 61.0]),
    st.floats(0, 2 * HOUR),
    st.just(float(DAY)),
)
STEPS = st.lists(st.tuples(PAUSES, COSTS), min_size=1, max_size=60)
LIMITS = (
    st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(1, 60)).map(sorted).map(lambda sizes: Limits(*sizes))
)
for_a_counter = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@for_a_counter
@given(STEPS, LIMITS, st.floats(0, DAY))
def test_no_window_ever_holds_more_than_its_limit_and_nobody_waits_longer_than_he_must(
    make_counter: Make, steps: list[tuple[float, int]], of: Limits, starts: float
) -> None:
    clock = Clock(MIDNIGHT + starts)
    counter, key = make_counter(clock), uuid7()
    spent: list[tuple[float, int]] = []

    def charge(cost: int) -> Verdict:
        verdict = counter.charge(key, of, cost)
        if verdict.is_admitted:
            spent.append((clock.now, cost))
        return verdict

    for pause, cost in steps:
        clock.now += pause
        verdict = charge(cost)
        if verdict.is_admitted:
            assert (verdict.retry_after, verdict.violated) == (0, ())
            continue
        check_that_it_does_not_fit(spent, of, cost, clock.now, names(verdict))
        asked_at = clock.now
        clock.now = asked_at + verdict.retry_after - 1
        assert not charge(cost).is_admitted
        clock.now = asked_at + verdict.retry_after
        assert charge(cost).is_admitted
    check_that_all_windows_hold(spent, of)


def check_that_all_windows_hold(spent: list[tuple[float, int]], of: Limits) -> None:
    for at, _ in spent:
        within = sum(min(cost, of.minute) for other, cost in spent if at <= other < at + 60)
        assert within <= of.minute
        for seconds, limit in ((HOUR, of.hour), (DAY, of.day)):
            assert sum(min(cost, limit) for other, cost in spent if other // seconds == at // seconds) <= limit


def check_that_it_does_not_fit(
    spent: list[tuple[float, int]], of: Limits, cost: int, now: float, violated: list[str]
) -> None:
    """61 s: a place comes back as a second begins, at most one later than it would have to."""
    sums = {
        "minute": sum(min(spent, of.minute) for at, spent in spent if at > now - 61),
        "hour": sum(min(spent, of.hour) for at, spent in spent if at // HOUR == now // HOUR),
        "day": sum(min(spent, of.day) for at, spent in spent if at // DAY == now // DAY),
    }
    assert violated
    for name in violated:
        limit = getattr(of, name)
        assert sums[name] + min(cost, limit) > limit


@pytest.mark.on_postgres
@for_a_counter
@given(STEPS, LIMITS)
def test_redis_and_the_process_judge_alike(shared: MakeShared, steps: list[tuple[float, int]], of: Limits) -> None:
    clock, key = Clock(), uuid7()
    here, there = LocalCounter(clock), shared(clock=clock)
    for pause, cost in steps:
        clock.now += pause
        assert here.charge(key, of, cost) == there.charge(key, of, cost)


# --- what that means, one by one


def test_at_the_edge_of_a_minute_nobody_gets_twice_as_much(charge: Callable[..., Verdict], clock: Clock) -> None:
    clock.now += 59
    assert all(charge().is_admitted for _ in range(100))
    clock.now += 2
    assert names(charge()) == ["minute"]
    clock.now += 58
    assert not charge().is_admitted
    clock.now += 1
    assert all(charge().is_admitted for _ in range(100))


@pytest.mark.parametrize("window, seconds, of", [
    ("minute", 61, Limits(3, 100, 100)), ("hour", HOUR - 20, Limits(3, 3, 100)), ("day", DAY - 20, Limits(3, 3, 3)),
])  # fmt: skip
def test_who_waits_as_long_as_he_is_told_is_admitted_and_a_second_before_he_is_not(
    charge: Callable[..., Verdict], clock: Clock, window: str, seconds: int, of: Limits
) -> None:
    clock.now += 20.25
    assert all(charge(of).is_admitted for _ in range(3))
    refused = charge(of)
    assert window in names(refused)
    # the clock has been cut to a whole second, so that nobody comes early
    assert refused.retry_after == seconds
    clock.now += seconds - 1
    assert not charge(of).is_admitted
    clock.now += 1
    assert charge(of).is_admitted


def test_it_is_spent_everywhere_or_nowhere(charge: Callable[..., Verdict], clock: Clock) -> None:
    of = Limits(2, 10, 10)
    assert remaining(charge(of)) == [1, 9, 9]
    assert remaining(charge(of)) == [0, 8, 8]
    for _ in range(5):
        assert remaining(charge(of)) == [0, 8, 8]
    clock.now += 61
    assert remaining(charge(of)) == [1, 7, 7]


def test_a_cost_is_spent_at_once_or_not_at_all(charge: Callable[..., Verdict], clock: Clock) -> None:
    of = Limits(10, 100, 100)
    assert remaining(charge(of, 4)) == [6, 96, 96]
    clock.now += 10
    assert remaining(charge(of, 4)) == [2, 92, 92]
    refused = charge(of, 5)
    # what was spent first is enough
    assert (refused.is_admitted, remaining(refused), refused.retry_after) == (False, [2, 92, 92], 51)
    assert charge(of, 2).is_admitted


def test_a_cost_above_a_whole_limit_needs_the_whole_limit(charge: Callable[..., Verdict], clock: Clock) -> None:
    of = Limits(10, 30, 150)
    assert remaining(charge(of, 40)) == [0, 0, 110]
    assert names(charge(of, 1)) == ["minute", "hour"]
    clock.now += HOUR
    assert charge(of, 1).is_admitted
    clock.now += HOUR
    assert remaining(charge(of, 99)) == [0, 0, 10]


def test_other_limits_hold_for_what_was_spent_before(charge: Callable[..., Verdict]) -> None:
    assert remaining(charge(Limits(10, 100, 100), 8)) == [2, 92, 92]
    fewer = charge(Limits(5, 50, 50))
    assert (names(fewer), remaining(fewer)) == (["minute"], [0, 42, 42])
    assert remaining(charge(Limits(20, 200, 200))) == [11, 191, 191]


def test_a_clock_that_was_set_back_stops_nobody_for_long(charge: Callable[..., Verdict], clock: Clock) -> None:
    clock.now += 10 * DAY
    assert all(charge().is_admitted for _ in range(100))
    clock.now -= 10 * DAY
    assert remaining(charge()) == [99, 999, 9999]


def test_one_key_does_not_pay_for_another(make_counter: Make, clock: Clock) -> None:
    counter, one, other = make_counter(clock), uuid7(), uuid7()
    of = Limits(1, 1, 1)
    assert counter.charge(one, of, 1).is_admitted
    assert not counter.charge(one, of, 1).is_admitted
    assert counter.charge(other, of, 1).is_admitted


def test_of_many_threads_exactly_as_many_calls_get_through_as_the_limit_says(make_counter: Make, clock: Clock) -> None:
    counter, key = make_counter(clock), uuid7()
    together = threading.Barrier(THREADS)

    class Slow(Limits):
        """Lets another thread go on between the looking and the spending."""

        def __getattribute__(self, name: str) -> Any:
            time.sleep(1e-5)
            return super().__getattribute__(name)

    def call_often(_: int) -> int:
        together.wait()
        return sum(counter.charge(key, Slow(100, 1000, 10_000), 1).is_admitted for _ in range(CALLS // THREADS))

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(call_often, range(THREADS))) == STANDARD.minute


def test_a_process_remembers_a_bounded_number_of_keys(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(limits, "MAX_LOCAL_KEYS", 2)
    counter, of = LocalCounter(clock), Limits(1, 1, 1)
    first, second, third = (uuid7() for _ in range(3))
    assert [counter.charge(key, of, 1).is_admitted for key in (first, second, first, third)] == [1, 1, 0, 1]
    assert len(counter._tallies) == 2
    # the second came least recently
    assert [counter.charge(key, of, 1).is_admitted for key in (first, third, second)] == [0, 0, 1]


# --- Redis

CALL = textwrap.dedent("""\
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from uuid import UUID
    import django
    django.setup()
    from apikeys import limits
    from apikeys.plans import Limits
    counter, key = limits.SharedCounter(sys.argv[1]), UUID(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    with ThreadPoolExecutor(16) as pool:
        print(sum(pool.map(lambda _: counter.charge(key, Limits(100, 1000, 10000), 1).is_admitted, range(200))))
""")


@pytest.mark.on_postgres
def test_of_two_processes_exactly_as_many_calls_get_through_as_the_limit_says() -> None:
    command = [sys.executable, "-c", CALL, environment.REDIS_URL, str(uuid7())]

    def start(opened: ExitStack) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return opened.enter_context(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))

    with ExitStack() as opened:
        processes = [start(opened), start(opened)]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        assert sum(int(process.communicate(timeout=120)[0]) for process in processes) == 100


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def counted_in(redis: RedisServer, key: UUID) -> bool:
    with Redis(port=redis.port) as client:
        return bool(client.exists(f"emailgistics:limits:{{{key.hex}}}:minute"))


@pytest.mark.on_postgres
def test_redis_has_the_clock_and_keeps_nothing_longer_than_it_counts(redis: RedisServer, shared: MakeShared) -> None:
    counter, key = shared(redis.url), uuid7()
    verdict = counter.charge(key, STANDARD, 1)
    assert abs(verdict.now - time.time()) < 5
    with Redis(port=redis.port) as client:
        ends = [client.ttl(f"emailgistics:limits:{{{key.hex}}}:{name}") for name in ("minute", "hour", "day")]
    for seconds, window in zip(ends, (61, HOUR, DAY), strict=True):
        assert window - 10 < seconds <= window


@pytest.mark.on_postgres
def test_a_redis_that_was_restarted_goes_on_counting_at_once(redis: RedisServer, shared: MakeShared) -> None:
    counter, key = shared(redis.url), uuid7()
    counter.charge(key, STANDARD, 1)
    redis.stop()
    redis.start()  # without the script, and with the connections of the pool closed
    assert not counted_in(redis, key)
    assert counter.charge(key, STANDARD, 1).is_admitted
    assert counted_in(redis, key)


@pytest.mark.on_postgres
def test_while_redis_is_away_the_process_counts_and_says_so_once(
    redis: RedisServer,
    shared: MakeShared,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(away, "ASK_AGAIN_AFTER_S", 0)  # each one asks
    caplog.set_level("INFO")
    counter, key, of = shared(redis.url), uuid7(), Limits(3, 10, 10)
    assert remaining(counter.charge(key, of, 1)) == [2, 9, 9]
    redis.stop()
    assert [counter.charge(key, of, 1).is_admitted for _ in range(5)] == [True, True, True, False, False]
    redis.start()
    assert remaining(counter.charge(key, of, 1)) == [2, 9, 9]
    assert (caplog.text.count("limits.redis_away"), caplog.text.count("limits.redis_back")) == (1, 1)


@pytest.mark.on_postgres
def test_a_redis_that_hangs_holds_up_one_request_for_half_a_second(
    redis: RedisServer, shared: MakeShared, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, key = shared(redis.url), uuid7()
    counter.charge(key, STANDARD, 1)
    redis.hang()
    started = time.monotonic()
    assert counter.charge(key, STANDARD, 1).is_admitted
    waited = time.monotonic() - started
    assert 0.4 < waited < 0.9  # once, not once more
    started = time.monotonic()
    assert [counter.charge(key, STANDARD, 1).is_admitted for _ in range(50)] == [True] * 50
    assert time.monotonic() - started < 0.4
    redis.go_on()
    assert not counter._away.is_to_be_asked()
    monkeypatch.setattr(counter._away, "_ask_at", 0.0)
    counter.charge(key, STANDARD, 1)
    assert counter._away._is_away is False


@pytest.mark.django_db
@pytest.mark.on_postgres
def test_a_redis_that_is_killed_between_two_calls_is_no_fault_and_limits_go_on(
    redis: RedisServer, shared: MakeShared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "counter", shared(redis.url))
    key, plaintext = make_key()
    change_plan(key, plan="enterprise", own_limits={"minute": 3})
    client = client_of(plaintext)
    assert client.get("/v1/me")["RateLimit"].startswith('"minute";r=2;')
    redis.stop()
    assert [client.get("/v1/me").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_of_many_requests_one_asks_whether_redis_is_back(shared: MakeShared, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = shared("redis://127.0.0.1:1/0")
    assert counter.charge(uuid7(), STANDARD, 1).is_admitted
    monkeypatch.setattr(counter._away, "_ask_at", 0.0)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: counter._away.is_to_be_asked(), range(40))) == 1
