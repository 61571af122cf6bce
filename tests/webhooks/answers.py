"""A receiver over real sockets, for tests: it answers as it is told, also badly, and remembers what it was sent.

with receiver(in_turn(answer(500), answer(200))) as there:
    settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
    ...
    assert [request.headers["webhook-attempt"] for request in there.received] == ["1", "2"]
"""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

DRIP_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Received:
    """One request. Header names in lower case; connection counts from 1."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Mode = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    def __init__(self, mode: Mode, *, tls: ssl.SSLContext | None = None, reads_bodies: bool = True) -> None:
        self.mode = mode
        self.reads_bodies = reads_bodies
        self.received: list[Received] = []
        self.connections = 0
        self.port = 0
        self._tls = tls
        self._serving: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    @property
    def network(self) -> str:
        """For WEBHOOK_ALLOW_NETWORKS."""
        return f"127.0.0.1/32:{self.port}"

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        open_connections = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_connections:
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        # asyncio lets go of the task when the client leaves; one that waits for nothing would be collected as garbage
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            # a stopped receiver ends its connections quietly; a client that goes away is what many tests are about
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (request := await self._read(reader, number)) and not writer.is_closing():
                    self.received.append(request)
                    await self.mode(request, writer)
                    if not self.reads_bodies:
                        await asyncio.Event().wait()
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> Received | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0"))) if self.reads_bodies else b""
        return Received(method, target, headers, body, connection)


@contextmanager
def receiver(
    mode: Mode | None = None, *, tls: ssl.SSLContext | None = None, reads_bodies: bool = True
) -> Iterator[Receiver]:
    """Runs in a thread of its own and answers 200 by default; right after the headers if it does not read bodies."""
    there = Receiver(mode or answer(), tls=tls, reads_bodies=reads_bodies)
    there.start()
    try:
        yield there
    finally:
        there.stop()


@contextmanager
def silent_port() -> Iterator[int]:
    """A listener that accepts (the kernel does) and never says a word, not even of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def full_port() -> Iterator[int]:
    """A port at which no connection gets through any more: its backlog is full, and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        port = listener.getsockname()[1]
        for _ in range(8):
            filling = waiting.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(("127.0.0.1", port))
        yield port


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody will while it is reserved here."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def answer(status: int = 200, body: bytes = b"ok", headers: Mapping[str, str] | None = None) -> Mode:
    fields = {"content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return raw(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{head}\r\n".encode() + body)


def raw(octets: bytes, *, close: bool = False) -> Mode:
    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        await writer.drain()
        if close:
            writer.close()

    return mode


def in_turn(*modes: Mode) -> Mode:
    """One after the other; the last for all that follow."""
    left = list(modes)

    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, writer)

    return mode


def by_host(modes: Mapping[str, Mode]) -> Mode:
    """One receiver for many names: what it does is in the name it is called by, up to the first dot."""

    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        await modes[request.headers["host"].partition(".")[0]](request, writer)

    return mode


def in_pieces(*pieces: bytes, every_s: float = 0.02) -> Mode:
    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)

    return mode


def then(first: Mode, second: Mode) -> Mode:
    """Both for one request."""

    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        await first(request, writer)
        await second(request, writer)

    return mode


def slowly(seconds: float) -> Mode:
    """Says 200, but only then."""
    said = answer()

    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await said(request, writer)

    return mode


def never() -> Mode:
    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return mode


def drip(start: bytes, repeated: bytes) -> Mode:
    """Sends start, then the rest octet by octet and for ever."""

    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            for octet in repeated:
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(DRIP_EVERY_S)

    return mode


def endless(start: bytes, repeated: bytes) -> Mode:
    """Sends start, then the rest again and again, as fast as it is taken."""

    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(repeated)
            await writer.drain()
            await asyncio.sleep(0)

    return mode


def reset(after: bytes = b"") -> Mode:
    """Sends the octets and an RST."""

    async def mode(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return mode
