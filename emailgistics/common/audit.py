"""The audit log: what was done to keys and the like, by whom, from where. Only ever added to; triggers see to that.

Ids, identifiers and numbers, and the reason that somebody gave: of itself never an address of mail, never a secret.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.checks import CheckMessage, Tags, register
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from emailgistics.common.models import AuditEntry
from emailgistics.common.triggers import Lock, PostgresTrigger, postgres_refusal, sqlite_conflicts, sqlite_refusal

COMMAND, SYSTEM = "command", "system"  # who it was where it was no person: manage.py, or nobody at all
BY_LENGTH = 80

TABLE = "common_auditentry"
PREFIX = "common_append_only_"
REFUSAL = ("audit_log_append_only", "the audit log is only added to: no entry is changed, replaced or deleted")


def record(
    action: str,
    *,
    of: str,
    person: User | None = None,
    by: str = "",
    address: str | None = None,
    details: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    """Adds an entry in the caller's transaction, so that what is on record happened.

    action is `apikey.created`; of is the id or identifier of what it was done to. by is the person's name, unless said
    otherwise, and COMMAND without one.
    """
    name = by or (person.get_username() if person else COMMAND)
    AuditEntry.objects.create(
        at=at or timezone.now(),
        action=action,
        of=of,
        person=person,
        by=name[:BY_LENGTH],
        address=address or None,
        details=dict(details or {}),
    )


def _on_sqlite(cursor: CursorWrapper) -> dict[str, str]:
    replaces = " OR ".join(sqlite_conflicts(cursor, TABLE))
    events = {
        "update": f"BEFORE UPDATE ON {TABLE}",
        "delete": f"BEFORE DELETE ON {TABLE}",
        "insert": f"BEFORE INSERT ON {TABLE} WHEN {replaces}",
    }
    return {f"{PREFIX}{name}": sqlite_refusal(event, REFUSAL[1]) for name, event in events.items()}


append_only = Lock(
    app="common",
    what="the audit log",
    check_id="common.E003",
    tables=(TABLE,),
    prefix=PREFIX,
    sqlite_names=frozenset(f"{PREFIX}{event}" for event in ("insert", "update", "delete")),
    sqlite=_on_sqlite,
    postgres=(
        PostgresTrigger(
            table=TABLE,
            name=f"{PREFIX}audit",
            events="UPDATE OR DELETE",
            kind=1 | 2 | 8 | 16,
            body=f"BEGIN\n  {postgres_refusal(*REFUSAL)}\nEND",
        ),
    ),
)


@register(Tags.database)
def log_is_append_only(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    return append_only.check(databases)
