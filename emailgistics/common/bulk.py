"""Inserting many rows at once, for where that is most of the work.

On PostgreSQL by COPY: a tenth of what `bulk_create` costs, most of which is making one long statement of many values.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from django.db import connection, models
from psycopg import sql
from psycopg.types.json import Jsonb


def insert(rows: Sequence[models.Model]) -> None:
    """Inserts new rows of one model, as they are: primary keys are set, and nothing fills in a field while saving."""
    if not rows:
        return
    model = type(rows[0])
    if connection.vendor != "postgresql":
        model._default_manager.bulk_create(rows)  # noqa: SLF001 - for any model there is
        return
    statement, values = _copy(model)
    # psycopg's errors as Django's: COPY is nothing that Django knows of
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(values(row))


@cache
def _copy(model: type[models.Model]) -> tuple[sql.Composable, Callable[[models.Model], Sequence[Any]]]:
    """The statement, and what makes a row of it: the fields' own conversion only where it does something."""
    fields = [field for field in model._meta.concrete_fields if not isinstance(field, models.BigAutoField)]  # noqa: SLF001
    columns = [sql.Identifier(str(field.column)) for field in fields]
    table = sql.Identifier(model._meta.db_table)  # noqa: SLF001
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(table, sql.SQL(", ").join(columns))
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

    return statement, values
