"""How what a client says comes out of its stream: commands by lines, mails in chunks or line by line.

In chunks is several times as fast and never holds the event loop up for long. It takes more than the mail out of the
stream; what is behind the mail is kept here, in front of the stream, also when the stream has ended by then.
`feature_test` looks whether streams are what this stands on. Lines need nothing but the stream's own lines.
"""

import asyncio
from typing import Protocol

from mailboxes.smtp.data import DataScanner

STREAM_LIMIT = 64 * 1024  # octets at which the stream stops reading ahead (at twice this)
# More than the stream can ever hold (twice its limit and one piece of 256 KiB), so that one read leaves it empty
READ_OCTETS = 1024 * 1024
LINES_AT_ONCE = 256  # then others have their turn: lines that are there already come without a wait


class Input:
    """What a client says: its stream, and in front of it what was put back."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._held = bytearray()

    async def read(self) -> bytes:
        """All there is, at least one octet. Raises ConnectionResetError at the end of the stream."""
        if self._held:
            return self._take(len(self._held))
        if chunk := await self._stream.read(READ_OCTETS):
            return chunk
        raise ConnectionResetError

    async def read_line(self, end: bytes) -> bytes:
        """The octets up to `end` and with it, or a piece of a line that is longer than STREAM_LIMIT, which has no end.

        Raises ConnectionResetError where the stream ends before the line does.
        """
        while self._held:
            if (at := self._held.find(end)) >= 0:
                return self._take(at + len(end))
            if len(self._held) > STREAM_LIMIT:
                return self._take(len(self._held) + 1 - len(end))  # the rest may begin the end
            more = await self._stream.read(READ_OCTETS)
            if not more:
                raise ConnectionResetError
            self._held += more
        try:
            return await self._stream.readuntil(end)
        except asyncio.LimitOverrunError as error:
            return await self._stream.readexactly(error.consumed)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError from error

    def put_back(self, octets: bytes) -> None:
        """They are the next to be read."""
        self._held[:0] = octets

    async def forget(self) -> None:
        """All that was read so far, without waiting for more. Not to be called once the stream has ended."""
        self._held.clear()
        self._stream.feed_data(b".")  # so that there is something to read, and nothing to wait for
        await self._stream.read(READ_OCTETS)

    def _take(self, octets: int) -> bytes:
        taken = bytes(self._held[:octets])
        del self._held[:octets]
        return taken


class DataReader(Protocol):
    """Reads the next octets of a mail."""

    def __init__(self, source: Input) -> None: ...

    async def read(self) -> bytes:
        """At least one octet. Raises ConnectionResetError at the end of the stream."""


class ChunkReader:
    def __init__(self, source: Input) -> None:
        self._source = source

    async def read(self) -> bytes:
        return await self._source.read()


class LineReader:
    """Lines with their CRLF, and pieces of lines that are longer than the stream's limit: no mail ends in one."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._until_others = LINES_AT_ONCE

    async def read(self) -> bytes:
        self._until_others -= 1
        if not self._until_others:
            self._until_others = LINES_AT_ONCE
            await asyncio.sleep(0)
        return await self._source.read_line(b"\r\n")


async def feature_test() -> bool:
    """Whether streams of this Python let themselves be read as `ChunkReader` does it."""
    try:
        stream = asyncio.StreamReader(limit=STREAM_LIMIT)
        source = Input(stream)
        scanner, reader = DataScanner(limit=10), ChunkReader(source)
        stream.feed_data(b"a\r\n.\r\nNO")
        stream.feed_data(b"OP\r\nQUI")
        ended = scanner.feed(await asyncio.wait_for(reader.read(), 1))
        source.put_back(scanner.rest)
        stream.feed_data(b"T\r\n")
        lines = [await asyncio.wait_for(source.read_line(b"\n"), 1) for _ in range(2)]
        too_much = b"x" * (3 * STREAM_LIMIT)
        stream.feed_data(too_much)
        whole = await asyncio.wait_for(reader.read(), 1)
    except Exception:  # noqa: BLE001 - whatever it is, it is not as we need it
        return False
    return ended and scanner.take() == bytearray(b"a\r\n") and lines == [b"NOOP\r\n", b"QUIT\r\n"] and whole == too_much


async def chosen(name: str) -> type[DataReader]:
    """auto, chunked or lines (SMTP_READER). Raises RuntimeError if it is to be chunked and cannot."""
    if name == "lines":
        return LineReader
    if await feature_test():
        return ChunkReader
    if name == "chunked":
        raise RuntimeError("SMTP_READER=chunked: streams of this Python cannot be read that way; leave it auto")
    return LineReader
