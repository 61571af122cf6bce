"""A proxy over real sockets, for tests: it notes what it was asked for, and leads every CONNECT to one receiver."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy:
    def __init__(self, *, to: int, reply: bytes | None) -> None:
        self.asked: list[list[str]] = []  # the lines of each request
        self.port = 0
        self._to = to
        self._reply = reply
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [lines[0] for lines in self.asked]

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
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2])
            if self._reply is None:
                there, onward = await asyncio.open_connection("127.0.0.1", self._to)
                writer.write(ESTABLISHED)
                await asyncio.gather(pump(reader, onward), pump(there, writer))
            elif self._reply:
                writer.write(self._reply)
                await writer.drain()
            else:
                await asyncio.Event().wait()
        writer.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
    finally:
        writer.transport.abort()


@contextmanager
def proxy(*, to: int = 0, reply: bytes | None = None) -> Iterator[Proxy]:
    """Opens tunnels to that port of 127.0.0.1, whatever it was asked for; or replies with octets, or with b"" never."""
    there = Proxy(to=to, reply=reply)
    there.start()
    try:
        yield there
    finally:
        there.stop()
