"""How much a mailbox holds and may hold: what counts, who is refused, and what that costs."""

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Sum
from django.test import Client as HttpClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from emailgistics.common import tallies
from emailgistics.common.access import Scope
from emailgistics.common.errors import DomainError, RefusedError
from emailgistics.common.ids import uuid7
from emailgistics.common.models import Tally
from mailboxes.models import Email, Mailbox, Message, Refusal, tally_of
from mailboxes.services import process, provision, quota, receive, rule_book
from mailboxes.services.admit import Admission, Request, admit, admit_all
from mailboxes.services.envelope import Envelope
from mailboxes.services.explain import explain
from mailboxes.services.provision import MAX_QUOTA_BYTES, MIN_QUOTA_BYTES
from mailboxes.services.quota import MailboxFullError
from mailboxes.services.receive import Incoming, receive_group
from tests.apikeys.factories import make_client
from tests.factories import RAW, make_alias, make_domain, make_mailbox, make_message
from tests.mailboxes.api_client import problem, refused, send, shape
from tests.mailboxes.smtp_client import Client, listening
from webhooks.services.erase import erase_email

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1 << 20
TO, SALES = "support@example.com", "sales@example.com"
ENVELOPE = Envelope(mail_from="ada@example.net", client_ip="192.0.2.1")
FULL = "452 4.2.2 The mailbox is full"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


def raw_of(size: int, *, number: int = 1) -> bytes:
    """A mail of so many octets."""
    head = b"From: ada@example.net\r\nMessage-ID: <%d@example.net>\r\n\r\n" % number
    lines, rest = divmod(size - len(head), 1000)
    raw = head + (b"x" * 998 + b"\r\n") * lines + b"x" * (rest - 2) + b"\r\n"
    assert len(raw) == size
    return raw


def incoming(*to: str, raw: bytes = RAW) -> Incoming:
    return Incoming(envelope=ENVELOPE, admissions=[admit(address, envelope=ENVELOPE) for address in to], raw=raw)


def used(mailbox: Mailbox) -> int:
    """As it is counted, which has to be what the rows say."""
    counted = tallies.total(tally_of(mailbox.pk))
    assert counted == (Email.objects.filter(mailbox=mailbox).aggregate(Sum("size"))["size__sum"] or 0)
    assert Mailbox.objects.with_used_bytes().get(pk=mailbox.pk).used_bytes == counted
    return counted


def answer_to(address: str, *, size: int | None = None) -> str | None:
    """The code of what it is refused with."""
    (answer,) = admit_all([Request(address, ENVELOPE, size)])
    return answer.code if isinstance(answer, DomainError) else None


def limit(mailbox: Mailbox, octets: int) -> None:
    """Whatever the number; who may give which is another story."""
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=octets)


# --- over the wire


@pytest.mark.parametrize("makes_room", ["another quota", "an email erased", "no quota"])
def test_a_full_mailbox_is_refused_for_now_and_takes_mail_again_once_there_is_room(
    mailbox: Mailbox, makes_room: str
) -> None:
    provision.update_mailbox(mailbox, quota_bytes=MIB)
    with listening() as server, Client(server.port) as client:
        assert client.deliver(raw_of(MIB - 10), TO).startswith("250 2.0.0 accepted")
        client.command("MAIL FROM:<ada@example.net> SIZE=10")
        assert client.command(f"RCPT TO:<{TO}>") == "250 2.1.5 Recipient OK"
        client.command("RSET")
        client.command("MAIL FROM:<ada@example.net> SIZE=11")
        assert client.command(f"RCPT TO:<{TO}>") == FULL
        assert client.command("RCPT TO:<inbox@example.com>") == "250 2.1.5 Recipient OK", "another one may have room"
        client.command("RSET")
        assert client.deliver(raw_of(2000, number=2), TO).startswith("250"), "nobody said how large it would be"
        client.command("MAIL FROM:<ada@example.net>")
        assert client.command(f"RCPT TO:<{TO}>") == FULL, "not even of unknown size"
        client.command("RSET")
        if makes_room == "an email erased":
            erase_email(Email.objects.order_by("pk")[0].pk, by="a test")
        else:
            provision.update_mailbox(mailbox, quota_bytes=2 * MIB if makes_room == "another quota" else None)
        assert client.deliver(raw_of(2000, number=3), TO).startswith("250")
    refusal = Refusal.objects.order_by("id")[0]
    assert (refusal.code, refusal.reply, refusal.recipient, refusal.outcome) == ("mailbox_full", FULL, TO, "refused")


