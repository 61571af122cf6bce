"""What was refused is on record, a little of it; and what was said is kept, but no secret of it."""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import OperationalError
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Message, Refusal, RefusalCount
from mailboxes.services import receive, refuse
from mailboxes.services.envelope import Envelope
from mailboxes.services.refuse import ROWS_PER_HOUR, ROWS_PER_HOUR_OF_THIS_HOST, Refused
from mailboxes.smtp import refusals
from mailboxes.smtp.limits import Limits
from mailboxes.smtp.refusals import RefusalWriter
from mailboxes.smtp.transcript import OPENING_LINES, TRANSACTION_LINES, Transcript, printable
from tests.factories import RAW, make_mailbox
from tests.mailboxes.smtp_client import Client, listening, on_the_wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TO = "support@example.com"
NOON = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
HOUR = NOON.replace(minute=0)


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


def refused(*, client_ip: str | None = "192.0.2.1", at: datetime = NOON, **more: object) -> Refused:
    envelope = Envelope("ada@example.net", client_ip=client_ip, helo="a.example")
    return Refused(at=at, envelope=envelope, reply="550 5.1.1 No", code="unknown_recipient", **more)  # type: ignore[arg-type]  # as given


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- on record


def test_a_row_says_who_was_refused_what_and_why() -> None:
    refuse.record([refused(recipient="no@example.com", size=7, transcript=[(1, "C", "RCPT TO:<no@example.com>")])])
    row = Refusal.objects.get()
    assert (row.at, row.outcome, row.source, row.network, row.client_ip, row.helo, row.mail_from) == (
        NOON,
        "refused",
        "smtp",
        "192.0.2.0/24",
        "192.0.2.1",
        "a.example",
        "ada@example.net",
    )
    assert (row.recipient, row.reply, row.code, row.rule_id, row.size) == (
        "no@example.com",
        "550 5.1.1 No",
        "unknown_recipient",
        None,
        7,
    )
    assert row.transcript == [[1, "C", "RCPT TO:<no@example.com>"]]


def test_a_network_has_so_many_rows_in_an_hour_and_all_are_counted() -> None:
    many = [refused(client_ip=f"192.0.2.{number}") for number in range(15)]
    refuse.record([*many, refused(client_ip="198.51.100.1")])
    refuse.record([*many, refused(client_ip="2001:db8::1"), refused(client_ip="2001:db8::2"), refused(client_ip=None)])
    refuse.record([refused(at=NOON + timedelta(hours=1))])
    assert Refusal.objects.filter(network="192.0.2.0/24", at=NOON).count() == ROWS_PER_HOUR
    assert Refusal.objects.count() == ROWS_PER_HOUR + 5
    assert sorted(RefusalCount.objects.values_list("network", "hour", "refused")) == [
        ("", HOUR, 1),
        ("192.0.2.0/24", HOUR, 30),
        ("192.0.2.0/24", HOUR + timedelta(hours=1), 1),
        ("198.51.100.0/24", HOUR, 1),
        ("2001:db8::/64", HOUR, 2),
    ]


@pytest.mark.parametrize("client_ip", [None, "127.0.0.1", "::1"])
def test_who_comes_from_this_host_has_many_more_but_not_all(client_ip: str | None) -> None:
    refuse.record([refused(client_ip=client_ip) for _ in range(ROWS_PER_HOUR_OF_THIS_HOST)])
    refuse.record([refused(client_ip=client_ip), refused(client_ip="192.0.2.1")])
    assert Refusal.objects.count() == ROWS_PER_HOUR_OF_THIS_HOST + 1
    assert Refusal.objects.filter(client_ip="192.0.2.1").count() == 1


@pytest.mark.parametrize("is_file", [False, True])
def test_a_mail_server_in_front_of_us_does_not_use_up_the_record(is_file: bool, tmp_path: Path) -> None:
    make_mailbox()
    path = tmp_path / "lmtp" if is_file else None
    limits = Limits(max_unknown_recipients=100)
    with listening(path=path, is_lmtp=True, limits=limits) as server, Client(path or server.port) as client:
        client.command("LHLO mx.example.net")
        client.command("MAIL FROM:<ada@example.net>")
        for number in range(ROWS_PER_HOUR + 10):
            assert client.command(f"RCPT TO:<no{number}@example.com>").startswith("550")
    assert Refusal.objects.count() == ROWS_PER_HOUR + 10


