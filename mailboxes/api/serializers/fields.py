"""What the JSON of most things has in it: ids, instants, and who may see what."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Model
from rest_framework import serializers

from emailgistics.common.access import Principal
from emailgistics.common.ids import encode_id


class InstantField(serializers.DateTimeField):
    """Always UTC, in milliseconds: `2030-01-31T18:00:00.000Z`, as in webhooks."""

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class OrNullField(serializers.CharField):
    """Null for what is stored as empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, **kwargs)

    def to_representation(self, value: Any) -> str | None:  # type: ignore[override]  # DRF knows no null here
        return str(value) or None


class PublicIdField(serializers.CharField):
    """A typed id. Of the row itself, or (`source="mailbox_id"`) of a row that it refers to."""

    def __init__(self, model: type[Model] | None = None, **kwargs: Any) -> None:
        self.prefix = getattr(model, "ID_PREFIX", None)
        if model is None:
            kwargs["source"] = "public_id"
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Any) -> str:
        return encode_id(self.prefix, value) if self.prefix else super().to_representation(value)


def is_visible(pk: UUID | None, context: Mapping[str, Any]) -> bool:
    """Whether the caller may know of that mailbox; without one (a command, the console) everybody may."""
    caller: Principal | None = context.get("principal")
    return caller is None or caller.all_mailboxes or pk in caller.mailbox_ids
