"""The database's own lock on API keys: triggers, so that raw SQL cannot change what a key may do either.

A column that a migration adds is frozen until it is named CHANGEABLE. On PostgreSQL a migration that has to fill a new
column of apikeys_apikey drops the trigger first, and the end of migrate restores it. When triggers are made, and what
they do not guard: `common/triggers.py`.
"""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from apikeys.models import KEPT_FOR
from emailgistics.common.triggers import (
    Lock,
    PostgresTrigger,
    postgres_refusal,
    quoted,
    sqlite_conflicts,
    sqlite_exists,
    sqlite_raise,
    sqlite_refusal,
)

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
# keys that were made while there was no trigger to note them: before this table came, or under a migration
ISSUE_ALL = f"""
INSERT INTO {ISSUED} (id, identifier)
  SELECT id, identifier FROM {KEYS} k WHERE NOT EXISTS (SELECT 1 FROM {ISSUED} i WHERE i.id = k.id)
"""  # noqa: S608 - tables of ours


# --- SQLite


def _on_sqlite(cursor: CursorWrapper) -> dict[str, str]:
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


def _differs(column: str) -> str:
    # octet for octet, whatever the column's own collation takes for equal
    return f"OLD.{quoted(column)} IS NOT NEW.{quoted(column)} COLLATE BINARY"


def _raise_first(refusals: Sequence[tuple[str, str]]) -> str:
    cases = " ".join(f"WHEN {condition} THEN {sqlite_raise(message)}" for condition, message in refusals)
    return f"SELECT CASE {cases} END;"


# --- PostgreSQL


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
            kept=postgres_refusal(*KEPT),
            seal=postgres_refusal(*SEAL),
            revoked=postgres_refusal(*REVOKED),
            backdated=postgres_refusal(*BACKDATED),
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
        body=ALLOWLIST_BODY.format(keys=KEYS, allowed=postgres_refusal(*ALLOWED)),
    ),
    PostgresTrigger(
        table=KEYS,
        name="apikeys_frozen_key_issue",
        events="INSERT",
        kind=1 | 4,
        body=ISSUE_BODY.format(issued=ISSUED, issued_once=postgres_refusal(*ISSUED_ONCE)),
    ),
    PostgresTrigger(
        table=ISSUED,
        name="apikeys_frozen_issued",
        events="UPDATE OR DELETE",
        kind=1 | 2 | 8 | 16,
        body=ISSUED_BODY.format(on_record=postgres_refusal(*ON_RECORD)),
    ),
)


def _is_ready(connection: BaseDatabaseWrapper) -> bool:
    """Whether there is all that the triggers ask: after a migration back to the first one there is not."""
    with connection.cursor() as cursor:
        if ISSUED not in connection.introspection.table_names(cursor):
            return False
        columns = {column.name for column in connection.introspection.get_table_description(cursor, KEYS)}
    return columns.issuperset({"sealed", "rotated_from_id", *REVOCATION})


LOCK = Lock(
    app="apikeys",
    what="API keys",
    check_id="apikeys.E002",
    tables=TABLES,
    prefix=TRIGGER_PREFIX,
    sqlite_names=SQLITE_TRIGGERS,
    sqlite=_on_sqlite,
    postgres=POSTGRES_TRIGGERS,
    is_ready=_is_ready,
    made_good_by=ISSUE_ALL,
)


@register(Tags.database)
def keys_are_frozen(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    return LOCK.check(databases)
