"""A database that was set back is noticed by whoever remembers more of it than it knows; nothing else is one."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import pulse
from emailgistics.common.models import Pulse

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def file(tmp_path: Path, settings: Settings) -> Path:
    settings.JOURNAL_FILE = tmp_path / "journal.jsonl"
    return tmp_path / "journal.jsonl.pulse"


def beats(*minutes_ago: float) -> list[Pulse]:
    return [Pulse.objects.create(at=timezone.now() - timedelta(minutes=ago)) for ago in minutes_ago]


def set_back(*pulses: Pulse) -> None:
    """To a backup that had not these."""
    Pulse.objects.filter(pk__in=[one.pk for one in pulses]).delete()


def test_a_database_that_lost_a_settled_pulse_is_set_back_until_somebody_begins_anew() -> None:
    _, *lost = beats(10, 5, 0.1)
    pulse.remember()
    assert not pulse.is_set_back()
    set_back(*lost)
    assert pulse.is_set_back()
    pulse.beat()  # by a host that remembers nothing
    assert pulse.is_set_back()
    pulse.begin_anew()
    assert not pulse.is_set_back()


def test_it_is_noticed_again_when_the_same_backup_comes_twice() -> None:
    _, lost = beats(10, 5)
    pulse.remember()
    set_back(lost)
    pulse.begin_anew()
    Pulse.objects.filter(is_beginning=True).update(at=timezone.now() - timedelta(minutes=3))
    pulse.remember()
    set_back(*Pulse.objects.filter(is_beginning=True))
    assert pulse.is_set_back()


def test_what_a_failover_may_lose_is_no_restore() -> None:
    _, newest = beats(10, 0.5)
    pulse.remember()
    set_back(newest)
    assert not pulse.is_set_back()


def test_another_database_and_an_empty_one_are_no_restore() -> None:
    beats(10, 5)
    pulse.remember()
    Pulse.objects.all().delete()
    assert not pulse.is_set_back()
    beats(3, 2)
    assert not pulse.is_set_back()


def test_a_host_that_was_away_for_long_knows_nothing_any_more() -> None:
    first, old = beats(60 * 24 * 30, 60 * 24 * 20)
    pulse.remember()
    pulse.beat()
    assert not Pulse.objects.filter(pk=old.pk).exists()
    assert Pulse.objects.filter(pk=first.pk).exists()  # by which the database is known
    assert not pulse.is_set_back()


@pytest.mark.parametrize("text", ["", "{}", "null", '{"database": 1, "token": "x", "at": "never"}'])
def test_a_file_that_cannot_be_read_says_nothing_and_is_written_anew(file: Path, text: str) -> None:
    beats(10, 5)
    file.write_text(text)
    assert not pulse.is_set_back()
    pulse.remember()
    assert set(json.loads(file.read_text())) == {"database", "token", "at"}
