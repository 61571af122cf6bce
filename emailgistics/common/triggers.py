"""Tables that the database itself keeps as they are, by triggers, so that raw SQL cannot change them either.

A `Lock` says which tables, and what is refused. It is made after every migrate. On SQLite triggers would be in a
migration's way, which alters a table by building it anew and so drops them silently: they are taken away before, and
any process that opens the database puts back what an interrupted migrate left off. On PostgreSQL they stay.

Not guarded: TRUNCATE, and whoever may drop triggers. A dump of data alone is restored with triggers disabled.
"""

import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from emailgistics.common.logs import get_logger

log = get_logger(__name__)

BUSY_MS = 100  # what opening a database may wait for its lock, to put triggers back

# search_path is fixed: a temporary table of the same name would otherwise be asked in place of ours
FUNCTION = """
CREATE OR REPLACE FUNCTION {schema}.{name}() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
{body}
$$
"""


@dataclass(frozen=True, slots=True)
class PostgresTrigger:
    """kind is pg_trigger.tgtype: 1 for each row, 2 before (else after), 4 insert, 8 delete, 16 update."""

    table: str
    name: str
    events: str
    kind: int
    body: str


locks: list["Lock"] = []  # that there are


def refuse_unguarded(connection: BaseDatabaseWrapper) -> None:
    """For parts as they start, in a few queries. Raises ImproperlyConfigured if a trigger is missing or disabled.

    One that reads otherwise than here will do: a part of the release before may start after the next one's migrate.
    """
    for lock in locks:
        if names := lock.unguarded(connection):
            raise ImproperlyConfigured(
                f"In the database, what guards {lock.what} is missing or disabled: {', '.join(names)}. Run manage.py "
                "migrate: it makes it again."
            )


class Found(NamedTuple):
    """What pg_trigger and pg_proc say of a trigger of ours."""

    is_enabled: bool
    kind: int
    body: str