# --- what counts


def test_each_email_counts_in_its_mailbox_until_it_is_erased(mailbox: Mailbox) -> None:
    make_alias(mailbox=mailbox)
    sales = make_mailbox(address=SALES)
    first = make_message(raw=raw_of(500), to=(TO, SALES, "help@example.com"))
    make_message(raw=raw_of(300), to=(TO,))
    assert (used(mailbox), used(sales)) == (800, 500)
    erase_email(first.emails.get(mailbox=mailbox).pk, by="a test")
    assert (used(mailbox), used(sales)) == (300, 500)
    erase_email(first.emails.get(mailbox=sales).pk, by="a test")
    erase_email(Email.objects.get().pk, by="a test")
    assert (used(mailbox), used(sales)) == (0, 0)


def test_a_resend_is_not_counted_again_nor_is_what_is_sent_twice_at_once(mailbox: Mailbox) -> None:
    sales = make_mailbox(address=SALES)
    receive_group([incoming(TO)])
    receive_group([incoming(TO), incoming(TO, SALES), incoming(TO, SALES)])
    assert Email.objects.count() == 2
    assert (used(mailbox), used(sales)) == (len(RAW), len(RAW))


def test_a_group_counts_all_of_its_mails(mailbox: Mailbox) -> None:
    sales = make_mailbox(address=SALES)
    receive_group([
        incoming(TO, raw=raw_of(100, number=1)), incoming(TO, SALES, raw=raw_of(200, number=2)),
        incoming(SALES, raw=raw_of(400, number=3)),
    ])  # fmt: skip
    assert (used(mailbox), used(sales)) == (300, 600)
    assert Tally.objects.filter(name=tally_of(mailbox.pk)).count() == 1, "one row for a transaction"


def test_what_a_rule_throws_away_is_not_counted_and_what_it_keeps_back_is(mailbox: Mailbox) -> None:
    rule = rule_book.create_rule(action="discard", criterion="sender", value="ada@example.net")
    receive_group([incoming(TO)])
    assert used(mailbox) == 0
    rule_book.update_rule(rule, action="quarantine")
    receive_group([incoming(TO)])
    assert used(mailbox) == len(RAW)


@pytest.mark.parametrize("is_kept_elsewhere", [False, True])
def test_what_is_discarded_for_an_attachment_is_counted_no_longer(mailbox: Mailbox, is_kept_elsewhere: bool) -> None:
    sales = make_mailbox(address=SALES)
    rule_book.create_rule(action="discard", criterion="attachment", value=".exe", mailbox=mailbox)
    raw = RAW.replace(b"\r\n\r\n", b"\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\n", 1)
    make_message(raw=raw, to=(TO, SALES) if is_kept_elsewhere else (TO,))
    assert used(mailbox) == len(raw)
    process.drain(linger=timedelta(0))
    assert (used(mailbox), used(sales)) == (0, len(raw) * is_kept_elsewhere)


