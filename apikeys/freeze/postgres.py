"""The triggers of PostgreSQL: functions that look at the whole row, whatever its columns are."""

from dataclasses import dataclass
from typing import NamedTuple

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
    REVOCATION,
    REVOKED,
    SEAL,
    TABLES,
)


@dataclass(frozen=True, slots=True)
class Trigger:
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


def _raise(constraint: str, message: str) -> str:
    return (
        f"RAISE EXCEPTION '{message}' USING ERRCODE = '23514', CONSTRAINT = '{constraint}', "
        "TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;"
    )


TRIGGERS = (
    Trigger(
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
            kept=_raise(*KEPT),
            seal=_raise(*SEAL),
            revoked=_raise(*REVOKED),
            backdated=_raise(*BACKDATED),
            backdated_when=" OR ".join(
                f"(NEW.{column} IS DISTINCT FROM OLD.{column} "
                f"AND NEW.{column} < statement_timestamp() - interval '{BACKDATED_BY_DAYS} days')"
                for column in ENDS
            ),
            new_revocation=", ".join(f"NEW.{column}" for column in REVOCATION),
            old_revocation=", ".join(f"OLD.{column}" for column in REVOCATION),
        ),
    ),
    Trigger(
        table=ALLOWLIST,
        name="apikeys_frozen_allowlist",
        events="INSERT OR UPDATE OR DELETE",
        kind=1 | 2 | 4 | 8 | 16,
        body=ALLOWLIST_BODY.format(keys=KEYS, allowed=_raise(*ALLOWED)),
    ),
    Trigger(
        table=KEYS,
        name="apikeys_frozen_key_issue",
        events="INSERT",
        kind=1 | 4,
        body=ISSUE_BODY.format(issued=ISSUED, issued_once=_raise(*ISSUED_ONCE)),
    ),
    Trigger(
        table=ISSUED,
        name="apikeys_frozen_issued",
        events="UPDATE OR DELETE",
        kind=1 | 2 | 8 | 16,
        body=ISSUED_BODY.format(on_record=_raise(*ON_RECORD)),
    ),
)


def make_triggers(connection: BaseDatabaseWrapper) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # two migrates at once would both replace the functions, and one of them would fail
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('apikeys.freeze'))")
        cursor.execute(
            "SELECT quote_ident(nspname) FROM pg_namespace n JOIN pg_class c ON relnamespace = n.oid "
            "WHERE c.oid = %s::regclass",
            [KEYS],
        )
        (schema,) = cursor.fetchone()
        there = present(cursor)
        for trigger in TRIGGERS:
            found = there.get(trigger.name)
            if found == as_wanted(trigger):
                continue  # a routine migrate locks no table
            function = f"{schema}.{trigger.name}()"
            cursor.execute(FUNCTION.format(schema=schema, name=trigger.name, body=trigger.body))
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name} ON {schema}.{trigger.table}")
            when = "BEFORE" if trigger.kind & 2 else "AFTER"
            cursor.execute(
                f"CREATE TRIGGER {trigger.name} {when} {trigger.events} ON {schema}.{trigger.table} "
                f"FOR EACH ROW EXECUTE FUNCTION {function}"
            )
        if not there.keys() >= {trigger.name for trigger in TRIGGERS}:
            cursor.execute(ISSUE_ALL)


def present(cursor: CursorWrapper) -> dict[str, Found]:
    """Ours by name."""
    cursor.execute(
        "SELECT tgname, tgenabled IN ('O', 'A'), tgtype, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
        # not every table is there when a migrate has gone half of the way back
        "WHERE tgrelid IN (to_regclass(%s), to_regclass(%s), to_regclass(%s)) AND NOT tgisinternal",
        TABLES,
    )
    return {name: Found(enabled, kind, body.strip()) for name, enabled, kind, body in cursor.fetchall()}


def as_wanted(trigger: Trigger) -> Found:
    return Found(is_enabled=True, kind=trigger.kind, body=trigger.body.strip())
