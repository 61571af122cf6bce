"""A database that was set back is noticed by whoever remembers more of it than it knows; nothing else is one."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import watermark
from emailgistics.common.models import Watermark

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def file(tmp_path: Path, settings: Settings) -> Path:
    settings.JOURNAL_FILE = tmp_path / "journal.jsonl"
    return tmp_path / "journal.jsonl.watermark"


def beats(*minutes_ago: float) -> list[Watermark]:
    return [Watermark.objects.create(at=timezone.now() - timedelta(minutes=ago)) for ago in minutes_ago]


def set_back(*watermarks: Watermark) -> None:
    """To a backup that had not these."""
    Watermark.objects.filter(pk__in=[one.pk for one in watermarks]).delete()


def test_a_database_that_lost_a_settled_watermark_is_set_back_until_somebody_begins_anew() -> None:
    _, *lost = beats(10, 5, 0.1)
    watermark.remember()
    assert not watermark.is_set_back()
    set_back(*lost)
    assert watermark.is_set_back()
    watermark.mark()  # by a host that remembers nothing
    assert watermark.is_set_back()
    watermark.begin_anew()
    assert not watermark.is_set_back()


def test_it_is_noticed_again_when_the_same_backup_comes_twice() -> None:
    _, lost = beats(10, 5)
    watermark.remember()
    set_back(lost)
    watermark.begin_anew()
    Watermark.objects.filter(is_beginning=True).update(at=timezone.now() - timedelta(minutes=3))
    watermark.remember()
    set_back(*Watermark.objects.filter(is_beginning=True))
    assert watermark.is_set_back()


def test_what_a_failover_may_lose_is_no_restore() -> None:
    _, newest = beats(10, 0.5)
    watermark.remember()
    set_back(newest)
    assert not watermark.is_set_back()


def test_another_database_and_an_empty_one_are_no_restore() -> None:
    beats(10, 5)
    watermark.remember()
    Watermark.objects.all().delete()
    assert not watermark.is_set_back()
    beats(3, 2)
    assert not watermark.is_set_back()


def test_a_host_that_was_away_for_long_knows_nothing_any_more() -> None:
    first, old = beats(60 * 24 * 30, 60 * 24 * 20)
    watermark.remember()
    Watermark.objects.bulk_create(Watermark(at=timezone.now()) for _ in range(watermark.KEPT_AT_LEAST))
    watermark.mark()
    assert not Watermark.objects.filter(pk=old.pk).exists()
    assert Watermark.objects.filter(pk=first.pk).exists()  # by which the database is known
    assert not watermark.is_set_back()


def test_a_clock_that_leaps_ahead_for_a_moment_makes_no_false_alarm() -> None:
    beats(10, 5)
    watermark.remember()
    Watermark.objects.update(at=F("at") - timedelta(days=20))  # as it looks by that clock
    watermark.mark()
    assert not watermark.is_set_back()


@pytest.mark.parametrize("text", ["", "{}", "null", '{"database": 1, "token": "x", "at": "never"}'])
def test_a_file_that_cannot_be_read_says_nothing_and_is_written_anew(file: Path, text: str) -> None:
    beats(10, 5)
    file.write_text(text)
    assert not watermark.is_set_back()
    watermark.remember()
    assert set(json.loads(file.read_text())) == {"database", "token", "at"}