def test_two_who_store_and_one_who_erases_at_once_are_all_counted(mailbox: Mailbox) -> None:
    gone = make_message(raw=raw_of(5000, number=9)).emails.get()
    rounds, at_once = 10, Barrier(3)

    def store(first: int) -> None:
        try:
            at_once.wait()
            for number in range(first, first + rounds):
                receive_group([incoming(TO, raw=raw_of(1000, number=number))])
        finally:
            connection.close()

    def erase() -> None:
        try:
            at_once.wait()
            erase_email(gone.pk, by="a test")
            for _ in range(5):
                tallies.fold()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        for done in (pool.submit(store, 100), pool.submit(store, 200), pool.submit(erase)):
            done.result(timeout=60)
    assert used(mailbox) == 2 * rounds * 1000


def test_folding_leaves_one_row_of_however_many(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "FOLD_AT_MOST", 3)
    for number in range(8):
        make_message(raw=raw_of(100 + number))
    tallies.fold()
    assert Tally.objects.filter(name=tally_of(mailbox.pk)).count() == 1
    assert used(mailbox) == 828
    with CaptureQueriesContext(connection) as queries:
        tallies.fold()
    assert len(queries) == 1, "there is nothing left to fold"


# --- mail that was there before anybody counted


def test_a_quota_counts_what_nobody_counted(mailbox: Mailbox) -> None:
    sales = make_mailbox(address=SALES)
    make_message(raw=raw_of(700), to=(TO, SALES))
    Tally.objects.all().delete()
    make_message(raw=raw_of(300), to=(TO, SALES))
    provision.update_mailbox(mailbox, quota_bytes=MIB)
    assert (used(mailbox), mailbox.used_bytes) == (1000, 1000)
    provision.update_mailbox(mailbox, quota_bytes=2 * MIB)
    assert used(mailbox) == 1000
    assert tallies.total(tally_of(sales.pk)) == 300, "only where it is given"


@pytest.mark.on_postgres  # SQLite has one writer at a time
def test_mail_that_comes_while_a_quota_is_given_is_counted_once(mailbox: Mailbox) -> None:
    from django.db import transaction

    make_message(raw=raw_of(700))
    Tally.objects.all().delete()

    def store() -> None:
        try:
            receive_group([incoming(TO, raw=raw_of(200, number=2))])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        provision.update_mailbox(mailbox, quota_bytes=MIB)
        pool.submit(store).result(timeout=20)  # it does not wait
    assert used(mailbox) == 900


def test_the_migration_counts_the_mail_that_is_there() -> None:
    support, sales, empty = make_mailbox(), make_mailbox(address=SALES), make_mailbox(address="new@example.com")
    make_message(raw=raw_of(700), to=(TO, SALES))
    make_message(raw=raw_of(300), to=(SALES,))
    try:
        call_command("migrate", "mailboxes", "0009", verbosity=0)
        assert not Tally.objects.filter(name__startswith="mailbox_").exists()
        assert tallies.total("mail_stored") == 2, "others stay"
        counted_already(support, size=100)
    finally:
        call_command("migrate", verbosity=0)
    assert (used(support), used(sales), used(empty)) == (800, 1000, 0)


def counted_already(mailbox: Mailbox, *, size: int) -> None:
    """A mail that came by the new release before its migration ran, in the tables as they were."""
    was = MigrationExecutor(connection).loader.project_state([("mailboxes", "0009_mailbox_quota")]).apps
    message = was.get_model("mailboxes", "Message").objects.create(id=uuid7(), received_at=timezone.now(), size=size)
    was.get_model("mailboxes", "Email").objects.create(
        id=uuid7(), message_id=message.pk, mailbox_id=mailbox.pk, received_at=timezone.now(), size=size
    )
    tallies.count(**{tally_of(mailbox.pk): size})


# --- who is refused


def test_a_mail_fits_to_the_last_octet(mailbox: Mailbox) -> None:
    limit(mailbox, 1000)
    make_message(raw=raw_of(400))
    assert [answer_to(TO, size=size) for size in (None, 0, 1, 600, 601)] == [None] * 4 + ["mailbox_full"]
    make_message(raw=raw_of(600))
    assert [answer_to(TO, size=size) for size in (None, 0, 1)] == ["mailbox_full"] * 3


