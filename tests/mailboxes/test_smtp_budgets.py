"""What connections share: places, octets, messages a minute, time."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mailboxes.models import Message, Refusal, RefusalCount
from mailboxes.services import receive
from mailboxes.services.receive import Incoming, Receipt
from mailboxes.smtp.budgets import MessageRate, OctetBudget, Places, client_key
from mailboxes.smtp.disk import Disk
from mailboxes.smtp.handler import Handler
from mailboxes.smtp.limits import MIB, Limits
from tests.factories import RAW, make_mailbox
from tests.mailboxes.smtp_client import Client, Running, listening, on_the_wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TO = "support@example.com"
NO_ROOM = "452 4.3.1 No room for this message now, please try again later"
TOO_SLOW = "421 4.4.2 Too slow, closing the connection"
LARGE = b"x" * (2 * MIB) + b"\r\n"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def taken(server: Running) -> int:
    assert server.listener.shared is not None
    return server.listener.shared.octets.taken


# --- counting


@pytest.mark.parametrize(
    "client_ip, key",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        (None, None),
    ],
)
def test_by_what_a_client_is_counted(client_ip: str | None, key: str | None) -> None:
    assert client_key(client_ip, is_loopback_known=False) == key


def test_loopback_is_a_client_like_others_if_told() -> None:
    assert client_key("127.0.0.1", is_loopback_known=True) == "127.0.0.1"


def test_places_are_bounded_in_all_and_of_one_client() -> None:
    places = Places(at_most=3, per_client=2)
    assert [places.take("a"), places.take("a"), places.take("a")] == [True, True, False]
    assert [places.take("b"), places.take(None)] == [True, False]
    places.give_back("a")
    assert [places.take(None), places.take(None)] == [True, False]


def test_octets_are_bounded_in_all_and_of_one_client_and_given_back() -> None:
    budget = OctetBudget(at_most=100, per_client=60)
    one, two, other = budget.reservation("a"), budget.reservation("a"), budget.reservation("b")
    assert [one.grow_to(50), two.grow_to(20), two.grow_to(10), other.grow_to(50)] == [True, False, True, False]
    assert [other.grow_to(40), budget.taken] == [True, 100]
    assert one.grow_to(40), "less than it has already"
    one.release()
    one.release()
    assert budget.taken == 50
    assert two.grow_to(60)


def test_messages_of_a_minute_are_counted_by_client_and_forgotten() -> None:
    rate = MessageRate(per_minute=2)
    assert [rate.count("a", now=0), rate.count("a", now=10), rate.count("a", now=45.5)] == [0, 0, 15]
    assert [rate.count("b", now=50), rate.count(None, now=50), rate.count("a", now=60)] == [0, 0, 0]
    assert MessageRate(per_minute=0).count("a", now=0) == 0


def test_the_disk_is_looked_at_now_and_then_and_believed_where_it_cannot_be(tmp_path: Path) -> None:
    looks: list[int] = []

    def free(_: Path) -> int:
        looks.append(1)
        return 100

    disk = Disk(tmp_path, keep_free=60, free=free)
    assert [disk.has_room(0), disk.has_room(40), disk.has_room(41)] == [True, True, False]
    assert len(looks) == 1
    assert Disk(tmp_path / "gone", keep_free=1).has_room(1)
    assert Disk(None, keep_free=2**60).has_room(2**60)
    assert not Disk(tmp_path, keep_free=2**60).has_room(0)


# --- over sockets


def test_one_address_has_so_many_places_and_a_refused_connection_is_counted() -> None:
    limits = Limits(max_connections_per_client=2, counts_loopback=True)
    with listening(limits=limits) as server, Client(server.port) as one, Client(server.port) as two:
        with Client(server.port) as three:
            assert three.greeting == "421 4.7.0 Too many connections, please try again later"
            assert three.reply() == ""
        assert one.is_silent()
        two.close()
        wait_until(lambda: len(server.listener._connections) == 1)
        with Client(server.port) as four:
            assert four.is_silent()
    assert Refusal.objects.count() == 0
    assert [(count.network, count.refused) for count in RefusalCount.objects.all()] == [("127.0.0.0/24", 1)]


def test_loopback_has_all_places_unless_told_otherwise() -> None:
    limits = Limits(max_connections_per_client=1)
    with listening(limits=limits) as server, Client(server.port), Client(server.port) as two:
        assert two.is_silent()


def test_an_address_that_sends_too_often_is_told_how_long_to_wait() -> None:
    limits = Limits(messages_per_minute=1, counts_loopback=True)
    with listening(limits=limits) as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        assert client.command("MAIL FROM:<>") == "250 2.1.0 Sender OK"
        client.command("RSET")
        reply = client.command("MAIL FROM:<>")
    assert reply.startswith("451 4.7.1 Too many messages from your address, try again in ")
    assert 0 < int(reply.split()[-2]) <= 60
    assert Refusal.objects.get().code == "rate_limited"


def begin_large(client: Client, *, size: int = 3 * MIB) -> None:
    client.command("EHLO client.example.net")
    assert client.command(f"MAIL FROM:<> SIZE={size}").startswith("250")
    assert client.command(f"RCPT TO:<{TO}>").startswith("250")


@pytest.mark.parametrize("is_lmtp", [False, True])
def test_declared_octets_are_held_from_data_on_and_not_before(is_lmtp: bool) -> None:
    make_mailbox()
    hello = "LHLO" if is_lmtp else "EHLO"
    with listening(limits=Limits(max_octets_in_flight=5 * MIB), is_lmtp=is_lmtp) as server:
        one, two = Client(server.port), Client(server.port)
        for client in (one, two):
            client.command(f"{hello} client.example.net")
            assert client.command(f"MAIL FROM:<> SIZE={3 * MIB}").startswith("250")
            assert client.command(f"RCPT TO:<{TO}>").startswith("250")
            assert client.command(f"RCPT TO:<{TO}>").startswith("250")
        assert taken(server) == 0, "MAIL holds nothing"
        assert one.command("DATA").startswith("354")
        assert taken(server) == 3 * MIB
        assert two.command("DATA") == NO_ROOM, "before any of it came"
        assert two.is_silent()
        assert two.command("RSET").startswith("250")
        assert two.command(f"MAIL FROM:<> SIZE={3 * MIB}") == NO_ROOM
        assert two.command(f"MAIL FROM:<> SIZE={MIB}").startswith("250"), "small ones need no room"
        two.close()
        assert taken(server) == 3 * MIB
        one.send(on_the_wire(RAW))
        assert one.reply().startswith("250")
        wait_until(lambda: taken(server) == 0)
        one.close()
    assert sorted(Refusal.objects.values_list("code", "recipient")) == [
        ("no_room", ""),
        ("no_room", TO),
        ("no_room", TO),
    ]


def test_a_client_that_never_sends_its_mail_holds_no_octets() -> None:
    make_mailbox()
    with listening(limits=Limits(max_octets_in_flight=40 * MIB)) as server, contextlib.ExitStack() as opened:
        for _ in range(5):
            begin_large(opened.enter_context(Client(server.port)), size=40 * MIB)
        with Client(server.port) as other:
            begin_large(other, size=40 * MIB)
            assert other.command("DATA").startswith("354")


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY a", "EHLO a.example", "HELO a.example", "HELP", "DATA"])
def test_commands_that_bring_no_mail_on_come_to_an_end(command: str) -> None:
    with listening(limits=Limits(max_idle_commands=5)) as server, Client(server.port) as client:
        for _ in range(5):
            assert not client.command(command).startswith("421")
        assert client.command(command) == "421 4.7.0 Too many commands without a mail, closing the connection"
        assert client.reply() == ""


def test_a_mail_that_is_accepted_lets_them_begin_anew_and_one_that_is_not_does_not(settings: Any) -> None:
    settings.MAX_MESSAGE_BYTES = len(RAW)
    make_mailbox()
    with listening(limits=Limits(max_idle_commands=10)) as server, Client(server.port) as client:
        for _ in range(4):  # two each: EHLO and DATA
            assert client.deliver(RAW + b"more\r\n", TO).startswith("552")
        assert client.deliver(RAW, TO).startswith("250"), "the ninth and the tenth"
        for _ in range(10):
            assert client.is_silent()
        assert client.command("NOOP").startswith("421 4.7.0")


def test_octets_that_were_not_declared_are_asked_for_as_they_come() -> None:
    make_mailbox()
    limits = Limits(max_octets_in_flight=4 * MIB)
    with listening(limits=limits) as server, Client(server.port) as one, Client(server.port) as two:
        one.open(TO)
        one.send(LARGE)
        wait_until(lambda: taken(server) == 2 * MIB)
        assert two.deliver(LARGE, TO) == NO_ROOM
        assert two.is_silent(), "nothing of it was read as a command"
        assert two.deliver(RAW, TO).startswith("250")
        one.send(b".\r\n")
        assert one.reply().startswith("250")
        wait_until(lambda: taken(server) == 0)
        assert two.deliver(LARGE + b"another\r\n", TO).startswith("250")
        wait_until(lambda: taken(server) == 0)
    assert Message.objects.count() == 3


@pytest.mark.parametrize("how", ["closes", "resets", "says nothing", "is too big"])
def test_octets_come_back_however_a_mail_ends(how: str, settings: Any) -> None:
    settings.MAX_MESSAGE_BYTES = 3 * MIB
    make_mailbox()
    with listening(limits=Limits(command_timeout_s=2, data_timeout_s=2)) as server, Client(server.port) as client:
        client.open(TO)
        client.send(LARGE)
        wait_until(lambda: taken(server) > 0)
        match how:
            case "closes":
                client.close()
            case "resets":
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            case "says nothing":
                assert client.reply().startswith("421 4.4.2")
            case "is too big":
                client.send(LARGE + b".\r\n")
                assert client.reply().startswith("552")
        wait_until(lambda: taken(server) == 0)
    assert Message.objects.count() == 0


def test_octets_of_a_mail_that_is_stored_are_held_though_its_client_is_gone() -> None:
    make_mailbox()
    storing, go_on = threading.Event(), threading.Event()

    def store(group: Sequence[Incoming]) -> list[Receipt]:
        storing.set()
        assert go_on.wait(60)
        return receive.receive_group(group)

    with listening(Handler(receive_group=store)) as server:
        client = Client(server.port)
        client.open(TO)
        client.send(on_the_wire(LARGE))
        assert storing.wait(60)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        wait_until(lambda: not server.listener._connections)
        assert taken(server) == 3 * MIB
        go_on.set()
        wait_until(lambda: taken(server) == 0)
    assert Message.objects.count() == 1


def test_small_mails_that_wait_to_be_stored_are_counted_though_their_clients_are_gone() -> None:
    make_mailbox()
    go_on = threading.Event()

    def store(group: Sequence[Incoming]) -> list[Receipt]:
        assert go_on.wait(60)
        return receive.receive_group(group)

    raw = b"x" * 200_000 + b"\r\n"
    with listening(Handler(receive_group=store), limits=Limits(max_octets_in_flight=MIB)) as server:
        for number in range(5):
            client = Client(server.port)
            client.open(TO)
            client.send(on_the_wire(b"%d" % number + raw))
            wait_until(lambda number=number: taken(server) == (number + 1) * (len(raw) + 1))  # type: ignore[misc]
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        wait_until(lambda: not server.listener._connections)
        assert taken(server) == 5 * (len(raw) + 1)
        with Client(server.port) as client:
            assert client.deliver(raw, TO) == NO_ROOM
            assert client.is_silent()
        go_on.set()
        wait_until(lambda: taken(server) == 0)
        with Client(server.port) as client:
            assert client.deliver(raw, TO).startswith("250")
    assert Message.objects.count() == 6


def test_a_mail_that_comes_too_slowly_ends_the_connection() -> None:
    make_mailbox()
    limits = Limits(rate_window_s=0.5, min_octets_per_s=1000)
    with listening(limits=limits) as server, Client(server.port) as slow, Client(server.port) as fast:
        slow.open(TO)
        fast.open(TO)
        answer: list[str] = []
        waiting = threading.Thread(target=lambda: answer.append(slow.reply()))
        waiting.start()
        for _ in range(30):
            if answer:
                break
            fast.send(b"y" * 198 + b"\r\n")
            slow.send(b"x")
            time.sleep(0.05)
        waiting.join()
        assert answer == [TOO_SLOW]
        fast.send(b".\r\n")
        assert fast.reply().startswith("250")
    assert [(refusal.code, refusal.recipient) for refusal in Refusal.objects.all()] == [("too_slow", TO)]


def test_all_of_a_mail_has_a_deadline() -> None:
    make_mailbox()
    with listening(limits=Limits(data_timeout_s=0.5)) as server, Client(server.port) as client:
        client.open(TO)
        client.send(b"x" * 100_000)
        assert client.reply() == TOO_SLOW


def test_what_is_not_kept_is_read_for_so_long_and_no_longer(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MAX_MESSAGE_BYTES = 1000
    monkeypatch.setattr("mailboxes.smtp.connection.DRAINED_OCTETS", 200_000)
    make_mailbox()
    with listening() as server, Client(server.port) as client:
        client.open(TO)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1000):
                client.send(b"x" * 100_000)
        wait_until(lambda: not server.listener._connections)
    assert Refusal.objects.get().code == "too_big"
