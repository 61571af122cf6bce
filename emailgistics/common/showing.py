"""Serializers of what is only shown: rows become JSON without the questions that DRF asks of every value."""

from collections.abc import Callable, Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any, TypeVar

from rest_framework import serializers

Row = TypeVar("Row")


class ShownSerializer(serializers.Serializer[Row]):
    # no docstring: the OpenAPI document would take it for what each of them is
    #
    # The same JSON as that of serializers.Serializer, at a third of the cost. DRF looks for each value of each row
    # whether it is a method to call, a relation to cut short or a default to fall back to. Here a value is an
    # attribute; what is none after all is asked for in DRF's way.

    def to_representation(self, instance: Any) -> dict[str, Any]:
        if isinstance(instance, Mapping):
            return dict(super().to_representation(instance))  # type: ignore[arg-type]  # a row, to DRF
        shown: dict[str, Any] = {}
        for name, read, represent in self._columns:
            try:
                value = read(instance)
            except AttributeError:
                return dict(super().to_representation(instance))
            shown[name] = None if value is None else represent(value)
        return shown

    @cached_property
    def _columns(self) -> list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]]:
        return [(name, *self._ways(field)) for name, field in self.fields.items() if not field.write_only]

    def _ways(self, field: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """How the value of that field is read from a row, and how it is shown."""
        if isinstance(field, serializers.SerializerMethodField):
            return itself, getattr(self, str(field.method_name))
        return (itself if field.source == "*" else attrgetter(field.source)), field.to_representation


def itself(row: Any) -> Any:
    return row
