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
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apikeys.models import KEPT_FOR
from emailgistics.common.logs import get_logger

log = get_logger(__name__)

KEYS, ALLOWLIST, ISSUED = "apikeys_apikey", "apikeys_apikeymailbox", "apikeys_issuedkey"
TABLES = (KEYS, ALLOWLIST, ISSUED)
CHANGEABLE = (
    "last_used_at", "last_used_address", "last_used_agent",
    "revoke_at", "revoked_at", "revoked_by_id", "revoke_reason", "rate_plan", "own_limits", "sealed",
)  # fmt: skip
ENDS = ("revoked_at", "revoke_at")
REVOCATION = (*ENDS, "revoked_by_id", "revoke_reason")

# the constraint that a refusal names on PostgreSQL, and what it says on both
REMEDY = "make a new key and revoke this one"
SEAL = ("apikey_seal_is_final", f"api key is immutable: its seal is final; {REMEDY}")
REVOKED = (
    "apikey_revocation_is_final",
    "api key is revoked for good: when, by whom and why never change; make a new key",
)
# what ended is purged a month later, so nobody makes it a month old; see purge.py
BACKDATED = (
    "apikey_end_is_not_backdated",
    "api key: its end is not backdated; write down when it ends, not a day of long ago",
)
BACKDATED_BY_DAYS = 2  # what a host's wrong clock, or an end that is written down late, may come to
# an ended one stays for as long as people may ask what it was
KEPT_DAYS = KEPT_FOR.days
KEPT = (
    "apikey_is_kept",
    f"api key is never deleted within {KEPT_DAYS} days of its end: revoke it; its row is the record of what it was",
)
# put back by INSERT, with its digest, it would be the same key with another name and scopes
ISSUED_ONCE = ("apikey_is_issued_once", "api key is immutable: it is issued once, and never again; make a new key")
REPLACED = ("apikey_is_not_replaced", f"api key is immutable: a row never replaces another; {REMEDY}")
ALLOWED = ("apikey_allowlist_immutable", f"the mailbox allowlist of an api key is immutable; {REMEDY}")
ON_RECORD = ("apikey_issued_is_final", "which api keys were ever issued is immutable: a record for good")

TRIGGER_PREFIX = "apikeys_frozen_"
BUSY_MS = 100  # what opening a database may wait for its lock, to put triggers back


def freeze(connection: BaseDatabaseWrapper) -> None:
    """Makes the triggers that are missing or out of date; nothing to do if the tables are not there."""
    if not _has_keys(connection):
        return
    if not _is_ready(connection):
        thaw(connection)
    elif connection.vendor == "postgresql":
        _freeze_postgres(connection)
    elif connection.vendor == "sqlite":
        _freeze_sqlite(connection)


def thaw(connection: BaseDatabaseWrapper) -> None:
    """Drops the triggers, for what alters tables or empties a test database. `freeze` has to follow."""
    with connection.cursor() as cursor:
        for statement in thawing(cursor):
            cursor.execute(statement)


def thawing(cursor: CursorWrapper) -> list[str]:
    """The statements of `thaw`."""
    if cursor.db.vendor == "postgresql":
        tables = {trigger.name: trigger.table for trigger in POSTGRES_TRIGGERS}
        return [f"DROP TRIGGER {name} ON {tables[name]}" for name in _postgres_triggers(cursor) if name in tables]
    return [f"DROP TRIGGER {_quoted(name)}" for name in _present(cursor)]


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Triggers that are missing, disabled or out of date; none if the tables are not there."""
    if not _has_keys(connection) or not _is_ready(connection):
        return []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            active = _postgres_triggers(cursor)
            return [trigger.name for trigger in POSTGRES_TRIGGERS if active.get(trigger.name) != _as_wanted(trigger)]
        present = _present(cursor)
        return [name for name, wanted in _wanted(cursor).items() if present.get(name) != wanted]


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
            if not names.issuperset(TABLES) or names.issuperset(SQLITE_TRIGGERS) or _is_migration_due(connection):
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


# keys that were made while there was no trigger to note them: before this table came, or under a migration
ISSUE_ALL = f"""
INSERT INTO {ISSUED} (id, identifier)
  SELECT id, identifier FROM {KEYS} k WHERE NOT EXISTS (SELECT 1 FROM {ISSUED} i WHERE i.id = k.id)
