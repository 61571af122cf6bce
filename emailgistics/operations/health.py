"""Whether this process can serve, and whether the installation gets its work done.

Two questions: a load balancer asks the first, and must not take all web nodes away because mail waits; whoever is to be
woken up asks the second.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from emailgistics.common.models import Alarm, Canary, LedgerDay
from emailgistics.operations import backlog
from emailgistics.operations.alarms import LATE_AFTER

WATCHED_WITHIN = timedelta(minutes=5)  # it is looked at once a minute, by a worker that the beat wakes


@dataclass(frozen=True, slots=True)
class Health:
    """reasons are why not, one sentence each; facts are what was looked at."""

    reasons: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return not self.reasons


_up_to_date = [False]  # whether this process has seen that all migrations are applied: they do not go back meanwhile


def readiness() -> Health:
    """Whether this process can answer requests: the database answers, and has the tables that this release needs.

    Redis is none of it: without it requests are answered, only not limited for all processes together.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _up_to_date[0]:
            executor = MigrationExecutor(connection)
            _up_to_date[0] = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Health([f"The database does not answer: {type(error).__name__}."])
    if not _up_to_date[0]:
        return Health(["The database has not all tables of this release: run manage.py migrate."])
    return Health()


def work(*, now: datetime | None = None) -> Health:
    """Whether mail is opened and deliveries go out in time, and whether alarms stand."""
    now = now or timezone.now()
    try:
        mail, delivery = backlog.oldest_waiting_mail(), backlog.oldest_due_delivery()
        watched = LedgerDay.objects.order_by("-checked_at").values_list("checked_at", flat=True).first()
        standing = list(Alarm.objects.order_by("since"))
        canary = Canary.objects.first()
    except DatabaseError as error:
        return Health([f"The database does not answer: {type(error).__name__}."])
    reasons = [f"{alarm.code}: {alarm.text}" for alarm in standing]
    reasons += [
        f"{what} has waited for {_seconds(since, now)} s."
        for what, since in (("Mail", mail), ("A delivery", delivery))
        if since is not None and now - since > LATE_AFTER
    ]
    if watched is not None and now - watched > WATCHED_WITHIN:
        reasons.append(
            "Nobody has looked for alarms in the last minutes: are the beat and a worker (queue mail) running?"
        )
    facts = {
        "oldest_waiting_mail_s": _seconds(mail, now),
        "oldest_due_delivery_s": _seconds(delivery, now),
        "canary": {"at": canary.at.isoformat(), "took_ms": canary.took_ms, "failure": canary.failure}
        if canary
        else None,
        "watched_at": watched.isoformat() if watched else None,
        "alarms": [{"code": alarm.code, "since": alarm.since.isoformat(), "text": alarm.text} for alarm in standing],
    }
    return Health(reasons, facts)


def _seconds(since: datetime | None, now: datetime) -> int:
    return max(0, round((now - since).total_seconds())) if since else 0
