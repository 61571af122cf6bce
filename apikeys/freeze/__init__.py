"""The database's own lock on API keys: triggers, so that raw SQL cannot change what a key may do either.

A column that a migration adds is frozen until it is named CHANGEABLE. On PostgreSQL a migration that has to fill a new
column of apikeys_apikey drops the trigger first, and the end of migrate restores it. When triggers are made, and what
they do not guard: `common/triggers.py`.
"""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, register
from django.db.backends.base.base import BaseDatabaseWrapper

from apikeys.freeze import postgres, sqlite
from apikeys.freeze.rules import ISSUE_ALL, KEYS, REVOCATION, TABLES, TRIGGER_PREFIX
from emailgistics.common.triggers import Lock


def _is_ready(connection: BaseDatabaseWrapper) -> bool:
    """Whether the keys have the columns that are asked: after a migration back to the first one they have not."""
    with connection.cursor() as cursor:
        columns = {column.name for column in connection.introspection.get_table_description(cursor, KEYS)}
    return columns.issuperset({"sealed", "rotated_from_id", *REVOCATION})


LOCK = Lock(
    app="apikeys",
    what="API keys",
    check_id="apikeys.E002",
    tables=TABLES,
    prefix=TRIGGER_PREFIX,
    sqlite_names=sqlite.TRIGGERS,
    sqlite=sqlite.bodies,
    postgres=postgres.TRIGGERS,
    is_ready=_is_ready,
    made_good_by=ISSUE_ALL,
)


@register(Tags.database)
def keys_are_frozen(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    return LOCK.check(databases)
