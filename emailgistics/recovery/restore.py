"""Putting a backup into an empty database, so that nothing of it is sent again before somebody says so."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from emailgistics.common import sealed, selftest
from emailgistics.common.errors import ConflictError, UnavailableError
from emailgistics.recovery import backup, reapply
from emailgistics.recovery.backup import Manifest
from emailgistics.recovery.reapply import Outcome
from webhooks.services import restored


@dataclass(frozen=True, slots=True)
class Restored:
    """at: when the database was taken into use again, which `resume --since` asks for."""

    manifest: Manifest
    at: datetime
    journal: Outcome


def restore(folder: Path, *, journals: Sequence[Path] = (), secrets_are_lost: bool = False) -> Restored:
    """Into the database of the settings, which has to be empty: what is there is never overwritten.

    Looks first, writes then: a backup that is damaged, of a later release, of another database engine, or that the
    configured secrets do not open (unless those are lost for good) changes nothing. No part may run meanwhile. Raises
    ConflictError and UnavailableError, and OSError for a journal that cannot be read.
    """
    for journal in journals:
        journal.open("rb").close()
    manifest = Manifest.read(folder)
    file = folder / manifest.file
    _refuse_unfit(manifest, file)
    if not secrets_are_lost:
        _refuse_other_secrets(manifest)
    if connection.introspection.table_names():
        raise ConflictError(
            "This database has tables. Restore into an empty one: with PostgreSQL make a new one and name it in "
            "DATABASE_URL; with SQLite move emailgistics.sqlite3 and its -wal and -shm out of DATA_DIR."
        )
    _load(manifest, file)
    found = backup.counts(manifest.rows)
    call_command("migrate", verbosity=0)
    restored.stop_sending()
    if found != manifest.rows:
        raise UnavailableError(f"Not all of it came: {found} rows, and the backup had {manifest.rows}.")
    if not secrets_are_lost:
        _refuse_what_does_not_open()
    return Restored(manifest, timezone.now(), reapply.apply(journals))


def _load(manifest: Manifest, file: Path) -> None:
    if manifest.engine == "postgresql":
        command, variables = backup.postgres_client("pg_restore")
        how = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        backup.run([*command, *how, str(file)], variables)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # or all is planned as if the tables were empty, until autovacuum comes by
    else:
        connection.ensure_connection()
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as source:
            source.backup(connection.connection)
        connection.close()  # and what it knows of the tables


def _refuse_unfit(manifest: Manifest, file: Path) -> None:
    if manifest.engine != connection.vendor:
        raise ConflictError(f"The backup is of {manifest.engine}, and this database is {connection.vendor}.")
    loader = MigrationLoader(None)
    known = {f"{app}.{name}" for app, name in loader.disk_migrations} | {
        f"{app}.{name}" for migration in loader.disk_migrations.values() for app, name in migration.replaces
    }
    if later := sorted(set(manifest.migrations) - known):
        raise ConflictError(f"The backup is of a later release, {manifest.version}: this one lacks {', '.join(later)}.")
    try:
        is_whole = file.stat().st_size == manifest.octets and backup.sha256_of(file) == manifest.sha256
    except OSError as error:
        raise ConflictError(f"{file} cannot be read: {error.strerror}.") from error
    if not is_whole:
        raise ConflictError(f"{file} is not what the manifest says: it was cut short, or changed since.")


def _refuse_other_secrets(manifest: Manifest) -> None:
    values = {(name, number): bytes.fromhex(value) for name, number, value in manifest.secrets}
    needed = [(name, number) for name, number in manifest.needs]
    if problems := list(selftest.differences(values, needed=needed)):
        raise ConflictError("\n".join(["The configured secrets do not open this backup.", *problems]))


def _refuse_what_does_not_open() -> None:
    try:
        selftest.refuse_wrong_secrets()
    except ImproperlyConfigured as error:
        raise UnavailableError(str(error)) from error
    for column in sealed.columns():
        if closed := [number for number in column.rows_by_number() if not column.opens(number)]:
            raise UnavailableError(f"{column.of}, sealed with number {closed[0]}, do not open.")