"""  # noqa: S608 - tables of ours


# --- SQLite


def _freeze_sqlite(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if _present(cursor) == _wanted(cursor):
            return
        with transaction.atomic(using=connection.alias):
            thaw(connection)
            for statement in _wanted(cursor).values():
                cursor.execute(statement)
            cursor.execute(ISSUE_ALL)


def _present(cursor: CursorWrapper) -> dict[str, str]:
    cursor.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", [f"{TRIGGER_PREFIX}%"]
    )
    return dict(cursor.fetchall())


def _wanted(cursor: CursorWrapper) -> dict[str, str]:
    """By name, as SQLite keeps them."""
    bodies = _key_triggers(cursor) | _allowlist_triggers(cursor) | _issued_triggers(cursor)
    return {name: f"CREATE TRIGGER {_quoted(name)} {body}" for name, body in bodies.items()}


def _key_triggers(cursor: CursorWrapper) -> dict[str, str]:
    changed = {
        # the row's number too: by it, UPDATE OR REPLACE would put this row in another's place
        column: _differs(column)
        for column in ("rowid", *(name for name in _columns(cursor, KEYS) if name not in CHANGEABLE))
    }
    # purge.py: a key is let go by those that took its place
    changed["rotated_from_id"] += (
        f" AND (NEW.rotated_from_id IS NOT NULL OR {_exists(KEYS, 'id = OLD.rotated_from_id')})"
    )
    refusals = [
        (difference, f"api key is immutable: {column} never changes; {REMEDY}")
        for column, difference in changed.items()
    ]
    is_rewritten = " OR ".join(map(_differs, REVOCATION))
    refusals += [
        (f"OLD.sealed IS NOT 0 AND {_differs('sealed')}", SEAL[1]),
        (f"(OLD.revoked_at IS NOT NULL OR OLD.revoke_at <= {_sqlite_now()}) AND ({is_rewritten})", REVOKED[1]),
        *(
            (f"{_differs(column)} AND NEW.{column} < {_sqlite_now(f'-{BACKDATED_BY_DAYS} days')}", BACKDATED[1])
            for column in ENDS
        ),
    ]
    replaces = " OR ".join(_conflicts(cursor, KEYS))
    was_issued = _exists(ISSUED, "id = NEW.id OR identifier = NEW.identifier")
    long_ago = _sqlite_now(f"-{KEPT_DAYS} days")
    has_ended = " OR ".join(f"ifnull(OLD.{column} <= {long_ago}, FALSE)" for column in ("expires_at", *ENDS))
    goes = f"({has_ended}) AND {_exists(ISSUED, 'id = OLD.id AND identifier = OLD.identifier')}"
    issue = f"INSERT INTO {ISSUED} (id, identifier) VALUES (NEW.id, NEW.identifier)"  # noqa: S608 - as above
    inserted = [(replaces, REPLACED[1]), (was_issued, ISSUED_ONCE[1])]
    return {
        f"{TRIGGER_PREFIX}key_update": f"BEFORE UPDATE ON {KEYS} BEGIN {_raise_first(refusals)} END",
        f"{TRIGGER_PREFIX}key_delete": _refuse(f"BEFORE DELETE ON {KEYS} WHEN NOT ({goes})", KEPT[1]),
        f"{TRIGGER_PREFIX}key_insert": f"BEFORE INSERT ON {KEYS} BEGIN {_raise_first(inserted)} END",
        f"{TRIGGER_PREFIX}key_issue": f"AFTER INSERT ON {KEYS} BEGIN {issue}; END",
    }


def _allowlist_triggers(cursor: CursorWrapper) -> dict[str, str]:
    # no row for a key that is yet to come
    is_closed = "NOT " + _exists(KEYS, "id = NEW.api_key_id AND sealed = 0")
    when_inserted = " OR ".join([is_closed, *_conflicts(cursor, ALLOWLIST)])
    return {
        f"{TRIGGER_PREFIX}allowlist_update": _refuse(f"BEFORE UPDATE ON {ALLOWLIST}", ALLOWED[1]),
        # once the key is gone, so is its list; see purge.py
        f"{TRIGGER_PREFIX}allowlist_delete": _refuse(
            f"BEFORE DELETE ON {ALLOWLIST} WHEN {_exists(KEYS, 'id = OLD.api_key_id')}", ALLOWED[1]
        ),
        f"{TRIGGER_PREFIX}allowlist_insert": _refuse(f"BEFORE INSERT ON {ALLOWLIST} WHEN {when_inserted}", ALLOWED[1]),
    }


def _issued_triggers(cursor: CursorWrapper) -> dict[str, str]:
    replaces = " OR ".join(_conflicts(cursor, ISSUED))
    return {
        f"{TRIGGER_PREFIX}issued_insert": _refuse(f"BEFORE INSERT ON {ISSUED} WHEN {replaces}", ON_RECORD[1]),
        f"{TRIGGER_PREFIX}issued_update": _refuse(f"BEFORE UPDATE ON {ISSUED}", ON_RECORD[1]),
        f"{TRIGGER_PREFIX}issued_delete": _refuse(f"BEFORE DELETE ON {ISSUED}", ON_RECORD[1]),
    }


SQLITE_TRIGGERS = frozenset(
    f"{TRIGGER_PREFIX}{table}_{event}"
    for table in ("key", "allowlist", "issued")
    for event in ("insert", "update", "delete")
) | {f"{TRIGGER_PREFIX}key_issue"}


def _sqlite_now(*modifiers: str) -> str:
    """As Django writes instants."""
    return f"STRFTIME({', '.join(map(repr, ('%Y-%m-%d %H:%M:%f', 'now', *modifiers)))})"


def _columns(cursor: CursorWrapper, table: str) -> list[str]:
    cursor.execute(f"PRAGMA table_info({table})")
    return [name for _, name, *_ in cursor.fetchall()]


def _conflicts(cursor: CursorWrapper, table: str) -> list[str]:
    """Conditions under which REPLACE would silently take the place of a row: DELETE triggers do not fire for it."""
    cursor.execute(f"PRAGMA index_list({table})")
    indexes = [name for _, name, is_unique, *_ in cursor.fetchall() if is_unique]
    keys = [["rowid"]]
    for index in indexes:
        cursor.execute(f"PRAGMA index_info({_quoted(index)})")
        # an expression has no name; what is left refuses more than REPLACE would hit, never less
        keys.append([name for *_, name in cursor.fetchall() if name])
    return [_exists(table, " AND ".join(map(_takes, key)) or "TRUE") for key in keys]


def _exists(table: str, condition: str) -> str:
    return f"EXISTS (SELECT 1 FROM {table} AS present WHERE {condition})"  # noqa: S608 - a table of ours


def _takes(column: str) -> str:
    return f"present.{_quoted(column)} = NEW.{_quoted(column)}"


def _differs(column: str) -> str:
    # octet for octet, whatever the column's own collation takes for equal
    return f"OLD.{_quoted(column)} IS NOT NEW.{_quoted(column)} COLLATE BINARY"


def _raise_first(refusals: Sequence[tuple[str, str]]) -> str:
    cases = " ".join(f"WHEN {condition} THEN {_raise(message)}" for condition, message in refusals)
    return f"SELECT CASE {cases} END;"


def _refuse(event: str, message: str) -> str:
    return f"{event} BEGIN SELECT {_raise(message)}; END"


def _raise(message: str) -> str:
    escaped = message.replace("'", "''")
    return f"RAISE(ABORT, '{escaped}')"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


# --- PostgreSQL


@dataclass(frozen=True, slots=True)
class PostgresTrigger:
    """kind is pg_trigger.tgtype: 1 for each row, 2 before (else after), 4 insert, 8 delete, 16 update."""

    table: str
    name: str
    events: str
    kind: int
    body: str


class Found(NamedTuple):
    """What pg_trigger and pg_proc say of a trigger of ours."""

    is_enabled: bool
    kind: int
    body: str


# search_path is fixed: a temporary table of the same name would otherwise be asked in place of ours
FUNCTION = """
CREATE OR REPLACE FUNCTION {schema}.{name}() RETURNS trigger LANGUAGE plpgsql SET search_path = {schema}, pg_temp AS $$
{body}
$$
"""
KEY_BODY = """
DECLARE
  changed text;
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF LEAST({ends}) <= statement_timestamp() - interval '{kept_days} days'
        AND EXISTS (SELECT FROM {issued} WHERE id = OLD.id AND identifier = OLD.identifier) THEN
      RETURN OLD;
    END IF;
    {kept}
  END IF;
  SELECT string_agg(after.key, ', ') INTO changed
    FROM jsonb_each(to_jsonb(NEW) - '{{{changeable}}}'::text[]) after
    WHERE after.value IS DISTINCT FROM to_jsonb(OLD) -> after.key
      -- purge.py: a key is let go by those that took its place
      AND NOT (after.key = 'rotated_from_id' AND NEW.rotated_from_id IS NULL
        AND NOT EXISTS (SELECT FROM {keys} WHERE id = OLD.rotated_from_id));
  IF changed IS NOT NULL THEN
    RAISE EXCEPTION 'api key is immutable: % never changes; {remedy}', changed
      USING ERRCODE = '23514', CONSTRAINT = 'apikey_immutable', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
  END IF;
  IF OLD.sealed AND NOT NEW.sealed THEN
    {seal}
  END IF;
  IF (OLD.revoked_at IS NOT NULL OR OLD.revoke_at <= statement_timestamp())
      AND ({new_revocation}) IS DISTINCT FROM ({old_revocation}) THEN
    {revoked}
  END IF;
  IF {backdated_when} THEN
    {backdated}
  END IF;
  RETURN NEW;
