"""Many rows: writing those of several tables at once, for where that is most of the work, and deleting.

On PostgreSQL all that is written goes to the server in one go (a pipeline), row by row, in statements whose text is
made once: a fraction of what `bulk_create` and `bulk_update` cost, most of which is making one long statement of many
values for each table, and waiting for each table's answer.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from django.db import connection, models
from psycopg.types.json import Jsonb

DELETED_AT_ONCE = 1000


def insert(*tables: Sequence[models.Model]) -> None:
    """Inserts new rows, those of each table in a sequence of their own, in this order.

    As they are: primary keys are set or left to the database, and nothing fills in a field while saving.
    """
    filled = [rows for rows in tables if rows]
    if connection.vendor != "postgresql":
        for rows in filled:
            type(rows[0])._default_manager.bulk_create(rows)  # noqa: SLF001 - for any model there is
        return
    # psycopg's errors as Django's: of pipelines Django knows nothing, and it is their end that raises
    with connection.cursor() as cursor, connection.wrap_database_errors, connection.connection.pipeline():
        for rows in filled:
            statement, values = _insert(type(rows[0]))
            cursor.executemany(statement, [values(row) for row in rows])


def update(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """Writes these fields of rows that are there, all of one table, each row's own values. As `insert` does."""
    if not rows:
        return
    if connection.vendor != "postgresql":
        type(rows[0])._default_manager.bulk_update(rows, fields)  # noqa: SLF001 - as above
        return
    statement, values = _update(type(rows[0]), tuple(fields))
    with connection.cursor() as cursor, connection.wrap_database_errors, connection.connection.pipeline():
        cursor.executemany(statement, [values(row) for row in rows])


def delete_little_by_little(rows: "models.QuerySet[Any]") -> int:
    """In transactions of their own, so that nobody waits for long meanwhile. Returns how many went."""
    gone = 0
    while some := list(rows.order_by().values_list("pk", flat=True)[:DELETED_AT_ONCE]):
        rows.filter(pk__in=some).delete()
        gone += len(some)
    return gone


@cache
def _insert(model: type[models.Model]) -> tuple[str, Callable[[models.Model], Sequence[Any]]]:
    """The statement, and what makes a row of it: the fields' own conversion only where it does something."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.BigAutoField)]  # noqa: SLF001
    columns = ", ".join(map(_column, fields))
    places = ", ".join(map(_place, fields))
    statement = f"INSERT INTO {_table(model)} ({columns}) VALUES ({places})"  # noqa: S608 - of names of ours
    return statement, _reader(fields)


@cache
def _update(model: type[models.Model], names: tuple[str, ...]) -> tuple[str, Callable[[models.Model], Sequence[Any]]]:
    fields = [model._meta.get_field(name) for name in names]  # noqa: SLF001
    key = model._meta.pk  # noqa: SLF001
    columns = ", ".join(f"{_column(field)} = {_place(field)}" for field in fields)
    statement = f"UPDATE {_table(model)} SET {columns} WHERE {_column(key)} = %s"  # noqa: S608 - of names of ours
    return statement, _reader([*fields, key])


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001


def _column(field: Any) -> str:
    return connection.ops.quote_name(str(field.column))


def _place(field: Any) -> str:
    """Where its value goes, or what is made of that."""
    made_of = getattr(field, "get_placeholder", None)
    return made_of(None, None, connection) if made_of else "%s"


def _reader(fields: Sequence[Any]) -> Callable[[models.Model], Sequence[Any]]:
    read = attrgetter(*(field.attname for field in fields))
    json = [position for position, field in enumerate(fields) if isinstance(field, models.JSONField)]

    def values(row: models.Model) -> Sequence[Any]:
        plain = read(row)
        if not json:
            return plain
        adapted = list(plain)
        for position in json:
            if adapted[position] is not None:  # that is NULL, as Django has it, and no null of JSON
                adapted[position] = Jsonb(adapted[position])
        return adapted

    return values
