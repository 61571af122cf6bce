"""Who uses which key for what: counted in each web process, and written down every few seconds.

A request only adds to a few dictionaries, so that a key that makes a thousand calls a minute costs no write of its own
row for each. What is counted and not yet written is lost when a process is killed; when the database is away it is
kept, up to AT_MOST of each kind.
"""

import threading
from datetime import datetime
from http import HTTPStatus
from multiprocessing.util import Finalize
from os import getpid
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apikeys import usage_store
from apikeys.authentication import Presented
from apikeys.usage_counts import AT_MOST, Counts, LastUse, Refused
from emailgistics.common import series
from emailgistics.common.clients import network_of
from emailgistics.common.logs import get_logger

log = get_logger(__name__)

FLUSH_EVERY_S = 5
AGENT_LENGTH = 200
FAMILY_LENGTH = 20
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)


class Collector:
    """The counts of this process since they were last taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()

    def note_call(self, presented: Presented, *, family: str, status: int, agent: str, at: datetime) -> None:
        """A call that got past its key, however it ended."""
        key_id, day, used = presented.key.principal.key_id, at.date(), presented.used
        with self._lock:
            counts = self._counts
            counts.calls.add((key_id, day, family, status // 100), 1)
            counts.quarters.add((key_id, series.quarter_of(at)), 1)
            counts.last_uses.add(key_id, LastUse(at, presented.address, agent))
            for scope in used.scopes:
                counts.scopes.add((key_id, str(scope)), day)
            for mailbox in used.mailboxes:
                counts.mailboxes.add((key_id, mailbox), day)
            for alias in used.aliases:
                counts.aliases.add((key_id, alias), day)

    def note_refusal(self, key_id: UUID, *, reason: str, address: str, at: datetime) -> None:
        with self._lock:
            self._counts.refusals.add((key_id, at.date(), reason, network_of(address)), Refused(1, at))

    def take(self) -> Counts:
        with self._lock:
            taken, self._counts = self._counts, Counts()
        return taken

    def put_back(self, counts: Counts) -> None:
        """What could not be written, with what came since."""
        with self._lock:
            self._counts.add_all(counts)


collector = Collector()
_flushing = threading.Lock()
_flushed_in: list[int] = []  # the process whose thread flushes: a forked child inherits the list, not the thread


def note_answer(request: HttpRequest, response: HttpResponse, *, at: datetime | None = None) -> None:
    """Counts the answer, if the request had a whole key of ours; to be called once for each answer under /v1."""
    presented: Presented | None = getattr(request, "presented", None)
    if presented is None:
        return
    at = at or timezone.now()
    if hasattr(request, "admission"):
        agent = request.headers.get("User-Agent", "")
        collector.note_call(
            presented, family=_family(request.path_info), status=response.status_code, agent=one_line(agent), at=at
        )
    if response.status_code in REFUSALS:
        reason = getattr(response, "code", "") or f"http_{response.status_code}"
        collector.note_refusal(presented.key.principal.key_id, reason=reason, address=presented.address, at=at)


def one_line(agent: str) -> str:
    """What a client calls itself, without anything that a terminal would obey."""
    cut = agent[:AGENT_LENGTH]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)


def flush() -> bool:
    """Writes down what was counted; False if it could not be: kept while the database is away, otherwise lost."""
    with _flushing:  # the thread's and the last one, as the process ends
        counts = collector.take()
        if not counts:
            return True
        if lost := sum(table.lost for table in counts.tables()):
            log.warning("apikeys.usage_lost", entries=lost, at_most=AT_MOST)
        try:
            usage_store.write(counts)
        except (OperationalError, InterfaceError) as error:  # it is away, or busy
            log.warning("apikeys.usage_not_written", error=type(error).__name__)
            collector.put_back(counts)
            return False
        except DatabaseError:  # it would not take them the next time either, nor what came with them
            log.exception("apikeys.usage_dropped")
            return False
        return True


def start_flushing() -> None:
    """Starts the thread that flushes, once in each web process; what is counted last is written as it ends."""
    if _flushed_in == [getpid()]:
        return
    _flushed_in[:] = [getpid()]
    threading.Thread(target=_flush_for_ever, name="usage", daemon=True).start()
    # not atexit: a worker process of multiprocessing, which Granian's are, ends without that
    Finalize(None, _flush_at_the_end, exitpriority=1)


def _flush_for_ever() -> None:
    wait = threading.Event().wait
    while not wait(FLUSH_EVERY_S):
        try:
            if not flush():
                connection.close()  # the next one begins with a new one
        except Exception:  # whatever it is, counting goes on
            log.exception("apikeys.usage_failed")
            connection.close()


def _flush_at_the_end() -> None:
    flush()
    connection.close()


def _family(path: str) -> str:
    """The word after /v1/."""
    return path.split("/", 3)[2][:FAMILY_LENGTH]
