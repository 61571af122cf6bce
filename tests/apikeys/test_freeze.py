"""Keys against raw SQL: what the database itself refuses, on PostgreSQL and SQLite alike."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from apikeys import freeze
from apikeys.models import ApiKey, ApiKeyMailbox
from apikeys.services import revoke_api_key
from emailgistics.common.ids import uuid7
from mailboxes.models import Mailbox
from tests.apikeys.factories import make_key, make_unsealed_key
from tests.factories import in_days, make_mailbox

FROZEN = {
    "id": "'00000000-0000-0000-0000-000000000000'",
    "identifier": "'emgk_0000000000'",
    "digest": "'x'",
    "pepper": "pepper + 1",
    "name": "'Another'",
    "scopes": """'["emails:read", "webhooks:write"]'""",
    "all_mailboxes": "NOT all_mailboxes",
    "networks": """'["192.0.2.0/24"]'""",
    "expires_at": "'2099-01-01 00:00:00+00:00'",
    "created_at": "'2020-01-01 00:00:00+00:00'",
    "created_by_id": "1",
    "rotated_from_id": "id",
}
CHANGEABLE = {
    "last_used_at": "'2030-01-01 00:00:00+00:00'",
    "last_used_address": "'192.0.2.1'",
    "last_used_agent": "'curl/8.5.0'",
    "rate_plan": "'pro'",
    "own_limits": """'{"minute": 5, "hour": 50, "day": 500}', rate_plan = 'enterprise'""",  # of that plan only
    "revoke_at": "'2030-01-01 00:00:00+00:00'",
    "revoke_reason": "'left in a chat'",
    "revoked_at": "'2030-01-01 00:00:00+00:00'",
    "revoked_by_id": "NULL",
    "sealed": "sealed",
}


def execute(statement: str, *parameters: object) -> int:
    """Rows that it touched."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        count: int = cursor.rowcount
    return count