END
"""
ALLOWLIST_BODY = """
BEGIN
  IF TG_OP = 'INSERT' THEN
    -- held until we commit, so that nobody seals it meanwhile
    PERFORM FROM {keys} WHERE id = NEW.api_key_id AND NOT sealed FOR SHARE;
    IF FOUND THEN
      RETURN NEW;
    END IF;
  END IF;
  -- once the key is gone, so is its list; see purge.py
  IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM {keys} WHERE id = OLD.api_key_id) THEN
    RETURN OLD;
  END IF;
  {allowed}
END
"""
# after, so that ON CONFLICT DO UPDATE stays the change that it is; the index also waits for who issues it meanwhile
ISSUE_BODY = """
BEGIN
  INSERT INTO {issued} (id, identifier) VALUES (NEW.id, NEW.identifier) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    {issued_once}
  END IF;
  RETURN NULL;
END
"""
ISSUED_BODY = """
BEGIN
  {on_record}
END
"""


def _postgres_raise(constraint: str, message: str) -> str:
    return (
        f"RAISE EXCEPTION '{message}' USING ERRCODE = '23514', CONSTRAINT = '{constraint}', "
        "TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;"
    )


POSTGRES_TRIGGERS = (
    PostgresTrigger(
        table=KEYS,
        name="apikeys_frozen_key",
        events="UPDATE OR DELETE",
        kind=1 | 2 | 8 | 16,
        body=KEY_BODY.format(
            keys=KEYS,
            issued=ISSUED,
            ends=", ".join(f"OLD.{column}" for column in ("expires_at", *ENDS)),
            kept_days=KEPT_DAYS,
            changeable=",".join(CHANGEABLE),
            remedy=REMEDY,
            kept=_postgres_raise(*KEPT),
            seal=_postgres_raise(*SEAL),
            revoked=_postgres_raise(*REVOKED),
            backdated=_postgres_raise(*BACKDATED),
            backdated_when=" OR ".join(
                f"(NEW.{column} IS DISTINCT FROM OLD.{column} "
                f"AND NEW.{column} < statement_timestamp() - interval '{BACKDATED_BY_DAYS} days')"
                for column in ENDS
            ),
            new_revocation=", ".join(f"NEW.{column}" for column in REVOCATION),
            old_revocation=", ".join(f"OLD.{column}" for column in REVOCATION),
        ),
    ),
    PostgresTrigger(
        table=ALLOWLIST,
        name="apikeys_frozen_allowlist",
        events="INSERT OR UPDATE OR DELETE",
        kind=1 | 2 | 4 | 8 | 16,
        body=ALLOWLIST_BODY.format(keys=KEYS, allowed=_postgres_raise(*ALLOWED)),
    ),
    PostgresTrigger(
        table=KEYS,
        name="apikeys_frozen_key_issue",
        events="INSERT",
        kind=1 | 4,
        body=ISSUE_BODY.format(issued=ISSUED, issued_once=_postgres_raise(*ISSUED_ONCE)),
    ),
    PostgresTrigger(
        table=ISSUED,
        name="apikeys_frozen_issued",
        events="UPDATE OR DELETE",
        kind=1 | 2 | 8 | 16,
        body=ISSUED_BODY.format(on_record=_postgres_raise(*ON_RECORD)),
    ),
)


def _freeze_postgres(connection: BaseDatabaseWrapper) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # two migrates at once would both replace the functions, and one of them would fail
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('apikeys.freeze'))")
        cursor.execute(
            "SELECT quote_ident(nspname) FROM pg_namespace n JOIN pg_class c ON relnamespace = n.oid "
            "WHERE c.oid = %s::regclass",
            [KEYS],
        )
        (schema,) = cursor.fetchone()
        present = _postgres_triggers(cursor)
        for trigger in POSTGRES_TRIGGERS:
            found = present.get(trigger.name)
            if found == _as_wanted(trigger):
                continue  # a routine migrate locks no table
            function = f"{schema}.{trigger.name}()"
            cursor.execute(FUNCTION.format(schema=schema, name=trigger.name, body=trigger.body))
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name} ON {schema}.{trigger.table}")
            when = "BEFORE" if trigger.kind & 2 else "AFTER"
            cursor.execute(
                f"CREATE TRIGGER {trigger.name} {when} {trigger.events} ON {schema}.{trigger.table} "
                f"FOR EACH ROW EXECUTE FUNCTION {function}"
            )
        if not present.keys() >= {trigger.name for trigger in POSTGRES_TRIGGERS}:
            cursor.execute(ISSUE_ALL)


def _postgres_triggers(cursor: CursorWrapper) -> dict[str, Found]:
    """Ours by name."""
    cursor.execute(
        "SELECT tgname, tgenabled IN ('O', 'A'), tgtype, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
        # not every table is there when a migrate has gone half of the way back
        "WHERE tgrelid IN (to_regclass(%s), to_regclass(%s), to_regclass(%s)) AND NOT tgisinternal",
        TABLES,
    )
    return {name: Found(enabled, kind, body.strip()) for name, enabled, kind, body in cursor.fetchall()}


def _as_wanted(trigger: PostgresTrigger) -> Found:
    return Found(is_enabled=True, kind=trigger.kind, body=trigger.body.strip())


def _has_keys(connection: BaseDatabaseWrapper) -> bool:
    return {KEYS, ALLOWLIST} <= set(connection.introspection.table_names())


def _is_ready(connection: BaseDatabaseWrapper) -> bool:
    """Whether there is all that the triggers ask: after a migration back to the first one there is not."""
    with connection.cursor() as cursor:
        if ISSUED not in connection.introspection.table_names(cursor):
            return False
        columns = {column.name for column in connection.introspection.get_table_description(cursor, KEYS)}
    return columns.issuperset({"sealed", "rotated_from_id", *REVOCATION})
