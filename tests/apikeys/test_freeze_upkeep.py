"""The triggers come back, whatever happened to the tables: a migrate, half of one, a table altered by hand."""

import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import Settings

import apikeys.migrations
from apikeys import freeze
from apikeys.models import ApiKey, ApiKeyMailbox
from apikeys.services import revoke_api_key
from emailgistics.common import selftest
from emailgistics.common.ids import uuid7
from tests.apikeys.factories import make_key
from tests.factories import make_mailbox

pytestmark = pytest.mark.long

on_sqlite, on_postgres = pytest.mark.on_sqlite, pytest.mark.on_postgres
NEXT = "0900_altered"
ALTERING = """
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("apikeys", "{latest}")]
    operations = [
        # on SQLite the first is ALTER TABLE, the others build the table anew
        migrations.AddField("apikey", "note", models.CharField(max_length=20, null=True)),
        migrations.AddField("apikey", "places", models.JSONField(default=list)),
        migrations.AlterField("apikey", "name", models.CharField(max_length=250)),
        migrations.AddField("apikeymailbox", "added_by", models.CharField(max_length=20, default="")),
        migrations.AddConstraint(
            "apikey", models.CheckConstraint(condition=~Q(note="never"), name="apikey_altered")
        ),
        migrations.RemoveField("apikey", "last_used_at"),
    ]
"""  # fmt: skip


def refusal_of(statement: str) -> str:
    with pytest.raises(IntegrityError) as refusal, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    return str(refusal.value)


def check_that_all_is_frozen(*columns: str) -> None:
    assert freeze.LOCK.missing(connection) == []
    for column in ("name", "scopes", *columns):
        assert f"immutable: {column}" in refusal_of(f"UPDATE apikeys_apikey SET {column} = '[1]'")
    assert "seal" in refusal_of("UPDATE apikeys_apikey SET sealed = NOT sealed")
    assert "never deleted" in refusal_of("DELETE FROM apikeys_apikey")
    for statement in ("UPDATE apikeys_apikeymailbox SET id = id", "DELETE FROM apikeys_apikeymailbox"):
        assert "allowlist" in refusal_of(statement)


