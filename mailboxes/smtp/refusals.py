"""Refusals on their way to the database, off the path of commands and replies."""

import queue
import threading
from collections.abc import Callable, Sequence

from django.db import close_old_connections, connections

from emailgistics.common.logs import get_logger
from mailboxes.services import refuse
from mailboxes.services.refuse import Refused

log = get_logger(__name__)

WAITING = 1000  # beyond that they are dropped: who refuses so much has other worries than a record of it
AT_ONCE = 200
GATHER_S = 0.2


class RefusalWriter:
    """Takes refusals from the event loop without ever waiting, and records them from a thread of its own."""

    def __init__(self, record: Callable[[Sequence[Refused]], None] = refuse.record, *, waiting: int = WAITING) -> None:
        self._record = record
        self._queue: queue.Queue[Refused] = queue.Queue(waiting)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._dropped = 0

    def add(self, refused: Refused) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="smtp-refusals", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(refused)
        except queue.Full:
            if not self._dropped:
                log.warning("smtp.refusals_dropped", waiting=self._queue.maxsize)
            self._dropped += 1

    def stop(self, *, within_s: float) -> bool:
        """After what is waiting is written; False if it takes longer."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(within_s)
            return not self._thread.is_alive()
        return True

    def _write(self) -> None:
        try:
            while not self._stopping.is_set() or not self._queue.empty():
                try:
                    batch = [self._queue.get(timeout=GATHER_S)]
                except queue.Empty:
                    continue
                self._stopping.wait(GATHER_S)  # more of them usually follow
                while len(batch) < AT_ONCE and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                self._write_batch(batch)
        finally:
            connections.close_all()

    def _write_batch(self, batch: Sequence[Refused]) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            log.warning("smtp.refusals_lost", count=dropped)
        close_old_connections()
        try:
            self._record(batch)
        except Exception as error:  # noqa: BLE001 - the next ones are worth trying
            log.warning("smtp.refusals_lost", count=len(batch), error=type(error).__name__)
            connections.close_all()
