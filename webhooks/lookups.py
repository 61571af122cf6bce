"""Names to addresses, with a deadline that name servers cannot move.

`getaddrinfo` answers to nobody's timeout, so it runs in threads of its own; what is waited for is bounded, what still
runs is too.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from django.conf import settings

DNS_TIMEOUT_S: float = settings.WEBHOOK_DNS_TIMEOUT_S
MAX_LOOKUPS = 64  # threads that somebody waits for
MAX_STALLED = 256  # threads that nobody waits for any more

Lookup = Callable[[str, int], list[str]]


def system_lookup(host: str, port: int) -> list[str]:
    """The addresses of a name, in the system's order, each once. Blocks. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(address_text(sockaddr) for *_, sockaddr in found))


def address_text(sockaddr: Sequence[object]) -> str:
    """The address with its scope, if it has one: such an address means something on one link only."""
    address = str(sockaddr[0])
    scope = sockaddr[3] if len(sockaddr) > 3 else 0  # noqa: PLR2004 - an IPv6 sockaddr
    return f"{address}%{scope}" if scope and "%" not in address else address


def in_thread(lookup: Lookup, host: str, port: int) -> "Future[list[str]]":
    """Starts a lookup that nobody has to wait for: name servers may take longer than any deadline of ours.

    The thread is a daemon, because those of an executor are joined when the process ends.
    """
    future: Future[list[str]] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(lookup(host, port))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="dns", daemon=True).start()
    return future


class BusyError(OSError):
    """No thread is free to look a name up: a fault of ours, whatever the name."""


class Lookups:
    """Lookups for one event loop: at most one for a name, and MAX_LOOKUPS at a time.

    One that was given up on goes on in its thread, for name servers may take longer than anybody waits. It leaves its
    place to others then, so that stalled name servers of some cost everybody else nothing; of those that go on there
    are at most MAX_STALLED.
    """

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._running: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._free = asyncio.Semaphore(MAX_LOOKUPS)
        self._stalled: set[tuple[str, int]] = set()

    async def addresses(self, host: str, port: int) -> list[str]:
        """Raises OSError, after DNS_TIMEOUT_S at the latest; BusyError, if it was not even asked for."""
        key, is_asked_for = (host, port), False
        try:
            async with asyncio.timeout(DNS_TIMEOUT_S):
                if key not in self._running:
                    await self._start(key)
                is_asked_for = True
                # shielded: whoever gives up leaves it to the others who wait for it
                return await asyncio.shield(self._running[key])
        except TimeoutError:
            if not is_asked_for:
                raise BusyError(errno.EBUSY, "too many names are looked up already") from None
            raise OSError(errno.ETIMEDOUT, "the name servers did not answer in time") from None

    def close(self) -> None:
        """Forgets what still runs; the threads end by themselves."""
        for running in list(self._running.values()):
            running.cancel()

    async def _start(self, key: tuple[str, int]) -> None:
        await self._free.acquire()
        if key in self._running:  # begun by another while we waited
            self._free.release()
            return
        if len(self._stalled) >= MAX_STALLED:
            self._free.release()
            raise BusyError(errno.EBUSY, "too many name servers do not answer")
        try:
            lookup = in_thread(self._lookup, *key)
        except (RuntimeError, MemoryError) as error:
            self._free.release()
            raise BusyError(errno.EAGAIN, "no thread can be started") from error
        self._running[key] = asyncio.wrap_future(lookup)
        given_up = asyncio.get_running_loop().call_later(DNS_TIMEOUT_S, self._stall, key)
        self._running[key].add_done_callback(lambda _: self._ended(key, given_up))

    def _stall(self, key: tuple[str, int]) -> None:
        self._stalled.add(key)
        self._free.release()

    def _ended(self, key: tuple[str, int], given_up: asyncio.TimerHandle) -> None:
        if key in self._stalled:
            self._stalled.remove(key)
        else:
            given_up.cancel()
            self._free.release()
        running = self._running.pop(key)
        if not running.cancelled():
            running.exception()  # has been seen now, also when nobody waits any more
