"""Columns that hold sealed secrets: where a ciphertext belongs, with which key it was made, and making it anew.

Whatever is sealed into a row is a column here, so that a key can be replaced: a test looks for one that is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db.models import BinaryField, Count, Model, QuerySet
from django.db.models.functions import Substr

from emailgistics.common.crypto import DecryptionError, decrypt, encrypt
from emailgistics.common.key_uses import ENCRYPTION, Needing, Use, register, ring_of

ASKED = 20  # rows, whether a key opens what it sealed
BATCH = 100  # rows that are read at once; each is written alone, so that nobody waits for more than one
REMEDY = "run `manage.py rotate_keys --rewrite` with both numbers configured"


@dataclass(slots=True)
class Rewritten:
    """What became of a column. Both are ids of rows."""

    count: int = 0
    not_opened: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SealedColumn:
    label: str  # of the model: "webhooks.Webhook"
    column: str
    of: str  # "webhook secrets", for people

    @property
    def model(self) -> type[Model]:
        return apps.get_model(self.label)

    def rows_by_number(self) -> dict[int, Needing]:
        counted = self._numbered().values("number").annotate(rows=Count("pk")).order_by()
        return {int.from_bytes(bytes(row["number"]), "big"): Needing(row["rows"]) for row in counted}

    def opens(self, number: int) -> bool:
        """Whether the key of that number opens what says it was sealed with it; without any, it does.

        A few rows are asked, and one that opens is enough: others may have been damaged.
        """
        sealed = self._numbered().filter(number=number.to_bytes(2, "big")).values_list("pk", self.column)
        asked = list(sealed[:ASKED])
        return not asked or any(self._is_open(pk, octets) for pk, octets in asked)

    def _is_open(self, pk: Any, octets: bytes) -> bool:
        try:
            decrypt(bytes(octets), context=self.context(pk))
        except DecryptionError:
            return False
        return True

    def rewrite(self) -> Rewritten:
        """Seals with the primary key what another one sealed.

        Each row is written only if it still holds what was read, so whoever changes it meanwhile wins; what he writes
        is sealed with his primary key. Stopped half-way or run twice at once, nothing is lost: call it again.
        """
        done = Rewritten()
        for pk, sealed in self._not_of(ring_of(ENCRYPTION).primary):
            try:
                fresh = encrypt(decrypt(sealed, context=self.context(pk)), context=self.context(pk))
            except DecryptionError:
                done.not_opened.append(str(pk))
                continue
            same = self._rows().filter(pk=pk, **{self.column: sealed})
            done.count += same.update(**{self.column: fresh})
        return done

    def context(self, pk: object) -> str:
        return context(self.model, self.column, pk)

    def _not_of(self, primary: int) -> Iterator[tuple[Any, bytes]]:
        rows = self._numbered().exclude(number=primary.to_bytes(2, "big")).order_by("pk").values_list("pk", self.column)
        batch = list(rows[:BATCH])
        while batch:
            for pk, sealed in batch:
                yield pk, bytes(sealed)
            batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])

    def _numbered(self) -> QuerySet[Any]:
        """The rows that hold something, with the two octets of the key's number."""
        number = Substr(self.column, 2, 2, output_field=BinaryField())
        rows: QuerySet[Any] = self._rows().exclude(**{self.column: None}).annotate(number=number)
        return rows

    def _rows(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = self.model._base_manager.all()  # noqa: SLF001 - also those that a manager hides
        return rows


_columns: dict[str, SealedColumn] = {}


def register_column(column: SealedColumn) -> None:
    _columns[column.of] = column
    register(Use(ENCRYPTION, column.of, column.rows_by_number, REMEDY))


def columns() -> list[SealedColumn]:
    return list(_columns.values())


def context(model: type[Model], column: str, pk: object) -> str:
    """The one place where a ciphertext opens: moved to another row or column, it does not."""
    return f"{model._meta.db_table}.{column}:{pk}"  # noqa: SLF001 - Django's public name for it
