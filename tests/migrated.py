"""Databases that were migrated once, to begin with: making one is mostly migrating otherwise.

`python -m tests` migrates one for all processes of a run, and tells them by TEST_MIGRATED.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests import environment
from tests.shell import ROOT

SQLITE_NAME = "emailgistics.sqlite3"
GIVEN = "TEST_MIGRATED"  # the data folder of it, or its name on the server of all tests
SECRETS = {
    "SECRET_KEY": "only-for-tests-only-for-tests-only-for-tests-0123456789",
    "API_KEY_PEPPERS": "1:cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLTEyMzQ=",
    "ENCRYPTION_KEYS": "1:ZW5jcnlwdGlvbi1lbmNyeXB0aW9uLWVuY3J5cHQtMTI=",
}


def template(*, on_postgres: bool) -> str:
    """Migrates one, which is there as long as this process. What GIVEN is to say."""
    return _postgres() if on_postgres else str(_sqlite())


@contextmanager
def test_database(name: str) -> Iterator[None]:
    """The database of this process's tests, for the block: a copy."""
    if not environment.ON_POSTGRES:
        shutil.copy(_sqlite() / SQLITE_NAME, name)
        yield  # it goes with the data folder
        return
    drop_postgres(name)  # of a run that was killed
    create_postgres(name, is_migrated=True)
    try:
        yield
    finally:
        drop_postgres(name)


def copy_sqlite(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    shutil.copy(_sqlite() / SQLITE_NAME, data_dir)


def create_postgres(name: str, *, is_migrated: bool, server: str = environment.POSTGRES_URL) -> None:
    """is_migrated: on the server of all tests only, where the template is."""
    template = f' TEMPLATE "{_postgres()}"' if is_migrated else ""
    with admin_connection(server) as connection:
        connection.execute(f'CREATE DATABASE "{name}"{template}')


def drop_postgres(name: str, *, server: str = environment.POSTGRES_URL) -> None:
    with admin_connection(server) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def url_of(name: str, *, server: str = environment.POSTGRES_URL) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def admin_connection(server: str = environment.POSTGRES_URL) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(server, autocommit=True)


@cache
def _sqlite() -> Path:
    """The data folder of it."""
    if GIVEN in os.environ:
        return Path(os.environ[GIVEN])
    folder = Path(tempfile.mkdtemp(prefix="emailgistics-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _migrate(folder, {})
    return folder


@cache
def _postgres() -> str:
    if GIVEN in os.environ:
        return os.environ[GIVEN]
    name = f"emailgistics_migrated_{os.getpid()}"
    create_postgres(name, is_migrated=False)
    atexit.register(drop_postgres, name)
    with tempfile.TemporaryDirectory() as folder:
        _migrate(Path(folder), {"DATABASE_URL": url_of(name), **SECRETS})
    return name


def _migrate(data_dir: Path, variables: Mapping[str, str]) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), **variables},
        check=True,
    )
