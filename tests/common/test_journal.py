"""What has to hold after a restore has a line outside the database, sooner or later, and that tells of nobody."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import journal
from emailgistics.common.models import Alarm, JournalEntry
from emailgistics.operations import alarms
from tests.factories import in_days

pytestmark = pytest.mark.django_db
OnCommit = Callable[..., Any]


@pytest.fixture(autouse=True)
def file(tmp_path: Path, settings: Settings) -> Path:
    settings.JOURNAL_FILE = tmp_path / "journal" / "host.jsonl"
    return Path(settings.JOURNAL_FILE)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_commit_is_followed_by_a_line_that_only_its_owner_reads(
    file: Path, django_capture_on_commit_callbacks: OnCommit
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        journal.note("apikey.revoked", of="emgk_0123456789")
    entry = JournalEntry.objects.get()
    assert lines(file) == [
        {"id": str(entry.pk), "at": entry.at.isoformat(), "what": "apikey.revoked", "of": "emgk_0123456789"}
    ]
    assert (entry.body, entry.written_at is not None) == ({}, True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_rolled_back_has_none(file: Path) -> None:
    with transaction.atomic():
        journal.note("apikey.revoked", of="emgk_0123456789")
        transaction.set_rollback(True)
    journal.catch_up()
    assert not file.exists()


def test_a_process_that_was_killed_before_it_wrote_is_made_up_for_once(file: Path) -> None:
    for of in ("emgk_1", "emgk_2"):
        journal.note("apikey.revoked", of=of)  # the commit's callbacks never come
    assert journal.catch_up() == 2
    assert [line["of"] for line in lines(file)] == ["emgk_1", "emgk_2"]
    assert journal.catch_up() == 0


def test_a_file_that_cannot_be_written_fails_nobody_and_is_an_alarm_until_it_can(
    file: Path, django_capture_on_commit_callbacks: OnCommit
) -> None:
    file.parent.write_text("in its folder's place")
    with django_capture_on_commit_callbacks(execute=True):
        journal.note("apikey.revoked", of="emgk_1")
    assert journal.catch_up() == 0
    assert "journal_late" not in {alarm.code for alarm in alarms.watch()}
    JournalEntry.objects.update(at=in_days(-1))
    assert "journal_late" in {alarm.code for alarm in alarms.watch()}
    file.parent.unlink()
    assert journal.catch_up() == 1
    alarms.watch()
    assert not Alarm.objects.filter(code="journal_late").exists()


def test_a_line_after_a_torn_one_stands_alone(file: Path) -> None:
    journal.append(file, [b'{"what":1}'])
    with file.open("ab") as torn:
        torn.write(b'{"what":')
    journal.append(file, [b'{"what":2}'])
    assert file.read_bytes() == b'{"what":1}\n{"what":\n{"what":2}\n'


def test_only_what_it_is_told_of_is_written_with_a_commit(file: Path) -> None:
    JournalEntry.objects.create(at=timezone.now(), body={"what": "of another process"})
    journal.note("apikey.revoked", of="emgk_1")
    assert journal.write([JournalEntry.objects.latest("id").pk]) == 1
    assert [line["what"] for line in lines(file)] == ["apikey.revoked"]
