"""The triggers of SQLite: conditions that name each column, so they are made anew whenever the columns change."""

from collections.abc import Sequence

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from apikeys.freeze.rules import (
    ALLOWED,
    ALLOWLIST,
    BACKDATED,
    BACKDATED_BY_DAYS,
    CHANGEABLE,
    ENDS,
    ISSUE_ALL,
    ISSUED,
    ISSUED_ONCE,
    KEPT,
    KEPT_DAYS,
    KEYS,
    ON_RECORD,
    REMEDY,
    REPLACED,
    REVOCATION,
    REVOKED,
    SEAL,
    TRIGGER_PREFIX,
)


def make_triggers(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if present(cursor) == wanted(cursor):
            return
        with transaction.atomic(using=connection.alias):
            for name in present(cursor):
                cursor.execute(drop(name))
            for statement in wanted(cursor).values():
                cursor.execute(statement)
            cursor.execute(ISSUE_ALL)


def present(cursor: CursorWrapper) -> dict[str, str]:
    cursor.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", [f"{TRIGGER_PREFIX}%"]
    )
    return dict(cursor.fetchall())


def drop(name: str) -> str:
    return f"DROP TRIGGER {_quoted(name)}"


def wanted(cursor: CursorWrapper) -> dict[str, str]:
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


TRIGGERS = frozenset(
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