@pytest.fixture
def _further_migration(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more migration of apikeys; what it did is taken back afterwards."""
    package = tmp_path / "further_migrations"
    shutil.copytree(Path(apikeys.migrations.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    latest = max(path.stem for path in package.glob("0*.py"))
    (package / f"{NEXT}.py").write_text(ALTERING.replace("{latest}", latest))
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.MIGRATION_MODULES = {"apikeys": package.name}
    yield
    call_command("migrate", "apikeys", latest, verbosity=0)
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def make_live_key() -> ApiKey:
    return make_key(mailboxes=[make_mailbox()])[0]


@pytest.mark.usefixtures("_further_migration")
@pytest.mark.django_db(transaction=True)
def test_a_migration_that_alters_the_tables_leaves_all_frozen_with_the_new_columns() -> None:
    make_live_key()
    check_that_all_is_frozen()
    call_command("migrate", verbosity=0)
    assert {"note", "places"} <= columns_of("apikeys_apikey")
    assert "added_by" in columns_of("apikeys_apikeymailbox")
    assert "last_used_at" not in columns_of("apikeys_apikey")
    check_that_all_is_frozen("note", "places")
    revoke_api_key(ApiKey.objects.defer("last_used_at").get())
    assert "revoked for good" in refusal_of("UPDATE apikeys_apikey SET revoke_reason = 'another'")

    call_command("migrate", "apikeys", previous(), verbosity=0)
    assert "note" not in columns_of("apikeys_apikey")
    make_key(mailboxes=[make_mailbox(address="sales@example.com")])
    check_that_all_is_frozen()


def columns_of(table: str) -> set[str]:
    with connection.cursor() as cursor:
        return {column.name for column in connection.introspection.get_table_description(cursor, table)}


def previous() -> str:
    return max(path.stem for path in Path(apikeys.migrations.__file__).parent.glob("0*.py"))


@pytest.mark.django_db(transaction=True)
def test_a_migrate_with_nothing_to_do_changes_nothing() -> None:
    make_live_key()
    before = fingerprint()
    call_command("migrate", verbosity=0)
    assert fingerprint() == before
    check_that_all_is_frozen()


def fingerprint() -> object:
    with connection.cursor() as cursor:
        cursor.execute(
            "PRAGMA schema_version"
            if connection.vendor == "sqlite"
            else "SELECT oid, tgname FROM pg_trigger WHERE tgname LIKE 'apikeys_%' ORDER BY 1"
        )
        return cursor.fetchall()


@pytest.mark.django_db(transaction=True)
def test_the_way_back_to_nothing_and_from_there_is_open() -> None:
    try:
        call_command("migrate", "webhooks", "zero", verbosity=0)
        call_command("migrate", "apikeys", "zero", verbosity=0)
        assert freeze.LOCK.missing(connection) == []  # no tables, so nothing is missing
    finally:
        call_command("migrate", verbosity=0)
    make_live_key()
    check_that_all_is_frozen()


@pytest.mark.django_db(transaction=True)
def test_after_the_way_back_to_the_first_migration_keys_can_still_be_revoked_and_made() -> None:
    key = make_live_key()
    mailbox = make_mailbox(address="later@example.com")
    values = "identifier, digest, pepper, name, scopes, all_mailboxes, expires_at, created_at, rate_plan"
    with connection.cursor() as cursor:
        try:
            call_command("migrate", "apikeys", "0001", verbosity=0)
            assert freeze.LOCK.missing(connection) == []  # the first release had no triggers
            cursor.execute("UPDATE apikeys_apikey SET revoked_at = '2030-01-01 00:00:00+00:00'")
            assert cursor.rowcount == 1
            made = ApiKey(pk=uuid7())
            text = values.replace("identifier", "'emgk_0000000000'")
            pk, allowed = (adapted(connection, value) for value in (made.pk, mailbox.pk))
            cursor.execute(f"INSERT INTO apikeys_apikey (id, {values}) SELECT %s, {text} FROM apikeys_apikey", [pk])
            cursor.execute("INSERT INTO apikeys_apikeymailbox (api_key_id, mailbox_id) VALUES (%s, %s)", [pk, allowed])
        finally:
            call_command("migrate", verbosity=0)
    assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
    check_that_all_is_frozen()


def adapted(to: Any, value: UUID) -> Any:
    return value if to.vendor == "postgresql" else value.hex


# --- the check


def messages() -> list[tuple[str | None, str]]:
    return [(message.id, message.msg) for message in run_checks(databases=["default"]) if message.id == "apikeys.E002"]


@pytest.mark.django_db
@pytest.mark.parametrize("harm", [
    pytest.param("DROP TRIGGER apikeys_frozen_key_update", marks=on_sqlite),
    pytest.param("DROP TRIGGER apikeys_frozen_allowlist_insert", marks=on_sqlite),
    pytest.param("ALTER TABLE apikeys_apikey ADD COLUMN note text", marks=on_sqlite),
    pytest.param("DROP TRIGGER apikeys_frozen_key ON apikeys_apikey", marks=on_postgres),
    pytest.param("ALTER TABLE apikeys_apikeymailbox DISABLE TRIGGER USER", marks=on_postgres),
    pytest.param(
        "CREATE OR REPLACE FUNCTION apikeys_frozen_key() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        marks=on_postgres,
    ),
    pytest.param(
        "CREATE OR REPLACE TRIGGER apikeys_frozen_key BEFORE DELETE ON apikeys_apikey "
        "FOR EACH ROW EXECUTE FUNCTION apikeys_frozen_key()",
        marks=on_postgres,
    ),
    pytest.param("ALTER TABLE apikeys_apikey ENABLE REPLICA TRIGGER apikeys_frozen_key", marks=on_postgres),
])  # fmt: skip
def test_the_check_tells_of_what_is_missing_and_migrate_mends_it(harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert messages() == []
    with connection.cursor() as cursor:
        cursor.execute(harm)
    ((_, text),) = messages()
    assert "'default'" in text
    assert "apikeys_frozen_" in text
    # migrate runs the check first, and must not be kept from mending it
    monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
    assert messages() == []
    monkeypatch.undo()
    freeze.LOCK.after_migrate(using="default")
    assert messages() == []
    make_live_key()
    check_that_all_is_frozen(*({"note"} & columns_of("apikeys_apikey")))


@on_postgres
@pytest.mark.django_db
@pytest.mark.parametrize("harm", [
    "DROP TRIGGER apikeys_frozen_allowlist ON apikeys_apikeymailbox",
    "ALTER TABLE apikeys_apikey DISABLE TRIGGER apikeys_frozen_key",
])  # fmt: skip
def test_no_part_starts_on_a_database_that_does_not_guard_keys(harm: str) -> None:
    selftest.refuse()
    with connection.cursor() as cursor:
        cursor.execute(harm)
    with pytest.raises(ImproperlyConfigured, match=r"guards API keys is missing or disabled: .*manage.py migrate"):
        selftest.refuse()
    freeze.LOCK.after_migrate(using="default")
    selftest.refuse()


def test_the_check_is_of_the_database_so_it_costs_no_other_command_a_query() -> None:
    assert all(message.id != "apikeys.E002" for message in run_checks())  # without the mark django_db: it would raise


# --- SQLite: a migrate that was interrupted


@contextmanager
def opened(name: str | None = None, **options: Any) -> Iterator[BaseDatabaseWrapper]:
    """Another connection to the test database, as another process opens it."""
    other = connection.copy("other")
    other.settings_dict |= {"NAME": name or connection.settings_dict["NAME"]}
    other.settings_dict["OPTIONS"] = {**other.settings_dict["OPTIONS"], **options}
    connections["other"] = other
    try:
        other.ensure_connection()
        yield other
    finally:
        other.close()
        del connections["other"]


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_whoever_opens_the_database_next_restores_what_an_interrupted_migrate_left_off() -> None:
    make_live_key()
    freeze.LOCK.before_migrate(using="default", plan=["something"])
    assert len(freeze.LOCK.missing(connection)) == len(freeze.sqlite.TRIGGERS)
    with opened():
        assert freeze.LOCK.missing(connection) == []
    check_that_all_is_frozen()


@on_sqlite
@pytest.mark.usefixtures("_further_migration")
@pytest.mark.django_db(transaction=True)
def test_but_not_while_a_migration_of_keys_is_due_for_it_may_be_running() -> None:
    freeze.LOCK.before_migrate(using="default", plan=["something"])
    with opened():
        assert len(freeze.LOCK.missing(connection)) == len(freeze.sqlite.TRIGGERS)
    call_command("migrate", verbosity=0)
    assert freeze.LOCK.missing(connection) == []


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_opening_a_frozen_database_costs_one_query_for_keys_and_one_for_the_audit_log() -> None:
    other = connection.copy("other")
    other.force_debug_cursor = True
    with closing(other):
        other.connect()
        assert [query["sql"].split(" FROM ")[0] for query in other.queries] == ["SELECT name"] * 2


@on_sqlite
def test_an_empty_database_is_left_alone(tmp_path: Path, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock(), opened(str(tmp_path / "empty.sqlite3")) as empty:
        assert empty.introspection.table_names() == []
        assert freeze.LOCK.missing(empty) == []


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_database_that_cannot_be_written_opens_all_the_same(tmp_path: Path) -> None:
    make_live_key()
    path = tmp_path / "copy.sqlite3"
    with closing(sqlite3.connect(connection.settings_dict["NAME"])) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.execute("DROP TRIGGER apikeys_frozen_key_update")
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.commit()
    with opened(f"file:{path}?mode=ro", init_command="") as read_only, read_only.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM apikeys_apikey")
        assert cursor.fetchone() == (1,)
        assert len(freeze.LOCK.missing(read_only)) == 1
    with opened(str(path)) as writable:
        assert freeze.LOCK.missing(writable) == []


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_locked_opens_without_a_wait() -> None:
    freeze.LOCK.drop(connection)
    with closing(sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with opened() as other, other.cursor() as cursor:
            assert time.monotonic() - began < 15  # a writer is waited for 30 s
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone() == (30_000,)
            assert len(freeze.LOCK.missing(other)) == len(freeze.sqlite.TRIGGERS)
        writer.execute("ROLLBACK")
    with opened():
        assert freeze.LOCK.missing(connection) == []


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_transaction_may_be_what_opens_the_database() -> None:
    make_live_key()
    freeze.LOCK.drop(connection)
    found: list[Any] = []

    def work() -> None:
        with transaction.atomic(durable=True):
            found.append(ApiKeyMailbox.objects.count())
            ApiKey.objects.update(last_used_at=None)
            transaction.on_commit(lambda: found.append("committed"))
        found.append(freeze.LOCK.missing(connection))
        connection.close()

    in_a_thread(work)
    assert found == [1, "committed", []]


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_many_that_open_it_at_once_get_on() -> None:
    make_live_key()
    freeze.LOCK.drop(connection)
    faults: list[Exception] = []

    def work() -> None:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    check_that_all_is_frozen()


def in_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


# --- PostgreSQL


@on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_routine_migrate_waits_for_nobody_who_works_with_the_tables() -> None:
    make_live_key()
    with closing(connection.copy()) as other, other.cursor() as worker, connection.cursor() as cursor:
        worker.execute("BEGIN; UPDATE apikeys_apikey SET last_used_at = now(); SELECT * FROM apikeys_apikeymailbox")
        cursor.execute("SET lock_timeout = '500ms'")
        freeze.LOCK.after_migrate(using="default")
        worker.execute("ROLLBACK")
        cursor.execute("RESET lock_timeout")


@on_postgres
@pytest.mark.django_db(transaction=True)
def test_two_migrates_at_once_get_on() -> None:
    faults: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(10):
                freeze.LOCK.after_migrate(using="default")
        except Exception as error:  # noqa: BLE001 - whatever it is
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert freeze.LOCK.missing(connection) == []
