"""What is known of one HTTP exchange while it goes on, as seen at the socket and from aiohttp's hooks."""

import asyncio
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import aiohttp
from aiohttp.connector import Connection

END_OF_HEAD = b"\r\n\r\n"
MAX_RECEIVED_BYTES = 1024 * 1024  # headers, interim answers, framing: what a body's excerpt does not bound


@dataclass(slots=True)
class Exchange:
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    lap: float = 0.0
    wire: "Wire | None" = None
    is_reused: bool = False
    received_bytes: int = 0
    status: int | None = None
    error: str = ""
    detail: str = ""
    retry_after: str | None = None
    dns_ms: int | None = None
    connect_ms: int | None = None
    first_byte_ms: int | None = None
    peer_ip: str | None = None
    tunnel_to: str | None = None  # the receiver's address, where the socket's other end is a proxy
    response_headers: bytes = b""
    excerpt: bytearray = field(default_factory=bytearray)

    @property
    def is_flooded(self) -> bool:
        return self.received_bytes > MAX_RECEIVED_BYTES

    def ms(self, since: float) -> int:
        return round((time.monotonic() - since) * 1000)

    def fail(self, error: str, detail: str) -> None:
        """After an answer it is a remark on the answer: the receiver has said what it makes of the request."""
        if self.status is None:
            self.error, self.detail = error, detail
        elif not self.detail:
            self.detail = f"The answer's body broke off ({error})."


@dataclass(slots=True)
class Connections:
    """How many were opened, and how often an open one served a further request."""

    opened: int = 0
    reused: int = 0


# how aiohttp's hooks, also those that run in tasks of its own, find what they report on
exchange_now: ContextVar[Exchange] = ContextVar("exchange_now")


class Inner(Protocol):
    """aiohttp's protocol of a connection, as far as it is used here."""

    @property
    def should_close(self) -> bool: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Wire(asyncio.Protocol):
    """Stands between a socket and aiohttp's protocol, and bounds what a receiver can make us hold.

    aiohttp queues whatever answers arrive on an idle connection, without limit, and takes the first for that of the
    next request. Its close() waits for a receiver that does not read, for as long as that lives.
    """

    def __init__(self, inner: Inner, transport: asyncio.Transport, *, tunnel_to: str | None = None) -> None:
        self._inner = inner
        self._tunnel_to = tunnel_to
        self._transport = transport
        self._exchange: Exchange | None = None

    def begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        exchange.wire = self
        exchange.received_bytes = 0
        peer = self._transport.get_extra_info("peername")
        exchange.peer_ip = self._tunnel_to or (peer[0] if peer else None)

    def end(self, exchange: Exchange) -> None:
        """The connection stays for the next request if nothing is left on it in either direction."""
        if self._exchange is not exchange:
            return  # it already carries the next one
        self._exchange = None
        # more came right behind the answer; given up on (TLS would say goodbye for 30 s); answered before all was sent
        if self._inner.should_close or self._transport.is_closing() or self._transport.get_write_buffer_size():
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked
            self._transport.abort()
            return
        if exchange.first_byte_ms is None:
            exchange.first_byte_ms = exchange.ms(exchange.clock)
        exchange.received_bytes += len(data)
        if exchange.is_flooded:
            self._transport.abort()
            return
        # apart: aiohttp forgets an answer if what came with it makes no sense, as a body longer than it says it is
        head, end, rest = data.partition(END_OF_HEAD) if exchange.status is None else (data, b"", b"")
        self._inner.data_received(head + end)
        if rest and not self._transport.is_closing():
            self._inner.data_received(rest)

    def eof_received(self) -> None:
        self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


class Response(aiohttp.ClientResponse):
    """The one place where aiohttp shows a request's connection before its answer is read."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        transport, inner = connection.transport, connection.protocol
        if transport is not None and inner is not None:
            wire = transport.get_protocol()
            exchange = exchange_now.get()
            if not isinstance(wire, Wire):
                wire = Wire(inner, transport, tunnel_to=exchange.tunnel_to)
                transport.set_protocol(wire)
            wire.begin(exchange)
        return await super().start(connection)


def stopwatch(connections: Connections) -> aiohttp.TraceConfig:
    """Notes the times of an exchange, and counts connections.

    On a reused connection only the reuse is reported; for literals no DNS.
    """

    async def lap(*_: object) -> None:
        exchange_now.get().lap = time.monotonic()

    async def resolved(*_: object) -> None:
        exchange = exchange_now.get()
        exchange.dns_ms = exchange.ms(exchange.lap)
        exchange.lap = time.monotonic()

    async def connected(*_: object) -> None:
        exchange = exchange_now.get()
        exchange.connect_ms = exchange.ms(exchange.lap)
        connections.opened += 1

    async def reused(*_: object) -> None:
        exchange_now.get().is_reused = True
        connections.reused += 1

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(lap)
    trace.on_dns_resolvehost_start.append(lap)
    trace.on_dns_resolvehost_end.append(resolved)
    trace.on_dns_cache_hit.append(lap)
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(reused)
    return trace
