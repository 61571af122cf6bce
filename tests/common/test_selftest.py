"""A process starts with the secrets that its database was used with, and with no others."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection
from pytest_django import DjangoAssertNumQueries, Settings

from emailgistics.common import checks, env, selftest
from emailgistics.common.crypto import KeyRing
from emailgistics.common.models import SecretCheck
from emailgistics.common.selftest import refuse_wrong_secrets
from emailgistics.management.commands import web
from emailgistics.management.commands.up import COMMANDS
from mailboxes.management.commands import smtpd
from tests import migrated
from tests.apikeys.factories import make_expired_key, make_key
from tests.factories import make_mailbox
from tests.installation import free_ports
from webhooks.services.webhooks import create_webhook

ONE, TWO, OTHER = b"1" * 32, b"2" * 32, b"other bytes, as many as there are"[:32]


@pytest.fixture(autouse=True)
def _one_of_each(settings: Settings) -> None:
    settings.API_KEY_PEPPERS = ring(1)
    settings.ENCRYPTION_KEYS = ring(1)


def ring(*numbers: int) -> KeyRing:
    """The first is primary."""
    return KeyRing(primary=numbers[0], keys={number: {1: ONE, 2: TWO}[number] for number in numbers})


def is_refused(*words: str) -> bool:
    with pytest.raises(ImproperlyConfigured) as refusal:
        refuse_wrong_secrets()
    message = str(refusal.value)
    assert not any(secret.decode() in message for secret in (ONE, TWO, OTHER))
    return all(word in message for word in words)


@pytest.mark.django_db
def test_the_first_start_records_and_each_later_one_asks_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    refuse_wrong_secrets()
    recorded = set(SecretCheck.objects.values_list("name", "number", "was_primary"))
    assert recorded == {("SECRET_KEY", 0, True), ("API_KEY_PEPPERS", 1, True), ("ENCRYPTION_KEYS", 1, True)}
    values = [bytes(value) for value in SecretCheck.objects.values_list("value", flat=True)]
    assert len(set(values)) == 3
    assert ONE not in values
    with django_assert_num_queries(1):
        refuse_wrong_secrets()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["API_KEY_PEPPERS", "ENCRYPTION_KEYS"])
def test_other_bytes_under_the_same_number_are_refused(settings: Settings, name: str) -> None:
    refuse_wrong_secrets()
    setattr(settings, name, KeyRing(primary=1, keys={1: OTHER}))
    assert is_refused(f"{name}: number 1 is another one", f"--accept {name}:1")
    setattr(settings, name, ring(1))
    refuse_wrong_secrets()


@pytest.mark.django_db
def test_another_secret_key_is_refused_until_it_is_accepted(settings: Settings) -> None:
    refuse_wrong_secrets()
    settings.SECRET_KEY = "another secret key, as long as can be: 0123456789"
    assert is_refused("SECRET_KEY is another one", "--accept SECRET_KEY")
    assert selftest.accept("SECRET_KEY", 0)
    refuse_wrong_secrets()


@pytest.mark.django_db
def test_a_new_number_is_recorded_and_cannot_be_used_twice(settings: Settings) -> None:
    refuse_wrong_secrets()
    settings.API_KEY_PEPPERS = ring(2, 1)
    refuse_wrong_secrets()
    settings.API_KEY_PEPPERS = ring(2)  # no key was made with 1
    refuse_wrong_secrets()
    assert SecretCheck.objects.get(name="API_KEY_PEPPERS", number=1).dropped_at
    settings.API_KEY_PEPPERS = KeyRing(primary=2, keys={2: TWO, 1: OTHER})
    assert is_refused("API_KEY_PEPPERS: number 1 is another one")
    settings.API_KEY_PEPPERS = ring(2, 1)
    refuse_wrong_secrets()
    assert SecretCheck.objects.get(name="API_KEY_PEPPERS", number=1).dropped_at is None


@pytest.mark.django_db
def test_a_pepper_that_keys_in_force_need_cannot_be_dropped(settings: Settings) -> None:
    key, _ = make_key()
    make_expired_key()
    refuse_wrong_secrets()
    settings.API_KEY_PEPPERS = ring(2)
    assert is_refused("API_KEY_PEPPERS: number 1 is not", "needed by 1 API keys in force", f"{key.expires_at:%Y-%m-%d}")
    selftest.accept("API_KEY_PEPPERS", 1)
    refuse_wrong_secrets()


@pytest.mark.django_db
def test_a_number_that_was_dropped_is_asked_for_again_once_rows_need_it(settings: Settings) -> None:
    refuse_wrong_secrets()
    settings.API_KEY_PEPPERS = ring(2, 1)
    refuse_wrong_secrets()
    settings.API_KEY_PEPPERS = ring(1)
    refuse_wrong_secrets()  # no key needs 2
    settings.API_KEY_PEPPERS = ring(2, 1)
    make_key()  # on a host that still has it
    settings.API_KEY_PEPPERS = ring(1)
    assert is_refused("API_KEY_PEPPERS: number 2 is not", "needed by 1 API keys in force")


@pytest.mark.django_db
def test_one_row_that_was_damaged_keeps_nobody_from_starting(settings: Settings) -> None:
    damaged, _ = create_webhook(mailbox=make_mailbox(), url="")
    create_webhook(mailbox=make_mailbox(address="sales@example.com"), url="")
    sealed = bytes(damaged.sealed_secret)
    type(damaged).objects.filter(pk=damaged.pk).update(sealed_secret=sealed[:-1] + bytes([sealed[-1] ^ 1]))
    refuse_wrong_secrets()
    assert SecretCheck.objects.filter(name="ENCRYPTION_KEYS", number=1).exists()


@pytest.mark.django_db
def test_an_encryption_key_that_webhooks_need_cannot_be_dropped(settings: Settings) -> None:
    refuse_wrong_secrets()
    create_webhook(mailbox=make_mailbox(), url="")
    settings.ENCRYPTION_KEYS = ring(2)
    assert is_refused("ENCRYPTION_KEYS: number 1 is not configured", "1 webhook secrets", "rotate_keys --rewrite")


@pytest.mark.django_db
def test_what_rows_can_tell_is_not_recorded_wrong_where_nothing_was_recorded_before(settings: Settings) -> None:
    create_webhook(mailbox=make_mailbox(), url="")
    settings.ENCRYPTION_KEYS = KeyRing(primary=1, keys={1: OTHER})
    assert is_refused("ENCRYPTION_KEYS: number 1 is another one")
    settings.ENCRYPTION_KEYS = ring(2)
    assert is_refused("ENCRYPTION_KEYS: number 1 is not configured")
    assert not SecretCheck.objects.exists()


@pytest.mark.django_db
def test_a_lost_encryption_key_can_be_given_up(settings: Settings) -> None:
    refuse_wrong_secrets()
    create_webhook(mailbox=make_mailbox(), url="")
    settings.ENCRYPTION_KEYS = ring(2)
    call_command("rotate_keys", "--accept", "ENCRYPTION_KEYS:1")
    refuse_wrong_secrets()


@pytest.mark.django_db
def test_commands_that_make_secrets_and_checks_of_the_database_refuse(settings: Settings) -> None:
    refuse_wrong_secrets()
    settings.API_KEY_PEPPERS = KeyRing(primary=1, keys={1: OTHER})
    for command in ("apikeys", "webhooks", "emails"):
        with pytest.raises(ImproperlyConfigured, match="API_KEY_PEPPERS: number 1"):
            call_command(command, "list")
    call_command("domains", "list")
    call_command("check")
    with pytest.raises(SystemCheckError, match=r"common\.E001"):
        call_command("check", "--database", "default")


@pytest.mark.django_db(transaction=True)
def test_the_parts_that_listen_do_not_begin_to(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = mock.Mock()
    monkeypatch.setattr(web, "Server", begun)
    monkeypatch.setattr(smtpd.asyncio, "run", begun)
    refuse_wrong_secrets()
    settings.API_KEY_PEPPERS = KeyRing(primary=1, keys={1: OTHER})
    for command in ("web", "smtpd"):
        with pytest.raises(ImproperlyConfigured, match="API_KEY_PEPPERS: number 1"):
            call_command(command)
    begun.assert_not_called()


@pytest.mark.django_db(transaction=True)
def test_a_part_waits_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([OperationalError("away"), OperationalError("away"), None])
    waits: list[float] = []

    def ask() -> None:
        if (answer := next(answers)) is not None:
            raise answer

    monkeypatch.setattr(selftest, "refuse_wrong_secrets", ask)
    monkeypatch.setattr(selftest.time, "sleep", waits.append)
    selftest.wait_and_refuse()
    assert waits == [selftest.ASK_AGAIN_S] * 2


@pytest.mark.on_sqlite
@pytest.mark.long
def test_no_part_starts_with_another_secret(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    migrated.copy_sqlite(data_dir)
    env.ensure_generated(data_dir)
    ports = dict(zip(("HTTP_PORT", "SMTP_PORT", "SINK_PORT"), map(str, free_ports(3)), strict=True))
    variables = {"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), **ports}

    def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=django_settings.BASE_DIR,
            env=variables | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert run("manage.py", "rotate_keys").returncode == 0
    parts = [("manage.py", "up"), *(tuple(COMMANDS[name].split()[1:]) for name in ("worker", "beat"))]
    another = "another secret key, as long as can be: 0123456789"
    with ThreadPoolExecutor() as pool:
        for done in pool.map(lambda command: run(*command, SECRET_KEY=another), parts):
            assert done.returncode == 1, done
            assert "SECRET_KEY is another one than this database was used with" in done.stderr, done
            assert "Traceback" not in done.stderr


@pytest.mark.django_db
def test_migrating_is_stopped_by_no_secret(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_wrong_secrets()
    settings.SECRET_KEY = "another secret key, as long as can be: 0123456789"
    assert checks.secrets_are_those_of_the_database(databases=["default"])
    monkeypatch.setattr(sys, "argv", ["manage.py", "migrate"])
    assert checks.secrets_are_those_of_the_database(databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
def test_a_database_without_tables_stops_nothing() -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(SecretCheck)
    try:
        refuse_wrong_secrets()
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(SecretCheck)
