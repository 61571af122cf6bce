"""Between the event loop and the database: routing and storing, on a few threads that keep their connections."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import django.db
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections

from emailgistics.common.errors import DomainError, UnavailableError
from emailgistics.common.logs import get_logger
from mailboxes.services import admit, receive
from mailboxes.services.admit import Admission, Request
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Receipt

log = get_logger(__name__)
Result = TypeVar("Result")


class Handler:
    """Routes recipients and stores messages for all connections of a listener.

    Both methods raise DomainErrors; whatever else happens is logged and becomes UnavailableError, a fault of ours.
    """

    def __init__(
        self,
        *,
        admit_all: Callable[[Sequence[Request]], list[Admission | DomainError]] = admit.admit_all,
        receive_message: Callable[..., Receipt] = receive.receive_message,
        threads: int | None = None,
    ) -> None:
        self._admit_all = admit_all
        self._receive_message = receive_message
        self._threads = threads or settings.SMTP_DB_THREADS
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="smtp-db")
        self._storing: set[asyncio.Task[Receipt]] = set()

    @property
    def is_storing(self) -> bool:
        return bool(self._storing)

    async def admit(self, address: str, *, envelope: Envelope, size: int | None) -> Admission:
        (answer,) = await self._in_pool(lambda: self._admit_all([Request(address, envelope, size)]))
        if isinstance(answer, DomainError):
            raise answer
        return answer

    async def store(self, *, envelope: Envelope, admissions: Sequence[Admission], raw: bytes) -> Receipt:
        """Returns after the commit. A caller that is cancelled (its client is gone) does not stop it half-way."""
        call = self._in_pool(lambda: self._receive_message(envelope=envelope, admissions=admissions, raw=raw))
        task = asyncio.get_running_loop().create_task(call)
        self._storing.add(task)
        task.add_done_callback(self._stored)
        return await asyncio.shield(task)

    def _stored(self, task: asyncio.Task[Receipt]) -> None:
        self._storing.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen where nobody waits for it any more; it is logged already

    async def _in_pool(self, call: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, _with_sound_connection, call)
        except DomainError:
            raise
        except Exception as error:
            # 451 whatever it is: the sender keeps the mail and comes again
            is_away = isinstance(error, (OperationalError, InterfaceError))  # nothing that a traceback would explain
            log.error("smtp.fault", error=type(error).__name__, exc_info=None if is_away else error)  # noqa: TRY400
            raise UnavailableError("Temporary failure.") from error

    async def close(self, *, within_s: float) -> bool:
        """Closes the threads' connections; False when some call did not come back in time."""
        barrier = threading.Barrier(self._threads)
        loop = asyncio.get_running_loop()
        # as many as there are threads, each held until all have begun: so every thread gets exactly one
        calls = [loop.run_in_executor(self._pool, _let_go, barrier, within_s) for _ in range(self._threads)]
        done, pending = await asyncio.wait(calls, timeout=within_s)
        is_clean = not pending and all(call.result() for call in done)
        self._pool.shutdown(wait=is_clean, cancel_futures=True)
        return is_clean


def _with_sound_connection(call: Callable[[], Result]) -> Result:
    """Calls with a connection of this thread's own, kept for the next call unless the database complained."""
    close_old_connections()
    try:
        return call()
    except django.db.Error:
        connections.close_all()  # perhaps it is broken, perhaps not: a new one certainly is not
        raise
    finally:
        close_old_connections()


def _let_go(barrier: threading.Barrier, within_s: float) -> bool:
    connections.close_all()
    try:
        barrier.wait(within_s)
    except threading.BrokenBarrierError:
        return False
    return True
