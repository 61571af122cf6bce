"""A backup is whole or none, has nothing in it that opens a door, and is not put where it does not belong."""

import json
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from pytest_django import Settings

from emailgistics.common.crypto import KeyRing
from emailgistics.common.ids import uuid7
from emailgistics.common.models import KeptAnswer
from emailgistics.common.selftest import refuse_wrong_secrets
from emailgistics.recovery import backup
from emailgistics.recovery.backup import Manifest
from tests.apikeys.factories import make_key
from tests.factories import in_days, make_email, make_mailbox
from webhooks.services import restored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A backup of a little of everything."""
    refuse_wrong_secrets()
    make_email(to=make_mailbox().address)
    make_key()
    Client().force_login(User.objects.create_superuser("grace"))
    KeptAnswer.objects.create(api_key=uuid7(), digest=b"1" * 32, kept_at=in_days(0), size=3, sealed=b"an answer")
    manage("backup", str(tmp_path / "backup"))
    return tmp_path / "backup"


def manage(*arguments: str) -> Any:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def rows_in(file: Path, table: str) -> int:
    if file.suffix == ".sqlite3":
        with closing(sqlite3.connect(file)) as copy:
            count: int = copy.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count
    dumped = subprocess.run(
        ["pg_restore", "--data-only", f"--table={table}", "--file=-", str(file)], capture_output=True, check=True
    )
    _, _, lines = dumped.stdout.partition(b"FROM stdin;\n")
    return lines.partition(b"\\.\n")[0].count(b"\n")


def manifest_with(folder: Path, **changes: Any) -> None:
    changed = replace(Manifest.read(folder), **changes)
    (folder / backup.MANIFEST).write_text(json.dumps({name: getattr(changed, name) for name in changed.__slots__}))


def test_it_holds_mail_and_keys_and_no_session_and_no_kept_answer(made: Path) -> None:
    manifest = Manifest.read(made)
    file = made / manifest.file
    assert {table: rows_in(file, table) for table in ("mailboxes_email", "apikeys_apikey")} == {
        "mailboxes_email": 1,
        "apikeys_apikey": 1,
    }
    assert {table: rows_in(file, table) for table in manifest.left_out} == dict.fromkeys(manifest.left_out, 0)
    assert {"console_session", "common_keptanswer", "common_lease"} <= {*manifest.left_out}
    assert (manifest.rows["mailboxes_email"], manifest.version) == (1, django_settings.VERSION)
    assert manifest.needs == [["API_KEY_PEPPERS", 1]]
    assert b"an answer" not in file.read_bytes()


def test_only_its_owner_reads_it_and_the_secrets_are_elsewhere(made: Path) -> None:
    assert [stat.S_IMODE(path.stat().st_mode) for path in sorted(made.iterdir())] == [0o600, 0o600]
    secrets = django_settings.ENCRYPTION_KEYS.keys[1], django_settings.SECRET_KEY.encode()
    octets = b"".join(path.read_bytes() for path in made.iterdir())
    assert not any(secret in octets for secret in secrets)


def test_a_folder_with_something_in_it_is_left_alone(made: Path) -> None:
    before = {path: path.read_bytes() for path in made.iterdir()}
    with pytest.raises(CommandError, match="not empty"):
        manage("backup", str(made))
    assert {path: path.read_bytes() for path in made.iterdir()} == before


@pytest.mark.parametrize(
    ("why", "harm"),
    [
        ("cut short", lambda folder: (folder / Manifest.read(folder).file).write_bytes(b"SQLite")),
        ("cannot be read", lambda folder: (folder / Manifest.read(folder).file).unlink()),
        ("no finished backup", lambda folder: (folder / backup.MANIFEST).unlink()),
        ("later release", lambda folder: manifest_with(folder, migrations=["mailboxes.9999_of_tomorrow"])),
        ("is of an abacus", lambda folder: manifest_with(folder, engine="an abacus")),
        ("number 7 is not configured", lambda folder: manifest_with(folder, needs=[["ENCRYPTION_KEYS", 7]])),
        ("has tables", lambda folder: None),
    ],
)
def test_what_cannot_be_restored_is_said_before_anything_is_written(made: Path, why: str, harm: Any) -> None:
    harm(made)
    with pytest.raises(CommandError, match=why):
        manage("restore", str(made))
    assert User.objects.get().username == "grace"


def test_another_secret_under_the_same_number_is_said_by_name(made: Path, settings: Settings) -> None:
    settings.API_KEY_PEPPERS = KeyRing(primary=1, keys={1: b"p" * 32})
    with pytest.raises(CommandError, match="API_KEY_PEPPERS: number 1 is another one"):
        manage("restore", str(made))


def test_a_journal_that_cannot_be_read_is_said_before_anything_is_written(made: Path) -> None:
    with pytest.raises(CommandError, match=r"lost\.jsonl: No such file"):
        manage("restore", str(made), "--journal", str(made / "lost.jsonl"))


@pytest.mark.on_postgres
def test_the_command_for_who_dumps_in_another_way_leaves_out_the_same_and_names_no_password() -> None:
    out = StringIO()
    call_command("backup", "--print-pg-dump", stdout=out, stderr=StringIO())
    command = out.getvalue()
    for table in backup.tables_left_out():
        assert f"--exclude-table-data={table}" in command
    connection.settings_dict["PASSWORD"] = "not to be seen"
    try:
        call_command("backup", "--print-pg-dump", stdout=out, stderr=StringIO())
    finally:
        connection.settings_dict["PASSWORD"] = ""
    assert "not to be seen" not in out.getvalue()


@pytest.mark.on_postgres
def test_without_pg_dump_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(CommandError, match="no pg_dump on this host"):
        manage("backup", str(tmp_path / "backup"))
    assert not (tmp_path / "backup" / backup.MANIFEST).exists()


def test_for_people_each_command_says_what_it_did_and_what_comes_next(made: Path, tmp_path: Path) -> None:
    out = StringIO()
    call_command("backup", str(tmp_path / "another"), stdout=out)
    assert "1 mailboxes_email" in out.getvalue()
    assert "The secrets are not in it" in out.getvalue()
    journal = tmp_path / "journal.jsonl"
    journal.write_text("torn\n")
    call_command("journal", "apply", str(journal), stdout=out)
    assert "journal: 0 lines read, 0 of them known here, 1 torn" in out.getvalue()
    restored.stop_sending()
    call_command("resume", stdout=out)
    assert "Nothing is sent: say with --since" in out.getvalue()
    call_command("resume", "--since", "0h", stdout=out)
    assert "0 deliveries are held by it. Webhooks go out." in out.getvalue()
