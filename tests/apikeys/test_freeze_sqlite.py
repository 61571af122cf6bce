"""Another program that opens the SQLite file, with nothing switched on: it can do no more than we can."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from django.db import connection

from apikeys.models import ApiKey, ApiKeyMailbox
from apikeys.services import revoke_api_key
from tests.apikeys.factories import make_key, make_unsealed_key
from tests.factories import make_mailbox

pytestmark = [pytest.mark.on_sqlite, pytest.mark.django_db(transaction=True)]

COLUMNS = (
    "identifier", "digest", "pepper", "name", "scopes", "all_mailboxes", "expires_at", "created_at", "rate_plan",
    "sealed", "revoke_reason", "networks", "rotated_from_id", "last_used_agent", "revoke_at",
)  # fmt: skip
REVIVED = "digest, pepper, 'Another', scopes, 1, '2099-01-01 00:00:00', created_at, 'pro', 1, '', '[]', id, '', NULL"
WORDS = {
    "KEYS": "apikeys_apikey",
    "ALLOWLIST": "apikeys_apikeymailbox",
    "COLUMNS": ", ".join(COLUMNS),
    "REVIVED": f"'emgk_9999999999', {REVIVED}",
    "SAME_IDENTIFIER": f"identifier, {REVIVED}",
}

REFUSED = [
    # a row in the place of another: by its id, by its identifier, by the number of its row
    "INSERT OR REPLACE INTO KEYS (id, COLUMNS) SELECT id, REVIVED FROM KEYS WHERE id = :id",
    "REPLACE INTO KEYS (id, COLUMNS) SELECT id, REVIVED FROM KEYS WHERE id = :id",
    "REPLACE INTO KEYS (id, COLUMNS) SELECT 'new', SAME_IDENTIFIER FROM KEYS WHERE id = :id",
    "REPLACE INTO KEYS (rowid, id, COLUMNS) SELECT rowid, 'new', REVIVED FROM KEYS WHERE id = :id",
    "INSERT INTO KEYS (id, COLUMNS) SELECT id, REVIVED FROM KEYS WHERE id = :id ON CONFLICT DO UPDATE SET name = 'x'",
    "UPDATE OR REPLACE KEYS SET rowid = (SELECT rowid FROM KEYS WHERE id = :id) WHERE id = :unsealed",
    "UPDATE OR REPLACE KEYS SET _rowid_ = (SELECT oid FROM KEYS WHERE id = :id) WHERE id = :unsealed",
    "UPDATE OR REPLACE KEYS SET id = :id WHERE id = :unsealed",
    "UPDATE OR REPLACE KEYS SET identifier = (SELECT identifier FROM KEYS WHERE id = :id) WHERE id = :unsealed",
    # changes that ask for less noise
    "UPDATE OR IGNORE KEYS SET name = 'Another'",
    "UPDATE OR FAIL KEYS SET expires_at = '2099-01-01 00:00:00'",
    "UPDATE KEYS SET name = lower(name)",
    "UPDATE KEYS SET digest = CAST(digest AS TEXT)",
    "UPDATE OR IGNORE KEYS SET networks = '[]', rotated_from_id = id",
    "UPDATE KEYS SET sealed = 2 WHERE id = :id",
    "UPDATE KEYS SET sealed = 0 WHERE id = :id",
    "UPDATE KEYS SET sealed = 'no' WHERE id = :id",
    "DELETE FROM KEYS",
    "DELETE FROM KEYS WHERE id = :id",
    "DELETE FROM KEYS WHERE rotated_from_id IS NULL",
    # the allowlist
    "REPLACE INTO ALLOWLIST (id, api_key_id, mailbox_id) SELECT id, :unsealed, mailbox_id FROM ALLOWLIST",
    "REPLACE INTO ALLOWLIST (rowid, api_key_id, mailbox_id) SELECT id, :unsealed, mailbox_id FROM ALLOWLIST",
    "REPLACE INTO ALLOWLIST (api_key_id, mailbox_id) SELECT api_key_id, mailbox_id FROM ALLOWLIST",
    "INSERT INTO ALLOWLIST (api_key_id, mailbox_id) SELECT 'a key to come', id FROM mailboxes_mailbox",
    "INSERT INTO ALLOWLIST (api_key_id, mailbox_id) SELECT :id, id FROM mailboxes_mailbox",
    "INSERT INTO ALLOWLIST (api_key_id, mailbox_id) SELECT upper(:id), id FROM mailboxes_mailbox",
    "INSERT INTO ALLOWLIST (api_key_id, mailbox_id) SELECT CAST(:id AS BLOB), id FROM mailboxes_mailbox",
    "INSERT OR IGNORE INTO ALLOWLIST (api_key_id, mailbox_id) SELECT :id, id FROM mailboxes_mailbox",
    "UPDATE OR REPLACE ALLOWLIST SET id = id + 1",
    "UPDATE ALLOWLIST SET api_key_id = :unsealed",
    "UPDATE ALLOWLIST SET mailbox_id = 'another'",
    "DELETE FROM ALLOWLIST WHERE api_key_id = :id",
]


@pytest.fixture
def plain() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as opened:
        # as they come: then REPLACE deletes without a DELETE trigger, and no foreign key holds
        assert opened.execute("PRAGMA recursive_triggers").fetchone() == (0,)
        assert opened.execute("PRAGMA foreign_keys").fetchone() == (0,)
        yield opened


def make_keys() -> tuple[ApiKey, ApiKey, ApiKey]:
    """A live key, one that was revoked, and one that is not sealed yet."""
    allowed = [make_mailbox(), make_mailbox(address="sales@example.com")]
    (live, _), (revoked, _), (unsealed, _) = (
        make_key(mailboxes=allowed),
        make_key(mailboxes=allowed),
        make_unsealed_key(),
    )
    revoke_api_key(revoked)
    return live, revoked, unsealed


def rows() -> list[dict[str, object]]:
    return [*ApiKey.objects.order_by("pk").values(), *ApiKeyMailbox.objects.order_by("pk").values()]


def sql(statement: str) -> str:
    for word, meaning in WORDS.items():
        statement = statement.replace(word, meaning)
    return statement


@pytest.mark.parametrize("statement", REFUSED)
def test_nothing_is_changed_replaced_or_moved(plain: sqlite3.Connection, statement: str) -> None:
    live, revoked, unsealed = make_keys()
    before = rows()
    for key in (live, revoked):
        with pytest.raises(sqlite3.IntegrityError, match=r"immutable|never deleted") as refusal:
            plain.execute(sql(statement), {"id": key.pk.hex, "unsealed": unsealed.pk.hex})
        assert refusal.value.sqlite_errorname == "SQLITE_CONSTRAINT_TRIGGER"
        assert rows() == before


def test_a_key_can_be_revoked_once(plain: sqlite3.Connection) -> None:
    live, revoked, _ = make_keys()
    plain.execute("UPDATE apikeys_apikey SET revoked_at = '2030-01-01 00:00:00' WHERE id = ?", [live.pk.hex])
    before = rows()
    for key in (live, revoked):
        for moment in (None, "2031-01-01 00:00:00"):
            with pytest.raises(sqlite3.IntegrityError, match="revoked for good"):
                plain.execute("UPDATE apikeys_apikey SET revoked_at = ? WHERE id = ?", [moment, key.pk.hex])
    assert rows() == before


def test_a_scheduled_revocation_that_has_come_is_neither_moved_nor_cleared(plain: sqlite3.Connection) -> None:
    live, *_ = make_keys()
    set_end = "UPDATE OR REPLACE apikeys_apikey SET revoke_at = {} WHERE id = ?"
    for ahead in ("'2099-01-01 00:00:00'", "NULL", "strftime('%Y-%m-%d %H:%M:%f', 'now')"):
        plain.execute(set_end.format(ahead), [live.pk.hex])
    before = rows()
    for moment in ("NULL", "'2099-01-01 00:00:00'", "'9'", "1e18", "x'00'"):
        with pytest.raises(sqlite3.IntegrityError, match="revoked for good"):
            plain.execute(set_end.format(moment), [live.pk.hex])
    assert rows() == before


def test_a_key_is_made_and_sealed_by_plain_sql_too(plain: sqlite3.Connection) -> None:
    make_keys()
    allow = "INSERT INTO apikeys_apikeymailbox (api_key_id, mailbox_id) SELECT 'new', id FROM mailboxes_mailbox LIMIT 1"
    make = sql("INSERT INTO KEYS (id, COLUMNS) SELECT 'new', REVIVED FROM KEYS LIMIT 1")
    plain.execute(make.replace("1, '',", "0, '',"))  # not sealed
    plain.execute(allow)
    plain.execute(allow + " OFFSET 1")
    plain.execute("UPDATE apikeys_apikey SET sealed = 1 WHERE id = 'new'")
    with pytest.raises(sqlite3.IntegrityError, match="allowlist"):
        plain.execute(allow + " OFFSET 2")
