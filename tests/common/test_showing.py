"""What is shown is what DRF would show, whatever the value."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework import serializers

from emailgistics.common.showing import ShownSerializer


@dataclass
class Owner:
    name: str


@dataclass
class Thing:
    name: str = "A"
    size: int | None = 3
    owner: Any = None
    made_at: datetime = datetime(2030, 1, 31, tzinfo=UTC)
    secret: str = "s"


class Fields(serializers.Serializer[Any]):
    name = serializers.CharField()
    size = serializers.IntegerField(allow_null=True)
    owner = serializers.CharField(source="owner.name", allow_null=True)
    whole = serializers.SerializerMethodField()
    made_at = serializers.DateTimeField()
    secret = serializers.CharField(write_only=True)
    kind = serializers.CharField(default="plain")

    def get_whole(self, thing: Any) -> str:
        return f"{self.context['greeting']} {thing['name'] if isinstance(thing, dict) else thing.name}"


class Nested(serializers.Serializer[Any]):
    name = serializers.CharField()
    inner = Fields(source="*")


class ShownFields(Fields, ShownSerializer[Any]):
    to_representation = ShownSerializer.to_representation


class ShownNested(Nested, ShownSerializer[Any]):
    to_representation = ShownSerializer.to_representation
    inner = ShownFields(source="*")


THINGS = [
    pytest.param(Thing(owner=Owner("Kim")), id="whole"),
    pytest.param(Thing(size=None, owner=None), id="without what may be null"),
    pytest.param({"name": "A", "size": 3, "owner": {"name": "Kim"}, "made_at": Thing.made_at}, id="a mapping"),
]


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize(("shown", "by_drf"), [(ShownFields, Fields), (ShownNested, Nested)])
def test_it_is_what_drf_shows(
    thing: Any, shown: type[ShownSerializer[Any]], by_drf: type[serializers.Serializer[Any]]
) -> None:
    context = {"greeting": "Hello"}
    expected = by_drf([thing, thing], many=True, context=context).data
    assert shown([thing, thing], many=True, context=context).data == expected
    assert list(expected[0]) == list(shown(thing, context=context).data)


def test_what_is_missing_is_an_error_as_ever() -> None:
    with pytest.raises(AttributeError, match="made_at"):
        _ = ShownFields(Owner("A"), context={"greeting": ""}).data
