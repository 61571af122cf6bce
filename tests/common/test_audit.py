"""The audit log is only added to, whoever asks: on PostgreSQL and SQLite alike."""

import sys
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction

from emailgistics.common import audit
from emailgistics.common.models import AuditEntry

pytestmark = pytest.mark.django_db

TABLE = "common_auditentry"
ROW = "(id, at, action, of, by, details) VALUES ({}, '2020-01-01 00:00:00+00:00', 'forged', 'x', 'x', '{{}}')"


def execute(statement: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.fixture
def entry() -> AuditEntry:
    audit.record("apikey.created", of="emgk_0000000000")
    return AuditEntry.objects.get()


def test_an_entry_says_who_did_what_to_what_from_where() -> None:
    grace = User.objects.create_superuser("grace" * 20)
    audit.record("apikey.revoked", of="emgk_1", person=grace, address="192.0.2.7", details={"count": 3})
    audit.record("apikey.revoked", of="emgk_2", address="")
    audit.record("apikey.expired", of="emgk_3", by=audit.SYSTEM)
    assert list(AuditEntry.objects.order_by("of").values_list("of", "person", "by", "address", "details")) == [
        ("emgk_1", grace.pk, ("grace" * 20)[:80], "192.0.2.7", {"count": 3}),
        ("emgk_2", None, "command", None, {}),
        ("emgk_3", None, "system", None, {}),
    ]


def test_what_is_rolled_back_did_not_happen() -> None:
    with transaction.atomic():
        audit.record("apikey.created", of="emgk_0000000000")
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("statement", [
    f"UPDATE {TABLE} SET by = 'somebody else'",
    f"UPDATE {TABLE} SET id = id",
    f"DELETE FROM {TABLE}",
    pytest.param(f"UPDATE OR REPLACE {TABLE} SET by = 'somebody else'", marks=pytest.mark.on_sqlite),
    pytest.param(f"INSERT OR REPLACE INTO {TABLE} {ROW}", marks=pytest.mark.on_sqlite),
    pytest.param(
        f"INSERT INTO {TABLE} {ROW} ON CONFLICT (id) DO UPDATE SET action = 'forged'", marks=pytest.mark.on_postgres
    ),
])  # fmt: skip
def test_nothing_in_it_changes_and_nothing_goes(entry: AuditEntry, statement: str) -> None:
    before = list(AuditEntry.objects.values())
    with pytest.raises(IntegrityError, match="only added to"):
        execute(statement.format(entry.pk))
    assert list(AuditEntry.objects.values()) == before


@pytest.mark.on_sqlite
def test_not_either_by_a_connection_that_fires_no_triggers_for_what_it_replaces(entry: AuditEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers = OFF")
        try:
            with pytest.raises(IntegrityError, match="only added to"):
                execute(f"INSERT OR REPLACE INTO {TABLE} {ROW.format(entry.pk)}")
        finally:
            cursor.execute("PRAGMA recursive_triggers = ON")


def test_the_orm_has_no_way_round(entry: AuditEntry) -> None:
    ways: list[Callable[[], object]] = [entry.save, entry.delete, AuditEntry.objects.all().delete]
    for way in ways:
        with pytest.raises(IntegrityError), transaction.atomic():
            way()


# --- the triggers


def messages() -> list[str]:
    return [message.msg for message in run_checks(databases=["default"]) if message.id == "common.E003"]


@pytest.mark.parametrize("harm", [
    pytest.param(f"DROP TRIGGER {audit.PREFIX}delete", marks=pytest.mark.on_sqlite),
    pytest.param(f"ALTER TABLE {TABLE} DISABLE TRIGGER USER", marks=pytest.mark.on_postgres),
    pytest.param(
        f"CREATE OR REPLACE FUNCTION {audit.PREFIX}audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        marks=pytest.mark.on_postgres,
    ),
])  # fmt: skip
def test_the_check_tells_of_what_is_missing_and_migrate_mends_it(harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert messages() == []
    execute(harm)
    (text,) = messages()
    assert "the audit log" in text
    # migrate runs the check first, and must not be kept from mending it
    monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
    assert messages() == []
    monkeypatch.undo()
    audit.append_only.after_migrate(using="default")
    assert messages() == []


@pytest.mark.on_sqlite
@pytest.mark.django_db(transaction=True)
def test_the_way_back_and_forth_is_open_and_ends_with_all_of_them() -> None:
    audit.record("apikey.created", of="emgk_0000000000")
    try:
        call_command("migrate", "common", "0004", verbosity=0)
        assert TABLE not in connection.introspection.table_names()
    finally:
        call_command("migrate", verbosity=0)
    assert audit.append_only.missing(connection) == []


@pytest.mark.on_sqlite
@pytest.mark.django_db(transaction=True)
def test_who_opens_the_database_restores_what_an_interrupted_migrate_left_off() -> None:
    audit.append_only.before_migrate(using="default", plan=["something"])
    assert len(audit.append_only.missing(connection)) == 3
    connections["other"] = other = connection.copy("other")
    try:
        other.connect()
    finally:
        other.close()
        del connections["other"]
    assert audit.append_only.missing(connection) == []
