"""Statements of our own for PostgreSQL, where few large ones are what makes many deliveries cheap."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import connection
from psycopg.pq import Format


def rows_of(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What a statement answers, sent as octets: bodies at half their length, and nothing is parsed from text."""
    with connection.cursor() as cursor:
        cursor.cursor.format = Format.BINARY
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def uuids(ids: Iterable[UUID]) -> str:
    """A parameter to be cast to uuid[]: hundreds of them, written one by one, cost more than what is done with them."""
    return "{" + ",".join([one.hex for one in ids]) + "}"
