"""Whoever writes to Redis runs nothing here."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.test import RequestFactory
from redis import Redis
from redis.exceptions import DataError

from emailgistics.common.clients import seconds_to_wait
from emailgistics.common.counts import NumbersAlone


class Planted:
    """Unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.on_sqlite
def test_what_is_no_number_is_not_read(tmp_path: Path) -> None:
    planted = pickle.dumps(Planted(tmp_path / "made"))
    for octets in (planted, b"", b"1.5", b"one"):
        with pytest.raises(DataError):
            NumbersAlone().loads(octets)
    assert not (tmp_path / "made").exists()
    assert [NumbersAlone().loads(str(NumbersAlone().dumps(number)).encode()) for number in (0, 7, -1)] == [0, 7, -1]


@pytest.mark.on_sqlite
@pytest.mark.parametrize("value", ["1", True, 1.5, None, [1]])
def test_what_is_no_number_is_not_written(value: object) -> None:
    with pytest.raises(TypeError, match="is no number"):
        NumbersAlone().dumps(value)


@pytest.mark.on_postgres
def test_a_pickle_in_redis_is_a_redis_that_cannot_be_asked(settings: Any, tmp_path: Path) -> None:
    cache: Any = caches["default"]
    request = RequestFactory(REMOTE_ADDR="198.51.100.9").get("/")
    assert seconds_to_wait(request, group="counts", per_minute=5) == 0
    redis = Redis.from_url(settings.REDIS_CLIENT_URL)
    for name in redis.scan_iter(f"{settings.CACHES['default']['KEY_PREFIX']}:*"):
        redis.set(name, pickle.dumps(Planted(tmp_path / "made")), keepttl=True)
    cache.set("number", 1)
    redis.set(cache.make_key("number"), pickle.dumps(Planted(tmp_path / "made")))
    with pytest.raises(DataError):
        cache.get("number")
    assert seconds_to_wait(request, group="counts", per_minute=5, cost=0) == 0
    assert not (tmp_path / "made").exists()
    redis.close()
