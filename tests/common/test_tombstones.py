"""A tombstone is found by whoever knows the name, with any of the keys, and tells it to nobody."""

import pytest
from pytest_django import Settings

from emailgistics.common import tombstones
from emailgistics.common.crypto import KeyRing
from emailgistics.common.models import Tombstone

pytestmark = pytest.mark.django_db

NAME = "msg_1 ada@example.net"


def test_what_is_buried_is_found_by_its_name_and_kind_alone() -> None:
    tombstones.bury("recipient", [NAME], by="grace")
    assert tombstones.buried("recipient", [NAME, "msg_2 ada@example.net"]) == {NAME}
    assert tombstones.buried("email", [NAME]) == set()
    assert Tombstone.objects.get().erased_by == "grace"


def test_a_tombstone_holds_nothing_of_the_name_and_nothing_that_can_be_told_without_the_key(settings: Settings) -> None:
    tombstones.bury("recipient", [NAME], by="grace")
    stored = bytes(Tombstone.objects.values_list("mark", flat=True).get())
    settings.ENCRYPTION_KEYS = KeyRing(primary=1, keys={1: b"another key that has 32 octets.."})
    tombstones.bury("recipient", [NAME], by="grace")
    other = bytes(Tombstone.objects.values_list("mark", flat=True).order_by("id").last())
    assert len(stored) == len(other) == 32
    assert stored != other


def test_what_was_buried_with_an_older_key_is_found_as_long_as_that_is_configured(settings: Settings) -> None:
    tombstones.bury("recipient", [NAME], by="grace")
    old = settings.ENCRYPTION_KEYS
    new = {77: b"another key that has 32 octets.."}
    settings.ENCRYPTION_KEYS = KeyRing(primary=77, keys=new | old.keys)
    assert tombstones.buried("recipient", [NAME]) == {NAME}
    settings.ENCRYPTION_KEYS = KeyRing(primary=77, keys=new)
    assert tombstones.buried("recipient", [NAME]) == set()


def test_a_row_that_was_there_twice_has_two() -> None:
    tombstones.bury("recipient", [NAME, NAME], by="grace")
    assert Tombstone.objects.count() == 2
    assert tombstones.buried("recipient", [NAME]) == {NAME}
