import asyncio
import socket
import time

import pytest
from aiohappyeyeballs import AddrInfoType
from pytest_django.fixtures import Settings

from tests.webhooks.answers import (
    Mode,
    answer,
    closed_port,
    drip,
    endless,
    never,
    raw,
    receiver,
    reset,
)
from tests.webhooks.posting import outgoing, post, post_twice, with_transport
from webhooks import guard, lookups
from webhooks.transport import MAX_DETAIL, MAX_EXCERPT_BYTES, MAX_HEADERS_BYTES, Answer, Outgoing, Transport

DEADLINE_S = 0.6
AT_ONCE_S = 1.5  # on a busy machine


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


BEGUN = b"HTTP/1.1 200 OK\r\n"
NO_ANSWER_IN_TIME = {
    "says nothing": never(),
    "drips a header": drip(BEGUN + b"X-A: ", b"a"),
    "drips headers": drip(BEGUN, b"X-A: b\r\n"),
    "drips empty lines": drip(b"", b"\r\n"),
}


@pytest.mark.parametrize("mode", NO_ANSWER_IN_TIME.values(), ids=NO_ANSWER_IN_TIME)
def test_no_answer_within_the_deadline_is_a_timeout_at_the_deadline(mode: Mode) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=DEADLINE_S)
    assert (told.status, told.error, told.detail) == (None, "timeout", f"No answer within {DEADLINE_S} s.")
    assert told.peer_ip == "127.0.0.1"
    assert told.total_ms is not None
    assert DEADLINE_S * 1000 - 5 <= told.total_ms <= (DEADLINE_S + AT_ONCE_S) * 1000


WITHOUT_LENGTH = BEGUN + b"\r\n"
ENDS_BY_US = {
    "a body without end": (endless(WITHOUT_LENGTH, b"x" * 100_000), b"x" * MAX_EXCERPT_BYTES),
    "chunks without end": (
        endless(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b"y" * 10_000 + b"\r\n"),
        b"y" * MAX_EXCERPT_BYTES,
    ),
    "tiny chunks without end": (
        endless(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n" * 1000),
        b"z" * MAX_EXCERPT_BYTES,
    ),
}


@pytest.mark.parametrize(("mode", "excerpt"), ENDS_BY_US.values(), ids=ENDS_BY_US)
def test_an_endless_body_is_cut_and_its_status_counts(mode: Mode, excerpt: bytes) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=5)
    assert (told.status, told.error, told.response_excerpt) == (200, "", excerpt)
    assert told.total_ms is not None
    assert told.total_ms < 4000


