"""What every test can use."""

import os
import socket
from urllib.parse import urlsplit

import pytest

from tests import environment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`services` tests without servers are skipped, and fail where REQUIRE_SERVICES=1 says that there are some."""
    marked = [item for item in items if item.get_closest_marker("services")]
    if not marked or services_reachable():
        return
    if os.environ.get("REQUIRE_SERVICES") == "1":
        raise pytest.UsageError("REQUIRE_SERVICES=1, but PostgreSQL or Redis does not answer")
    for item in marked:
        item.add_marker(pytest.mark.skip(reason="no PostgreSQL and Redis here (TEST_DATABASE_URL, TEST_REDIS_URL)"))


def services_reachable() -> bool:
    return all(map(answers, (environment.POSTGRES_URL, environment.REDIS_URL)))


def answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=1).close()
    except OSError:
        return False
    return True
