"""Who a request comes from, and how often it may."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.cache import caches
from django.test import RequestFactory

from emailgistics.common import clients
from emailgistics.common.away import Away
from emailgistics.common.clients import client_address, seconds_to_wait
from emailgistics.common.filecache import SharedFileCache

pytestmark = pytest.mark.on_both

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:aaaa::/48")]
_groups = itertools.count()


def asked(peer: str, forwarded: str | None = None) -> Any:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return RequestFactory(headers=headers, REMOTE_ADDR=peer).get("/")


@pytest.mark.parametrize(
    "peer, forwarded, expected",
    [
        ("198.51.100.1", None, "198.51.100.1"),
        # a stranger's word counts for nothing
        ("198.51.100.1", "203.0.113.1", "198.51.100.1"),
        ("198.51.100.1", "10.0.0.1", "198.51.100.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        # what stands before the first stranger is what that one says
        ("10.0.0.1", "203.0.113.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("2001:db8:aaaa::1", "2001:db8:1::1", "2001:db8:1::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1:1234", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8:1::1]:1234", "2001:db8:1::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, garbage, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "x" * 10_000, "10.0.0.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_client_is_the_last_who_is_no_proxy_of_ours(
    settings: Any, peer: str, forwarded: str | None, expected: str
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    assert client_address(asked(peer, forwarded)) == expected


def test_a_proxy_that_nobody_named_is_warned_of_once(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    monkeypatch.setattr(clients, "_warned", threading.Event())
    client_address(asked("10.0.0.1", "198.51.100.1"))
    client_address(asked("198.51.100.1"))
    assert "not_believed" not in caplog.text
    for _ in range(2):
        client_address(asked("198.51.100.1", "203.0.113.1"))
    assert caplog.text.count("clients.forwarded_for_not_believed") == 1
    assert "198.51.100.0/24" in caplog.text
    assert "TRUSTED_PROXIES" in caplog.text


def test_without_proxies_nobody_else_is_believed(settings: Any) -> None:
    assert settings.TRUSTED_PROXIES == []
    assert client_address(asked("127.0.0.1", "198.51.100.1")) == "127.0.0.1"


def wait(peer: str, group: str) -> int:
    return seconds_to_wait(asked(peer), group=group, per_minute=2)


@pytest.fixture
def group() -> str:
    return f"{__name__}.{next(_groups)}.{id(object())}"


def test_each_client_has_so_many_a_minute(group: str) -> None:
    waits = [wait("198.51.100.1", group) for _ in range(4)]
    assert waits[:2] == [0, 0]
    assert all(1 <= seconds <= 60 for seconds in waits[2:])
    assert wait("198.51.100.2", group) == 0
    assert wait("198.51.100.1", group + "other") == 0


def test_the_addresses_of_one_network_of_ipv6_are_one_client(group: str) -> None:
    assert [wait(f"2001:db8::{number}", group) > 0 for number in range(1, 4)] == [False, False, True]
    assert wait("2001:db8:0:1::1", group) == 0


@pytest.fixture
def no_cache(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_cache", Away(away="cache.away", back="cache.back"))
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(clients.time, "time", lambda: seconds)


@pytest.mark.usefixtures("no_cache")
def test_while_the_cache_is_away_each_process_counts_for_itself(
    group: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 2_000_000_020)  # 40 s into its minute
    assert [wait("198.51.100.3", group) for _ in range(4)] == [0, 0, 20, 20]
    assert caplog.text.count("cache.away") == 1
    assert wait("198.51.100.4", group) == 0
    assert wait("198.51.100.3", group + "other") == 0
    assert [wait(f"2001:db8::{number}", group) > 0 for number in range(1, 4)] == [False, False, True]
    at(monkeypatch, 2_000_000_040)
    assert [wait("198.51.100.3", group) for _ in range(3)] == [0, 0, 60]


@pytest.mark.usefixtures("no_cache")
def test_what_a_process_counts_for_itself_is_bounded(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients._here, "_max_entries", 30)
    for number in range(200):
        assert wait(f"198.51.100.{number}", group) == 0
    assert len(clients._here._cache) <= 31


def test_what_costs_more_is_counted_as_more(group: str, settings: Any) -> None:
    def cost(number: int) -> int:
        return seconds_to_wait(asked("198.51.100.5"), group=group, per_minute=5, cost=number)

    assert [cost(3) > 0, cost(2) > 0, cost(1) > 0] == [False, False, True]


@pytest.mark.usefixtures("no_cache")
def test_what_costs_more_is_counted_as_more_by_one_process_too(group: str) -> None:
    test_what_costs_more_is_counted_as_more(group, None)


def test_a_redis_that_answers_nothing_is_waited_for_half_a_second() -> None:
    settings_of_redis = {"REDIS_URL": "redis://127.0.0.1:9/0"}
    code = (
        "from emailgistics import settings; options = settings.CACHES['default']['OPTIONS'];"
        "print(options['socket_connect_timeout'], options['socket_timeout'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | settings_of_redis, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0.5", "0.5"]


def test_a_hanging_redis_does_not_hold_a_request_up(settings: Any, group: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": f"redis://127.0.0.1:{silent.getsockname()[1]}/0",
                "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
            }
        }
        began = time.monotonic()
        assert wait("198.51.100.6", group) == 0
        assert time.monotonic() - began < 10


def test_the_cache_of_files_loses_no_count(tmp_path: Any) -> None:
    cache = SharedFileCache(str(tmp_path / "cache"), {})

    def count(_: int) -> bool:
        mine = SharedFileCache(str(tmp_path / "cache"), {})  # as another process has it
        added = mine.add("key", 1)
        if not added:
            mine.incr("key")
        return added

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(count, range(200)))
    assert added.count(True) == 1
    assert cache.get("key") == 200
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_the_caches_count_for_all_processes(settings: Any) -> None:
    backend = settings.CACHES["default"]["BACKEND"]
    assert backend in ("django.core.cache.backends.redis.RedisCache", "emailgistics.common.filecache.SharedFileCache")
    caches["default"].set("tests.common.test_clients", 1, 5)
    assert caches.create_connection("default").get("tests.common.test_clients") == 1