@pytest.mark.parametrize(
    "address", ["help@example.com", "support+7@example.com", "order-1@example.com", "x@example.com"]
)
def test_whatever_way_mail_takes_to_a_full_mailbox_it_is_refused(mailbox: Mailbox, address: str) -> None:
    for name in ("help", "order-*", "*"):
        make_alias(address=f"{name}@example.com", mailbox=mailbox)
    assert answer_to(address) is None
    limit(mailbox, 0)
    assert answer_to(address) == "mailbox_full"


def test_postmaster_of_a_full_default_mailbox_has_to_wait_as_well() -> None:
    domain = make_domain()
    assert domain.default_mailbox is not None
    limit(domain.default_mailbox, 0)
    assert answer_to("postmaster@example.com") == answer_to("postmaster") == "mailbox_full"


def test_one_full_mailbox_of_several_is_enough(mailbox: Mailbox) -> None:
    sales = make_mailbox(address=SALES)
    provision.create_alias(address="all@example.com", mailbox=mailbox, further_mailboxes=[sales])
    limit(sales, 100)
    assert [answer_to("all@example.com", size=size) for size in (100, 101)] == [None, "mailbox_full"]
    sales.is_active = False
    sales.save(update_fields=["is_active"])
    assert answer_to("all@example.com", size=101) is None, "a disabled one gets nothing anyway"


def test_where_mail_is_not_kept_no_room_is_needed_and_a_rule_that_blocks_is_the_last_word(mailbox: Mailbox) -> None:
    limit(mailbox, 0)
    rule = rule_book.create_rule(action="discard", criterion="sender", value="ada@example.net")
    assert answer_to(TO) is None
    rule_book.update_rule(rule, action="block")
    assert answer_to(TO) == "blocked_by_rule"
    rule_book.update_rule(rule, action="quarantine")
    assert answer_to(TO) == "mailbox_full"


def test_an_error_of_one_is_nothing_to_the_others(mailbox: Mailbox) -> None:
    make_mailbox(address=SALES)
    limit(mailbox, 100)
    answers = admit_all([Request(to, ENVELOPE, 101) for to in (SALES, TO, "no@example.com", "inbox@example.com")])
    assert [type(answer).__name__ for answer in answers] == [
        "Admission", "MailboxFullError", "UnknownRecipientError", "Admission",
    ]  # fmt: skip


# --- what it costs


def test_no_query_more_where_no_mailbox_has_a_quota_and_one_for_all_where_some_have(
    mailbox: Mailbox, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    others = [make_mailbox(address=f"box{number}@example.com") for number in range(30)]
    requests = [Request(one.address, ENVELOPE, 100) for one in (mailbox, *others)]
    with django_assert_num_queries(3):  # domains, addresses, rules
        admit_all(requests)
    Mailbox.objects.update(quota_bytes=100)
    with django_assert_num_queries(4):
        assert all(isinstance(answer, Admission) for answer in admit_all(requests))


def test_counting_takes_no_statement_more(mailbox: Mailbox) -> None:
    def statements() -> list[str]:
        mails = [incoming(TO, raw=raw_of(100, number=number)) for number in range(3)]
        with CaptureQueriesContext(connection) as queries:
            receive_group(mails)
        return [query["sql"] for query in queries if "common_tally" in query["sql"]]

    assert len(statements()) == 1


# --- the ways in besides SMTP, and the dry run


def test_the_pipe_says_try_again(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(mailbox, len(RAW) - 1)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(RAW)))
    err = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("receive_mail", TO, stderr=err)
    assert (end.value.code, err.getvalue()) == (75, f"4.2.2 The mailbox is full: “{TO}”\n")
    assert not Message.objects.exists()


