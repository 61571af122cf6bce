"""Who a request comes from, and how often it may."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.cache import caches
from django.test import RequestFactory

from emailgistics.common.clients import client_address, seconds_to_wait
from emailgistics.common.filecache import SharedFileCache

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


def test_a_cache_that_is_away_stops_nobody(settings: Any, group: str, caplog: pytest.LogCaptureFixture) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }
    assert [wait("198.51.100.3", group) for _ in range(4)] == [0] * 4
    assert "cache.away" in caplog.text


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
