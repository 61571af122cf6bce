"""What every test can use."""

import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import Phase, settings
from pytest_django import Settings

from tests import environment, migrated
from tests.installation import Installation

# without Phase.explain, which traces every line of every example on Python 3.11: several times as long. What fails is
# printed as something to run again, and tried first the next time (.hypothesis/); a busy machine is no failure.
settings.register_profile(
    "suite", phases=set(Phase) - {Phase.explain}, deadline=None, print_blob=True, derandomize=False
)
settings.load_profile("suite")


DATABASE = {"db", "transactional_db", "installation"}  # whoever has one of these fixtures is about a database
MANY = 100_000  # emails, for tests of what a query reads
LONG = ("installation", "fresh", "chromium", "browser")  # fixtures of files that take long


@pytest.hookimpl(trylast=True)  # after pytest-django has put tests that commit behind the others
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that is not for this run is left out of it; it is not skipped. The files that take longest come first."""
    chosen = [item for item in items if is_for_this_run(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    longest = {item.path for item in chosen if takes_long(item)}
    items[:] = sorted(chosen, key=lambda item: item.path not in longest)


def is_for_this_run(item: pytest.Item) -> bool:
    if not environment.ON_POSTGRES:
        return not item.get_closest_marker("on_postgres")
    return bool(item.get_closest_marker("on_postgres")) or is_for_both_runs(item)


def is_for_both_runs(item: pytest.Item) -> bool:
    if item.get_closest_marker("on_sqlite") or item.get_closest_marker("on_postgres"):
        return False
    return any(map(item.get_closest_marker, ("on_both", "django_db"))) or uses(item, DATABASE)


def uses(item: pytest.Item, fixtures: Iterable[str]) -> bool:
    return not set(fixtures).isdisjoint(getattr(item, "fixturenames", ()))


def takes_long(item: pytest.Item) -> bool:
    return uses(item, LONG) or item.get_closest_marker("long") is not None


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


@pytest.fixture(scope="module")
def many(django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    """In a database of its own: the tests after these are not to meet what is left of so many rows."""
    from django.db import connection

    from tests.many_emails import fill

    own = connection.settings_dict["NAME"]
    name = f"{own}_many"
    with django_db_blocker.unblock():
        connection.close()
        migrated.drop_postgres(name)
        migrated.create_postgres(name, is_migrated=True)
        connection.settings_dict["NAME"] = name
        try:
            yield fill(MANY)
        finally:
            connection.close()
            connection.settings_dict["NAME"] = own
            migrated.drop_postgres(name)


@pytest.fixture
def fresh_counts(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has been counted yet, in this run or in those before it on this cache; and no minute ends meanwhile."""
    now = time.time()
    settings.RATELIMIT_CACHE_PREFIX = f"tests:{secrets.token_hex(8)}:"
    monkeypatch.setattr("django_ratelimit.core.time", SimpleNamespace(time=lambda: now))


@pytest.fixture
def real_limits(settings: Settings) -> None:
    """What a key may do where nobody says otherwise; all other tests have more than they can use."""
    settings.RATE_LIMIT_MINUTE, settings.RATE_LIMIT_HOUR, settings.RATE_LIMIT_DAY = 100, 1000, 10_000


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Django takes the test database that is there."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """It is a copy of one that is migrated."""
    from django.db import connection

    with migrated.test_database(connection.creation._get_test_db_name()):
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_looked_for_when_asked_for() -> None:
    """Otherwise each test client looks at all of them as it begins, which takes longer than most tests."""
    from django.conf import settings

    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(scope="session", autouse=True)
def _a_test_database_is_emptied_soon() -> Iterator[None]:
    from tests import emptying  # Django is set up by now

    with emptying.instead_of_flushing():
        yield