@dataclass(frozen=True, slots=True, weakref_slot=True)  # signals hold it weakly
class Lock:
    """The triggers of some tables of an app.

    sqlite gives their bodies by name, for the tables as they are now. is_ready says whether there is all that the
    triggers ask: after a migration back there may not be. made_good_by is a statement for what they missed.
    """

    app: str
    what: str  # in messages: "the audit log"
    check_id: str
    tables: tuple[str, ...]
    prefix: str  # of the names of its triggers
    sqlite_names: frozenset[str]
    sqlite: Callable[[CursorWrapper], Mapping[str, str]]
    postgres: tuple[PostgresTrigger, ...]
    is_ready: Callable[[BaseDatabaseWrapper], bool] = lambda _: True
    made_good_by: str = ""

    def __post_init__(self) -> None:
        locks.append(self)

    def make(self, connection: BaseDatabaseWrapper) -> None:
        """Makes the triggers that are missing or out of date; those of tables that are not as they ask are dropped."""
        if not self._can_be_made(connection):
            self.drop(connection)
        elif connection.vendor == "postgresql":
            self._make_on_postgres(connection)
        elif connection.vendor == "sqlite":
            self._make_on_sqlite(connection)

    def drop(self, connection: BaseDatabaseWrapper) -> None:
        """For what alters tables or empties a test database. `make` has to follow."""
        with connection.cursor() as cursor:
            for statement in self.dropping(cursor):
                cursor.execute(statement)

    def dropping(self, cursor: CursorWrapper) -> list[str]:
        """The statements of `drop`."""
        if cursor.db.vendor == "postgresql":
            tables = {trigger.name: trigger.table for trigger in self.postgres}
            return [f"DROP TRIGGER {name} ON {tables[name]}" for name in self._on_postgres(cursor) if name in tables]
        return [f"DROP TRIGGER {quoted(name)}" for name in self._present(cursor)]

    def missing(self, connection: BaseDatabaseWrapper) -> list[str]:
        """Triggers that are missing, disabled or out of date; none if the tables are not as they ask."""
        if not self._can_be_made(connection):
            return []
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                active = self._on_postgres(cursor)
                return [trigger.name for trigger in self.postgres if active.get(trigger.name) != _as_wanted(trigger)]
            present = self._present(cursor)
            return [name for name, wanted in self._wanted(cursor).items() if present.get(name) != wanted]

    def unguarded(self, connection: BaseDatabaseWrapper) -> list[str]:
        """Triggers that are missing or disabled; none while a migrate is due, which makes them."""
        if not self._can_be_made(connection) or self._is_migration_due(connection):
            return []
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                active = {name for name, found in self._on_postgres(cursor).items() if found.is_enabled}
                return [trigger.name for trigger in self.postgres if trigger.name not in active]
            return sorted(self.sqlite_names - self._present(cursor).keys())

    # --- receivers of signals, and the check

    def before_migrate(self, *, using: str, plan: Sequence[Any], **_: Any) -> None:
        connection = connections[using]
        if plan and connection.vendor == "sqlite":
            self.drop(connection)

    def after_migrate(self, *, using: str, **_: Any) -> None:
        self.make(connections[using])

    def on_connection(self, *, connection: BaseDatabaseWrapper, **_: Any) -> None:
        """SQLite: restores what an interrupted migrate left off. One query when all is there, and never an error.

        Not while migrations of these tables are due: one that is running would fail over the triggers.
        """
        if connection.vendor != "sqlite":
            return
        try:
            with connection.cursor() as cursor:
                names = self._names(cursor)
                is_there = names.issuperset(self.tables)
                if not is_there or names.issuperset(self.sqlite_names) or self._is_migration_due(connection):
                    return
                self._make_without_a_wait(connection, cursor)
        except DatabaseError as error:
            # read-only or busy: who opens it next tries again
            log.warning("triggers.not_made", of=self.what, reason=str(error))
        else:
            reason = "a migrate was interrupted, or a table was altered by hand"
            log.warning("triggers.made_again", of=self.what, reason=reason)

    def check(self, databases: Sequence[str] | None) -> list[CheckMessage]:
        if sys.argv[1:2] == ["migrate"]:
            return []  # it makes them, so a database without them must not keep it from running
        return [
            Error(
                f"In the database {alias!r}, what guards {self.what} is missing, disabled or out of date: "
                f"{', '.join(names)}.",
                hint="Run manage.py migrate: it makes it again.",
                id=self.check_id,
            )
            for alias in databases or ()
            if (names := self.missing(connections[alias]))
        ]

    def _can_be_made(self, connection: BaseDatabaseWrapper) -> bool:
        return set(self.tables) <= set(connection.introspection.table_names()) and self.is_ready(connection)

    # --- SQLite

    def _names(self, cursor: CursorWrapper) -> set[str]:
        """Those of its tables and triggers that there are."""
        places = ", ".join(["%s"] * len(self.tables))
        cursor.execute(
            f"SELECT name FROM sqlite_master WHERE name IN ({places}) OR name LIKE %s",  # noqa: S608 - placeholders
            [*self.tables, f"{self.prefix}%"],
        )
        return {name for (name,) in cursor.fetchall()}

    def _make_without_a_wait(self, connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> None:
        cursor.execute("PRAGMA busy_timeout")
        (patience,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        try:
            self.make(connection)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {patience}")

    def _is_migration_due(self, connection: BaseDatabaseWrapper) -> bool:
        module, _ = MigrationLoader.migrations_module(self.app)
        known = {found.name for found in pkgutil.iter_modules(import_module(module).__path__)} if module else set()
        applied = {name for app, name in MigrationRecorder(connection).applied_migrations() if app == self.app}
        return not known <= applied

    def _make_on_sqlite(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            if self._present(cursor) == self._wanted(cursor):
                return
            with transaction.atomic(using=connection.alias):
                self.drop(connection)
                for statement in self._wanted(cursor).values():
                    cursor.execute(statement)
                if self.made_good_by:
                    cursor.execute(self.made_good_by)

    def _present(self, cursor: CursorWrapper) -> dict[str, str]:
        cursor.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", [f"{self.prefix}%"]
        )
        return dict(cursor.fetchall())

    def _wanted(self, cursor: CursorWrapper) -> dict[str, str]:
        """By name, as SQLite keeps them."""
        return {name: f"CREATE TRIGGER {quoted(name)} {body}" for name, body in self.sqlite(cursor).items()}

    # --- PostgreSQL

    def _make_on_postgres(self, connection: BaseDatabaseWrapper) -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            # two migrates at once would both replace the functions, and one of them would fail
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.prefix])
            cursor.execute(
                "SELECT quote_ident(nspname) FROM pg_namespace n JOIN pg_class c ON relnamespace = n.oid "
                "WHERE c.oid = %s::regclass",
                [self.tables[0]],
            )
            (schema,) = cursor.fetchone()
            present = self._on_postgres(cursor)
            for trigger in self.postgres:
                if present.get(trigger.name) == _as_wanted(trigger):
                    continue  # a routine migrate locks no table
                cursor.execute(FUNCTION.format(schema=schema, name=trigger.name, body=trigger.body))
                cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name} ON {schema}.{trigger.table}")
                when = "BEFORE" if trigger.kind & 2 else "AFTER"
                cursor.execute(
                    f"CREATE TRIGGER {trigger.name} {when} {trigger.events} ON {schema}.{trigger.table} "
                    f"FOR EACH ROW EXECUTE FUNCTION {schema}.{trigger.name}()"
                )
            if self.made_good_by and not present.keys() >= {trigger.name for trigger in self.postgres}:
                cursor.execute(self.made_good_by)

    def _on_postgres(self, cursor: CursorWrapper) -> dict[str, Found]:
        """Those of its tables, by name."""
        cursor.execute(
            "SELECT tgname, tgenabled IN ('O', 'A'), tgtype, prosrc FROM pg_trigger "
            "JOIN pg_proc ON pg_proc.oid = tgfoid "
            # not every table is there when a migrate has gone half of the way back
            "WHERE tgrelid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) name) AND NOT tgisinternal",
            [list(self.tables)],
        )
        return {name: Found(enabled, kind, body.strip()) for name, enabled, kind, body in cursor.fetchall()}


