"""Columns of a kind that Django has not."""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler

from mailboxes.words import Term


class WordsField(models.TextField):  # type: ignore[type-arg]  # generic in the stubs alone
    """A set of words: a tsvector on PostgreSQL, which a GIN index finds; on SQLite text, which is read through."""

    _pyi_private_set_type: Any  # for django-stubs: a list of them
    _pyi_private_get_type: Any

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "tsvector" if connection.vendor == "postgresql" else "text"

    def get_prep_value(self, value: Any) -> Any:
        return value

    def get_placeholder(self, value: Any, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> str:  # noqa: ARG002
        return "array_to_tsvector(%s::text[])" if connection.vendor == "postgresql" else "%s"

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:  # noqa: ARG002
        if isinstance(value, str):  # as it was read
            value = value.split()
        return list(value) if connection.vendor == "postgresql" else f" {' '.join(value)} "


@WordsField.register_lookup
class HasAll(models.Lookup):
    """`words__has_all=[[Term, …], …]`: of each of these lists, one word at least."""

    lookup_name = "has_all"
    prepare_rhs = False

    def get_db_prep_lookup(self, value: Any, connection: BaseDatabaseWrapper) -> Any:  # noqa: ARG002
        return "%s", [value]

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        sought = " & ".join(f"({' | '.join(map(_quoted, some))})" for some in self.rhs)
        return f"{column} @@ %s::tsquery", (*parameters, sought)

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, list[Any]]:
        column, parameters = self.process_lhs(compiler, connection)
        clauses, sought = [], []
        for some in self.rhs:
            clauses.append(f"({' OR '.join(f'INSTR({column}, %s) > 0' for _ in some)})")
            sought += [value for term in some for value in (*parameters, f" {term.text}" + " " * (not term.is_prefix))]
        return " AND ".join(clauses), sought


def _quoted(term: Term) -> str:
    # words have letters and digits alone, and the marks before them nothing that a tsquery minds within quotes
    return f"'{term.text}':*" if term.is_prefix else f"'{term.text}'"
