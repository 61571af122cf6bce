"""What every test can use."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests import environment
from tests.installation import Installation


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that is about one of the two databases belongs to that run alone; it is not skipped in the other."""
    foreign = "on_sqlite" if environment.ON_POSTGRES else "on_postgres"
    chosen = [item for item in items if not item.get_closest_marker(foreign)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def services_reachable() -> bool:
    """Whether the second run, on PostgreSQL and Redis, is possible here."""
    return all(map(answers, (environment.POSTGRES_URL, environment.REDIS_URL)))


def answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation of the module's own, with a sample alias, webhook, receiver and key."""
    with Installation(tmp_path_factory.mktemp("installation"), on_postgres=environment.ON_POSTGRES) as running:
        running.start()
        yield running
