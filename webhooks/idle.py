"""Connections that wait for their next request."""

import asyncio
import time
from collections import deque

from webhooks.dialling import Origin
from webhooks.wire import Wire

KEEP_ALIVE_S = 15.0  # receivers end idle connections, many after 15 s or more; what they end is replaced
MAX_IDLE = 512  # of all receivers: sockets are few (1024 in a process, unless somebody raised that)


class IdleWires:
    """Keeps them by origin, gives the one that was used last, and ends those that nobody needed."""

    def __init__(self) -> None:
        self._by_origin: dict[Origin, deque[tuple[float, Wire]]] = {}  # with when they began to wait, oldest first
        self._origin_of: dict[Wire, Origin] = {}  # the one that waits longest is first
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> Wire | None:
        """One that is open still; it may turn out to be dead all the same."""
        waiting = self._by_origin.get(origin)
        while waiting:
            since, wire = waiting.pop()
            del self._origin_of[wire]
            if not waiting:
                del self._by_origin[origin]
            if wire.is_open and time.monotonic() - since < KEEP_ALIVE_S:
                return wire
            wire.abort()
        return None

    def keep(self, origin: Origin, wire: Wire) -> None:
        while len(self._origin_of) >= MAX_IDLE:
            oldest = next(iter(self._origin_of))
            self.forget(oldest)  # now: that it is lost is told later, and others may come before that
            oldest.abort()
        self._by_origin.setdefault(origin, deque()).append((time.monotonic(), wire))
        self._origin_of[wire] = origin
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._end_old)

    def forget(self, wire: Wire) -> None:
        """Called when a connection is lost; twice is as good as once."""
        origin = self._origin_of.pop(wire, None)
        if origin is not None:
            left = deque(entry for entry in self._by_origin[origin] if entry[1] is not wire)
            if left:
                self._by_origin[origin] = left
            else:
                del self._by_origin[origin]

    def abort_all(self) -> None:
        for wire in list(self._origin_of):
            wire.abort()
        if self._sweep is not None:
            self._sweep.cancel()

    def _end_old(self) -> None:
        self._sweep = None
        before = time.monotonic() - KEEP_ALIVE_S
        for waiting in self._by_origin.values():
            for since, wire in waiting:
                if since <= before:
                    wire.abort()
        if self._by_origin:
            self._sweep = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._end_old)