def test_over_http_it_is_a_limit_that_was_reached(mailbox: Mailbox) -> None:
    def submitted(client: HttpClient) -> Any:
        return client.post(f"/v1/emails?recipient={TO}", RAW, content_type="message/rfc822")

    limit(mailbox, len(RAW) - 1)
    one, other = (
        make_client(scopes=[Scope.EMAILS_SUBMIT], mailboxes=[box]) for box in (mailbox, make_mailbox(address=SALES))
    )
    answer = submitted(one)
    assert (answer.status_code, answer.json()) == (429, problem(429, "mailbox_full", "The mailbox is full."))
    assert submitted(other).status_code == 404, "of a mailbox that it may not open, a key hears nothing"
    assert not Message.objects.exists()
    limit(mailbox, len(RAW))
    assert submitted(one).status_code == 201


def test_the_dry_run_says_which_mailbox_is_full(mailbox: Mailbox) -> None:
    limit(mailbox, 1000)
    make_message(raw=raw_of(900))
    outlook = explain(TO, mail_from="ada@example.net", size=101)
    assert (outlook.is_accepted, outlook.reply, outlook.code) == (False, FULL, "mailbox_full")
    assert outlook.explanation == (
        "example.com is hosted",
        f"{TO} is a mailbox",
        f"{TO} is full: it holds 900 octets, and its quota is 1000",
    )
    assert explain(TO, mail_from="ada@example.net", size=100).is_accepted


# --- setting it


def test_over_http_a_quota_is_given_changed_and_taken_away(mailbox: Mailbox) -> None:
    client = make_client(scopes=[Scope.MAILBOXES_WRITE], mailboxes=[mailbox])
    make_message(raw=raw_of(1234))
    url = f"/v1/mailboxes/{mailbox.public_id}"
    before = client.get(url).json()
    assert (before["quota_bytes"], before["used_bytes"]) == (None, 1234)
    for octets in (MIB, MAX_QUOTA_BYTES, None):
        answer = send(client, "patch", url, {"quota_bytes": octets})
        assert (answer.status_code, answer.json()) == (200, before | {"quota_bytes": octets})
        assert client.get(url).json() == client.get("/v1/mailboxes").json()["data"][0] == answer.json()
    send(client, "patch", url, {"quota_bytes": MIB})
    assert send(client, "patch", url, {"name": "Support"}).json()["quota_bytes"] == MIB, "what is not named stays"
    whole = client.get(url).json()
    make_message(raw=raw_of(100))
    answer = send(client, "patch", url, whole)
    assert (answer.status_code, answer.json()) == (200, whole | {"used_bytes": 1334}), "what was read may be sent back"


def test_a_mailbox_is_made_with_a_quota() -> None:
    make_domain()
    client = make_client(scopes=[Scope.MAILBOXES_WRITE])
    answer = send(client, "post", "/v1/mailboxes", {"address": TO, "quota_bytes": 5 * MIB})
    made = Mailbox.objects.get(local_part="support")
    assert (answer.status_code, answer.json(), made.quota_bytes) == (201, shape(made), 5 * MIB)


@pytest.mark.parametrize(
    ("value", "code", "detail"),
    [
        (MIB - 1, "min_value", "Ensure this value is greater than or equal to 1048576."),
        (MAX_QUOTA_BYTES + 1, "max_value", "Ensure this value is less than or equal to 1125899906842624."),
        (-1, "min_value", "Ensure this value is greater than or equal to 1048576."),
        ("2G", "invalid", "This is a whole number, without quotes."),
        (1e7, "invalid", "This is a whole number, without quotes."),
        (True, "invalid", "This is a whole number, without quotes."),
    ],
)
def test_what_is_no_quota_is_refused(mailbox: Mailbox, value: object, code: str, detail: str) -> None:
    client = make_client(scopes=[Scope.MAILBOXES_WRITE])
    answer = send(client, "patch", f"/v1/mailboxes/{mailbox.public_id}", {"quota_bytes": value})
    assert answer.json() == refused("/quota_bytes", code, detail)
    mailbox.refresh_from_db()
    assert mailbox.quota_bytes is None


