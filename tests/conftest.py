"""What every test can use."""

import shutil
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import Phase, settings

from tests import environment
from tests.installation import Installation

# without Phase.explain, which traces every line of every example on Python 3.11: several times as long. What fails is
# printed as something to run again, and tried first the next time (.hypothesis/); a busy machine is no failure.
settings.register_profile(
    "suite", phases=set(Phase) - {Phase.explain}, deadline=None, print_blob=True, derandomize=False
)
settings.load_profile("suite")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that is about one of the two databases belongs to that run alone; it is not skipped in the other."""
    foreign = "on_sqlite" if environment.ON_POSTGRES else "on_postgres"
    chosen = [item for item in items if not item.get_closest_marker(foreign)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def missing_services() -> list[str]:
    """What the second run, on PostgreSQL and Redis, lacks here."""
    urls = {"TEST_DATABASE_URL": environment.POSTGRES_URL, "TEST_REDIS_URL": environment.REDIS_URL}
    missing = [f"nothing answers at {name}" for name, url in urls.items() if not answers(url)]
    if shutil.which("redis-server") is None:
        missing.append("redis-server is not installed (tests stop and hang one of their own)")
    return missing


def answers(url: str) -> bool:
    parts = urlsplit(url)
    try:
        port = parts.port or (6379 if parts.scheme.startswith("redis") else 5432)
        socket.create_connection((parts.hostname, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation of the module's own, with a sample alias, webhook, receiver and key."""
    with Installation(
        tmp_path_factory.mktemp("installation"), on_postgres=environment.ON_POSTGRES, is_migrated=True
    ) as running:
        running.start()
        yield running


@pytest.fixture(scope="session", autouse=True)
def _a_test_database_is_emptied_soon() -> Iterator[None]:
    from tests import emptying  # Django is set up by now

    with emptying.instead_of_flushing():
        yield
