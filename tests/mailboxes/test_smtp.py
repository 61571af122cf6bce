"""Over real sockets, into the real database: what the listener says is compared with what is stored."""

import contextlib
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

from emailgistics.common.errors import DomainError, LimitReachedError
from mailboxes.models import Domain, Email, Mailbox, Message, RawMessage, Recipient
from mailboxes.raw import read_raw
from mailboxes.services import provision, receive
from mailboxes.services.admit import Admission, Request, admit_all
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Incoming, Receipt
from mailboxes.smtp.handler import Handler
from mailboxes.smtp.limits import Limits
from tests.factories import RAW, make_alias, make_domain, make_mailbox
from tests.mailboxes.smtp_client import Client, Running, listening, on_the_wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
TO = "support@example.com"
OUR_FAULT = "451 4.3.0 Temporary failure here, please try again later"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is outside; what would go to it is listed instead."""
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


@pytest.fixture
def server() -> Iterator[Running]:
    make_mailbox()
    with listening() as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.port) as connected:
        yield connected


def stored_counts() -> list[int]:
    return [model.objects.count() for model in (Message, RawMessage, Email, Recipient)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- replies


def test_ehlo_lists_what_is_offered_and_nothing_else(client: Client) -> None:
    name = socket.gethostname()
    assert client.greeting == f"220 {name} ESMTP Emailgistics"
    assert client.command("EHLO client.example.net").splitlines() == [
        f"250-{name}",
        "250-PIPELINING",
        "250-ENHANCEDSTATUSCODES",
        f"250-SIZE {settings.MAX_MESSAGE_BYTES}",
        "250-8BITMIME",
        "250-SMTPUTF8",
        "250 LIMITS RCPTMAX=100 MAILMAX=1000",
    ]
    assert client.command("HELO client.example.net") == f"250 {name}"


@pytest.mark.parametrize(
    "command, reply",
    [
        ("NOOP", "250 2.0.0 OK"),
        ("RSET", "250 2.0.0 OK"),
        ("HELP", "214 2.0.0 Commands: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"),
        ("VRFY support@example.com", "252 2.1.5 Not verified; send mail to find out"),
        ("EXPN staff", "502 5.5.1 Command not offered"),
        ("AUTH PLAIN AHVzZXIAc2VjcmV0", "502 5.5.1 Command not offered"),
        ("STARTTLS", "502 5.5.1 Command not offered"),
        ("EHLO", "501 5.5.4 Syntax error in the command's arguments"),
        ("WRONG", "500 5.5.2 Command not understood"),
        ("", "500 5.5.2 Command not understood"),
        ("\udcff\udcfe", "500 5.5.2 Command not understood"),
        ("NOOP " + "x" * 3000, "500 5.5.2 Command line too long"),
        ("NOOP " + "x" * 300_000, "500 5.5.2 Command line too long"),
        ("MAIL FROM:<a@example.net>", "503 5.5.1 Send EHLO first"),
        ("RCPT TO:<support@example.com>", "503 5.5.1 Send EHLO first"),
        ("DATA", "503 5.5.1 Send EHLO first"),
        ("QUIT", "221 2.0.0 Bye"),
    ],
)
def test_commands_before_ehlo(client: Client, command: str, reply: str) -> None:
    assert client.command(command) == reply
    assert client.reply() == "" if command == "QUIT" else client.is_silent()


@pytest.mark.parametrize(
    "argument, reply",
    [
        ("FROM:<>", "250 2.1.0 Sender OK"),
        ("from: <ada@example.net>", "250 2.1.0 Sender OK"),
        ("FROM:ada@example.net SIZE=10", "250 2.1.0 Sender OK"),
        ("FROM:<root>", "250 2.1.0 Sender OK"),
        ("FROM:<a@[192.0.2.1]>", "250 2.1.0 Sender OK"),
        ("FROM:<> size=1000 body=8bitmime SMTPUTF8", "250 2.1.0 Sender OK"),
        ("FROM:<jürgen@bücher.example> SMTPUTF8 BODY=7BIT", "250 2.1.0 Sender OK"),
        ('FROM:<"a> b\\"@c"@example.net>', "250 2.1.0 Sender OK"),
        (f"FROM:<> SIZE={settings.MAX_MESSAGE_BYTES}", "250 2.1.0 Sender OK"),
        (f"FROM:<> SIZE={settings.MAX_MESSAGE_BYTES + 1}", "552 5.3.4 The message is larger than this host accepts"),
        ("FROM:<> SIZE=" + "9" * 1900, "552 5.3.4 The message is larger than this host accepts"),
        ("FROM:<> SIZE=much", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM:<> SIZE", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM:<> BODY=9BIT", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM:<> SMTPUTF8=1", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM:<> RET=HDRS", "555 5.5.4 Parameter not recognised"),
        ("FROM:<> =", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM <a@example.net>", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM:<a@example.net", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM:", "501 5.5.4 Syntax error in the command's arguments"),
        ("TO:<a@example.net>", "501 5.5.4 Syntax error in the command's arguments"),
        ("FROM:<a\x00b@example.net>", "501 5.1.7 Not a sender address"),
        ("FROM:<\udcff@example.net>", "501 5.1.7 Not a sender address"),
        ("FROM:<" + "x" * 321 + ">", "501 5.1.7 Not a sender address"),
    ],
)
def test_mail(client: Client, argument: str, reply: str) -> None:
    client.command("EHLO client.example.net")
    assert client.command(f"MAIL {argument}") == reply
    began = reply.startswith("250")
    assert client.command("RCPT TO:<nobody@example.com>").startswith("550 5.1.1" if began else "503 5.5.1")
    assert client.command("MAIL FROM:<>").startswith("503 5.5.1" if began else "250 2.1.0")


@pytest.mark.parametrize(
    "argument, reply",
    [
        ("TO:<support@example.com>", "250 2.1.5 Recipient OK"),
        ("to: support@example.com", "250 2.1.5 Recipient OK"),
        ("TO:<@relay.example,@relay.example.org:support@example.com>", "250 2.1.5 Recipient OK"),
        ("TO:<help+tag@EXAMPLE.com.>", "250 2.1.5 Recipient OK"),
        ('TO:<"a> b\\"@c"@example.com>', "250 2.1.5 Recipient OK"),
        ("TO:<jürgen@bücher.example>", "250 2.1.5 Recipient OK"),
        ("TO:<postmaster@example.com>", "250 2.1.5 Recipient OK"),
        ("TO:<Postmaster>", "250 2.1.5 Recipient OK"),
        ("TO:<nobody@example.com>", "550 5.1.1 No such recipient here"),
        ("TO:<gone@example.com>", "550 5.1.1 No such recipient here"),
        ("TO:<support@example.org>", "550 5.7.1 This domain is not hosted here"),
        ("TO:<disabled@example.com>", "550 5.2.1 This address is disabled"),
        ("TO:<a..b@example.com>", "501 5.1.3 Not a recipient address"),
        ("TO:<support>", "501 5.1.3 Not a recipient address"),
        ("TO:<>", "501 5.1.3 Not a recipient address"),
        ("TO:<\udcff@example.com>", "501 5.1.3 Not a recipient address"),
        ("TO:<a\x00b@example.com>", "501 5.1.3 Not a recipient address"),
        ("TO:<" + "x" * 400 + "@example.com>", "501 5.1.3 Not a recipient address"),
        ("TO:<support@example.com> NOTIFY=NEVER", "555 5.5.4 Parameter not recognised"),
        ("TO:<support@example.com", "501 5.5.4 Syntax error in the command's arguments"),
        ("", "501 5.5.4 Syntax error in the command's arguments"),
    ],
)
def test_rcpt(client: Client, argument: str, reply: str) -> None:
    mailbox = provision.create_mailbox(address='"a> b\\"@c"@example.com')
    make_domain(name="bücher.example")
    provision.create_mailbox(address="jürgen@bücher.example")
    make_alias(mailbox=mailbox)
    provision.delete_alias(make_alias(address="gone@example.com", mailbox=mailbox))
    disabled = make_alias(address="disabled@example.com", mailbox=mailbox)
    disabled.is_active = False
    disabled.save()
    client.command("EHLO client.example.net")
    client.command("MAIL FROM:<> SMTPUTF8")
    assert client.command(f"RCPT {argument}") == reply
    assert client.command("DATA").startswith("354" if reply.startswith("250") else "503 5.5.1")


@pytest.mark.parametrize("recipient", ["inbox@trial.example", "nobody@trial.example", "postmaster@TRIAL.example."])
def test_a_test_domain_takes_no_mail_from_outside(settings: Any, client: Client, recipient: str) -> None:
    provision.create_domain(name="trial.example", is_test=True)
    settings.TEST_NETWORKS = [ip_network("192.0.2.0/24"), ip_network("::1/128")]
    client.command("EHLO client.example.net")
    client.command("MAIL FROM:<ada@example.net>")
    refused = "550 5.7.1 This domain is for tests and takes no mail from your network"
    assert client.command(f"RCPT TO:<{recipient}>") == refused
    assert client.command(f"RCPT TO:<{TO}>") == "250 2.1.5 Recipient OK"


def test_a_domain_that_is_not_verified_is_told_to_come_again(settings: Any, client: Client) -> None:
    settings.REQUIRE_DOMAIN_VERIFICATION = True
    client.command("EHLO client.example.net")
    client.command("MAIL FROM:<ada@example.net>")
    reply = "450 4.7.1 This domain is not verified yet, please try again later"
    assert client.command(f"RCPT TO:<{TO}>") == reply
    Domain.objects.update(verified_at=timezone.now())
    assert client.command(f"RCPT TO:<{TO}>") == "250 2.1.5 Recipient OK"


def test_a_mail_to_a_pattern_of_several_mailboxes_is_an_email_in_each(client: Client) -> None:
    own, other = Mailbox.objects.get(local_part="support"), provision.create_mailbox(address="other@example.com")
    provision.create_alias(address="order-*@example.com", mailbox=own, further_mailboxes=[other])
    assert client.deliver(RAW, "Order-AB7@example.com").startswith("250 2.0.0")
    rows = Recipient.objects.order_by("id").values_list("email__mailbox", "kind", "captures", "is_copy")
    assert list(rows) == [(own.pk, "pattern", {"1": "AB7"}, False), (other.pk, "pattern", {"1": "AB7"}, True)]


def test_a_test_domain_takes_mail_from_loopback_unless_told_otherwise(client: Client) -> None:
    provision.create_domain(name="trial.example", is_test=True)
    assert client.deliver(RAW, "inbox@trial.example").startswith("250 2.0.0")
    assert Recipient.objects.get().explanation[0] == "trial.example is hosted, for tests"


@pytest.mark.parametrize(
    "client_ip, is_listed",
    [
        ("192.0.2.9", True),
        ("2001:db8::1", True),
        ("192.0.3.9", False),
        ("127.0.0.1", False),
        ("::1", False),
        (None, False),
    ],
)
def test_which_clients_may_send_to_test_domains(settings: Any, client_ip: str | None, is_listed: bool) -> None:
    settings.TEST_NETWORKS = [ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")]
    assert Envelope("", client_ip=client_ip).is_from_outside is not is_listed


def test_the_hundred_and_first_recipient_is_for_another_transaction(client: Client) -> None:
    support, sales, rest = (make_mailbox(address=f"{name}@example.com") for name in ("support2", "sales", "rest"))
    make_alias(mailbox=support)
    make_alias(address="*@example.com", mailbox=rest)
    recipients = ["help@example.com", "Support2@example.com", "sales@example.com"]
    recipients += [f"user{number}@example.com" for number in range(97)]
    client.command("EHLO client.example.net")
    client.command("MAIL FROM:<ada@example.net>")
    client.send(
        b"".join(f"RCPT TO:<{to}>\r\n".encode() for to in [*recipients, "late@example.com", "late@example.com"])
    )
    replies = [client.reply() for _ in range(102)]
    assert replies[:100] == ["250 2.1.5 Recipient OK"] * 100
    too_many = "452 4.5.3 Too many recipients, send the rest in another transaction"
    assert replies[100:] == [too_many, too_many]
    client.command("DATA")
    client.send(on_the_wire(RAW))
    assert client.reply().startswith("250 2.0.0 accepted as msg_")
    assert stored_counts() == [1, 1, 3, 100]
    assert {email.mailbox: email.recipients.count() for email in Email.objects.all()} == {
        support: 2,
        sales: 1,
        rest: 97,
    }
    assert list(Recipient.objects.order_by("id").values_list("address", flat=True)) == recipients


# --- what is stored


def test_250_means_that_everything_is_committed(client: Client, nudges: list[str]) -> None:
    make_alias(mailbox=provision.create_mailbox(address="desk@example.com"))
    reply = client.deliver(RAW, "help+7@example.com", sender="Ada@example.net")
    message = Message.objects.get()
    assert reply == f"250 2.0.0 accepted as {message.public_id}"
    assert (message.mail_from, message.client_ip, message.helo) == (
        "Ada@example.net",
        "127.0.0.1",
        "client.example.net",
    )
    assert read_raw(message) == RAW
    assert Recipient.objects.get().address == "help+7@example.com"
    assert Email.objects.get().mailbox.address == "desk@example.com"
    assert nudges == ["mailboxes.tasks.process"]
    assert client.command("DATA").startswith("503 5.5.1")


def test_the_null_sender_is_stored_as_such(client: Client) -> None:
    assert client.deliver(RAW, TO, sender="").startswith("250 2.0.0")
    assert Message.objects.get().mail_from == ""


def test_a_client_name_that_no_database_would_take_is_no_reason_to_refuse_its_mail(client: Client) -> None:
    client.command("EHLO a\x00b\udcff" + "x" * 500)
    client.command("MAIL FROM:<>")
    client.command(f"RCPT TO:<{TO}>")
    client.command("DATA")
    client.send(on_the_wire(RAW))
    assert client.reply().startswith("250 2.0.0")
    assert Message.objects.get().helo == "a?b?" + "x" * 251


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="one empty line"),
        pytest.param(b"no header at all\r\n", id="no header"),
        pytest.param(b".\r\n..\r\n.x\r\n\r\n.\r\n...\r\n", id="leading dots"),
        pytest.param(b"a\n.\nb\n..\n.c\n\r\n", id="bare LF"),
        pytest.param(b"a\r.\rb\r\r\n.\r.\r\n", id="bare CR"),
        pytest.param(b"\n.\r\n\r\n", id="the smuggling forms at the start"),
        pytest.param(bytes(range(256)) + b"\r\n", id="every octet, NUL among them"),
        pytest.param(b"x" * 1_000_000 + b"\r\n", id="a line of 1 MB"),
        pytest.param(os.urandom(5_000_000) + b"\r\n", id="5 MB of anything"),
        pytest.param(b".\r\n" * 100_000, id="100,000 dots"),
    ],
)
def test_the_stored_octets_are_the_sent_ones(client: Client, raw: bytes) -> None:
    assert client.deliver(raw, TO).startswith("250 2.0.0")
    assert read_raw(Message.objects.get()) == raw
    assert client.is_silent()


def test_two_mails_in_one_write_are_two_mails(client: Client) -> None:
    begin = f"MAIL FROM:<ada@example.net>\r\nRCPT TO:<{TO}>\r\nDATA\r\n".encode()
    second = RAW.replace(b"Broken", b"Mended")
    client.send(
        b"EHLO client.example.net\r\n" + begin + on_the_wire(RAW) + begin + on_the_wire(second) + b"QUIT\r\nNOOP\r\n"
    )
    replies = [client.reply() for _ in range(11)]
    codes = [reply[:3] for reply in replies]
    assert codes == ["250", "250", "250", "354", "250", "250", "250", "354", "250", "221", ""]
    assert [read_raw(message) for message in Message.objects.order_by("id")] == [RAW, second]


@pytest.mark.parametrize("pretended", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n"])
def test_no_mail_is_smuggled_in_another(client: Client, pretended: bytes) -> None:
    smuggled = f"MAIL FROM:<root@example.com>\r\nRCPT TO:<{TO}>\r\nDATA\r\nSubject: forged\r\n\r\n".encode()
    raw = b"Subject: innocent\r\n\r\nhello" + pretended + smuggled
    client.open(TO)
    client.send(raw + b".\r\n")
    assert client.reply().startswith("250 2.0.0")
    assert client.is_silent()
    # sent unstuffed: the dot after a CRLF, where there is one, is taken for the stuffing
    assert read_raw(Message.objects.get()) == raw.replace(b"\r\n.", b"\r\n")


def test_nothing_of_an_oversize_mail_is_read_as_a_command(settings: Any, client: Client) -> None:
    settings.MAX_MESSAGE_BYTES = 1000
    raw = b"x" * 100_000 + b"\r\nfoo.\r\nRSET\r\nQUIT\r\n\n.\r\n" + b"foo.\r\nNOOP\r\n" * 50_000
    assert client.deliver(raw, TO) == "552 5.3.4 The message is larger than this host accepts"
    assert client.is_silent()
    assert stored_counts() == [0, 0, 0, 0]
    assert client.deliver(b"x" * 998 + b"\r\n", TO).startswith("250 2.0.0")
    assert client.deliver(b"x" * 999 + b"\r\n", TO).startswith("552 5.3.4")


# --- faults of ours


def test_what_the_database_refuses_is_451_and_not_stored_and_the_connection_goes_on() -> None:
    make_mailbox()
    lost: list[bool] = [True]

    def find(requests: Sequence[Request]) -> list[Admission | DomainError]:
        # a mailbox that is not there: the foreign key objects at the commit
        return [lose(answer) if lost[0] else answer for answer in admit_all(requests)]

    def lose(answer: Admission | DomainError) -> Admission:
        assert isinstance(answer, Admission)
        return replace(answer, route=replace(answer.route, mailbox_ids=(uuid4(),)))

    with listening(Handler(admit_all=find)) as server, Client(server.port) as client:
        assert client.deliver(RAW, TO) == OUR_FAULT
        assert stored_counts() == [0, 0, 0, 0]
        lost[0] = False
        assert client.deliver(RAW, TO).startswith("250 2.0.0")
    assert stored_counts() == [1, 1, 1, 1]


@pytest.mark.parametrize("error", [OperationalError("secret"), RuntimeError("secret"), MemoryError("secret")])
def test_a_fault_in_routing_is_451_without_the_words_of_the_exception(error: Exception) -> None:
    make_mailbox()
    errors = [error]

    def find(requests: Sequence[Request]) -> list[Admission | DomainError]:
        if errors:
            raise errors.pop()
        return admit_all(requests)

    with listening(Handler(admit_all=find)) as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        client.command("MAIL FROM:<>")
        assert client.command(f"RCPT TO:<{TO}>") == OUR_FAULT
        assert client.command(f"RCPT TO:<{TO}>") == "250 2.1.5 Recipient OK"


def test_a_limit_of_ours_is_a_452() -> None:
    def find(requests: Sequence[Request]) -> list[Admission | DomainError]:
        return [LimitReachedError(request.address) for request in requests]

    with listening(Handler(admit_all=find)) as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        client.command("MAIL FROM:<>")
        assert client.command(f"RCPT TO:<{TO}>") == "452 4.3.1 No room for this message now, please try again later"


def test_a_connection_that_broke_is_replaced_for_the_next_mail() -> None:
    make_mailbox()
    breaks = [True]

    def store(group: Sequence[Incoming]) -> list[Receipt]:
        if breaks and breaks.pop():
            with connection.cursor() as cursor:  # after this it is taken to be sound
                cursor.execute("SELECT 1")
            connection.connection.close()
        return receive.receive_group(group)

    with listening(Handler(receive_group=store, threads=1)) as server, Client(server.port) as client:
        assert client.deliver(RAW, TO) == OUR_FAULT
        assert client.deliver(RAW, TO).startswith("250 2.0.0")
    assert stored_counts() == [1, 1, 1, 1]


def test_a_client_that_leaves_in_the_middle_of_data_stores_nothing(server: Running) -> None:
    client = Client(server.port)
    client.open(TO)
    client.send(RAW + b"\r\n.")
    client.close()
    wait_until(lambda: not server.listener._connections)
    with Client(server.port) as other:
        assert other.is_silent()
    assert stored_counts() == [0, 0, 0, 0]


def test_a_client_that_leaves_after_the_dot_has_its_mail_stored_whole() -> None:
    make_mailbox()
    storing, go_on = threading.Event(), threading.Event()

    def store(group: Sequence[Incoming]) -> list[Receipt]:
        storing.set()
        assert go_on.wait(60)
        return receive.receive_group(group)

    with listening(Handler(receive_group=store)) as server:
        client = Client(server.port)
        client.open(TO)
        client.send(on_the_wire(RAW))
        assert storing.wait(60)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone without a word
        client.close()
        wait_until(lambda: not server.listener._connections)
        go_on.set()
        wait_until(lambda: stored_counts() == [1, 1, 1, 1])


# --- limits, patience, the end


def test_a_connection_too_many_is_told_so() -> None:
    with listening(limits=Limits(max_connections=2)) as server, Client(server.port) as one, Client(server.port) as two:
        with Client(server.port) as three:
            assert three.greeting == "421 4.7.0 Too many connections, please try again later"
            assert three.reply() == ""
        assert one.is_silent()
        two.close()
        wait_until(lambda: len(server.listener._connections) == 1)
        with Client(server.port) as four:
            assert four.is_silent()


def test_who_says_nothing_for_too_long_is_sent_away() -> None:
    make_mailbox()
    with listening(limits=Limits(command_timeout_s=0.3)) as server:
        with Client(server.port) as client:
            assert client.reply() == "421 4.4.2 Idle for too long, closing the connection"
        with Client(server.port) as client:
            client.open(TO)
            for octet in b"abcde":  # slow, but not silent
                client.send(bytes([octet]))
                time.sleep(0.1)
            client.send(b"\r\n.\r\n")
            assert client.reply().startswith("250 2.0.0")
            client.open(TO)
            client.send(b"and then nothing")
            assert client.reply() == "421 4.4.2 Idle for too long, closing the connection"
    assert Message.objects.count() == 1


def test_who_never_reads_a_reply_does_not_keep_his_place_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailboxes.smtp.conversation.READ_LAST_REPLY_WITHIN_S", 0.3)
    with listening(limits=Limits(command_timeout_s=0.3, max_connections=1)) as server, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", server.port))
        deaf.setblocking(False)
        # until neither side takes any more, or it has been put out already
        with contextlib.suppress(BlockingIOError, ConnectionResetError, BrokenPipeError):
            while True:
                deaf.send(b"EHLO client.example.net\r\n" * 1000)
        until = time.monotonic() + 10
        while True:
            with Client(server.port) as client:
                if client.greeting.startswith("220"):
                    break
            assert time.monotonic() < until, "the place was never free again"
            time.sleep(0.1)


def test_a_large_mail_does_not_keep_others_waiting(server: Running) -> None:
    raw = (b"x" * 76 + b"\r\n") * 320_000  # 25 MB in 320,000 lines
    replies: list[str] = []
    with Client(server.port) as large, Client(server.port) as small:
        sending = threading.Thread(target=lambda: replies.append(large.deliver(raw, TO)))
        sending.start()
        slowest = 0.0
        while sending.is_alive():
            asked_at = time.monotonic()
            assert small.is_silent()
            slowest = max(slowest, time.monotonic() - asked_at)
            time.sleep(0.01)
        sending.join()
    assert replies[0].startswith("250 2.0.0")
    assert slowest < 1  # a reader of lines holds everybody for four seconds


def test_stopping_answers_the_mail_in_flight_and_says_421_to_the_idle() -> None:
    make_mailbox()
    shutting_down = "421 4.3.2 Shutting down, please try again later"
    with listening() as server, Client(server.port) as idle, Client(server.port) as busy:
        busy.open(TO)
        busy.send(RAW)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert (idle.reply(), idle.reply()) == (shutting_down, "")
        with pytest.raises(OSError, match="refused"):
            Client(server.port)
        assert Message.objects.count() == 0
        busy.send(b".\r\n")
        assert busy.reply() == f"250 2.0.0 accepted as {Message.objects.get().public_id}"
        assert (busy.reply(), busy.reply()) == (shutting_down, "")
        stopping.join()


def test_stopping_waits_for_nobody_longer_than_it_is_told() -> None:
    make_mailbox()
    with listening() as server, Client(server.port) as stalled:
        stalled.open(TO)
        began_at = time.monotonic()
        assert server.stop(within_s=0.3)
        assert time.monotonic() - began_at < 20  # a client that stalls is waited for five minutes otherwise
        assert stored_counts() == [0, 0, 0, 0]


def test_stopping_says_so_when_a_call_to_the_database_hangs() -> None:
    make_mailbox()
    go_on = threading.Event()

    def store(group: Sequence[Incoming]) -> list[Receipt]:
        go_on.wait(60)
        try:
            return receive.receive_group(group)
        finally:
            connection.close()  # the listener has given this thread up

    with listening(Handler(receive_group=store, threads=2)) as server, Client(server.port) as client:
        client.open(TO)
        client.send(on_the_wire(RAW))
        wait_until(lambda: server.listener._handler.is_storing)
        assert server.stop(within_s=0.3) is False
        go_on.set()
        wait_until(lambda: Message.objects.count() == 1)


def test_no_command_and_no_address_reaches_the_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.command("AUTH LOGIN")
    client.command("c2VjcmV0")
    assert client.deliver(RAW, TO).startswith("250 2.0.0")
    client.command("MAIL FROM:<ada@example.net>")
    client.command("RCPT TO:<nobody@example.com>")
    logged = [record.getMessage() for record in caplog.records]
    assert [line for line in logged if "smtp.accepted" in line]
    assert not [line for line in logged if re.search(r"c2VjcmV0|C2VJCMV0|support|ada|nobody|example", line)]


# --- the process


@contextlib.contextmanager
def smtpd(*arguments: str, data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    environ = os.environ | {"DATA_DIR": str(data_dir), "LOG_LEVEL": "INFO"}
    command: Sequence[str] = (sys.executable, "manage.py", "smtpd", *arguments)
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    """But for what it says of a database without tables, which none of these needs."""
    assert process.stderr is not None
    line = process.stderr.readline()
    return process.stderr.readline() if "selftest.no_tables" in line else line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_listens_until_it_is_told_to_stop(number: int, tmp_path: Path) -> None:
    with smtpd("--port", "0", data_dir=tmp_path) as process:
        line = first_line(process)
        listening = re.search(r"smtp\.listening .* host=127\.0\.0\.1 port=(\d+)", line)
        assert listening, line
        with Client(int(listening[1])) as client:
            process.send_signal(number)
            assert client.reply() == "421 4.3.2 Shutting down, please try again later"
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert "smtp.stopped" in process.stderr.read()


def port_of(process: subprocess.Popen[str]) -> int:
    line = first_line(process)
    found = re.search(r"smtp\.listening .* port=(\d+)", line)
    assert found, line
    return int(found[1])


def test_more_signals_change_nothing(tmp_path: Path) -> None:
    with smtpd("--port", "0", data_dir=tmp_path) as process, Client(port_of(process)) as busy:
        busy.send(b"RCPT TO:<a@example.com>\r\n" * 1000)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        replies = [busy.reply() for _ in range(1000)]
        assert set(replies) <= {"503 5.5.1 Send EHLO first", "421 4.3.2 Shutting down, please try again later", ""}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_several_processes_share_a_port_if_they_are_told_to(tmp_path: Path) -> None:
    with smtpd("--port", "0", "--reuse-port", data_dir=tmp_path) as one:
        port = port_of(one)
        with smtpd("--port", str(port), "--reuse-port", data_dir=tmp_path) as two:
            assert port_of(two) == port
            clients = [Client(port) for _ in range(40)]
            assert all(client.is_silent() for client in clients)
            one.send_signal(signal.SIGTERM)
            assert one.wait(60) == 0
            ended = [client.reply().startswith("421") for client in clients if not is_open(client)]
            assert ended
            assert all(ended)
            assert len(ended) < 40, "the other process has its own"
            for client in clients:
                client.close()
            with Client(port) as client:
                assert client.is_silent()
        with smtpd("--port", str(port), data_dir=tmp_path) as alone, Client(port_of(alone)) as client:
            assert client.is_silent()


def is_open(client: Client) -> bool:
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return True
    finally:
        client.socket.settimeout(30)


def test_who_does_not_share_is_refused_the_port(tmp_path: Path) -> None:
    with smtpd("--port", "0", "--reuse-port", data_dir=tmp_path) as one:
        port = port_of(one)
        with smtpd("--port", str(port), data_dir=tmp_path) as other:
            assert other.wait(60) == 1


def test_the_command_speaks_lmtp_on_a_socket_file(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    with smtpd("--lmtp", "--socket", str(path), data_dir=tmp_path) as process:
        assert f"path={path}" in first_line(process)
        with Client(path) as client:
            assert client.greeting.endswith("LMTP Emailgistics")
        with smtpd("--lmtp", "--socket", str(path), data_dir=tmp_path) as second:
            assert second.wait(60) == 1
            refusal = first_line(second)
            assert refusal == f"CommandError: cannot listen for LMTP on {path} (another process listens there).\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not path.exists()


def test_a_taken_port_is_one_line_and_exit_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with smtpd("--port", str(port), data_dir=tmp_path) as process:
            assert process.wait(60) == 1
            assert process.stderr is not None
            assert first_line(process) + process.stderr.read() == (
                f"CommandError: cannot listen for SMTP on 127.0.0.1 port {port} (Address already in use): "
                "free the port or set SMTP_PORT (and SMTP_HOST). "
                "Several smtpd share a port if all of them have --reuse-port.\n"
            )
