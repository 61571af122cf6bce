"""LMTP (RFC 2033): a reply for each recipient, and socket files."""

import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from emailgistics.common.errors import DomainError, LimitReachedError
from mailboxes.models import Email, Message, Recipient, Refusal
from mailboxes.raw import read_raw
from mailboxes.services import provision, receive
from mailboxes.services.admit import Admission
from mailboxes.services.envelope import Envelope
from mailboxes.services.quota import MailboxFullError
from mailboxes.services.receive import Receipt
from mailboxes.services.rule_book import create_rule
from mailboxes.smtp.handler import Handler, Mail
from tests.factories import RAW, make_alias, make_mailbox
from tests.mailboxes.smtp_client import Client, listening, on_the_wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TO = "support@example.com"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


class Mailroom(Handler):
    """Stores nothing, and answers for each recipient what it is told to."""

    def __init__(self, outcomes: Sequence[Receipt | DomainError]) -> None:
        super().__init__()
        self._outcomes = outcomes

    async def store(self, _: Mail) -> Any:
        return self._outcomes


def begin(client: Client, *recipients: str) -> list[str]:
    client.command("LHLO mx.example.net")
    client.command("MAIL FROM:<ada@example.net>")
    return [client.command(f"RCPT TO:<{to}>") for to in recipients]


def test_lhlo_lists_what_is_offered() -> None:
    with listening(is_lmtp=True) as server, Client(server.port) as client:
        assert client.greeting == f"220 {socket.gethostname()} LMTP Emailgistics"
        assert [line[4:] for line in client.command("LHLO a.example").splitlines()[1:]] == [
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            "SIZE 41943040",
            "8BITMIME",
            "SMTPUTF8",
            "LIMITS RCPTMAX=100 MAILMAX=1000",
        ]


def test_each_accepted_recipient_has_a_reply_in_its_order_and_a_refused_one_has_none() -> None:
    make_alias(mailbox=make_mailbox())
    with listening(is_lmtp=True) as server, Client(server.port) as client:
        codes = [reply[:9] for reply in begin(client, TO, "no@example.com", "help@example.com", TO)]
        assert codes == ["250 2.1.5", "550 5.1.1", "250 2.1.5", "250 2.1.5"]
        client.command("DATA")
        client.send(on_the_wire(RAW))
        accepted = [client.reply() for _ in range(3)]
        assert client.is_silent()
    message = Message.objects.get()
    assert accepted == [f"250 2.0.0 accepted as {message.public_id}"] * 3
    assert (message.source, message.helo, message.client_ip) == ("lmtp", "mx.example.net", "127.0.0.1")
    assert read_raw(message) == RAW
    assert Email.objects.count() == 1
    assert sorted(Recipient.objects.values_list("address", flat=True)) == ["help@example.com", TO, TO]


def test_a_refused_mail_is_refused_for_each_recipient(settings: Any) -> None:
    settings.MAX_MESSAGE_BYTES = 10
    make_mailbox()
    with listening(is_lmtp=True) as server, Client(server.port) as client:
        begin(client, TO, TO)
        client.command("DATA")
        client.send(on_the_wire(RAW))
        replies = [client.reply(), client.reply()]
        assert client.is_silent()
    assert replies == ["552 5.3.4 The message is larger than this host accepts"] * 2
    assert Refusal.objects.filter(code="too_big", size=len(RAW)).count() == 2


def test_recipients_may_have_outcomes_of_their_own() -> None:
    for address in ("support", "sales", "desk"):
        make_mailbox(address=f"{address}@example.com")
    outcomes = [Receipt("msg_1", None), MailboxFullError(), Receipt("msg_2", None)]
    with listening(Mailroom(outcomes), is_lmtp=True) as server, Client(server.port) as client:
        begin(client, TO, "sales@example.com", "desk@example.com")
        client.command("DATA")
        client.send(on_the_wire(RAW))
        replies = [client.reply() for _ in range(3)]
        assert client.is_silent()
    assert replies == ["250 2.0.0 accepted as msg_1", "452 4.2.2 The mailbox is full", "250 2.0.0 accepted as msg_2"]
    refusal = Refusal.objects.get()
    assert (refusal.recipient, refusal.code, refusal.size) == ("sales@example.com", "mailbox_full", len(RAW))


