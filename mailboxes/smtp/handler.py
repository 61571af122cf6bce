"""Between the event loop and the database: admitting and storing, on a few threads that keep their connections."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from sqlite3 import SQLITE_FULL
from typing import TypeVar

import django.db
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections

from emailgistics.common.errors import DomainError, LimitReachedError, UnavailableError
from emailgistics.common.logs import get_logger
from mailboxes.services import admit, receive
from mailboxes.services.admit import Admission, Request
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Incoming, Line, Octets, Receipt
from mailboxes.smtp.together import Together

log = get_logger(__name__)
Answer = TypeVar("Answer")
Outcome = Receipt | Sequence[Receipt | DomainError]  # for all recipients; or for each admission, in their order

ADMIT_AT_ONCE = 100  # recipients that one call looks up
STORE_AT_ONCE = 20  # mails in one transaction
LINGER_S = 0.002  # for more of them, while it is busy
LARGE_OCTETS = 256 * 1024  # a mail from here on is stored apart: small ones do not wait for it
DISK_FULL = "53100"  # SQLSTATE
SOUND_FOR_S = 1  # a connection that was used so lately is not tried out first
CROSSED = ("40001", "40P01")  # of a serialization failure and a deadlock: the same may do a moment later

_used = threading.local()  # at: when this thread last used its connection


class Mail:
    """What came with DATA, and what was said before it.

    The octets are given away, not lent: nobody who waits for a large mail to be stored may hold it in memory meanwhile.
    """

    def __init__(
        self, *, envelope: Envelope, admissions: Sequence[Admission], raw: Octets, transcript: Sequence[Line] = ()
    ) -> None:
        self.size = len(raw)
        self._raw: Octets | None = raw
        self._envelope = envelope
        self._admissions = admissions
        self._transcript = transcript
        self._refused: dict[int, DomainError] = {}  # by position of the admission

    def incoming(self) -> Incoming | None:
        """Once only. None if rules about its size refuse it for all recipients: then there is nothing to store."""
        taken = self._judged_by_size()
        raw, self._raw = self._raw, None
        if raw is None:
            raise AssertionError("a mail is stored once")
        if not taken:
            return None
        return Incoming(envelope=self._envelope, admissions=taken, raw=raw, transcript=self._transcript)

    def outcome(self, receipt: Receipt) -> Outcome:
        """For all recipients, or for each of them if not all have been spared by rules about its size."""
        if not self._refused:
            return receipt
        return [self._refused.get(position, receipt) for position in range(len(self._admissions))]

    def refused(self) -> Outcome:
        """Each recipient's own error, where `incoming` was None."""
        return [self._refused[position] for position in range(len(self._admissions))]

    def _judged_by_size(self) -> Sequence[Admission]:
        if not any(admission.depends_on_size for admission in self._admissions):
            return self._admissions
        judged = admit.judged_by_size(self._admissions, envelope=self._envelope, size=self.size)
        self._refused = {n: answer for n, answer in enumerate(judged) if isinstance(answer, DomainError)}
        return [answer for answer in judged if isinstance(answer, Admission)]