@contextmanager
def refused(*words: str, constraint: str) -> Iterator[None]:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        yield
    assert [word for word in words if word not in str(refusal.value)] == []
    cause = refusal.value.__cause__
    if isinstance(cause, psycopg.Error):
        assert (cause.sqlstate, cause.diag.constraint_name) == ("23514", constraint)
    else:
        assert getattr(cause, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_TRIGGER"


def rows() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    return list(ApiKey.objects.order_by("pk").values()), list(ApiKeyMailbox.objects.order_by("pk").values())


@pytest.fixture
def key(db: None) -> ApiKey:
    allowed = [make_mailbox(), make_mailbox(address="sales@example.com")]
    return make_key(mailboxes=allowed)[0]


# --- changing a key


@pytest.mark.parametrize("column", FROZEN)
def test_what_a_key_is_made_with_never_changes(key: ApiKey, column: str) -> None:
    before = rows()
    with refused("immutable", column, "make a new key and revoke this one", constraint="apikey_immutable"):
        execute(f"UPDATE apikeys_apikey SET {column} = {FROZEN[column]}, last_used_at = NULL")
    assert rows() == before


@pytest.mark.parametrize("column", FROZEN)
def test_it_does_not_change_in_a_key_that_has_ended_either(key: ApiKey, column: str) -> None:
    revoke_api_key(key)
    with refused("immutable", column, constraint="apikey_immutable"):
        execute(f"UPDATE apikeys_apikey SET {column} = {FROZEN[column]}")


@pytest.mark.parametrize("column", CHANGEABLE)
def test_what_happens_to_a_key_is_written_down(key: ApiKey, column: str) -> None:
    assert execute(f"UPDATE apikeys_apikey SET {column} = {CHANGEABLE[column]}") == 1


def test_every_column_is_one_or_the_other() -> None:
    columns = {field.column for field in ApiKey._meta.concrete_fields}
    assert columns == FROZEN.keys() | CHANGEABLE.keys()
    assert CHANGEABLE.keys() <= set(freeze.rules.CHANGEABLE)
    assert not FROZEN.keys() & set(freeze.rules.CHANGEABLE)


def test_the_orm_has_no_way_round(key: ApiKey) -> None:
    same = ApiKey.objects.get(pk=key.pk)
    same.name = "Another"
    for change in (
        same.save,
        lambda: ApiKey.objects.filter(pk=key.pk).update(expires_at=in_days(300)),
        lambda: ApiKey.objects.bulk_update([same], ["name"]),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()
    ApiKey.objects.filter(pk=key.pk).update(name=F("name"))  # changes nothing, so nothing is refused


@pytest.mark.parametrize("change", [
    "revoked_at = NULL", "revoked_at = '2020-01-01 00:00:00+00:00'", "revoke_reason = 'another'", "revoked_by_id = 1",
    "revoked_at = NULL, revoke_reason = ''", "revoke_reason = revoke_reason || ' '",
    "revoke_at = '2099-01-01 00:00:00+00:00'",
])  # fmt: skip
def test_a_revocation_is_final(key: ApiKey, change: str) -> None:
    revoke_api_key(key, reason="left in a chat")
    before = rows()
    with refused("revoked for good", "make a new key", constraint="apikey_revocation_is_final"):
        execute(f"UPDATE apikeys_apikey SET {change}")
    assert rows() == before
    assert execute("UPDATE apikeys_apikey SET last_used_at = '2030-01-01 00:00:00+00:00'") == 1


@pytest.mark.parametrize("change", [
    "revoke_at = NULL", "revoke_at = '2099-01-01 00:00:00+00:00'", "revoke_at = '2020-01-01 00:00:00+00:00'",
    "revoke_at = NULL, revoked_at = NULL, revoke_reason = ''", "revoke_at = NULL, rate_plan = 'pro'",
    "revoked_at = '2099-01-01 00:00:00+00:00'", "revoke_reason = 'another'", "revoked_by_id = 1",
])  # fmt: skip
def test_a_scheduled_revocation_is_final_once_it_has_come(key: ApiKey, change: str) -> None:
    ApiKey.objects.update(revoke_at=in_days(-1))
    before = rows()
    with refused("revoked for good", "make a new key", constraint="apikey_revocation_is_final"):
        execute(f"UPDATE apikeys_apikey SET {change}")
    assert rows() == before
    assert not ApiKey.objects.in_force().exists()
    # that it is written down as well changes nothing about its end
    revoke_api_key(key)
    assert rows() == before


def test_a_scheduled_revocation_may_be_moved_or_cleared_until_it_has_come(key: ApiKey) -> None:
    for change in ("'2030-01-01 00:00:00+00:00'", "'2029-01-01 00:00:00+00:00'", "NULL", "'2031-01-01 00:00:00+00:00'"):
        assert execute(f"UPDATE apikeys_apikey SET revoke_at = {change}") == 1
    assert ApiKey.objects.in_force().exists()


@pytest.mark.parametrize("column", ["revoked_at", "revoke_at"])
def test_an_end_is_not_written_down_as_one_of_long_ago(key: ApiKey, column: str) -> None:
    before = rows()
    with refused("backdated", constraint="apikey_end_is_not_backdated"):
        ApiKey.objects.update(**{column: in_days(-3)})
    assert rows() == before


@pytest.mark.on_postgres
def test_a_statement_that_was_sent_before_the_scheduled_end_does_not_call_it_off_after(key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk).update(revoke_at=timezone.now() + timedelta(seconds=0.3))
    with refused("revoked for good", constraint="apikey_revocation_is_final"):
        execute("SELECT pg_sleep(0.5); UPDATE apikeys_apikey SET revoke_at = NULL")


def test_a_seal_is_final(key: ApiKey) -> None:
    assert key.sealed
    with refused("seal is final", constraint="apikey_seal_is_final"):
        execute("UPDATE apikeys_apikey SET sealed = NOT sealed")


# --- deleting and replacing a key


@pytest.mark.django_db
@pytest.mark.parametrize("standing", ["live", "revoked", "expired"])
def test_no_key_is_deleted_nor_its_allowlist_for_it_could_be_put_back_with_other_rights(standing: str) -> None:
    allowed = [make_mailbox(address="sales@example.com"), make_mailbox(address="billing@example.com")]
    long_ago = {"born": in_days(-60), "expires_at": in_days(-29.9)} if standing == "expired" else {}
    key, _ = make_key(mailboxes=allowed, **long_ago)
    if standing == "revoked":
        revoke_api_key(key)
    before = rows()
    with refused("never deleted", "revoke it", constraint="apikey_is_kept"):
        execute("DELETE FROM apikeys_apikey")
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        execute("DELETE FROM apikeys_apikeymailbox")
    assert rows() == before


@pytest.mark.on_postgres
@pytest.mark.parametrize("statement", [
    "INSERT INTO apikeys_apikey TABLE apikeys_apikey ON CONFLICT (id) DO UPDATE SET name = 'Another'",
    "INSERT INTO apikeys_apikey TABLE apikeys_apikey ON CONFLICT (identifier) DO UPDATE SET expires_at = '2099-01-01'",
    "MERGE INTO apikeys_apikey k USING apikeys_apikey o ON k.id = o.id WHEN MATCHED THEN UPDATE SET name = 'Another'",
])  # fmt: skip
def test_an_upsert_is_a_change(key: ApiKey, statement: str) -> None:
    with refused("immutable", constraint="apikey_immutable"):
        execute(statement)


# --- the allowlist


def test_a_sealed_allowlist_takes_no_row_and_loses_none(key: ApiKey) -> None:
    third = make_mailbox(address="third@example.com")
    before = rows()
    other, _ = make_key(mailboxes=[third])
    everything = rows()
    for change in (
        lambda: ApiKeyMailbox.objects.create(api_key=key, mailbox=third),
        lambda: execute(
            "INSERT INTO apikeys_apikeymailbox (api_key_id, mailbox_id) "
            "SELECT k.id, m.id FROM apikeys_apikey k, mailboxes_mailbox m"
        ),
        lambda: execute("DELETE FROM apikeys_apikeymailbox"),
        lambda: execute("DELETE FROM apikeys_apikeymailbox WHERE id = (SELECT min(id) FROM apikeys_apikeymailbox)"),
        lambda: execute("UPDATE apikeys_apikeymailbox SET mailbox_id = mailbox_id"),
        lambda: ApiKeyMailbox.objects.filter(api_key=key).update(mailbox=third),
        lambda: ApiKeyMailbox.objects.filter(api_key=other).update(api_key=key),
        lambda: ApiKeyMailbox.objects.filter(api_key=key).update(id=F("id") + 1000),
    ):
        with refused("mailbox allowlist", "make a new key", constraint="apikey_allowlist_immutable"):
            change()
        assert rows() == everything
    assert [row for row in everything[0] if row["id"] == key.pk] == before[0]


def test_an_ended_key_keeps_its_allowlist_too(key: ApiKey) -> None:
    revoke_api_key(key)
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        execute("DELETE FROM apikeys_apikeymailbox")


def test_no_row_waits_for_a_key_that_is_yet_to_come(db: None) -> None:
    mailbox = make_mailbox()
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        ApiKeyMailbox.objects.bulk_create([ApiKeyMailbox(api_key_id=uuid7(), mailbox=mailbox)])


def test_rows_of_one_key_are_not_taken_along_to_an_unsealed_one(key: ApiKey) -> None:
    made, _ = make_unsealed_key()
    before = rows()
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        ApiKeyMailbox.objects.filter(api_key=key).update(api_key=made)
    assert rows() == before
    ApiKeyMailbox.objects.create(api_key=made, mailbox=make_mailbox(address="third@example.com"))
    made.sealed = True
    made.save(update_fields=["sealed"])
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        ApiKeyMailbox.objects.create(api_key=made, mailbox=Mailbox.objects.all()[0])


# --- PostgreSQL: other sessions


@pytest.mark.on_postgres
def test_a_temporary_table_of_the_same_name_deceives_nobody(key: ApiKey) -> None:
    third = make_mailbox(address="third@example.com")
    execute("CREATE TEMPORARY TABLE apikeys_apikey AS SELECT id, false AS sealed FROM public.apikeys_apikey")
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        execute("INSERT INTO apikeys_apikeymailbox (api_key_id, mailbox_id) VALUES (%s, %s)", key.pk, third.pk)
    execute("DELETE FROM apikeys_apikey")
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        execute("DELETE FROM apikeys_apikeymailbox")


@pytest.mark.on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_key_is_not_sealed_while_a_row_for_it_is_on_its_way() -> None:
    made, _ = make_unsealed_key()
    with closing(connection.copy()) as other, other.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
        with transaction.atomic():
            ApiKeyMailbox.objects.create(api_key=made, mailbox=make_mailbox())
            with pytest.raises(Exception, match="lock timeout"):
                cursor.execute("UPDATE apikeys_apikey SET sealed = true WHERE id = %s", [made.pk])
        cursor.execute("UPDATE apikeys_apikey SET sealed = true WHERE id = %s", [made.pk])
    with refused("mailbox allowlist", constraint="apikey_allowlist_immutable"):
        ApiKeyMailbox.objects.create(api_key=made, mailbox=make_mailbox(address="sales@example.com"))
