"""Keys that ended long ago go, and none of them comes back; nothing else goes."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apikeys.models import (
    ApiKey,
    ApiKeyMailbox,
    IssuedKey,
    KeyCalls,
    KeyMailboxUse,
    KeyNotice,
    KeyRefusals,
    KeyScopeUse,
)
from apikeys.purge import Purge, purge
from apikeys.services import revoke_api_key
from emailgistics.common.ids import uuid7
from emailgistics.common.models import AuditEntry
from tests.apikeys.factories import client_of, make_ended_key, make_key
from tests.apikeys.test_freeze import execute, refused, rows
from tests.factories import in_days, make_mailbox, make_webhook
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db

ENDS = [
    pytest.param({"expires_at": in_days(-30.1)}, id="expired"),
    pytest.param({"revoked_at": in_days(-30.1)}, id="revoked"),
    pytest.param({"revoke_at": in_days(-30.1)}, id="scheduled"),
]


@pytest.mark.parametrize("ended", ENDS)
def test_a_key_that_ended_a_month_ago_goes_with_all_that_was_counted_of_it(ended: dict[str, Any]) -> None:
    mailbox = make_mailbox()
    old, plaintext = make_ended_key(mailboxes=[mailbox], **ended)
    successor, _ = make_key(rotated_from=old, mailboxes=[mailbox])
    today = in_days(0).date()
    for table, values in (
        (KeyCalls, {"day": today, "family": "emails", "status_class": 2, "count": 1}),
        (KeyRefusals, {"day": today, "reason": "key_expired", "network": "", "count": 1, "last_at": in_days(0)}),
        (KeyScopeUse, {"scope": "emails:read", "last_on": today}),
        (KeyMailboxUse, {"mailbox": mailbox, "last_on": today}),
        (KeyNotice, {"kind": "aged_90", "told_at": in_days(0)}),
    ):
        rows_of: Any = table._base_manager
        rows_of.create(api_key=old, **values)
        rows_of.create(api_key=successor, **values)
    assert purge() == Purge([old.identifier], [])
    connection.check_constraints()
    assert list(ApiKey.objects.all()) == [successor]
    assert list(ApiKeyMailbox.objects.values_list("api_key", flat=True)) == [successor.pk]
    for counted in (KeyCalls, KeyRefusals, KeyScopeUse, KeyMailboxUse, KeyNotice):
        assert [row.api_key for row in counted._base_manager.all()] == [successor]
    assert ApiKey.objects.get().rotated_from is None
    assert client_of(plaintext).get("/v1/me").json()["code"] == "invalid_key"
    assert purge() == Purge([], [])
    entries = AuditEntry.objects.filter(of=old.identifier).order_by("pk").values_list("action", "by")
    assert list(entries) == [("apikey.rotated", "command"), ("apikey.purged", "command")]


def test_what_has_not_ended_a_month_ago_stays() -> None:
    make_key()
    revoke_api_key(make_key()[0])
    for ended in ({"expires_at": in_days(-29.9)}, {"revoked_at": in_days(-29.9)}, {"revoke_at": in_days(-29.9)}):
        make_ended_key(**ended)
    before = rows()
    assert purge() == Purge([], [])
    assert rows() == before


@pytest.mark.usefixtures("_loopback_allowed")
def test_a_key_that_something_was_made_with_stays_for_as_long_as_that_is_there() -> None:
    key, _ = make_ended_key(expires_at=in_days(-31))
    webhook = make_webhook()
    Webhook.objects.filter(pk=webhook.pk).update(created_by=key)
    other, _ = make_ended_key(expires_at=in_days(-31))
    assert purge() == Purge([other.identifier], [key.identifier])
    Webhook.objects.filter(pk=webhook.pk).update(created_by=None)
    assert purge() == Purge([key.identifier], [])


@pytest.fixture
def _loopback_allowed(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


# --- what raw SQL can do with a row that was copied in time


COPY = (
    "INSERT INTO apikeys_apikey ({columns}) SELECT {values} FROM copied",
    "INSERT INTO apikeys_apikey ({columns}) SELECT {values} FROM copied WHERE TRUE ON CONFLICT DO NOTHING",
)


@pytest.mark.parametrize("statement", COPY)
@pytest.mark.parametrize("change", [
    {}, {"expires_at": "'2099-01-01 00:00:00+00:00'"}, {"id": "NEW_ID"}, {"identifier": "'emgk_0000000000'"},
])  # fmt: skip
def test_a_key_that_was_purged_is_not_put_back(statement: str, change: dict[str, str]) -> None:
    make_ended_key(expires_at=in_days(-31))
    execute("CREATE TEMPORARY TABLE copied AS SELECT * FROM apikeys_apikey")
    purge()
    columns = [field.column for field in ApiKey._meta.concrete_fields]
    fresh = uuid7()
    new_id = f"'{fresh}'" if connection.vendor == "postgresql" else f"'{fresh.hex}'"
    values = [change.get(column, column).replace("NEW_ID", new_id) for column in columns]
    with refused("issued once", constraint="apikey_is_issued_once"):
        execute(statement.format(columns=", ".join(columns), values=", ".join(values)))
    assert not ApiKey.objects.exists()


def test_that_a_key_was_issued_stays_on_record() -> None:
    key, _ = make_key()
    assert list(IssuedKey.objects.values_list("pk", "identifier")) == [(key.pk, key.identifier)]
    for statement in (
        "DELETE FROM apikeys_issuedkey", "UPDATE apikeys_issuedkey SET identifier = 'emgk_0000000000'",
        "UPDATE apikeys_issuedkey SET id = id",
    ):  # fmt: skip
        with refused("issued is immutable", "for good", constraint="apikey_issued_is_final"):
            execute(statement)
    with pytest.raises(IntegrityError), transaction.atomic():
        execute("INSERT INTO apikeys_issuedkey SELECT * FROM apikeys_issuedkey")
    assert IssuedKey.objects.count() == 1


@pytest.mark.parametrize("column", ["revoked_at", "revoke_at"])
def test_no_live_key_is_made_one_of_long_ago_and_deleted(column: str) -> None:
    make_key()
    before = rows()
    with refused("backdated", constraint="apikey_end_is_not_backdated"):
        execute(f"UPDATE apikeys_apikey SET {column} = '2020-01-01 00:00:00+00:00'")
    ApiKey.objects.update(**{column: in_days(-1.9)})  # as far as it goes
    ended = rows()
    with refused("never deleted", constraint="apikey_is_kept"):
        execute("DELETE FROM apikeys_apikey")
    assert rows() == ended != before


def test_neither_its_list_nor_its_successors_let_a_key_go_that_is_there() -> None:
    old, _ = make_ended_key(expires_at=in_days(-31), mailboxes=[make_mailbox()])
    make_key(rotated_from=old)
    before = rows()
    with refused("allowlist", constraint="apikey_allowlist_immutable"):
        execute("DELETE FROM apikeys_apikeymailbox")
    with refused("rotated_from_id never changes", constraint="apikey_immutable"):
        execute("UPDATE apikeys_apikey SET rotated_from_id = NULL")
    assert rows() == before


@pytest.mark.on_postgres
@pytest.mark.django_db(transaction=True)
def test_who_puts_a_key_back_while_it_goes_waits_and_is_refused() -> None:
    key, _ = make_ended_key(expires_at=in_days(-31))
    told: list[Exception] = []
    gone = threading.Event()

    def put_back() -> None:
        gone.wait(30)
        try:
            key.expires_at += timedelta(days=1000)
            key.save(force_insert=True)
        except IntegrityError as error:
            told.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=put_back)
    other.start()
    with transaction.atomic():
        purge()
        gone.set()
        other.join(0.3)
        assert other.is_alive()
    other.join(30)
    assert "issued once" in str(told[0])
    assert not ApiKey.objects.exists()
