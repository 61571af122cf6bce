"""Every row of the reply table, over a real socket, by SMTP and by LMTP; and that each refusal is on record."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError

from emailgistics.common.errors import DomainError
from mailboxes.models import Mailbox, Message, Recipient, Refusal
from mailboxes.services import provision, receive
from mailboxes.services.admit import Admission, Request, admit_all
from mailboxes.services.receive import Incoming, Receipt
from mailboxes.services.rule_book import create_rule
from mailboxes.smtp.disk import Disk
from mailboxes.smtp.handler import Handler
from mailboxes.smtp.limits import MIB, Limits
from tests.factories import RAW, make_alias, make_mailbox
from tests.mailboxes.smtp_client import Client, listening, on_the_wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TO = "support@example.com"
PROTOCOLS = ["SMTP", "LMTP"]
BIG = b"x" * 998 + b"\r\n"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


def answering(error: Exception) -> Callable[[], dict[str, Any]]:
    """A listener whose routing knows the support mailbox, and this of everybody else."""

    def admit(requests: Sequence[Request]) -> list[Admission | DomainError]:
        if isinstance(error, DomainError):
            known = iter(admit_all([request for request in requests if request.address == TO]))
            return [next(known) if request.address == TO else error for request in requests]
        raise error

    return lambda: {"handler": Handler(admit_all=admit)}


def storing(error: Exception) -> Callable[[], dict[str, Any]]:
    def store(group: Sequence[Incoming]) -> list[Receipt]:
        raise error

    return lambda: {"handler": Handler(receive_group=store)}


class DiskFullError(Exception):
    """As psycopg says it."""

    sqlstate = "53100"


def database_says_full() -> OperationalError:
    error = OperationalError("could not extend file")
    error.__cause__ = DiskFullError()
    return error


def limits(**given: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"limits": Limits(**given)}


@dataclass(frozen=True)
class Row:
    """`says` is what the client says after its greeting, `replies` what it hears; the row is about the last one.

    `code` is that of the refusal on record, empty for none; `ends` means that the connection is closed then.
    """

    name: str
    says: Sequence[str | bytes]
    replies: Sequence[str]
    code: str = ""
    recipient: str = ""
    options: Callable[[], dict[str, Any]] = dict
    settings: dict[str, Any] = field(default_factory=dict)
    arrange: Callable[[], object] = lambda: None
    ends: bool = False


MAIL = "MAIL FROM:<ada@example.net>"
RCPT = f"RCPT TO:<{TO}>"
SENDER_OK = "250 2.1.0 Sender OK"
RECIPIENT_OK = "250 2.1.5 Recipient OK"
GO_ON = "354 End data with <CR><LF>.<CR><LF>"
OUR_FAULT = "451 4.3.0 Temporary failure here, please try again later"
NO_ROOM = "452 4.3.1 No room for this message now, please try again later"


def rcpt(name: str, address: str, reply: str, **more: Any) -> Row:
    return Row(name, [MAIL, f"RCPT TO:<{address}>"], [SENDER_OK, reply], recipient=address, **more)


def data(name: str, raw: bytes, reply: str, **more: Any) -> Row:
    says: list[str | bytes] = [MAIL, RCPT, "DATA", on_the_wire(raw)]
    return Row(name, says, [SENDER_OK, RECIPIENT_OK, GO_ON, reply], recipient=TO, **more)


ROWS = [
    Row(
        "MAIL: SIZE above the limit",
        [f"{MAIL} SIZE={40 * MIB + 1}"],
        ["552 5.3.4 The message is larger than this host accepts"],
        code="too_big",
    ),
    Row("MAIL: the null sender", ["MAIL FROM:<>"], [SENDER_OK]),
    Row(
        "MAIL: no room for what SIZE says",
        [f"{MAIL} SIZE={3 * MIB}"],
        [NO_ROOM],
        code="no_room",
        options=limits(max_octets_in_flight=2 * MIB),
    ),
    Row(
        "MAIL: the disk is nearly full",
        [MAIL],
        [NO_ROOM],
        code="no_room",
        options=lambda: {"disk": Disk(settings.DATA_DIR, keep_free=2, free=lambda _: 1)},
    ),
    Row(
        "MAIL: an address in 8 bits without SMTPUTF8",
        ["MAIL FROM:<jürgen@bücher.example>"],
        ["553 5.6.7 An address that is not ASCII needs SMTPUTF8"],
        code="not_ascii",
    ),
    Row("MAIL: the same with it", ["MAIL FROM:<jürgen@bücher.example> SMTPUTF8"], [SENDER_OK]),
    Row(
        "MAIL: more messages than one connection may bring",
        [MAIL, "RSET", MAIL, "RSET", MAIL],
        [
            *[SENDER_OK, "250 2.0.0 OK"] * 2,
            "421 4.7.0 Too many messages on one connection, please go on in another",
        ],
        options=limits(max_messages=2),
        ends=True,
    ),
    Row(
        "MAIL: one more, where others were refused",
        ["MAIL", f"{MAIL} WRONG", MAIL],
        [
            "501 5.5.4 Syntax error in the command's arguments",
            "555 5.5.4 Parameter not recognised",
            "421 4.7.0 Too many messages on one connection, please go on in another",
        ],
        options=limits(max_messages=2),
        ends=True,
    ),
    rcpt("RCPT: accepted", TO, RECIPIENT_OK),
    rcpt("RCPT: not hosted", "a@example.org", "550 5.7.1 This domain is not hosted here", code="unknown_domain"),
    rcpt("RCPT: no such recipient", "no@example.com", "550 5.1.1 No such recipient here", code="unknown_recipient"),
    rcpt("RCPT: alias disabled", "off@example.com", "550 5.2.1 This address is disabled", code="address_disabled"),
    rcpt("RCPT: mailbox disabled", "away@example.com", "550 5.2.1 This address is disabled", code="address_disabled"),
    rcpt(
        "RCPT: domain not verified",
        TO,
        "450 4.7.1 This domain is not verified yet, please try again later",
        code="domain_not_verified",
        settings={"REQUIRE_DOMAIN_VERIFICATION": True},
    ),
    rcpt(
        "RCPT: a rule blocks",
        TO,
        "550 5.7.1 Refused by a rule of this host",
        code="blocked_by_rule",
        arrange=lambda: create_rule(action="block", criterion="sender", value="ada@example.net"),
    ),
    rcpt(
        "RCPT: a rule discards",
        TO,
        RECIPIENT_OK,
        arrange=lambda: create_rule(action="discard", criterion="sender", value="ada@example.net"),
    ),
    Row(
        "RCPT: over quota",
        [f"{MAIL} SIZE={MIB + 1}", RCPT],
        [SENDER_OK, "452 4.2.2 The mailbox is full"],
        code="mailbox_full",
        recipient=TO,
        arrange=lambda: provision.update_mailbox(Mailbox.objects.get(local_part="support"), quota_bytes=MIB),
    ),
    Row(
        "RCPT: more than may be",
        [MAIL, RCPT, RCPT, RCPT],
        [
            SENDER_OK,
            RECIPIENT_OK,
            RECIPIENT_OK,
            "452 4.5.3 Too many recipients, send the rest in another transaction",
        ],
        options=limits(max_recipients=2),
    ),
    rcpt("RCPT: postmaster without an alias", "postmaster@example.com", RECIPIENT_OK),
    rcpt("RCPT: abuse without an alias", "Abuse@example.com", RECIPIENT_OK),
    Row("RCPT: the bare postmaster", [MAIL, "RCPT TO:<Postmaster>"], [SENDER_OK, RECIPIENT_OK]),
    Row(
        "RCPT: too many unknown ones",
        [MAIL, *(f"RCPT TO:<no{number}@example.com>" for number in range(3))],
        [
            SENDER_OK,
            "550 5.1.1 No such recipient here",
            "550 5.1.1 No such recipient here",
            "421 4.7.0 Too many unknown recipients, closing the connection",
        ],
        code="too_many_unknown",
        recipient="no2@example.com",
        options=limits(max_unknown_recipients=2),
        ends=True,
    ),
    rcpt("RCPT: database away", TO, OUR_FAULT, code="unavailable", options=answering(OperationalError("secret"))),
    rcpt("RCPT: anything unexpected", TO, OUR_FAULT, code="unavailable", options=answering(RuntimeError("secret"))),
    rcpt("RCPT: no memory", TO, OUR_FAULT, code="unavailable", options=answering(MemoryError("secret"))),
    data(
        "DATA: too big",
        BIG + BIG,
        "552 5.3.4 The message is larger than this host accepts",
        code="too_big",
        settings={"MAX_MESSAGE_BYTES": 1000},
    ),
    data(
        "DATA: a routing loop",
        b"Received: by host.example\r\n" * 51 + RAW,
        "554 5.4.6 Routing loop: too many hosts have passed this message on",
        code="routing_loop",
    ),
    data(
        "DATA: the disk is nearly full",
        RAW,
        NO_ROOM,
        code="no_room",
        options=lambda: {"disk": Disk(settings.DATA_DIR, keep_free=60, free=lambda _: 100)},
    ),
    data(
        "DATA: no octets left",
        b"x" * 2 * MIB + b"\r\n",
        NO_ROOM,
        code="no_room",
        options=limits(max_octets_in_flight=MIB),
    ),
    data(
        "DATA: the database says that its disk is full",
        RAW,
        NO_ROOM,
        code="limit_reached",
        options=storing(database_says_full()),
    ),
    data("DATA: the database is away", RAW, OUR_FAULT, code="unavailable", options=storing(OperationalError("secret"))),
    data("DATA: anything unexpected", RAW, OUR_FAULT, code="unavailable", options=storing(RuntimeError("secret"))),
    data("DATA: no memory", RAW, OUR_FAULT, code="unavailable", options=storing(MemoryError("secret"))),
    data("DATA: committed", RAW, "250 2.0.0 accepted as {message}"),
    Row(
        "DATA: a resend after a lost 250",
        [MAIL, RCPT, "DATA", on_the_wire(RAW), MAIL, RCPT, "DATA", on_the_wire(RAW)],
        [SENDER_OK, RECIPIENT_OK, GO_ON, "250 2.0.0 accepted as {message}"] * 2,
    ),
    Row("DATA: without recipients", [MAIL, "DATA"], [SENDER_OK, "503 5.5.1 No valid recipients"]),
    Row("DATA: without MAIL", ["DATA"], ["503 5.5.1 No valid recipients"]),
    Row("RCPT without MAIL", [RCPT], ["503 5.5.1 Send MAIL first"]),
    Row(
        "any: too many bad commands",
        ["WRONG", "EXPN staff", "VRFY", "RCPT"],
        [
            "500 5.5.2 Command not understood",
            "502 5.5.1 Command not offered",
            "501 5.5.4 Syntax error in the command's arguments",
            "503 5.5.1 Send MAIL first",
        ],
        options=limits(max_bad_commands=3),
    ),
    Row(
        "any: one bad command more",
        ["WRONG", "EXPN staff", "VRFY", "AUTH PLAIN AAAA"],
        [
            "500 5.5.2 Command not understood",
            "502 5.5.1 Command not offered",
            "501 5.5.4 Syntax error in the command's arguments",
            "421 4.7.0 Too many bad commands, closing the connection",
        ],
        options=limits(max_bad_commands=3),
        ends=True,
    ),
    Row("any: BDAT is not offered", ["BDAT 10 LAST"], ["500 5.5.2 Command not understood"]),
    Row("any: a quiet end", ["QUIT"], ["221 2.0.0 Bye"], ends=True),
]


def provide() -> None:
    mailbox = make_mailbox()
    off = make_alias(address="off@example.com", mailbox=mailbox)
    away = provision.create_mailbox(address="away@example.com")
    for owner in (off, away):
        owner.is_active = False
        owner.save()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_of_the_table(row: Row, protocol: str, settings: Any) -> None:
    for name, value in row.settings.items():
        setattr(settings, name, value)
    provide()
    row.arrange()
    with listening(is_lmtp=protocol == "LMTP", **row.options()) as server:
        with Client(server.port) as client:
            hello = client.command("LHLO client.example.net" if protocol == "LMTP" else "EHLO client.example.net")
            assert hello.startswith("250-")
            heard = [client.exchange(said) for said in row.says]
            if row.ends:
                assert client.reply() == ""
            else:
                assert client.is_silent()
        message = Message.objects.first()
        public_id = message.public_id if message else ""
        assert heard == [reply.format(message=public_id) for reply in row.replies]
    # the listener has stopped, so whatever it wanted to write is written
    last = Refusal.objects.order_by("at", "id").last()
    if not row.code:
        assert last is None
        return
    assert last is not None
    assert (last.code, last.reply, last.recipient, last.source) == (
        row.code,
        row.replies[-1],
        row.recipient,
        protocol.lower(),
    )
    assert Recipient.objects.count() == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_connection_too_many(protocol: str) -> None:
    options: dict[str, Any] = {"limits": Limits(max_connections=1), "is_lmtp": protocol == "LMTP"}
    with listening(**options) as server, Client(server.port), Client(server.port) as second:
        assert second.greeting == "421 4.7.0 Too many connections, please try again later"
        assert second.reply() == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rate_limited(protocol: str) -> None:
    options: dict[str, Any] = {"limits": Limits(messages_per_minute=1, counts_loopback=True)}
    with listening(is_lmtp=protocol == "LMTP", **options) as server, Client(server.port) as client:
        client.command("LHLO client.example.net" if protocol == "LMTP" else "EHLO client.example.net")
        heard = [client.command(said) for said in (MAIL, "RSET", MAIL)]
        assert client.is_silent()
    assert heard[:2] == [SENDER_OK, "250 2.0.0 OK"]
    assert re.fullmatch(
        r"451 4\.7\.1 Too many messages from your address, try again in (60|[1-5]?[0-9]) seconds", heard[2]
    )
    refusal = Refusal.objects.get()
    assert (refusal.code, refusal.reply, refusal.source) == ("rate_limited", heard[2], protocol.lower())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shutting_down(protocol: str) -> None:
    with listening(is_lmtp=protocol == "LMTP") as server, Client(server.port) as client:
        assert server.stop()
        assert client.reply() == "421 4.3.2 Shutting down, please try again later"
        assert client.reply() == ""


@pytest.mark.parametrize(
    "protocol, command, reply",
    [
        ("LMTP", "EHLO a.example", "500 5.5.1 This is LMTP, send LHLO"),
        ("LMTP", "HELO a.example", "500 5.5.1 This is LMTP, send LHLO"),
        ("LMTP", "MAIL FROM:<>", "503 5.5.1 Send LHLO first"),
        ("LMTP", "LHLO", "501 5.5.4 Syntax error in the command's arguments"),
        ("SMTP", "LHLO a.example", "500 5.5.1 This is SMTP, send EHLO"),
        ("SMTP", "MAIL FROM:<>", "503 5.5.1 Send EHLO first"),
        ("SMTP", "HELO", "501 5.5.4 Syntax error in the command's arguments"),
    ],
)
def test_each_protocol_wants_its_own_greeting(protocol: str, command: str, reply: str) -> None:
    with listening(is_lmtp=protocol == "LMTP") as server, Client(server.port) as client:
        assert client.command(command) == reply
        assert client.command("RCPT TO:<a@example.com>").startswith("503 5.5.1 Send")


def test_all_replies_after_the_greeting_have_an_enhanced_code_of_their_class() -> None:
    replies = [reply for row in ROWS for reply in row.replies if not reply.startswith("354")]
    assert [reply for reply in replies if reply[4] != reply[0] or reply[5] != "."] == []
