"""The two ways of reading DATA, over real sockets: what ends a mail is the same, and so is what is in it."""

import asyncio
import logging
import socket
import time
from typing import Any

import pytest

from mailboxes.models import Message
from mailboxes.raw import read_raw
from mailboxes.services import receive
from mailboxes.smtp import reading
from mailboxes.smtp.data import DataScanner
from mailboxes.smtp.reading import STREAM_LIMIT, ChunkReader, DataReader, Input, LineReader
from tests.factories import make_mailbox
from tests.mailboxes.smtp_client import Client, listening, on_the_wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TO = "support@example.com"
READERS: list[type[DataReader]] = [ChunkReader, LineReader]
TRICKY = b"..a\r\n.\rb\r\n...\r\n\n.\n\n.\r\nc\r.\r\r\n.d\r\n\r\n.\r\r\n"
TRICKY_OCTETS = b".a\r\n\rb\r\n..\r\n\n.\n\n.\r\nc\r.\r\r\nd\r\n\r\n\r\r\n"
PRETENDED = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
]


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


async def read(reader_class: type[DataReader], pieces: list[bytes], *, limit: int) -> tuple[bytes | None, bytes]:
    """(octets of the mail, the next line of the stream), of a stream that arrives in these pieces."""
    stream = asyncio.StreamReader(limit=STREAM_LIMIT)

    async def arrive() -> None:
        for piece in pieces:
            stream.feed_data(piece)
            await asyncio.sleep(0)
        stream.feed_eof()

    arriving = asyncio.ensure_future(arrive())
    source = Input(stream)
    scanner, reader = DataScanner(limit=limit), reader_class(source)
    while not scanner.feed(await reader.read()):
        pass
    source.put_back(scanner.rest)
    line = await source.read_line(b"\n")
    await arriving
    return scanner.take(), line


@pytest.mark.parametrize("reader", READERS)
def test_it_reads_the_same_wherever_the_stream_is_cut(reader: type[DataReader]) -> None:
    wire = TRICKY + b".\r\nQUIT\r\n"

    async def all_cuts() -> None:
        for first in range(1, len(wire)):
            for second in range(first, len(wire), 3):
                pieces = [piece for piece in (wire[:first], wire[first:second], wire[second:]) if piece]
                assert await read(reader, pieces, limit=1000) == (TRICKY_OCTETS, b"QUIT\r\n"), (first, second)

    asyncio.run(all_cuts())


@pytest.mark.parametrize("reader", READERS)
def test_the_end_of_an_oversize_mail_is_found_as_strictly(reader: type[DataReader]) -> None:
    wire = b"a" * 50 + b"\r\nfoo.\r\nMAIL FROM:<root@example.com>\r\n\n.\r\n..\r\n.\r\nQUIT\r\n"

    async def all_limits() -> None:
        for limit in range(0, 60, 3):
            for size in (1, 2, 5, 7, len(wire)):
                pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
                assert await read(reader, pieces, limit=limit) == (None, b"QUIT\r\n")

    asyncio.run(all_limits())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("length", [STREAM_LIMIT + more for more in (-3, -2, -1, 0, 1, 2, 3)])
def test_a_line_about_as_long_as_the_stream_reads_ahead_ends_nothing(reader: type[DataReader], length: int) -> None:
    mail = b"a" * length + b"\r\n" + b"b" * (3 * STREAM_LIMIT) + b"\r\n..\r\n"
    octets, line = asyncio.run(read(reader, [mail, b".\r\n", b"QUIT\r\n"], limit=10**9))
    assert (octets, line) == (mail[:-4] + b".\r\n", b"QUIT\r\n")


@pytest.mark.parametrize("reader", READERS)
def test_a_stream_that_ends_in_a_mail_is_a_client_that_is_gone(reader: type[DataReader]) -> None:
    with pytest.raises(ConnectionResetError):
        asyncio.run(read(reader, [b"a\r\n", b".\r"], limit=1000))


@pytest.mark.parametrize("name", ["chunked", "lines"])
@pytest.mark.parametrize("pretended", PRETENDED)
def test_no_mail_is_smuggled_in_another(name: str, pretended: bytes) -> None:
    make_mailbox()
    smuggled = f"MAIL FROM:<root@example.com>\r\nRCPT TO:<{TO}>\r\nDATA\r\nSubject: forged\r\n\r\n".encode()
    raw = b"Subject: innocent\r\n\r\nhello" + pretended + smuggled
    with listening(reader=name) as server, Client(server.port) as client:
        client.open(TO)
        for start in range(0, len(raw), 30):  # in several reads, the pretended end among them
            client.send(raw[start : start + 30])
            time.sleep(0.002)
        client.send(b".\r\n")
        assert client.reply().startswith("250 2.0.0")
        assert client.is_silent()
    # sent unstuffed: the dot after a CRLF, where there is one, is taken for the stuffing
    assert read_raw(Message.objects.get()) == raw.replace(b"\r\n.", b"\r\n")


