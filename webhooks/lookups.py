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
MAX_LOOKUPS = 64  # threads that slow name servers can hold

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


class Lookups:
    """Lookups for one event loop: at most one for a name and MAX_LOOKUPS at all, also of those given up on."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._running: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
        self._free = asyncio.Semaphore(MAX_LOOKUPS)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Raises OSError, after DNS_TIMEOUT_S at the latest."""
        key = (host, port)
        try:
            async with asyncio.timeout(DNS_TIMEOUT_S):
                if key not in self._running:
                    await self._start(key)
                # shielded: whoever gives up leaves it to the others who wait for it
                return await asyncio.shield(self._running[key])
        except TimeoutError:
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
        self._running[key] = asyncio.wrap_future(in_thread(self._lookup, *key))
        self._running[key].add_done_callback(lambda _: self._ended(key))

    def _ended(self, key: tuple[str, int]) -> None:
        self._free.release()
        running = self._running.pop(key)
        if not running.cancelled():
            running.exception()  # has been seen now, also when nobody waits any more
