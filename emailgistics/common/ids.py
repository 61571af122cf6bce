"""Typed ids: a UUIDv7 in the database, `prefix_suffix` everywhere else.

The suffix is the TypeID form: the 128 bits as 26 characters of Crockford's base 32, lower case, so that
ids sort by creation as text as well as in the index (RFC 9562 section 5.7).
"""

from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

import uuid_utils.compat
from django.db import models

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
SUFFIX_LENGTH = 26
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]  # by ten bits: half the steps of one by one
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def uuid7() -> UUID:
    """A new UUIDv7: sorts after every id that this process made before."""
    return uuid_utils.compat.uuid7()


def first_id_at(at: datetime) -> UUID:
    """No UUIDv7 that was made from then on sorts before it, and all that were made before do. at is aware."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


def made_at(value: UUID) -> datetime:
    """When that UUIDv7 was made, to the millisecond, in UTC."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def encode_id(prefix: str, value: UUID) -> str:
    number = value.int
    return f"{prefix}_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def decode_id(prefix: str, text: str) -> UUID | None:
    """The UUID behind a typed id; None for another prefix or anything malformed, which no caller tells apart."""
    head, _, suffix = text.rpartition("_")
    if head != prefix or len(suffix) != SUFFIX_LENGTH or suffix[0] > "7":
        return None
    number = 0
    for character in suffix:
        value = _VALUES.get(character)
        if value is None:
            return None
        number = number << 5 | value
    return UUID(int=number)


class TypedIdModel(models.Model):
    """A row known outside by a typed id. Subclasses name their ID_PREFIX."""

    ID_PREFIX: ClassVar[str]

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return encode_id(self.ID_PREFIX, self.id)