@pytest.mark.parametrize("name", ["chunked", "lines"])
def test_mails_in_one_write_and_large_ones_are_what_was_sent(name: str) -> None:
    make_mailbox()
    raws = [b"", b".\r\n", b"x" * 300_000 + b"\r\n", (b"." * 70 + b"\r\n") * 20_000, b"\x00\xff\r\n"]
    begin = f"MAIL FROM:<ada@example.net>\r\nRCPT TO:<{TO}>\r\nDATA\r\n".encode()
    with listening(reader=name) as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        client.send(b"".join(begin + on_the_wire(raw) for raw in raws) + b"NOOP\r\n")
        replies = [client.reply()[:3] for _ in range(4 * len(raws) + 1)]
    assert replies == ["250", "250", "354", "250"] * len(raws) + ["250"]
    assert sorted(read_raw(message) for message in Message.objects.all()) == sorted(raws)


@pytest.mark.parametrize("name", ["chunked", "lines"])
@pytest.mark.parametrize("is_lmtp", [False, True])
def test_a_whole_session_in_one_write_with_its_end_is_answered(
    name: str, is_lmtp: bool, caplog: pytest.LogCaptureFixture
) -> None:
    make_mailbox()
    mail = f"MAIL FROM:<ada@example.net>\r\nRCPT TO:<{TO}>\r\nDATA\r\n".encode()
    session = b"EHLO a.example\r\n" + mail + b"one\r\n.\r\n" + mail + TRICKY + b".\r\nQUIT\r\n"
    with listening(reader=name, is_lmtp=is_lmtp) as server, Client(server.port) as client:
        client.send(session.replace(b"EHLO", b"LHLO") if is_lmtp else session)
        client.socket.shutdown(socket.SHUT_WR)
        replies = [client.reply()[:3] for _ in range(11)]
    assert replies == ["250", *["250", "250", "354", "250"] * 2, "221", ""]
    assert sorted(read_raw(message) for message in Message.objects.all()) == sorted([b"one\r\n", TRICKY_OCTETS])
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("name", ["chunked", "lines"])
@pytest.mark.parametrize("rest", [b"", b"NO", b"x" * 200_000])
def test_a_stream_that_ends_in_a_command_behind_a_mail_has_stored_the_mail(
    name: str, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    make_mailbox()
    session = f"EHLO a.example\r\nMAIL FROM:<ada@example.net>\r\nRCPT TO:<{TO}>\r\nDATA\r\none\r\n.\r\n".encode()
    with listening(reader=name) as server, Client(server.port) as client:
        client.send(session + rest)
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.reply()[:3] for _ in range(6)] == ["250", "250", "250", "354", "250", ""]
    assert read_raw(Message.objects.get()) == b"one\r\n"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("name", ["chunked", "lines"])
def test_a_long_line_behind_a_mail_is_one_bad_command_wherever_it_is_cut(name: str) -> None:
    make_mailbox()
    with listening(reader=name) as server, Client(server.port) as client:
        for length in (3000, STREAM_LIMIT - 1, STREAM_LIMIT, STREAM_LIMIT + 1, 3 * STREAM_LIMIT):
            client.open(TO)
            client.send(b"one\r\n.\r\n" + b"y" * length)
            assert client.reply().startswith("250 2.0.0 accepted")
            client.send(b"y\r\nNOOP\r\n")
            assert client.reply() == "500 5.5.2 Command line too long"
            assert client.reply() == "250 2.0.0 OK"


@pytest.mark.parametrize("name", ["chunked", "lines"])
def test_others_have_their_turn_while_a_large_mail_is_read(name: str) -> None:
    raw = (b"x" * 76 + b"\r\n") * 30_000

    async def read_beside_a_clock() -> tuple[bytes | None, float]:
        stream = asyncio.StreamReader(limit=10**9)
        stream.feed_data(on_the_wire(raw))
        scanner, reader = DataScanner(limit=10**9), (await reading.chosen(name))(Input(stream))
        slowest, is_done = 0.0, False

        async def clock() -> None:
            nonlocal slowest
            while not is_done:
                began_at = time.monotonic()
                await asyncio.sleep(0)
                slowest = max(slowest, time.monotonic() - began_at)

        ticking = asyncio.ensure_future(clock())
        await asyncio.sleep(0)
        while not scanner.feed(await reader.read()):
            pass
        is_done = True
        await ticking
        return scanner.take(), slowest

    octets, slowest = asyncio.run(read_beside_a_clock())
    assert octets == raw
    assert slowest < 1


def test_streams_that_behave_otherwise_are_read_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(reading.chosen("auto")) is ChunkReader
    assert asyncio.run(reading.chosen("lines")) is LineReader

    def other(self: Any, data: bytes) -> None:
        self._buffer[:0] = data  # in front, say

    monkeypatch.setattr(asyncio.StreamReader, "feed_data", other)
    assert asyncio.run(reading.chosen("auto")) is LineReader
    with pytest.raises(RuntimeError, match="SMTP_READER"):
        asyncio.run(reading.chosen("chunked"))
