"""Connections to receivers: the name looked up, its addresses judged, TCP, TLS, and the operator's proxy where it is.

The receiver's address is judged twice, before anything is dialled and again where the socket is made. TLS verifies the
name in the URL whichever way the connection goes.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

from aiohappyeyeballs import AddrInfoType, start_connection

from webhooks import guard
from webhooks.exchange import Exchange
from webhooks.lookups import Lookups
from webhooks.tunnel import Proxy, ReceiverAwayError, open_tunnel
from webhooks.wire import Wire

DNS_CACHE_S = 10
MAX_CACHED_NAMES = 1024
NEXT_ADDRESS_AFTER_S = 0.25  # RFC 8305 section 5: IPv6 and IPv4 in a race

OnLost = Callable[[Wire], None]


class Origin(NamedTuple):
    """Where a URL leads (RFC 6454): scheme, host without brackets, port."""

    scheme: str
    host: str
    port: int


class UnresolvedError(Exception):
    """The name leads nowhere, or the name servers do not say. reason: what the system said."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class ConnectTimeoutError(Exception):
    """No connection, TLS included, in the time that one may take."""


class Dialler:
    """Makes connections from one event loop. http is judged more strictly than https, and never goes by the proxy."""

    JUDGES: ClassVar[dict[str, guard.Judge]] = {"https": guard.judge, "http": guard.judge_plain}

    def __init__(self, *, lookups: Lookups, tls: ssl.SSLContext, proxy: Proxy | None, connect_s: float) -> None:
        self._lookups = lookups
        self._tls = tls
        self._proxy = proxy
        self._connect_s = connect_s
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}  # until when, and the addresses

    async def dial(self, origin: Origin, exchange: Exchange, *, on_lost: OnLost) -> Wire:
        """A connection that is ready for a request; `exchange` learns how long it took.

        Raises UnresolvedError, guard.ForbiddenAddressError, ConnectTimeoutError, tunnel.ProxyError, OSError (of TCP and
        TLS, tunnel.ReceiverAwayError).
        """
        literal = guard.literal(origin.host)
        ips = [literal] if literal else await self._addresses(origin, exchange)
        infos = guard.judged_addresses(ips, origin.port, judged_by=self.JUDGES[origin.scheme])
        began = time.monotonic()
        try:
            wire = await self._connect(origin, infos, on_lost)
        except TimeoutError:
            raise ConnectTimeoutError from None
        exchange.connect_ms = exchange.ms(began)
        return wire

    async def _addresses(self, origin: Origin, exchange: Exchange) -> list[str]:
        key, began = (origin.host, origin.port), time.monotonic()
        until, ips = self._known.get(key, (0.0, []))
        if began < until:
            return ips
        try:
            ips = await self._lookups.addresses(*key)
        except OSError as error:
            raise UnresolvedError(error) from error
        if not ips:
            raise UnresolvedError(OSError(None, "the name has no address"))
        exchange.dns_ms = exchange.ms(began)
        if len(self._known) >= MAX_CACHED_NAMES:
            self._known.clear()
        self._known[key] = time.monotonic() + DNS_CACHE_S, ips
        return ips

    async def _connect(self, origin: Origin, infos: list[AddrInfoType], on_lost: OnLost) -> Wire:
        is_listed = all(guard.is_listed(_ip(info), origin.port) for info in infos)
        if self._proxy is not None and origin.scheme == "https" and not is_listed:
            return await self._through(self._proxy, origin, infos, on_lost)
        async with asyncio.timeout(self._connect_s):
            return await self._directly(origin, infos, on_lost)

    async def _directly(self, origin: Origin, infos: list[AddrInfoType], on_lost: OnLost) -> Wire:
        """The first address that answers; where its handshake fails, the first of the others."""
        judged = partial(guard.guarded_socket, judged_by=self.JUDGES[origin.scheme])
        while True:
            opened = await start_connection(
                infos, happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S, interleave=1, socket_factory=judged
            )
            ip = ""
            try:
                ip = opened.getpeername()[0]  # fails if it was reset already
                return await self._wire(origin, opened, on_lost)
            except OSError:
                opened.close()
                others = [info for info in infos if _ip(info) != ip]
                if len(others) in (0, len(infos)):
                    raise
                infos = others

    async def _through(self, proxy: Proxy, origin: Origin, infos: list[AddrInfoType], on_lost: OnLost) -> Wire:
        """One address after the other, as the proxy and then the handshake fails with them."""
        for left, info in zip(range(len(infos) - 1, -1, -1), infos, strict=True):
            try:
                opened = await open_tunnel(
                    proxy, _ip(info), origin.port, lookups=self._lookups, connect_s=self._connect_s
                )
                async with asyncio.timeout(self._connect_s):
                    wire = await self._wire(origin, opened, on_lost)
            except (ReceiverAwayError, ssl.SSLError, ConnectionError):
                if not left:
                    raise
            else:
                wire.peer_ip = _ip(info)
                return wire
        raise AssertionError("a name without addresses was refused before")

    async def _wire(self, origin: Origin, opened: socket.socket, on_lost: OnLost) -> Wire:
        is_tls = origin.scheme == "https"
        _, wire = await asyncio.get_running_loop().create_connection(
            partial(Wire, on_lost=on_lost),
            sock=opened,
            ssl=self._tls if is_tls else None,
            server_hostname=origin.host.rstrip(".") if is_tls else None,  # as certificates have it
        )
        return wire


def _ip(info: AddrInfoType) -> str:
    return str(info[4][0])
