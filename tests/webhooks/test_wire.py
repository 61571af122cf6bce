"""A connection by itself, where what matters is the order of two events that a socket does not let a test choose."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from webhooks.dialling import Origin
from webhooks.exchange import Exchange
from webhooks.idle import KEEP_ALIVE_S, MAX_IDLE, IdleWires
from webhooks.wire import PIECE_BYTES, ClosedError, Wire

HEAD = b"POST / HTTP/1.1\r\n\r\n"
ORIGIN = Origin("https", "hooks.example.com", 443)
ELSEWHERE = Origin("https", "hooks.example.net", 443)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder(asyncio.Transport):
    """Takes everything at once, and remembers it."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("192.0.2.1", 443)})
        self.octets = b""
        self.is_aborted = False
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.octets += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        if not self.is_aborted:
            self.is_aborted = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


def open_wire(lost: Callable[[Wire], None] = lambda _: None) -> tuple[Wire, Recorder]:
    wire = Wire(on_lost=lost)
    transport = Recorder(wire)
    wire.connection_made(transport)
    return wire, transport


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_a_connection_that_was_not_sent_all_of_a_request_carries_no_other() -> None:
    """Else the next one would be read as the rest of this body."""

    async def work() -> None:
        wire, transport = open_wire()
        wire.pause_writing()
        carrying = asyncio.create_task(wire.carry(HEAD, bytes(3 * PIECE_BYTES), exchange := Exchange()))
        await asyncio.sleep(0)
        wire.resume_writing()  # the buffer is empty, and in the same moment there is an answer
        wire.data_received(OK)
        assert not await carrying
        assert (exchange.status, transport.is_aborted, transport.octets) == (200, True, HEAD)

    run(work)


def test_one_that_was_sent_all_of_it_carries_the_next() -> None:
    async def work() -> None:
        wire, transport = open_wire()
        for _ in range(2):
            carrying = asyncio.create_task(wire.carry(HEAD, bytes(3 * PIECE_BYTES), Exchange()))
            await asyncio.sleep(0)
            wire.data_received(OK)
            assert await carrying
        assert len(transport.octets) == 2 * (len(HEAD) + 3 * PIECE_BYTES)

    run(work)


@pytest.mark.parametrize("rest", [OK, b"x", b"HTTP/1.1 100 Continue\r\n\r\n", b"\0"])
@pytest.mark.parametrize("is_in_one_piece", [True, False])
def test_what_comes_right_behind_an_answer_ends_the_connection(rest: bytes, is_in_one_piece: bool) -> None:
    async def work() -> None:
        wire, transport = open_wire()
        carrying = asyncio.create_task(wire.carry(HEAD, b"", exchange := Exchange()))
        await asyncio.sleep(0)
        for octets in (OK + rest,) if is_in_one_piece else (OK, rest):
            wire.data_received(octets)
        assert not await carrying
        assert (exchange.status, bytes(exchange.excerpt), transport.is_aborted) == (200, b"ok", True)

    run(work)


def test_a_connection_that_is_lost_while_a_large_body_waits_to_be_taken_ends_the_request() -> None:
    async def work() -> None:
        wire, _ = open_wire()
        wire.pause_writing()
        carrying = asyncio.create_task(wire.carry(HEAD, bytes(3 * PIECE_BYTES), Exchange()))
        await asyncio.sleep(0)
        wire.connection_lost(ConnectionResetError())
        with pytest.raises(ClosedError):
            await carrying

    run(work)


def test_an_idle_connection_on_which_something_comes_is_no_longer_there() -> None:
    async def work() -> None:
        idle = IdleWires()
        wire, _ = open_wire(idle.forget)
        idle.keep(ORIGIN, wire)
        wire.data_received(OK)
        assert idle.take(ORIGIN) is None

    run(work)


def test_the_connection_that_was_used_last_is_used_next_and_old_ones_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        idle, clock = IdleWires(), [0.0]
        monkeypatch.setattr("webhooks.idle.time.monotonic", lambda: clock[0])
        (old, old_transport), (young, _), (other, _) = (open_wire(idle.forget) for _ in range(3))
        idle.keep(ORIGIN, old)
        clock[0] = KEEP_ALIVE_S - 1
        idle.keep(ORIGIN, young)
        idle.keep(ELSEWHERE, other)
        assert idle.take(ORIGIN) is young
        clock[0] = KEEP_ALIVE_S + 1
        assert idle.take(ORIGIN) is None
        assert old_transport.is_aborted
        assert idle.take(ELSEWHERE) is other
        idle.abort_all()

    run(work)


def test_no_more_connections_wait_than_a_process_can_have() -> None:
    async def work() -> None:
        idle = IdleWires()
        wires = [open_wire(idle.forget) for _ in range(MAX_IDLE + 3)]
        for number, (wire, _) in enumerate(wires):
            idle.keep(ORIGIN._replace(port=number + 1), wire)  # many in one moment, before the loop tells who is lost
        assert [transport.is_aborted for _, transport in wires] == [True] * 3 + [False] * MAX_IDLE
        idle.abort_all()

    run(work)


def test_a_deadline_in_the_moment_of_the_answer_leaves_no_connection_behind() -> None:
    async def work() -> None:
        wire, transport = open_wire()
        carrying = asyncio.create_task(wire.carry(HEAD, b"", exchange := Exchange()))
        await asyncio.sleep(0)
        wire.data_received(OK)
        carrying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await carrying
        assert (exchange.status, transport.is_aborted) == (200, True)

    run(work)
