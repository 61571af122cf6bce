"""What counts requests is killed, comes back, hangs: over HTTP, on two web processes that are asked all the while."""

import http.client
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Self

import pytest

from apikeys.limits import TIMEOUT_S
from emailgistics.common.away import ASK_AGAIN_AFTER_S
from tests.installation import Installation, RedisServer, answers, free_ports, wait_for

pytestmark = [pytest.mark.on_postgres, pytest.mark.long]

PER_MINUTE = 40
CALLERS = 3  # of each key, on each process
CALLS_EACH = 5  # of each caller, at least, in each phase
AWAY_FOR_S = ASK_AGAIN_AFTER_S + 1  # so that it is asked for again at least once
AWAY, BACK = "limits.redis_away", "limits.redis_back"
SLACK_S = 5  # of a machine that does much else; that each call waits shows in the median


@dataclass(frozen=True, slots=True)
class Call:
    port: int
    began: float
    took_s: float
    status: int
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class Webs:
    """Two web processes of one installation, without its other parts."""

    installation: Installation
    redis: RedisServer
    ports: tuple[int, int]

    def make_key(self, *plan: str) -> str:
        made = self.installation.manage("apikeys", "create", "--name", "CI", "--expires", "1d", "--all-mailboxes")
        if plan:
            self.installation.manage("apikeys", "set-plan", made["id"], *plan)
        key: str = made["key"]
        return key

    def times_said(self, event: str) -> int:
        return self.installation.log_of_others().count(event)


@pytest.fixture(scope="module")
def webs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webs]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, on_postgres=True, is_migrated=True) as running:
        assert running.redis is not None
        running.env |= {"RATE_LIMIT_MINUTE": str(PER_MINUTE), "LOG_LEVEL": "INFO"}
        first, second = free_ports(2)
        for port in (first, second):
            running.env |= {"HTTP_PORT": str(port)}
            running.start_other("manage.py", "web")
        wait_for(lambda: answers(first) and answers(second), within_s=90, what="two web processes")
        yield Webs(running, running.redis, (first, second))


def ask(connection: http.client.HTTPConnection, key: str) -> Call:
    began = time.monotonic()
    connection.request("GET", "/v1/domains", headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    answer.read()
    retry_after = answer.getheader("Retry-After")
    return Call(connection.port, began, time.monotonic() - began, answer.status, retry_after)


class Callers:
    """Of one key, on each process, each with a connection that is kept; for a block, which may wait for calls."""

    def __init__(self, webs: Webs, key: str) -> None:
        self.calls: list[Call] = []
        self._ports, self._key = webs.ports, key
        self._enough = threading.Event()
        self._pool = ThreadPoolExecutor(CALLERS * len(webs.ports))

    def __enter__(self) -> Self:
        self._begun = [self._pool.submit(self._keep_asking, port) for port in self._ports * CALLERS]
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._pool.shutdown()
        for caller in self._begun:
            caller.result()

    def _keep_asking(self, port: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            while not self._enough.wait(0.02):
                self.calls.append(ask(connection, self._key))

    def since(self, instant: float) -> list[Call]:
        """What was answered since."""
        return [call for call in self.calls if call.began + call.took_s >= instant]

    def statuses(self) -> set[int]:
        return {call.status for call in self.calls}

    def wait_for_more(self) -> None:
        since = time.monotonic()
        wanted = CALLS_EACH * len(self._begun)
        wait_for(lambda: len(self.since(since)) >= wanted, within_s=60, what="calls")


@pytest.mark.parametrize(
    "leave, come_back", [(RedisServer.stop, RedisServer.start), (RedisServer.hang, RedisServer.go_on)],
    ids=["killed", "hanging"],
)  # fmt: skip
def test_no_request_fails_or_waits_long_and_limits_hold_in_each_process(
    webs: Webs, leave: Callable[[RedisServer], None], come_back: Callable[[RedisServer], None]
) -> None:
    large = ("--plan", "enterprise", "--minute", "1000000", "--hour", "1000000", "--day", "1000000")
    returns = webs.times_said(BACK)
    with Callers(webs, webs.make_key(*large)) as free, Callers(webs, webs.make_key()) as limited:
        free.wait_for_more()
        wait_for(lambda: limited.statuses() == {200, 429}, within_s=60, what="the end of the limit")
        seen = time.monotonic()
        limited.wait_for_more()  # so that what was under way then has been answered
        together = sum(call.status == 200 and call.began <= seen for call in limited.calls)
        left = time.monotonic()
        leave(webs.redis)
        time.sleep(AWAY_FOR_S)
        free.wait_for_more()
        back = time.monotonic()
        come_back(webs.redis)
        wait_for(lambda: webs.times_said(BACK) == returns + len(webs.ports), within_s=30, what="limits.redis_back")
        free.wait_for_more()

    assert free.statuses() == {200}
    assert limited.statuses() == {200, 429}
    assert together == PER_MINUTE
    assert all(0 < int(call.retry_after or 0) <= 61 for call in limited.calls if call.status == 429)
    assert webs.times_said(AWAY) >= len(webs.ports)  # at most once a minute each
    away = [call for call in free.since(left) if call.began < back]
    assert max(call.took_s for call in away) < TIMEOUT_S + SLACK_S
    assert statistics.median(call.took_s for call in away) < TIMEOUT_S / 2
    admitted = Counter(call.port for call in limited.since(left) if call.status == 200 and call.began < back)
    assert dict(admitted) == dict.fromkeys(webs.ports, PER_MINUTE)  # each for itself: a minute has not passed


def test_then_they_count_together_again(webs: Webs) -> None:
    key = webs.make_key()
    first, second = (http.client.HTTPConnection("127.0.0.1", port, timeout=60) for port in webs.ports)
    with closing(first), closing(second):
        assert {ask(first, key).status for _ in range(PER_MINUTE)} == {200}
        assert ask(second, key).status == 429