def test_who_may_only_read_sees_it_and_does_not_change_it(mailbox: Mailbox) -> None:
    provision.update_mailbox(mailbox, quota_bytes=MIB)
    url = f"/v1/mailboxes/{mailbox.public_id}"
    reader = make_client(scopes=[Scope.MAILBOXES_READ], mailboxes=[mailbox])
    assert reader.get(url).json()["quota_bytes"] == MIB
    assert send(reader, "patch", url, {"quota_bytes": None}).status_code == 403
    stranger = make_client(scopes=[Scope.MAILBOXES_WRITE], mailboxes=[make_mailbox(address=SALES)])
    assert send(stranger, "patch", url, {"quota_bytes": None}).status_code == 404
    mailbox.refresh_from_db()
    assert mailbox.quota_bytes == MIB


def test_a_list_takes_no_query_for_each_mailbox() -> None:
    client = make_client(scopes=[Scope.MAILBOXES_READ])
    counts = []
    for number in range(3):
        make_message(raw=raw_of(100 + number), to=(make_mailbox(address=f"box{number}@example.com").address,))
        with CaptureQueriesContext(connection) as queries:
            listed = client.get("/v1/mailboxes").json()["data"]
        counts.append(len(queries))
    assert len(set(counts)) == 1
    assert [row["used_bytes"] for row in listed] == [102, 101, 100, 0]


@pytest.mark.parametrize("octets", [MIN_QUOTA_BYTES - 1, MAX_QUOTA_BYTES + 1, 0, -1])
def test_the_service_refuses_it_too(mailbox: Mailbox, octets: int) -> None:
    for give in (
        lambda: provision.update_mailbox(mailbox, quota_bytes=octets),
        lambda: provision.create_mailbox(address="new@example.com", quota_bytes=octets),
    ):
        with pytest.raises(RefusedError) as error:
            give()
        assert error.value.field == "quota_bytes"


def test_by_command(mailbox: Mailbox) -> None:
    def run(*arguments: str) -> Any:
        out = io.StringIO()
        call_command("mailboxes", *arguments, "--json", stdout=out)
        return json.loads(out.getvalue())

    make_message(raw=raw_of(1234))
    assert run("create", SALES, "--quota-bytes", str(MIB))["quota_bytes"] == MIB
    changed = run("update", TO, "--quota-bytes", str(2 * MIB))
    assert (changed["quota_bytes"], changed["used_bytes"]) == (2 * MIB, 1234)
    assert run("update", TO, "--name", "Support")["quota_bytes"] == 2 * MIB
    assert {row["address"]: row["used_bytes"] for row in run("list")["data"]} == {
        "inbox@example.com": 0, TO: 1234, SALES: 0,
    }  # fmt: skip
    assert run("update", TO, "--quota-bytes", "none")["quota_bytes"] is None
    for text, octets in (("2G", 2 << 30), ("5m", 5 << 20), ("1024K", MIB)):
        assert run("update", TO, "--quota-bytes", text)["quota_bytes"] == octets
    assert run("update", TO, "--quota-bytes", "none")["quota_bytes"] is None
    for text, said in (
        ("2X", "or none"), ("G", "or none"), ("2.5G", "or none"), ("-1", "or none"), ("9" * 30, "or none"),
        ("5", "from 1048576 to"), ("5K", "from 1048576 to"),
    ):  # fmt: skip
        with pytest.raises(CommandError, match=said):
            run("update", TO, f"--quota-bytes={text}")


def test_what_is_kept_although_it_is_more_than_the_quota(mailbox: Mailbox) -> None:
    make_message(raw=raw_of(MIB + 500))
    provision.update_mailbox(mailbox, quota_bytes=MIB)
    assert Email.objects.count() == 1
    with pytest.raises(MailboxFullError):
        admit(TO, envelope=ENVELOPE)
    assert quota.used_by([mailbox.pk]) == {mailbox.pk: MIB + 500}
