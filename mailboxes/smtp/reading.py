"""How the octets after 354 come out of the stream: in chunks where that is safe, otherwise line by line.

In chunks is several times as fast and never holds the event loop up for long. It takes more than the mail out of the
stream and puts the rest back in front, which `StreamReader` allows without promising it; so `feature_test` looks
whether it does. Lines use what is promised, and nothing else.
"""

import asyncio
from typing import Protocol

from mailboxes.smtp.data import DataScanner

STREAM_LIMIT = 64 * 1024  # octets at which the stream stops reading ahead (at twice this)
# More than the stream can ever hold (twice its limit and one piece of 256 KiB), so that one read leaves it empty
READ_OCTETS = 1024 * 1024
LINES_AT_ONCE = 256  # then others have their turn: lines that are there already come without a wait


class DataReader(Protocol):
    """Reads the next octets of a mail."""

    def __init__(self, stream: asyncio.StreamReader) -> None: ...

    async def read(self) -> bytes:
        """At least one octet. Raises ConnectionResetError at the end of the stream."""

    def put_back(self, rest: bytes) -> None:
        """What was read behind the end of the mail. Nothing may have been awaited since."""


class ChunkReader:
    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream

    async def read(self) -> bytes:
        chunk = await self._stream.read(READ_OCTETS)
        if not chunk:
            raise ConnectionResetError
        return chunk

    def put_back(self, rest: bytes) -> None:
        # The stream is empty (see READ_OCTETS): appending is putting back in front. Without a read-ahead of our own,
        # the command loop and a later TLS handshake find it where they look.
        if rest:
            self._stream.feed_data(rest)


class LineReader:
    """Lines with their CRLF, and pieces of lines that are longer than the stream's limit: no mail ends in one."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._until_others = LINES_AT_ONCE

    async def read(self) -> bytes:
        self._until_others -= 1
        if not self._until_others:
            self._until_others = LINES_AT_ONCE
            await asyncio.sleep(0)
        try:
            return await self._stream.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as error:
            return await self._stream.readexactly(error.consumed)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError from error

    def put_back(self, rest: bytes) -> None:
        if rest:
            raise AssertionError("a line ends where the mail does")


async def feature_test() -> bool:
    """Whether streams of this Python let themselves be read as `ChunkReader` does it."""
    try:
        stream = asyncio.StreamReader(limit=STREAM_LIMIT)
        stream.feed_data(b"a\r\n.\r\nNOOP\r\nQUI")
        scanner, reader = DataScanner(limit=10), ChunkReader(stream)
        ended = scanner.feed(await asyncio.wait_for(reader.read(), 1))
        reader.put_back(scanner.rest)
        stream.feed_data(b"T\r\n")
        lines = [await asyncio.wait_for(stream.readuntil(), 1) for _ in range(2)]
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
