"""One HTTP/1.1 connection to a receiver (RFC 9112): a request goes out, its answer is read within bounds.

The grammar is llhttp's, through httptools. What stands here is what it leaves to others: how much of an answer is
kept, where a flood ends, whether the connection may serve another request. A client library was tried before: it
queues whatever comes on an idle connection and takes the first of it for the next answer, forgets a status if the body
behind it is broken, waits for receivers that do not read, and costs twice the processor time.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import httptools

from webhooks.exchange import Exchange

MAX_EXCERPT_BYTES = 16 * 1024
MAX_HEADER_LINE_BYTES = 8190
MAX_HEADER_LINES = 100
MAX_HEAD_BYTES = 128 * 1024  # fed to the parser before it has seen their end
PIECE_BYTES = 64 * 1024  # of a body: a smaller one is written at once, a larger one as fast as it is taken


class ClosedError(Exception):
    """The receiver closed the connection before its answer was whole."""


class ProtocolError(Exception):
    """What the receiver sent is not HTTP as we read it."""


class FloodError(Exception):
    """The receiver sent without end, and no answer."""


class Wire(asyncio.Protocol):
    """Carries one exchange at a time; octets that come between two of them end it."""

    def __init__(self, *, on_lost: Callable[["Wire"], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[Exception | None] | None = None
        self._may_write: asyncio.Future[None] | None = None
        self._is_paused = False
        # the receiver's address; where the socket's other end is a proxy, whoever dialled says it
        self.peer_ip: str | None = None

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def abort(self) -> None:
        """At once: `close` would wait for a receiver that does not read, and TLS say goodbye for half a minute."""
        self._transport.abort()

    async def carry(self, head: bytes, body: bytes, exchange: Exchange) -> bool:
        """Sends a request and reads its answer into `exchange`. True if the connection may serve another.

        Raises ClosedError, ProtocolError, FloodError. However it ends, a connection that may not is aborted.
        """
        loop = asyncio.get_running_loop()
        self._exchange, self._ended = exchange, loop.create_future()
        self._parser = _parser(self)
        self._begun = self._head_bytes = 0  # answers whose head has begun, and octets since the last of them has
        self._is_written = self._is_whole = self._may_stay = False
        self._ends_with_connection = True
        exchange.peer_ip = self.peer_ip
        may_stay = False
        try:
            await self._send(head, body)
            if (error := await self._ended) is not None:
                raise error
            is_sent = self._is_written and not self._transport.get_write_buffer_size()
            may_stay = self._is_whole and self._may_stay and self.is_open and is_sent
        finally:
            self._exchange = self._ended = None
            if not may_stay:  # also if the deadline came in the moment of the answer: nobody keeps it then
                self.abort()
        return may_stay

    async def _send(self, head: bytes, body: bytes) -> None:
        """Returns once all is handed over, or nobody waits for the rest: it was answered before, or closed."""
        if len(body) <= PIECE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            octets = memoryview(body)
            for start in range(0, len(octets), PIECE_BYTES):
                if self._is_paused:
                    self._may_write = asyncio.get_running_loop().create_future()
                    await self._may_write
                if self._ended is None or self._ended.done():
                    return
                self._transport.write(octets[start : start + PIECE_BYTES])
        self._is_written = True

    def _end(self, error: Exception | None = None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(error)
        self.resume_writing()

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.peer_ip = peer[0] if peer else None

    def data_received(self, data: bytes) -> None:
        exchange, ended = self._exchange, self._ended
        if exchange is None or ended is None or ended.done():
            self.abort()  # nobody asked
            return
        if exchange.first_byte_ms is None:
            exchange.first_byte_ms = exchange.ms(exchange.clock)
        exchange.received_bytes += len(data)
        begun = self._begun
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._may_stay = False
            self._end(error.__context__ if isinstance(error.__context__, ProtocolError) else ProtocolError(str(error)))
        if self._begun == begun:  # else a head may have begun anywhere in these
            self._head_bytes += len(data)
        if exchange.is_flooded:
            self._end(FloodError())
        elif exchange.status is None and self._begun and self._head_bytes > MAX_HEAD_BYTES:
            self._end(ProtocolError("its headers do not end"))

    def eof_received(self) -> None:
        self._closed(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed(exc)
        self._on_lost(self)

    def _closed(self, error: Exception | None) -> None:
        is_answered = self._exchange is not None and self._exchange.status is not None
        is_the_end = is_answered and self._ends_with_connection and error is None
        self._may_stay = False
        self._end(None if is_the_end else ClosedError())

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._may_write is not None and not self._may_write.done():
            self._may_write.set_result(None)

    # --- called by the parser

    def on_message_begin(self) -> None:
        self._head_bytes, self._begun = 0, self._begun + 1
        if self._is_whole:  # more came right behind the answer
            self._may_stay = False

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._exchange
        if exchange is None or exchange.status is not None:
            return  # a trailer, or of what comes behind the answer
        exchange.headers.append((name, value))
        if len(exchange.headers) > MAX_HEADER_LINES or len(name) + len(value) > MAX_HEADER_LINE_BYTES:
            raise ProtocolError("its headers are too many or too long")

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        if exchange is None or exchange.status is not None:
            return
        status = self._parser.get_status_code()
        if status // 100 == 1 and status != HTTPStatus.SWITCHING_PROTOCOLS:
            exchange.headers.clear()  # an interim answer (RFC 9110 section 15.2): what counts is still to come
            return
        exchange.status = status
        self._may_stay = self._parser.should_keep_alive()
        coding = exchange.header(b"transfer-encoding") or ""
        is_chunked = coding.lower().endswith("chunked")
        self._ends_with_connection = not is_chunked and exchange.header(b"content-length") is None
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            self._end()

    def on_body(self, body: bytes) -> None:
        if self._exchange is None or self._ended is None or self._ended.done():
            return
        self._exchange.excerpt += body
        if len(self._exchange.excerpt) > MAX_EXCERPT_BYTES:
            self._may_stay = False
            self._end()

    def on_message_complete(self) -> None:
        if self._exchange is not None and self._exchange.status is not None and not self._is_whole:
            self._is_whole = True
            self._end()


def _parser(wire: Wire) -> httptools.HttpResponseParser:
    parser = httptools.HttpResponseParser(wire)
    # as most clients read: scripts end their lines with LF alone. Nothing of an answer is passed on to anybody.
    parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
    return parser
