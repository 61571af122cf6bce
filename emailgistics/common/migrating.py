"""What migrations do with big tables that mail goes through meanwhile."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

LOCK_TIMEOUT = "5s"  # a migration that waits for a table makes all wait who come after it


class AddIndexConcurrently(migrations.AddIndex):
    """On PostgreSQL without keeping anybody from writing; SQLite knows one way only.

    For migrations with atomic = False. What an earlier try left is built anew: it may be invalid.
    """

    atomic = False

    def describe(self) -> str:
        return f"Concurrently: {super().describe()}"

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002 - Django's signature
        to_state: ProjectState,
    ) -> None:
        model: Any = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop(schema_editor, self.index.name)
            schema_editor.add_index(model, self.index, **_concurrently(schema_editor))

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,  # noqa: ARG002
    ) -> None:
        model: Any = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop(schema_editor, self.index.name)


class AddCheckWithoutScan(migrations.AddConstraint):
    """On PostgreSQL for new rows only, without reading the table under a lock; `validating` looks at the others."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model: Any = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            sql = self.constraint.create_sql(model, schema_editor)
            schema_editor.execute(f"{sql} NOT VALID", params=None)


def validating(table: str, constraint: str) -> Any:
    """Reads the rows that AddCheckWithoutScan did not, while others write. For migrations with atomic = False."""

    def validate(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:  # noqa: ARG001
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(f'ALTER TABLE "{table}" VALIDATE CONSTRAINT "{constraint}"')

    return migrations.RunPython(validate, migrations.RunPython.noop)


def limit_lock_waits(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:  # noqa: ARG001
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def limiting_lock_waits(*operations: Any) -> list[Any]:
    """These operations, both ways, without waiting long for the tables they alter."""
    return [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        *operations,
        migrations.RunPython(migrations.RunPython.noop, limit_lock_waits),
    ]


def _drop(schema_editor: BaseDatabaseSchemaEditor, name: str) -> None:
    how = "CONCURRENTLY " if _concurrently(schema_editor) else ""
    schema_editor.execute(f"DROP INDEX {how}IF EXISTS {schema_editor.quote_name(name)}")


def _concurrently(schema_editor: BaseDatabaseSchemaEditor) -> dict[str, bool]:
    return {"concurrently": True} if schema_editor.connection.vendor == "postgresql" else {}
