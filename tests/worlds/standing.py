"""Time and chance that are the same whenever somebody asks, and what is done and undone in one database."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from apikeys import authentication
from mailboxes.services import dns_records
from webhooks.services.queue import recording
from webhooks.services.verdicts import Successes


@dataclass(slots=True)
class Clock:
    """Stands still until somebody moves it, for Python and for the database."""

    now: datetime

    def seconds(self) -> float:
        return self.now.timestamp()

    def instead_of_the_databases(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        return execute(sql.replace("statement_timestamp()", f"'{self.now.isoformat()}'::timestamptz"), *rest)

    def as_sql(self, connection: Any) -> tuple[str, list[Any]]:
        at = connection.ops.adapt_datetimefield_value(self.now)
        return ("%s::timestamptz" if connection.vendor == "postgresql" else "%s"), [at]


def empty_dns(_: str) -> dns_records._Found:
    return dns_records._Found(timezone.now(), 0.0, (), (), ())


@contextmanager
def clock_stopped(at: datetime | None = None) -> Iterator[Clock]:
    """Without `at`, somewhat earlier than it is: time that passes then still lies before that of new ids."""
    clock = Clock(at or (timezone.now() - timedelta(hours=12)).replace(microsecond=500_000))

    def as_sql(_: Now, __: Any, connection: Any, **___: Any) -> tuple[str, list[Any]]:
        return clock.as_sql(connection)

    standing = SimpleNamespace(time=clock.seconds, monotonic=time.monotonic, sleep=time.sleep)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(timezone, "now", lambda: clock.now))  # noqa: PT008 - it moves
        # what is SQL of ours on PostgreSQL has it by name
        stack.enter_context(connection.execute_wrapper(clock.instead_of_the_databases))
        for name in ("as_sql", "as_sqlite", "as_postgresql"):
            stack.enter_context(mock.patch.object(Now, name, as_sql, create=True))
        # put together anew each time: by the clock that stands
        stack.enter_context(mock.patch.object(authentication, "_key_query", authentication.KeyQuery))
        stack.enter_context(mock.patch("mailboxes.services.dns_records._look_at", empty_dns))
        stack.enter_context(mock.patch("webhooks.services.erasures.SLICE", timedelta(minutes=1)))
        for module in ("webhooks.services.dispatch", "webhooks.api.views.trying"):
            stack.enter_context(mock.patch(f"{module}.time", standing))
        stack.enter_context(mock.patch("webhooks.api.views.trying.WAIT_AT_MOST", timedelta(0)))
        stack.enter_context(mock.patch.object(recording, "successes", Successes()))
        stack.enter_context(mock.patch.dict(cast("Any", recording._fate).__kwdefaults__, jitter=lambda: 0.0))
        yield clock


def savepoint() -> transaction.Atomic:
    """In which services that insist on a commit of their own get none, as in a TestCase of Django's."""
    point = transaction.atomic()
    point._from_testcase = True  # type: ignore[attr-defined]  # its way to say so
    return point


@contextmanager
def undone() -> Iterator[None]:
    with savepoint():
        yield
        transaction.set_rollback(True)