@pytest.mark.parametrize("is_lmtp", [False, True])
def test_where_sizes_refuse_a_mail_for_all_each_refusal_names_its_own_rule(is_lmtp: bool) -> None:
    addresses = [TO, "sales@example.com", "desk@example.com"]
    rules = [
        create_rule(action="block", criterion="size", value=str(10 + n), mailbox=make_mailbox(address=address))
        for n, address in enumerate(addresses)
    ]
    with listening(is_lmtp=is_lmtp) as server, Client(server.port) as client:
        client.command("LHLO mx.example.net" if is_lmtp else "EHLO mx.example.net")
        client.command("MAIL FROM:<ada@example.net>")
        for address in addresses:
            assert client.command(f"RCPT TO:<{address}>").startswith("250")
        client.command("DATA")
        client.send(on_the_wire(RAW))
        replies = [client.reply() for _ in addresses[: 3 if is_lmtp else 1]]
        assert client.is_silent()
    assert set(replies) == {"550 5.7.1 Refused by a rule of this host"}
    on_record = {refusal.recipient: (refusal.rule_id, refusal.size) for refusal in Refusal.objects.all()}
    assert on_record == {address: (rule.pk, len(RAW)) for address, rule in zip(addresses, rules, strict=True)}
    assert Message.objects.count() == 0


@pytest.mark.parametrize(
    "outcomes, reply",
    [
        ([MailboxFullError(), Receipt("msg_1", None)], "250 2.0.0 accepted as msg_1"),
        ([MailboxFullError(), LimitReachedError("More.")], "452 4.2.2 The mailbox is full"),
    ],
)
def test_by_smtp_there_is_one_answer_for_all(outcomes: Sequence[Receipt | DomainError], reply: str) -> None:
    make_alias(mailbox=make_mailbox())
    with listening(Mailroom(outcomes)) as server, Client(server.port) as client:
        assert client.deliver(RAW, TO, "help@example.com") == reply
        assert client.is_silent()


def test_data_without_a_recipient_is_503_and_is_not_read() -> None:
    make_mailbox()
    with listening(is_lmtp=True) as server, Client(server.port) as client:
        begin(client, "no@example.com")
        assert client.command("DATA") == "503 5.5.1 No valid recipients"
        assert client.is_silent()


def test_a_group_of_commands_is_answered_in_its_order() -> None:
    make_mailbox()
    mail = f"MAIL FROM:<>\r\nRCPT TO:<{TO}>\r\nRCPT TO:<{TO}>\r\nDATA\r\n".encode() + on_the_wire(RAW)
    with listening(is_lmtp=True) as server, Client(server.port) as client:
        client.send(b"LHLO a.example\r\n" + mail + b"RSET\r\n" + mail + b"QUIT\r\n")
        replies = [client.reply()[:3] for _ in range(15)]
    one = ["250", "250", "250", "354", "250", "250"]
    assert replies == ["250", *one, "250", *one, "221"]


# --- socket files


def test_a_socket_file_is_for_its_user_and_group_and_gone_in_the_end(tmp_path: Path) -> None:
    make_mailbox()
    path = tmp_path / "lmtp"
    with listening(path=path, is_lmtp=True) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with Client(path) as client:
            begin(client, TO)
            client.command("DATA")
            client.send(on_the_wire(RAW))
            assert client.reply().startswith("250 2.0.0")
        assert server.stop()
    assert not path.exists()
    message = Message.objects.get()
    assert (message.source, message.client_ip) == ("lmtp", None)


def test_a_socket_file_that_a_killed_process_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with listening(path=path, is_lmtp=True), Client(path) as client:
        assert client.is_silent()


def test_a_socket_file_in_use_and_one_that_is_no_socket_are_left_alone(tmp_path: Path) -> None:
    path, other = tmp_path / "lmtp", tmp_path / "notes"
    other.write_text("mine")
    with listening(path=path, is_lmtp=True):
        with pytest.raises(FileExistsError, match="another process listens there"), listening(path=path, is_lmtp=True):
            pass
        with Client(path) as client:
            assert client.is_silent()
    with pytest.raises(FileExistsError, match="no socket"), listening(path=other):
        pass
    assert other.read_text() == "mine"


def test_who_comes_by_a_socket_file_is_from_outside_as_far_as_test_domains_go() -> None:
    provision.create_domain(name="trial.example", is_test=True)
    assert Envelope("", source=Message.Source.LMTP).is_from_outside
    assert isinstance(Admission, type)
