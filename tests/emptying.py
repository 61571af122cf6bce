"""A test database between tests that commit: what is filled is emptied, which takes milliseconds.

Django's flush truncates every table and makes permissions, content types and triggers anew: on PostgreSQL that takes
longer than most tests. It still comes first, and whenever something is not as it left it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.sqlite3.base import DatabaseOperations  # through base: they import each other
from django.test import TransactionTestCase

from apikeys import freeze
from emailgistics.common.audit import append_only

Flush = Callable[[Any], None]
MIGRATIONS = "django_migrations"  # which a flush leaves alone

# what a flush leaves behind: the rows of each table that is not empty then
_left: dict[str, list[tuple[Any, ...]]] = {}


@contextmanager
def instead_of_flushing() -> Iterator[None]:
    flush: Flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", thaw_before(DatabaseOperations.sql_flush))
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_or_flush(case, flush))
        yield


def empty_or_flush(case: TransactionTestCase, flush: Flush) -> None:
    if not _left or any(rows_of(table) != rows for table, rows in _left.items()):
        flush(case)
        _left.clear()
        _left.update({table: rows_of(table) for table in filled() if table != MIGRATIONS})
    else:
        empty([table for table in filled() if table not in _left])
        # a test may have taken the triggers away
        freeze.LOCK.make(connection)
        append_only.make(connection)


def thaw_before(sql_flush: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """On SQLite a flush is DELETE, which keys and the audit log refuse; Django's post_migrate after it guards them."""

    def thaw_and_flush(self: DatabaseOperations, *args: Any, **kwargs: Any) -> list[str]:
        with self.connection.cursor() as cursor:
            return [*freeze.LOCK.dropping(cursor), *append_only.dropping(cursor), *sql_flush(self, *args, **kwargs)]

    return thaw_and_flush


def empty(tables: list[str]) -> None:
    if set(freeze.rules.TABLES) & set(tables):
        freeze.LOCK.drop(connection)
    if set(append_only.tables) & set(tables):
        append_only.drop(connection)
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA defer_foreign_keys=ON")
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def filled() -> list[str]:
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    asked = [
        f"SELECT {number} WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(name)})"
        for number, name in enumerate(names)
    ]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(asked))
        return [names[number] for (number,) in cursor.fetchall()]


def rows_of(table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY id")
        return cursor.fetchall()
