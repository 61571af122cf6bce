"""A backup: all of the database in one file that was consistent at one moment, and a manifest that says what it needs.

Left out, though their tables are there: sessions, what was answered to requests that may come again, and leases of
workers. Whoever has a backup can sign in as nobody with it, and what secrets it has are sealed: the keys that open them
are of the environment, and are kept elsewhere.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from apikeys.models import ApiKey
from emailgistics.common import key_uses, sealed
from emailgistics.common.env import replace_private
from emailgistics.common.errors import ConflictError, UnavailableError
from emailgistics.common.journal import sync_folder
from emailgistics.common.models import KeptAnswer, Lease, SecretCheck
from emailgistics.console.models import Session
from mailboxes.models import Email, Message
from webhooks.models import Delivery, Webhook

MANIFEST = "manifest.json"
FILES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}
WITHOUT_ROWS: tuple[type[models.Model], ...] = (Session, KeptAnswer, Lease)
DJANGO_SESSIONS = "django_session"  # the app is installed; its table stays empty
COUNTED: tuple[type[models.Model], ...] = (Message, Email, Delivery, Webhook, ApiKey, User)


@dataclass(frozen=True, slots=True)
class Manifest:
    """needs: variable and number of the secrets without which rows do not open; secrets: what each is known by."""

    version: str
    taken_at: str
    engine: str
    file: str
    octets: int
    sha256: str
    migrations: list[str]
    rows: dict[str, int]
    left_out: list[str]
    needs: list[list[Any]]
    secrets: list[list[Any]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises ConflictError for what is no finished backup."""
        try:
            return cls(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConflictError(f"{folder} is no finished backup: its {MANIFEST} cannot be read ({error}).") from error

    @property
    def taken(self) -> datetime:
        return datetime.fromisoformat(self.taken_at)


def make(folder: Path) -> Manifest:
    """Writes a backup into a folder that is new or empty, while everything runs. What it needs of memory does not grow
    with the database. The manifest comes last: a folder without one is no backup.

    Raises ConflictError for a folder with something in it, UnavailableError if pg_dump fails.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConflictError(f"{folder} is not empty: each backup has a folder of its own.")
    file = folder / FILES[connection.vendor]
    taken_at = timezone.now()
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    facts = _dump_postgres(file) if connection.vendor == "postgresql" else _copy_sqlite(file)
    with file.open("rb+") as octets:
        os.fsync(octets.fileno())
    manifest = Manifest(
        version=settings.VERSION,
        taken_at=taken_at.isoformat(),
        engine=connection.vendor,
        file=file.name,
        octets=file.stat().st_size,
        sha256=sha256_of(file),
        left_out=tables_left_out(),
        **facts,
    )
    replace_private(folder / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
    sync_folder(folder)
    return manifest


def tables_left_out() -> list[str]:
    """Their rows; the tables themselves are in it."""
    return [DJANGO_SESSIONS, *(_table(model) for model in WITHOUT_ROWS)]


def pg_dump(file: str, *, snapshot: str | None = None) -> tuple[list[str], dict[str, str]]:
    """The command, and what it needs of an environment: a password is in that, and in no list of processes."""
    connecting, variables = postgres_client("pg_dump")
    without = [f"--exclude-table-data={table}" for table in tables_left_out()]
    same = [f"--snapshot={snapshot}"] if snapshot else []
    return [
        *connecting,
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        *without,
        *same,
        f"--file={file}",
    ], variables


def postgres_client(program: str) -> tuple[list[str], dict[str, str]]:
    """A program of PostgreSQL, told of this database as `manage.py dbshell` tells psql."""
    (_, *arguments), variables = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    *where, name = arguments
    return [program, *where, f"--dbname={name}"], dict(variables or {})


def run(command: list[str], variables: Mapping[str, str]) -> None:
    """Raises UnavailableError, with what the program said."""
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"There is no {command[0]} on this host: install the client programs of PostgreSQL.")
    done = subprocess.run(  # noqa: S603 - programs of PostgreSQL, with arguments of ours
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"{command[0]} failed: {done.stderr.strip()[-2000:]}")


def sha256_of(file: Path) -> str:
    with file.open("rb") as octets:
        return hashlib.file_digest(octets, "sha256").hexdigest()


def counts(tables: Iterable[str]) -> dict[str, int]:
    """Rows of each, whatever columns a release before or after knows of it."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608 - a table of ours
            (found[table],) = cursor.fetchone()
    return found


def _dump_postgres(file: Path) -> dict[str, Any]:
    """pg_dump looks at the same snapshot as we do."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT pg_export_snapshot()")
            (snapshot,) = cursor.fetchone()
        facts = _facts()
        run(*pg_dump(str(file), snapshot=snapshot))
    return facts


def _copy_sqlite(file: Path) -> dict[str, Any]:
    """By SQLite's online backup: to copy the file of a database in use would tear it."""
    facts = _facts()
    connection.ensure_connection()
    with closing(sqlite3.connect(file, isolation_level=None)) as copy:
        connection.connection.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.execute("PRAGMA secure_delete=ON")
        for table in tables_left_out():
            copy.execute(f'DELETE FROM "{table}"')  # noqa: S608 - tables of ours
        facts["rows"] = {
            table: copy.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608 - as above
            for table in facts["rows"]
        }
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise UnavailableError(f"The database itself is damaged: {verdict}. What was copied is as it is.")
    return facts


def _facts() -> dict[str, Any]:
    applied = MigrationRecorder(connection).applied_migrations()
    return {
        "migrations": sorted(f"{app}.{name}" for app, name in applied),
        "rows": counts(map(_table, COUNTED)),
        "needs": [[ring, number] for ring in key_uses.RINGS for number in sorted(_needed(ring))],
        "secrets": [
            [row.name, row.number, bytes(row.value).hex()] for row in SecretCheck.objects.order_by("name", "number")
        ],
    }


def _needed(ring: str) -> set[int]:
    without = {column.of for column in sealed.columns() if column.model in WITHOUT_ROWS}
    return {number for use in key_uses.uses_of(ring) if use.of not in without for number in use.by_number()}


def _table(model: type[models.Model]) -> str:
    return model._meta.db_table  # noqa: SLF001 - Django's public name for it