class Handler:
    """Admits recipients and stores messages for all connections of a listener.

    Both methods raise DomainErrors; whatever else happens is logged and becomes UnavailableError, a fault of ours.
    """

    def __init__(
        self,
        *,
        admit_all: Callable[[Sequence[Request]], list[Admission | DomainError]] = admit.admit_all,
        receive_group: Callable[[Sequence[Incoming]], list[Receipt]] = receive.receive_group,
        threads: int | None = None,
    ) -> None:
        self._admit_all = admit_all
        self._receive_group = receive_group
        self._threads = threads or settings.SMTP_DB_THREADS
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="smtp-db")
        self._admitting = Together(self._pool, self._admit, at_most=ADMIT_AT_ONCE, linger_s=LINGER_S)
        # all but those of the other two, so that none of them waits for one that waits for a lock
        self._storing: Together[Mail, Outcome] = Together(
            self._pool, self._store, at_most=STORE_AT_ONCE, at_once=max(1, self._threads - 2), linger_s=LINGER_S
        )
        # one at a time: each of them is held several times in memory while it is compressed and sent
        self._storing_large: Together[Mail, Outcome] = Together(self._pool, self._store, at_most=1)

    @property
    def is_storing(self) -> bool:
        return self._storing.is_busy or self._storing_large.is_busy

    async def admit(self, address: str, *, envelope: Envelope, size: int | None) -> Admission:
        return await self._admitting.ask(Request(address, envelope, size))

    async def store(self, mail: Mail) -> Outcome:
        """Returns after the commit. A caller that is cancelled (its client is gone) does not stop it half-way."""
        lane = self._storing_large if mail.size >= LARGE_OCTETS else self._storing
        return await lane.ask(mail)

    def _admit(self, requests: Sequence[Request]) -> Sequence[Admission | Exception]:
        return _with_sound_connection(lambda: self._admit_all(requests), of=len(requests))

    def _store(self, mails: Sequence[Mail]) -> Sequence[Outcome | Exception]:
        answers: dict[Mail, Outcome | Exception] = {}
        group: dict[Mail, Incoming] = {}
        for mail in mails:
            (incoming,) = _with_sound_connection(lambda mail=mail: [mail.incoming()], of=1)  # type: ignore[misc]
            if incoming is None:
                answers[mail] = mail.refused()
            elif isinstance(incoming, Exception):  # that of one mail is not that of the others
                answers[mail] = incoming
            else:
                group[mail] = incoming
        for mail, receipt in zip(group, self._store_group(list(group.values())), strict=True):
            answers[mail] = receipt if isinstance(receipt, Exception) else mail.outcome(receipt)
        return [answers[mail] for mail in mails]

    def _store_group(self, group: Sequence[Incoming]) -> Sequence[Receipt | Exception]:
        """Together; and if they cannot be stored so, each alone: one must not spoil it for the others."""
        answers = _with_sound_connection(lambda: self._receive_group(group), of=len(group)) if group else []
        if len(group) == 1 or not any(isinstance(answer, _OurFaultError) and answer.may_go_alone for answer in answers):
            return answers
        log.warning("smtp.group_failed", mails=len(group))
        return [answer for incoming in group for answer in self._store_group([incoming])]

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


def _with_sound_connection(
    call: Callable[[], Sequence[Answer | DomainError]], *, of: int
) -> Sequence[Answer | Exception]:
    """Calls with a connection of this thread's own, kept for the next call unless the database complained.

    What it raises is the answer to each of the `of` items.
    """
    try:
        if time.monotonic() - getattr(_used, "at", 0) > SOUND_FOR_S:
            close_old_connections()
        return call()
    except DomainError as error:
        return [error] * of
    except Exception as error:  # noqa: BLE001 - 451 whatever it is: the sender keeps the mail and comes again
        if isinstance(error, django.db.Error):
            connections.close_all()  # perhaps it is broken, perhaps not: a new one certainly is not
        return [_fault(error)] * of
    finally:
        _used.at = time.monotonic()


class _OurFaultError(UnavailableError):
    """may_go_alone: it may have been one mail of a group that the database did not like, or two groups that crossed."""

    def __init__(self, error: Exception) -> None:
        super().__init__("Temporary failure.")
        self.__cause__ = error
        self.may_go_alone = not _is_away(error)


def _is_away(error: Exception) -> bool:
    crossed = getattr(error.__cause__, "sqlstate", None) in CROSSED
    return isinstance(error, (OperationalError, InterfaceError)) and not crossed


def _fault(error: Exception) -> DomainError:
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) == DISK_FULL or getattr(cause, "sqlite_errorcode", None) == SQLITE_FULL:
        log.error("smtp.disk_full")
        return LimitReachedError("The disk is full.")
    # of a database that is away, no traceback would explain anything
    log.error("smtp.fault", error=type(error).__name__, exc_info=None if _is_away(error) else error)
    return _OurFaultError(error)


def _let_go(barrier: threading.Barrier, within_s: float) -> bool:
    connections.close_all()
    try:
        barrier.wait(within_s)
    except threading.BrokenBarrierError:
        return False
    return True
