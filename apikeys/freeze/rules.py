"""What never changes about a key, and what is said to whoever tries; the same on both databases."""

from apikeys.models import KEPT_FOR

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
