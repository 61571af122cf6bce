"""The database's own lock on API keys: triggers, so that raw SQL cannot change what a key may do either.

`freeze` makes them after every migrate, so a column that a migration adds is frozen until it is named CHANGEABLE. On
SQLite they would be in a migration's way (a table is altered by building it anew), so `before_migrate` takes them away,
and any process that opens the database puts them back if a migrate was interrupted. On PostgreSQL they stay; a
migration that has to fill a new column of apikeys_apikey drops the trigger first, and the end of migrate restores it.

Not guarded: TRUNCATE, and whoever may drop triggers. A dump of data alone is restored with triggers disabled.
"""

import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apikeys.freeze import postgres, sqlite
from apikeys.freeze.rules import ALLOWLIST, ISSUED, KEYS, REVOCATION, TABLES, TRIGGER_PREFIX
from emailgistics.common.logs import get_logger

log = get_logger(__name__)

BUSY_MS = 100  # what opening a database may wait for its lock, to put triggers back


def freeze(connection: BaseDatabaseWrapper) -> None:
    """Makes the triggers that are missing or out of date; nothing to do if the tables are not there."""
    if not _has_keys(connection):
        return
    if not _is_ready(connection):
        thaw(connection)
    elif connection.vendor == "postgresql":
        postgres.make_triggers(connection)
    elif connection.vendor == "sqlite":
        sqlite.make_triggers(connection)


def thaw(connection: BaseDatabaseWrapper) -> None:
    """Drops the triggers, for what alters tables or empties a test database. `freeze` has to follow."""
    with connection.cursor() as cursor:
        for statement in thawing(cursor):
            cursor.execute(statement)


def thawing(cursor: CursorWrapper) -> list[str]:
    """The statements of `thaw`."""
    if cursor.db.vendor == "postgresql":
        tables = {trigger.name: trigger.table for trigger in postgres.TRIGGERS}
        return [f"DROP TRIGGER {name} ON {tables[name]}" for name in postgres.present(cursor) if name in tables]
    return [sqlite.drop(name) for name in sqlite.present(cursor)]


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Triggers that are missing, disabled or out of date; none if the tables are not there."""
    if not _has_keys(connection) or not _is_ready(connection):
        return []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            active = postgres.present(cursor)
            return [
                trigger.name for trigger in postgres.TRIGGERS if active.get(trigger.name) != postgres.as_wanted(trigger)
            ]
        present = sqlite.present(cursor)
        return [name for name, wanted in sqlite.wanted(cursor).items() if present.get(name) != wanted]


# --- when


def before_migrate(*, using: str, plan: Sequence[Any], **_: Any) -> None:
    connection = connections[using]
    if plan and connection.vendor == "sqlite":
        thaw(connection)


def after_migrate(*, using: str, **_: Any) -> None:
    freeze(connections[using])


def on_connection(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """SQLite: restores what an interrupted migrate left off. One query when all is there, and never an error.

    Not while migrations of these tables are due: one that is running would fail over the triggers.
    """
    if connection.vendor != "sqlite":
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM sqlite_master WHERE name IN (%s, %s, %s) OR name LIKE %s",
                [*TABLES, f"{TRIGGER_PREFIX}%"],
            )
            names = {name for (name,) in cursor.fetchall()}
            if not names.issuperset(TABLES) or names.issuperset(sqlite.TRIGGERS) or _is_migration_due(connection):
                return
            cursor.execute("PRAGMA busy_timeout")
            (patience,) = cursor.fetchone()
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            try:
                freeze(connection)
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {patience}")
    except DatabaseError as error:
        # read-only or busy: who opens it next tries again
        log.warning("apikeys.not_frozen", reason=str(error))
    else:
        log.warning("apikeys.frozen_again", reason="a migrate was interrupted, or a table was altered by hand")


def _is_migration_due(connection: BaseDatabaseWrapper) -> bool:
    module, _ = MigrationLoader.migrations_module("apikeys")
    known = {found.name for found in pkgutil.iter_modules(import_module(module).__path__)} if module else set()
    applied = {name for app, name in MigrationRecorder(connection).applied_migrations() if app == "apikeys"}
    return not known <= applied


@register(Tags.database)
def keys_are_frozen(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    if sys.argv[1:2] == ["migrate"]:
        return []  # it makes them, so a database without them must not keep it from running
    return [
        Error(
            f"API keys in the database {alias!r} are not frozen: {', '.join(names)} missing, disabled or out of date.",
            hint="Run manage.py migrate: it makes them again.",
            id="apikeys.E002",
        )
        for alias in databases or ()
        if (names := missing(connections[alias]))
    ]


def _has_keys(connection: BaseDatabaseWrapper) -> bool:
    return {KEYS, ALLOWLIST} <= set(connection.introspection.table_names())


def _is_ready(connection: BaseDatabaseWrapper) -> bool:
    """Whether there is all that the triggers ask: after a migration back to the first one there is not."""
    with connection.cursor() as cursor:
        if ISSUED not in connection.introspection.table_names(cursor):
            return False
        columns = {column.name for column in connection.introspection.get_table_description(cursor, KEYS)}
    return columns.issuperset({"sealed", "rotated_from_id", *REVOCATION})
