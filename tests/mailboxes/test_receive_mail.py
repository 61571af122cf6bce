"""The pipe, in this process: what each argument and each fault comes to."""

import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import override_settings

from emailgistics.common.errors import LimitReachedError, RefusedError, UnavailableError
from mailboxes.management.commands import receive_mail
from mailboxes.models import Email, Message, RawMessage, Recipient, Refusal, Rule
from mailboxes.raw import read_raw
from mailboxes.services import provision, receive, rules
from mailboxes.services.receive import Receipt
from tests.factories import RAW, make_alias, make_mailbox
from tests.installation import SAMPLE_ALIAS

TO = "support@example.com"
OUR_FAULT = "4.3.0 Temporary failure here, please try again later"


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is outside; what would go to it is listed instead."""
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, nudges: list[str], transactional_db: None) -> Run:
    def run_it(*arguments: str, raw: bytes = RAW) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        try:
            call_command("receive_mail", *arguments, stdout=out, stderr=err)
        except SystemExit as end:
            return int(str(end.code)), out.getvalue(), err.getvalue()
        return 0, out.getvalue(), err.getvalue()

    return run_it


def stored_counts() -> list[int]:
    return [model.objects.count() for model in (Message, RawMessage, Email, Recipient)]


def test_a_mail_is_stored_as_over_smtp_and_says_where_it_came_from(run: Run, nudges: list[str]) -> None:
    alias = make_alias()
    status, out, err = run("--sender=ada@example.net", "help+7@example.com")
    message = Message.objects.get()
    assert (status, out, err) == (0, f"accepted as {message.public_id}\n", "")
    assert (message.source, message.mail_from, message.client_ip, message.helo, message.state) == (
        Message.Source.PIPE, "ada@example.net", None, "", Message.State.WAITING,
    )  # fmt: skip
    assert read_raw(message) == RAW
    recipient = Recipient.objects.get()
    assert (recipient.address, recipient.alias, recipient.tag) == ("help+7@example.com", alias, "7")
    assert nudges == ["mailboxes.tasks.process"]


def test_json_is_the_message(run: Run) -> None:
    make_mailbox()
    status, out, _ = run("--json", TO)
    message = Message.objects.get()
    assert status == 0
    assert json.loads(out) == {
        "id": message.public_id,
        "received_at": message.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "size": len(RAW),
        "sha256": hashlib.sha256(RAW).hexdigest(),
    }


@pytest.mark.parametrize(
    "arguments, mail_from",
    [
        ([], ""),
        (["--sender="], ""),
        (["--sender", ""], ""),
        (["-f", "<>"], ""),
        (["-f", "ada@example.net"], "ada@example.net"),
        (["-f", "<ada@example.net>"], "ada@example.net"),
        (["--sender=-ada@example.net"], "-ada@example.net"),
        (["--sender=root"], "root"),
        (['--sender="a b"@example.net'], '"a b"@example.net'),
        (['--sender=<"a> b\\"@c"@example.net>'], '"a> b\\"@c"@example.net'),
        (["--sender=jürgen@bücher.example"], "jürgen@bücher.example"),
        (["--sender=@relay.example:ada@example.net"], "ada@example.net"),
    ],
)
def test_the_envelope_sender(run: Run, arguments: list[str], mail_from: str) -> None:
    make_mailbox()
    assert run(*arguments, TO)[0] == 0
    assert Message.objects.get().mail_from == mail_from


@pytest.mark.parametrize("sender", ["a\x00b@example.net", "\udcff@example.net", "x" * 321, "a>b", "a> SIZE=1", "a\nb"])
def test_a_sender_that_smtp_would_refuse_is_65(run: Run, sender: str) -> None:
    make_mailbox()
    status, out, err = run(f"--sender={sender}", TO)
    assert (status, out) == (65, "")
    assert re.fullmatch(r"5\.1\.7 Not a sender address: “.*”\n", err)
    assert "\x00" not in err
    assert stored_counts() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "recipient, status, text",
    [
        ("nobody@example.com", 67, "5.1.1 No such recipient here: “nobody@example.com”"),
        ("gone@example.com", 67, "5.1.1 No such recipient here: “gone@example.com”"),
        ("support@example.org", 67, "5.7.1 This domain is not hosted here: “support@example.org”"),
        ("off@example.com", 67, "5.2.1 This address is disabled: “off@example.com”"),
        ("a..b@example.com", 65, "5.1.3 Not a recipient address: “a..b@example.com”"),
        ("support", 65, "5.1.3 Not a recipient address: “support”"),
        ("", 65, "5.1.3 Not a recipient address: “”"),
        ("<>", 65, "5.1.3 Not a recipient address: “<>”"),
        ("a\x00b@example.com", 65, "5.1.3 Not a recipient address: “a\N{REPLACEMENT CHARACTER}b@example.com”"),
        ("\udcff@example.com", 65, "5.1.3 Not a recipient address: “\N{REPLACEMENT CHARACTER}@example.com”"),
        ("support@example.com> NOTIFY=NEVER", 65, "5.1.3 Not a recipient address: “support@example.com> NOTIFY=NEVER”"),
        ("x" * 99 + "@example.com", 65, "5.1.3 Not a recipient address: “" + "x" * 80 + "…”"),
    ],
)
@pytest.mark.parametrize("others", [(), (TO,)])
def test_one_recipient_that_cannot_be_and_nobody_gets_it(
    run: Run, recipient: str, status: int, text: str, others: Sequence[str]
) -> None:
    mailbox = make_mailbox()
    provision.delete_alias(make_alias(address="gone@example.com", mailbox=mailbox))
    off = make_alias(address="off@example.com", mailbox=mailbox)
    off.is_active = False
    off.save()
    assert run(*others, recipient) == (status, "", text + "\n")
    assert stored_counts() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "recipient", ["<support@example.com>", "@relay.example:support@example.com", "SUPPORT+x@Example.com."]
)
def test_recipients_are_read_as_over_smtp(run: Run, recipient: str) -> None:
    mailbox = make_mailbox()
    assert run(recipient)[0] == 0
    assert Email.objects.get().mailbox == mailbox


def test_several_recipients_are_one_message_and_an_email_for_each_mailbox(run: Run) -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    make_alias(mailbox=support)
    assert run(TO, "sales@example.com", SAMPLE_ALIAS)[0] == 0
    assert stored_counts() == [1, 1, 2, 3]
    assert {email.mailbox for email in Email.objects.all()} == {support, sales}


def test_a_test_domain_takes_mail_from_the_pipe(run: Run) -> None:
    provision.create_domain(name="trial.example", is_test=True)
    with override_settings(TEST_NETWORKS=[]):
        assert run("inbox@trial.example")[0] == 0
    assert Recipient.objects.get().explanation[0] == "trial.example is hosted, for tests"


def test_nothing_on_standard_input_is_65(run: Run) -> None:
    make_mailbox()
    assert run(TO, raw=b"") == (65, "", "5.6.0 There is no mail on standard input\n")
    assert stored_counts() == [0, 0, 0, 0]


def test_the_limit_is_the_one_of_smtp_to_the_octet(run: Run) -> None:
    make_mailbox()
    with override_settings(MAX_MESSAGE_BYTES=1000):
        too_big = "5.3.4 The message is larger than this host accepts (1000 octets)\n"
        assert run(TO, raw=b"x" * 1001) == (65, "", too_big)
        assert stored_counts() == [0, 0, 0, 0]
        assert run(TO, raw=b"x" * 1000)[0] == 0
    assert Message.objects.get().size == 1000


@pytest.mark.parametrize(
    "error, status, text",
    [
        (OperationalError("secret"), 75, f"{OUR_FAULT} (OperationalError)"),
        (MemoryError("secret"), 75, f"{OUR_FAULT} (MemoryError)"),
        (RuntimeError("secret"), 75, f"{OUR_FAULT} (RuntimeError)"),
        (UnavailableError("secret"), 75, f"{OUR_FAULT}: “{TO}”"),
        (LimitReachedError("secret"), 75, f"4.3.1 No room for this message now, please try again later: “{TO}”"),
        (RefusedError("secret"), 77, f"5.7.1 Refused: “{TO}”"),
    ],
)
def test_each_kind_of_fault_has_its_status_and_nothing_of_its_words(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, text: str
) -> None:
    def find(address: str, **_: Any) -> None:
        raise error

    make_mailbox()
    monkeypatch.setattr(receive_mail, "admit", find)
    assert run(TO) == (status, "", text + "\n")


def test_a_traceback_is_there_for_who_asks(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find(address: str, **_: Any) -> None:
        raise OperationalError("no route to host")

    monkeypatch.setattr(receive_mail, "admit", find)
    assert run("--traceback", TO)[0] == 75
    assert "OperationalError: no route to host" in capsys.readouterr().err


def test_what_cannot_be_stored_whole_is_not_stored_at_all_and_75(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()

    def broken(**arguments: Any) -> Receipt:
        (found,) = arguments["admissions"]
        lost = replace(found, route=replace(found.route, mailbox_ids=(uuid4(),)))
        # a mailbox that is not there: the foreign key objects at the commit
        return receive.receive_message(**arguments | {"admissions": [found, lost]})

    monkeypatch.setattr(receive_mail, "receive_message", broken)
    assert run(TO)[0] == 75
    assert stored_counts() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "arguments, client_ip, helo",
    [
        (["--client-ip=192.0.2.7", "--helo=mail.example.net"], "192.0.2.7", "mail.example.net"),
        (["--client-ip=2001:db8::7"], "2001:db8::7", ""),
        (["--client-ip=::ffff:192.0.2.7", "--helo=[192.0.2.7]"], "192.0.2.7", "[192.0.2.7]"),
        (["--client-ip=", "--helo="], None, ""),
        (["--client-ip=unknown", "--helo=a\udcffb\x00" + "x" * 300], None, "a?b?" + "x" * 251),
    ],
)
def test_the_host_before_us_says_who_brought_the_mail(
    run: Run, arguments: list[str], client_ip: str | None, helo: str
) -> None:
    make_mailbox()
    assert run(*arguments, TO)[0] == 0
    assert Message.objects.values_list("client_ip", "helo").get() == (client_ip, helo)


FROM_LINE = b"From ada@example.net Mon Jun  1 10:00:00 2026\n"


@pytest.mark.parametrize(
    "raw, stored",
    [
        (FROM_LINE + RAW, RAW),
        (FROM_LINE.replace(b"\n", b"\r\n") + RAW, RAW),
        (FROM_LINE + FROM_LINE + RAW, FROM_LINE + RAW),
        (b"From: Ada <ada@example.net>\r\n\r\n", b"From: Ada <ada@example.net>\r\n\r\n"),
        (RAW + FROM_LINE, RAW + FROM_LINE),
    ],
)
def test_a_from_line_is_taken_away_only_if_asked_for(run: Run, raw: bytes, stored: bytes) -> None:
    make_mailbox()
    assert run("--strip-from-line", TO, raw=raw)[0] == 0
    assert run("--sender=eve@example.net", TO, raw=raw)[0] == 0
    assert [read_raw(message) for message in Message.objects.order_by("id")] == [stored, raw]


def test_a_from_line_alone_is_no_mail(run: Run) -> None:
    make_mailbox()
    assert run("--strip-from-line", TO, raw=FROM_LINE)[0] == 65
    assert run("--strip-from-line", TO, raw=FROM_LINE.rstrip())[0] == 65
    assert stored_counts() == [0, 0, 0, 0]


def test_the_same_mail_again_is_0_and_stored_once(run: Run) -> None:
    make_mailbox()
    answers = [run("--sender=ada@example.net", TO) for _ in range(2)]
    message = Message.objects.get()
    assert answers == [(0, f"accepted as {message.public_id}\n", "")] * 2
    assert message.resends == 1


def test_a_mail_that_goes_round_in_a_circle_is_77(run: Run) -> None:
    make_mailbox()
    status, out, err = run(TO, raw=b"Received: by a.example\r\n" * 51 + RAW)
    assert (status, out, err) == (77, "", "5.4.6 Routing loop: too many hosts have passed this message on\n")
    assert stored_counts() == [0, 0, 0, 0]


@pytest.mark.parametrize("action, status", [(Rule.Action.BLOCK, 77), (Rule.Action.DISCARD, 0)])
def test_what_a_rule_says_of_a_piped_mail(
    run: Run, monkeypatch: pytest.MonkeyPatch, action: Rule.Action, status: int
) -> None:
    make_mailbox()
    rule = Rule.objects.create(action=action, criterion="network", value="192.0.2.0/24")
    told: list[rules.Case] = []

    def judge(cases: Sequence[rules.Case]) -> list[rules.Judgement]:
        told.extend(cases)
        return [rules.Judgement((rules.Verdict(action, rule.pk, "says so"),)) for _ in cases]

    monkeypatch.setattr(rules, "judge", judge)
    ended, out, err = run("--client-ip=192.0.2.7", TO)
    assert ended == status
    (case,) = told
    assert (case.size, case.envelope.client_ip) == (len(RAW), "192.0.2.7")
    assert stored_counts() == [0, 0, 0, 0]
    if status:
        assert (out, err) == ("", f"5.7.1 Refused by a rule of this host: “{TO}”\n")
    else:
        assert out == f"accepted as {Refusal.objects.get().public_id}\n"


def test_what_the_pipe_refuses_is_on_record_like_what_the_listener_refuses(run: Run) -> None:
    make_mailbox()
    rule = Rule.objects.create(action="block", criterion="sender", value="eve@example.org")
    assert run("nobody@example.com", "--client-ip", "192.0.2.7")[0] == 67
    assert run(TO, "--sender", "eve@example.org")[0] == 77
    unknown, blocked = Refusal.objects.order_by("id")
    assert (unknown.recipient, unknown.code, unknown.client_ip, unknown.source) == (
        "nobody@example.com", "unknown_recipient", "192.0.2.7", "pipe",
    )  # fmt: skip
    assert (unknown.reply, unknown.outcome) == ("550 5.1.1 No such recipient here", "refused")
    assert (blocked.mail_from, blocked.rule, blocked.reply) == (
        "eve@example.org", rule, "550 5.7.1 Refused by a rule of this host",
    )  # fmt: skip