async def broken_chunk(request: object, writer: asyncio.StreamWriter) -> None:
    writer.write(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    await asyncio.sleep(0.1)
    writer.write(b"ZZ\r\n")


BROKEN_OFF = {
    "a drip": drip(BEGUN + b"Content-Length: 1000\r\n\r\n", b"x"),
    "less than promised": raw(BEGUN + b"Content-Length: 1000\r\n\r\nx", close=True),
    "a reset": reset(BEGUN + b"Content-Length: 1000\r\n\r\nx"),
    "a broken chunk": broken_chunk,
    "a broken chunk at once": raw(BEGUN + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"),
}


@pytest.mark.parametrize("mode", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_a_status_counts_though_the_body_broke_off(mode: Mode) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=DEADLINE_S)
    assert (told.status, told.error) == (200, "")
    assert told.detail.startswith("The answer's body broke off")
    assert told.total_ms is not None
    assert told.total_ms <= (DEADLINE_S + AT_ONCE_S) * 1000


NOT_HTTP = {
    "another protocol": raw(b"220 mail.example.com ESMTP\r\n", close=True),
    "octets": raw(bytes(range(256)), close=True),
    "a bad length": raw(BEGUN + b"Content-Length: -1\r\n\r\n", close=True),
    "two lengths": raw(BEGUN + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", close=True),
    "a header line without end": endless(BEGUN + b"X-A: ", b"a" * 10_000),
    "a header name without end": endless(BEGUN, b"a" * 10_000),
    "headers without end": endless(BEGUN, b"X-A: b\r\n" * 1000),
    "a reason without end": endless(b"HTTP/1.1 200 ", b"a" * 10_000),
    "octets without end": endless(b"", b"a" * 10_000),
}


@pytest.mark.parametrize("mode", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_not_http_is_a_protocol_error_at_once(mode: Mode) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=5)
    assert (told.status, told.error) == (None, "protocol")
    assert told.detail.startswith("What the receiver answered is not HTTP")
    assert told.detail.isprintable()
    assert told.total_ms is not None
    assert told.total_ms < 4000


FLOODS = {
    "interim answers": endless(b"", b"HTTP/1.1 100 Continue\r\nX-A: " + b"b" * 8000 + b"\r\n\r\n"),
    "empty lines": endless(b"", b"\r\n" * 10_000),
}


@pytest.mark.parametrize("mode", FLOODS.values(), ids=FLOODS)
def test_a_flood_without_an_answer_is_cut(mode: Mode) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=5)
    assert (told.status, told.error, told.detail) == (None, "protocol", "The receiver sent without end, and no answer.")
    assert told.total_ms is not None
    assert told.total_ms < 4000


@pytest.mark.parametrize("start", [b"1;", b"0", b""], ids=["chunk extension", "chunk size", "chunk size of no digit"])
def test_a_flood_in_the_framing_of_a_body_is_cut(start: bytes) -> None:
    with receiver(endless(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n" + start, b"0" * 10_000)) as there:
        told = post(there.url, total_s=5)
    assert (told.status, told.error, told.response_excerpt) == (200, "", b"")
    assert told.total_ms is not None
    assert told.total_ms < 4000


def test_kept_headers_are_capped() -> None:
    many = {f"X-{number}": "v" * 1000 for number in range(20)}
    with receiver(answer(200, b"ok", many)) as there:
        told = post(there.url)
    assert (told.status, len(told.response_headers)) == (200, MAX_HEADERS_BYTES)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
STRAY = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


async def stray_at_once(request: object, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + STRAY)


async def stray_later(request: object, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)
    await asyncio.sleep(0.02)
    writer.write(STRAY)


@pytest.mark.parametrize("mode", [stray_at_once, stray_later])
def test_an_answer_to_nothing_is_not_taken_for_that_of_the_next_request(mode: Mode) -> None:
    with receiver(mode) as there:
        assert [told.status for told in post_twice(there.url)] == [200, 200]
        assert there.connections == 2


async def full_before_answered(request: object, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.2)  # until then as much is sent as the sockets' buffers hold
    writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(("mode", "status", "error"), [(never(), None, "timeout"), (full_before_answered, 413, "")])
def test_a_receiver_that_does_not_read_keeps_no_socket_beyond_the_answer(
    mode: Mode, status: int | None, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []

    def remembered(info: AddrInfoType, *, judged_by: guard.Judge) -> socket.socket:
        made.append(guarded_socket(info, judged_by=judged_by))
        return made[-1]

    guarded_socket = guard.guarded_socket
    monkeypatch.setattr(guard, "guarded_socket", remembered)

    async def large(transport: Transport) -> Answer:
        told = await transport.post(Outgoing(there.url, {}, bytes(30 * 1024 * 1024)))
        await asyncio.sleep(0.1)
        assert [one.fileno() for one in made] == [-1]
        return told

    with receiver(mode, reads_bodies=False) as there:
        told = with_transport(large, total_s=DEADLINE_S)
    assert (told.status, told.error) == (status, error)


def test_switching_protocols_is_no_success_and_ends_the_connection() -> None:
    with receiver(raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")) as there:
        answers = [post(there.url, total_s=DEADLINE_S), post(there.url, total_s=DEADLINE_S)]
        assert there.connections == 2
    assert 200 not in [told.status for told in answers]


def test_one_that_hangs_does_not_hold_the_others() -> None:
    async def both(transport: Transport) -> tuple[float, Answer]:
        hanging = asyncio.create_task(transport.post(outgoing(slow.url)))
        began = time.monotonic()
        for _ in range(10):
            assert (await transport.post(outgoing(quick.url))).status == 200
        return time.monotonic() - began, await hanging

    with receiver(never()) as slow, receiver() as quick:
        took_s, told = with_transport(both, total_s=1.2)
    assert took_s < 1
    assert told.error == "timeout"


def test_nobody_listens() -> None:
    with closed_port() as port:
        told = post(f"http://127.0.0.1:{port}/")
    assert (told.status, told.error, told.detail) == (
        None,
        "connect",
        "No connection to 127.0.0.1: Connection refused.",
    )
    assert told.total_ms is not None


def test_a_name_that_does_not_resolve(settings: Settings) -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    async def run() -> Answer:
        async with Transport(lookup=lookup) as transport:
            return await transport.post(outgoing("https://gone.example/"))

    told = asyncio.run(run())
    assert (told.error, told.detail) == ("dns", "gone.example could not be resolved: Name or service not known.")


def test_name_servers_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "DNS_TIMEOUT_S", 0.2)

    def lookup(host: str, port: int) -> list[str]:
        time.sleep(1)
        return ["127.0.0.1"]

    async def run() -> Answer:
        async with Transport(lookup=lookup) as transport:
            return await transport.post(outgoing("https://slow.example/"))

    told = asyncio.run(run())
    assert (told.error, told.peer_ip) == ("dns", None)
    assert "did not answer in time" in told.detail
    assert told.total_ms is not None
    assert told.total_ms < 900


def test_a_forbidden_address_is_told_without_the_address(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = []

    async def run() -> Answer:
        async with Transport(lookup=lambda host, port: ["10.1.2.3"]) as transport:
            return await transport.post(outgoing("https://inside.example/"))

    told = asyncio.run(run())
    assert told.error == "forbidden_address"
    assert "WEBHOOK_ALLOW_NETWORKS" in told.detail
    assert "10.1.2.3" not in repr(told)


@pytest.mark.parametrize(
    "headers",
    [
        {"x\r\ny": "a"},
        {"x y": "a"},
        {"": "a"},
        {"x:": "a"},
        {"é": "a"},
        {"x-a": "a\r\nb: c"},
        {"x-a": "a\x00"},
        {"x-a": "é"},
    ],
)
def test_headers_that_could_be_read_as_others_are_not_sent(headers: dict[str, str]) -> None:
    with receiver() as there:
        told = with_transport(lambda transport: transport.post(Outgoing(there.url, headers, b"")))
        assert there.connections == 0
    assert (told.status, told.error) == (None, "invalid_headers")
    assert told.detail.isprintable()


def test_a_canceled_request_is_canceled() -> None:
    async def cancel(transport: Transport) -> None:
        sending = asyncio.create_task(transport.post(outgoing(there.url)))
        await asyncio.sleep(0.1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    with receiver(never()) as there:
        with_transport(cancel)


def test_an_answer_of_our_own_fault_is_one_short_line() -> None:
    told = Answer.of_fault("internal", "a\nb" * 200)
    assert (told.status, told.error) == (None, "internal")
    assert told.detail.isprintable()
    assert len(told.detail) == MAX_DETAIL
