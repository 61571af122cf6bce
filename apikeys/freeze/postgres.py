"""The triggers of PostgreSQL: functions that look at the whole row, whatever its columns are."""

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
    REVOCATION,
    REVOKED,
    SEAL,
)
from emailgistics.common.triggers import PostgresTrigger, postgres_refusal

KEY_BODY = """
DECLARE
  changed text;
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF LEAST({ends}) <= clock_timestamp() - interval '{kept_days} days'
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
  IF (OLD.revoked_at IS NOT NULL OR OLD.revoke_at <= clock_timestamp())
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


TRIGGERS = (
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
                f"AND NEW.{column} < clock_timestamp() - interval '{BACKDATED_BY_DAYS} days')"
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
