"""The triggers of SQLite: conditions that name each column, so they are made anew whenever the columns change."""

from collections.abc import Sequence

from django.db.backends.utils import CursorWrapper

from apikeys.freeze.rules import (
    ALLOWED,
    ALLOWLIST,
    BACKDATED,
    BACKDATED_BY_DAYS,
    CHANGEABLE,
    ENDS,
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
from emailgistics.common.triggers import quoted, sqlite_conflicts, sqlite_exists, sqlite_raise, sqlite_refusal


def bodies(cursor: CursorWrapper) -> dict[str, str]:
    """By name, for the columns that there are now."""
    return _key_triggers(cursor) | _allowlist_triggers(cursor) | _issued_triggers(cursor)


def _key_triggers(cursor: CursorWrapper) -> dict[str, str]:
    changed = {
        # the row's number too: by it, UPDATE OR REPLACE would put this row in another's place
        column: _differs(column)
        for column in ("rowid", *(name for name in _columns(cursor, KEYS) if name not in CHANGEABLE))
    }
    # purge.py: a key is let go by those that took its place
    changed["rotated_from_id"] += (
        f" AND (NEW.rotated_from_id IS NOT NULL OR {sqlite_exists(KEYS, 'id = OLD.rotated_from_id')})"
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
    replaces = " OR ".join(sqlite_conflicts(cursor, KEYS))
    was_issued = sqlite_exists(ISSUED, "id = NEW.id OR identifier = NEW.identifier")
    long_ago = _sqlite_now(f"-{KEPT_DAYS} days")
    has_ended = " OR ".join(f"ifnull(OLD.{column} <= {long_ago}, FALSE)" for column in ("expires_at", *ENDS))
    goes = f"({has_ended}) AND {sqlite_exists(ISSUED, 'id = OLD.id AND identifier = OLD.identifier')}"
    issue = f"INSERT INTO {ISSUED} (id, identifier) VALUES (NEW.id, NEW.identifier)"  # noqa: S608 - as above
    inserted = [(replaces, REPLACED[1]), (was_issued, ISSUED_ONCE[1])]
    return {
        f"{TRIGGER_PREFIX}key_update": f"BEFORE UPDATE ON {KEYS} BEGIN {_raise_first(refusals)} END",
        f"{TRIGGER_PREFIX}key_delete": sqlite_refusal(f"BEFORE DELETE ON {KEYS} WHEN NOT ({goes})", KEPT[1]),
        f"{TRIGGER_PREFIX}key_insert": f"BEFORE INSERT ON {KEYS} BEGIN {_raise_first(inserted)} END",
        f"{TRIGGER_PREFIX}key_issue": f"AFTER INSERT ON {KEYS} BEGIN {issue}; END",
    }


def _allowlist_triggers(cursor: CursorWrapper) -> dict[str, str]:
    # no row for a key that is yet to come
    is_closed = "NOT " + sqlite_exists(KEYS, "id = NEW.api_key_id AND sealed = 0")
    when_inserted = " OR ".join([is_closed, *sqlite_conflicts(cursor, ALLOWLIST)])
    return {
        f"{TRIGGER_PREFIX}allowlist_update": sqlite_refusal(f"BEFORE UPDATE ON {ALLOWLIST}", ALLOWED[1]),
        # once the key is gone, so is its list; see purge.py
        f"{TRIGGER_PREFIX}allowlist_delete": sqlite_refusal(
            f"BEFORE DELETE ON {ALLOWLIST} WHEN {sqlite_exists(KEYS, 'id = OLD.api_key_id')}", ALLOWED[1]
        ),
        f"{TRIGGER_PREFIX}allowlist_insert": sqlite_refusal(
            f"BEFORE INSERT ON {ALLOWLIST} WHEN {when_inserted}", ALLOWED[1]
        ),
    }


def _issued_triggers(cursor: CursorWrapper) -> dict[str, str]:
    replaces = " OR ".join(sqlite_conflicts(cursor, ISSUED))
    return {
        f"{TRIGGER_PREFIX}issued_insert": sqlite_refusal(f"BEFORE INSERT ON {ISSUED} WHEN {replaces}", ON_RECORD[1]),
        f"{TRIGGER_PREFIX}issued_update": sqlite_refusal(f"BEFORE UPDATE ON {ISSUED}", ON_RECORD[1]),
        f"{TRIGGER_PREFIX}issued_delete": sqlite_refusal(f"BEFORE DELETE ON {ISSUED}", ON_RECORD[1]),
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


def _differs(column: str) -> str:
    # octet for octet, whatever the column's own collation takes for equal
    return f"OLD.{quoted(column)} IS NOT NEW.{quoted(column)} COLLATE BINARY"


def _raise_first(refusals: Sequence[tuple[str, str]]) -> str:
    cases = " ".join(f"WHEN {condition} THEN {sqlite_raise(message)}" for condition, message in refusals)
    return f"SELECT CASE {cases} END;"