def test_many_take_as_few_statements_as_one(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    refuse.record([])
    for many in ([refused()], [refused(client_ip=f"203.0.113.{n}") for n in range(50)]):
        with django_assert_num_queries(5):  # BEGIN, counters, what they say, rows, COMMIT
            refuse.record(many)


def test_a_rule_that_is_deleted_by_now_leaves_the_row() -> None:
    refuse.record([refused(rule_id=uuid4())])
    assert Refusal.objects.get().rule_id is None


def test_counted_only_means_no_row() -> None:
    refuse.record([refused(is_only_counted=True)])
    assert (Refusal.objects.count(), RefusalCount.objects.get().refused) == (0, 1)


# --- on the way


def test_nobody_waits_for_a_record_and_too_many_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    go_on, recorded = threading.Event(), list[Refused]()

    def slow(batch: Sequence[Refused]) -> None:
        assert go_on.wait(60)
        recorded.extend(batch)

    writer = RefusalWriter(slow, waiting=5)
    began_at = time.monotonic()
    for _ in range(200):
        writer.add(refused())
    assert time.monotonic() - began_at < 5
    assert writer.stop(within_s=0.1) is False
    go_on.set()
    assert writer.stop(within_s=20)
    assert 5 <= len(recorded) < 20
    assert any("smtp.refusals_dropped" in record.getMessage() for record in caplog.records)


def test_a_database_that_is_away_costs_records_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    errors, recorded = [OperationalError("secret")], list[Refused]()

    def record(batch: Sequence[Refused]) -> None:
        if errors:
            raise errors.pop()
        recorded.extend(batch)

    writer = RefusalWriter(record)
    writer.add(refused())
    wait_until(lambda: not errors)
    writer.add(refused())
    assert writer.stop(within_s=20)
    assert len(recorded) == 1
    lost = [record.getMessage() for record in caplog.records if "smtp.refusals_lost" in record.getMessage()]
    assert len(lost) == 1
    assert "secret" not in lost[0]


def test_a_batch_is_written_while_the_listener_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "GATHER_S", 0.01)
    make_mailbox()
    with listening() as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        client.command("MAIL FROM:<ada@example.net>")
        client.command("RCPT TO:<no@example.com>")
        client.command("RCPT TO:<\udcff\x00@example.com>")
        wait_until(lambda: Refusal.objects.count() == 2)
    first, second = Refusal.objects.order_by("at", "id")
    assert (first.recipient, first.reply) == ("no@example.com", "550 5.1.1 No such recipient here")
    assert (second.recipient, second.code) == ("\\xff\\x00@example.com", "invalid_address")
    assert [line[1:] for line in first.transcript] == [
        ["S", client.greeting],
        ["C", "EHLO client.example.net"],
        *[["S", line] for line in extensions(server.port, first.transcript)],
        ["C", "MAIL FROM:<ada@example.net>"],
        ["S", "250 2.1.0 Sender OK"],
        ["C", "RCPT TO:<no@example.com>"],
    ]
    times = [line[0] for line in first.transcript]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 60_000


def extensions(_port: int, transcript: list[list[object]]) -> list[object]:
    lines = [line[2] for line in transcript[2:-3]]
    assert re.fullmatch(r"250-\S+", str(lines[0]))
    assert lines[-1] == "250 LIMITS RCPTMAX=100 MAILMAX=1000"
    assert len(lines) == 7
    return lines


# --- transcripts


def test_a_message_has_the_opening_and_its_own_transaction() -> None:
    make_mailbox()
    with listening() as server, Client(server.port) as client:
        client.deliver(RAW, TO)
        client.command("NOOP")
        client.command("MAIL FROM:<bob@example.net>")
        client.command(f"RCPT TO:<{TO}>")
        client.command("DATA")
        client.send(on_the_wire(b"Subject: secret\r\n\r\nNOOP\r\n"))
        assert client.reply().startswith("250")
    message = Message.objects.get(mail_from="bob@example.net")
    said = [text for _, who, text in message.transcript.lines if who == "C"]
    assert said == ["EHLO client.example.net", "MAIL FROM:<bob@example.net>", f"RCPT TO:<{TO}>", "DATA"]
    assert message.transcript.lines[-1][1:] == ["S", "354 End data with <CR><LF>.<CR><LF>"]


@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN AHVzZXIAc2VjcmV0"],
        [b"auth LOGIN", b"dXNlcg==", b"c2VjcmV0"],
        [b" AUTH PLAIN AHVzZXIAc2VjcmV0"],
        [b"AUTH\tPLAIN c2VjcmV0"],
    ],
)
def test_no_secret_of_auth_is_in_a_transcript_or_a_log(lines: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    make_mailbox()
    with listening() as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        for line in lines:
            client.send(line + b"\r\n")
            assert client.reply()[:9] in ("502 5.5.1", "500 5.5.2")
        client.command("MAIL FROM:<ada@example.net>")
        client.command("RCPT TO:<no@example.com>")
        assert client.command(f"RCPT TO:<{TO}>").startswith("250")
        client.command("DATA")
        client.send(on_the_wire(RAW))
        assert client.reply().startswith("250")
    kept = str([*Message.objects.get().transcript.lines, *Refusal.objects.get().transcript])
    assert "AUTH (not kept)" in kept
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("django")]
    for text in (kept, *logged):
        assert not re.search(r"AHVz|c2Vj|dXNl", text), text


def test_a_transcript_is_bounded_in_lines_and_in_their_length() -> None:
    transcript = Transcript()
    for _ in range(1000):
        transcript.client(b"NOOP " + b"x" * 2000)
    transcript.begin_transaction()
    for _ in range(1000):
        transcript.server("250 2.0.0 OK")
    lines = transcript.lines()
    assert len(lines) == OPENING_LINES + 1 + TRANSACTION_LINES + 1
    assert max(len(text) for _, _, text in lines) == 500
    assert lines[OPENING_LINES][2] == lines[-1][2] == "(and so on)"


def test_controls_are_escaped() -> None:
    assert printable("a\x00b\r\x1b[2J\udcffé\u202e") == "a\\x00b\\x0d\\x1b[2J\\xffé\\xe2\\x80\\xae"
    transcript = Transcript()
    transcript.client(b"NOOP \x07\xff")
    assert transcript.lines()[0][1:] == ("C", "NOOP \\x07\\xff")