def _as_wanted(trigger: PostgresTrigger) -> Found:
    return Found(is_enabled=True, kind=trigger.kind, body=trigger.body.strip())


# --- what the bodies are made of


def sqlite_refusal(event: str, message: str) -> str:
    """A body that refuses the event, as in `BEFORE DELETE ON …`."""
    return f"{event} BEGIN SELECT {sqlite_raise(message)}; END"


def sqlite_raise(message: str) -> str:
    escaped = message.replace("'", "''")
    return f"RAISE(ABORT, '{escaped}')"


def sqlite_conflicts(cursor: CursorWrapper, table: str) -> list[str]:
    """Conditions under which REPLACE would silently take the place of a row: DELETE triggers do not fire for it."""
    cursor.execute(f"PRAGMA index_list({table})")
    indexes = [name for _, name, is_unique, *_ in cursor.fetchall() if is_unique]
    keys = [["rowid"]]
    for index in indexes:
        cursor.execute(f"PRAGMA index_info({quoted(index)})")
        # an expression has no name; what is left refuses more than REPLACE would hit, never less
        keys.append([name for *_, name in cursor.fetchall() if name])
    return [sqlite_exists(table, " AND ".join(map(_takes, key)) or "TRUE") for key in keys]


def sqlite_exists(table: str, condition: str) -> str:
    """The condition may call the table `present`."""
    return f"EXISTS (SELECT 1 FROM {table} AS present WHERE {condition})"  # noqa: S608 - a table of ours


def postgres_refusal(constraint: str, message: str) -> str:
    """A statement of PL/pgSQL that refuses, as a violation of that constraint."""
    return (
        f"RAISE EXCEPTION '{message}' USING ERRCODE = '23514', CONSTRAINT = '{constraint}', "
        "TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;"
    )


def quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _takes(column: str) -> str:
    return f"present.{quoted(column)} = NEW.{quoted(column)}"
