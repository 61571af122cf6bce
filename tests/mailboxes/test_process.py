"""Claims, losses and what is stored. The parser itself: test_mime.py."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import InternalError, OperationalError
from django.db.models.functions import Now

from emailgistics.common import leases
from emailgistics.common.models import Lease
from mailboxes import raw
from mailboxes.models import Attachment, Email, EmailContent, Message, RawMessage, Refusal, SearchEntry
from mailboxes.services import opened, process, rule_book
from mailboxes.signals import News, emails_processed
from tests.factories import RAW, make_alias, make_mailbox, make_message, make_webhook
from webhooks.models import Delivery

RAW_WITH_FILE = (
    b"Subject: Two\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n"
    b"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename=a.pdf\r\n\r\nJVBERi0xLjQ=\r\n--b--\r\n"
)
pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = timedelta(0)


@contextmanager
def hearing(receiver: Any) -> Iterator[None]:
    def hear(news: list[News], **_: Any) -> None:
        for one in news:
            receiver(email=one.email, recipients=one.recipients, changed=one.changed)

    emails_processed.connect(hear, weak=False, dispatch_uid="test")
    try:
        yield
    finally:
        emails_processed.disconnect(dispatch_uid="test")


def dead_lease() -> Lease:
    """Of a worker that was killed a while ago."""
    lease = Lease(kind="mail", host="gone", pid=1)
    lease.seen_at = Now() - leases.LEASE_FOR - timedelta(seconds=1)  # type: ignore[assignment]
    lease.save()
    return lease


def test_what_the_mail_says_is_stored_with_each_mailbox() -> None:
    make_mailbox()
    make_mailbox(address="sales@example.com")
    message = make_message(to=("support@example.com", "sales@example.com"))

    assert process.drain(linger=AT_ONCE) == 1

    message.refresh_from_db()
    assert (message.state, message.parse_status, message.lease_id) == ("processed", "ok", None)
    emails = list(Email.objects.order_by("mailbox__local_part"))
    assert [email.mailbox.address for email in emails] == ["sales@example.com", "support@example.com"]
    for email in emails:
        assert (email.status, email.subject) == ("processed", "Broken engine")
        assert (email.from_name, email.from_address) == ("Ada Lovelace", "ada@example.net")
        assert email.date is not None
        assert email.date.isoformat() == "2026-06-01T08:00:00+00:00"
        assert email.content.text.strip() == "It does not turn."
        assert email.content.headers[0] == ["From", "Ada Lovelace <ada@example.net>"]


def test_each_email_is_told_about_once_inside_the_transaction() -> None:
    make_alias()
    make_mailbox(address="sales@example.com")
    make_message(to=("help@example.com", "support@example.com", "sales@example.com"))
    heard: list[tuple[str, list[str]]] = []

    def listen(email: Email, recipients: list[Any], **_: Any) -> None:
        heard.append((email.mailbox.address, sorted(recipient.address for recipient in recipients)))

    with hearing(listen):
        process.drain(linger=AT_ONCE)
        process.drain(linger=AT_ONCE)
    assert sorted(heard) == [
        ("sales@example.com", ["sales@example.com"]),
        ("support@example.com", ["help@example.com", "support@example.com"]),
    ]


def test_a_listener_that_fails_undoes_the_processing_and_the_next_mail_goes_on() -> None:
    make_mailbox()
    broken, fine = make_message(), make_message(raw=RAW.replace(b"Broken", b"Mended"))

    def refuse(email: Email, **_: Any) -> None:
        if email.subject == "Broken engine":
            raise ValueError("a fault of ours")

    with hearing(refuse):
        assert process.drain(linger=AT_ONCE) == 1
    broken.refresh_from_db()
    fine.refresh_from_db()
    assert (fine.state, broken.state, broken.losses) == ("processed", "waiting", 1)
    assert not EmailContent.objects.filter(email__message=broken).exists()


def test_a_mail_that_can_never_be_processed_is_parked_where_it_can_be_seen() -> None:
    make_mailbox()
    message = make_message()

    def refuse(email: Email, **_: Any) -> None:
        if email.message.parse_status != "failed":
            raise ValueError("a fault of ours")

    with hearing(refuse):
        for _ in range(5):
            process.drain(linger=AT_ONCE)
    message.refresh_from_db()
    assert (message.state, message.parse_status, message.parse_defects) == ("parked", "failed", ["processing_lost"])
    assert message.emails.get().status == "parked"
    assert RawMessage.objects.filter(message=message).exists()


def test_a_raw_that_is_not_what_was_accepted_is_parked_and_not_shown_as_a_mail() -> None:
    make_mailbox()
    message = make_message()
    Message.objects.update(sha256="0" * 64)
    assert process.drain(linger=AT_ONCE) == 1
    message.refresh_from_db()
    assert (message.state, message.parse_defects) == ("parked", ["raw_unreadable"])


def test_what_is_stored_together_costs_no_more_statements_than_one_mail(
    django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_webhook(url="https://hooks.example.net/", mailbox=make_mailbox())

    monkeypatch.setattr(process, "TOGETHER", timedelta(minutes=1))

    def statements(count: int) -> int:
        messages = [make_message() for _ in range(count)]
        with leases.held("mail") as lease:
            claimed = process.claim(lease.id)
            assert claimed == [message.pk for message in messages]
            with django_assert_max_num_queries(100) as asked:
                assert process.process_messages(claimed, lease.id) == count
        return len(asked)

    statements(1)
    assert statements(process.BATCH) == statements(1)
    assert Email.objects.filter(status="processed").count() == Delivery.objects.count() == process.BATCH + 2


def test_of_many_that_are_stored_together_each_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    make_mailbox(address="sales@example.com")
    both = ("support@example.com", "sales@example.com")
    messages = {
        number: make_message(
            to=both if number % 2 else ("support@example.com",), raw=RAW_WITH_FILE.replace(b"Two", b"No. %d" % number)
        )
        for number in range(6)
    }
    monkeypatch.setattr(opened, "PORTION", 4)
    monkeypatch.setattr(process, "TOGETHER", timedelta(minutes=1))
    heard: list[tuple[str, str, int]] = []
    with hearing(lambda email, recipients, **_: heard.append((email.subject, email.mailbox.address, len(recipients)))):
        assert process.drain(linger=AT_ONCE) == 6
    assert sorted(heard) == sorted(
        (f"No. {number}", address, 1) for number in messages for address in (both if number % 2 else both[:1])
    )
    for number, message in messages.items():
        for email in message.emails.select_related("content", "search_entry"):
            assert (email.subject, email.status) == (f"No. {number}", "processed")
            assert email.content.text.strip() == "See below."
            assert [one.filename for one in email.attachments.all()] == ["a.pdf"]
            assert str(number) in email.search_entry.log_words


def test_one_that_cannot_be_stored_takes_none_of_the_others_along() -> None:
    make_mailbox()
    broken, *fine = [make_message(raw=RAW.replace(b"Broken", b"No. %d" % number)) for number in range(5)]

    def refuse(email: Email, **_: Any) -> None:
        if email.message_id == broken.pk:
            raise ValueError("a fault of ours")

    with hearing(refuse):
        assert process.drain(linger=AT_ONCE) == len(fine)
    states = dict(Message.objects.values_list("pk", "state"))
    assert states == {broken.pk: "waiting"} | {message.pk: "processed" for message in fine}
    assert EmailContent.objects.count() == SearchEntry.objects.count() == len(fine)


def test_nor_does_one_that_a_rule_discards_stand_in_the_way_of_trying_again() -> None:
    """What was discarded together with the broken one is there again, and is discarded by itself then."""
    mailbox = make_mailbox()
    rule_book.create_rule(mailbox=mailbox, action="discard", criterion="attachment", value=".pdf")
    discarded = make_message(raw=RAW_WITH_FILE)
    broken, fine = make_message(), make_message(raw=RAW.replace(b"Broken", b"Mended"))

    def refuse(email: Email, **_: Any) -> None:
        if email.message_id == broken.pk:
            raise ValueError("a fault of ours")

    with hearing(refuse):
        assert process.drain(linger=AT_ONCE) == 2
    states = dict(Message.objects.values_list("pk", "state"))
    assert states == {broken.pk: "waiting", fine.pk: "processed"}
    assert Refusal.objects.get().sha256 == discarded.sha256


def test_a_raw_that_the_database_cannot_read_takes_no_other_along_and_is_parked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_mailbox()
    damaged, fine = make_message(), make_message()
    read = raw.read_raw

    def read_none(*_: Any) -> None:
        raise InternalError("missing chunk number 0 for toast value")

    def read_others(message: Message) -> bytes:
        return read_none() if message.pk == damaged.pk else read(message)  # type: ignore[func-returns-value]

    monkeypatch.setattr(RawMessage.objects, "in_bulk", read_none)
    monkeypatch.setattr(raw, "read_raw", read_others)
    for _ in range(process.PARK_FROM_LOSSES + 1):
        process.drain(linger=AT_ONCE)
        fine.refresh_from_db()
        assert fine.state == "processed"
    damaged.refresh_from_db()
    assert (damaged.state, damaged.parse_defects) == ("parked", ["processing_lost"])


def test_mail_to_many_mailboxes_is_not_gathered_with_more(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["support@example.com", "sales@example.com"]
    for address in addresses:
        make_mailbox(address=address)
    for _ in range(3):
        make_message(to=tuple(addresses))
    monkeypatch.setattr(process, "TOGETHER", timedelta(minutes=1))
    monkeypatch.setattr(process, "PORTION", 5)
    together: list[int] = []
    monkeypatch.setattr(process, "store", _noting_how_many(together))
    assert process.drain(linger=AT_ONCE) == 3
    assert together == [2, 1]


def test_what_was_begun_is_stored_when_the_time_is_up_and_the_rest_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    ids = [make_message().pk for _ in range(4)]
    monkeypatch.setattr(process, "TOGETHER", timedelta(minutes=1))
    answers = iter([True, True, False, False])  # before the first round, the second mail and the third
    with leases.held("mail") as lease:
        assert process.process_messages(process.claim(lease.id), lease.id, goes_on=lambda: next(answers)) == 2
    assert [Message.objects.get(pk=pk).state for pk in ids] == ["processed"] * 2 + ["waiting"] * 2
    assert set(Message.objects.filter(state="waiting").values_list("lease_id", "losses")) == {(None, 0)}


def test_a_loss_that_was_earned_stays_though_the_database_goes_away_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    faulty, other = make_message().pk, make_message().pk
    unpacked = raw.unpacked

    def refuse(message: Message, stored: Any) -> bytes:
        if message.pk == faulty:
            raise ValueError("a fault of ours")
        return unpacked(message, stored)

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(raw, "unpacked", refuse)
    monkeypatch.setattr(process, "store", away)
    with leases.held("mail") as lease, pytest.raises(OperationalError):
        process.process_messages(process.claim(lease.id), lease.id)
    assert dict(Message.objects.values_list("pk", "losses")) == {faulty: 1, other: 0}


def test_of_those_that_were_lost_meanwhile_nothing_is_stored_and_of_the_others_all() -> None:
    make_mailbox()
    taken, erased, ours = [make_message().pk for _ in range(3)]
    with leases.held("mail") as lease:
        claimed = process.claim(lease.id)
        Message.objects.filter(pk=taken).update(lease_id=uuid4())
        Message.objects.get(pk=erased).emails.all().delete()
        Message.objects.filter(pk=erased).delete()
        assert process.process_messages(claimed, lease.id) == 1
    assert list(EmailContent.objects.values_list("email__message", flat=True)) == [ours]
    assert Message.objects.get(pk=taken).state == "waiting"


def test_a_large_mail_is_stored_by_itself_and_those_before_it_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    monkeypatch.setattr(process, "TOGETHER", timedelta(minutes=1))
    large = RAW + b"x" * process.SMALL_OCTETS
    for octets in (RAW, RAW, large, large, RAW):
        make_message(raw=octets)
    together: list[int] = []
    monkeypatch.setattr(process, "store", _noting_how_many(together))
    assert process.drain(linger=AT_ONCE) == 5
    assert together == [2, 1, 1, 1]


def test_nobody_waits_for_more_than_one_slow_mail_to_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    for _ in range(4):
        make_message()
    together: list[int] = []
    monkeypatch.setattr(process, "store", _noting_how_many(together))
    monkeypatch.setattr(process.authenticate, "results", lambda *_: time.sleep(0.03))
    assert process.drain(linger=AT_ONCE) == 4
    assert together == [1, 1, 1, 1]


def test_what_is_claimed_behind_a_slow_mail_is_given_back_without_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    first, *others = [make_message().pk for _ in range(4)]
    monkeypatch.setattr(process, "SLOW", timedelta(0))
    monkeypatch.setattr(process, "TOGETHER", timedelta(0))
    with leases.held("mail") as lease:
        assert process.process_messages(process.claim(lease.id), lease.id) == 1
    assert Message.objects.get(pk=first).state == "processed"
    assert set(Message.objects.filter(pk__in=others).values_list("lease_id", "losses")) == {(None, 0)}


def test_a_mail_that_killed_a_worker_is_tried_again_in_small_company_of_its_like() -> None:
    make_mailbox()
    lost = [make_message().pk for _ in range(4)]
    Message.objects.filter(pk__in=lost).update(losses=1)
    fresh = [make_message().pk for _ in range(3)]
    with leases.held("mail") as one, leases.held("mail") as two:
        assert process.claim(one.id) == fresh
        assert process.claim(two.id, lost=1) == lost[: process.BATCH_ONCE_LOST]
        assert process.claim(two.id) == []


def _noting_how_many(together: list[int]) -> Any:
    store = process.store

    def noting(opened: Any, **more: Any) -> int:
        together.append(len(opened))
        return store(opened, **more)

    return noting


def test_two_workers_never_hold_the_same_message() -> None:
    make_mailbox()
    messages = {make_message().pk for _ in range(process.BATCH + 2)}
    with leases.held("mail") as one, leases.held("mail") as two:
        first, second = process.claim(one.id), process.claim(two.id)
        assert len(first) == process.BATCH
        assert set(first) | set(second) == messages
        assert not set(first) & set(second)
        assert process.claim(two.id) == []


def test_what_a_killed_worker_held_is_taken_over_once_its_lease_has_run_out() -> None:
    make_mailbox()
    message = make_message()
    gone = dead_lease()
    Message.objects.update(lease_id=gone.pk, losses=1)
    assert process.drain(linger=AT_ONCE) == 1
    message.refresh_from_db()
    assert message.state == "processed"


def test_what_a_living_worker_holds_is_left_alone() -> None:
    make_mailbox()
    make_message()
    with leases.held("mail") as other:
        assert process.claim(other.id)
        assert process.drain(linger=AT_ONCE) == 0


def test_a_worker_that_comes_back_late_changes_nothing() -> None:
    make_mailbox()
    message = make_message()
    stale = uuid4()
    Message.objects.update(lease_id=stale, losses=1)
    assert process.drain(linger=AT_ONCE) == 1
    before = Message.objects.values().get()

    assert process.process_messages([message.pk], stale) == 0
    assert Message.objects.values().get() == before
    assert EmailContent.objects.count() == 1


def test_a_message_that_took_two_workers_along_is_opened_alone() -> None:
    make_mailbox()
    suspicious, *innocent = [make_message() for _ in range(4)]
    Message.objects.filter(pk=suspicious.pk).update(losses=2)
    with leases.held("mail") as lease:
        assert process.claim(lease.id) == [message.pk for message in innocent]
        assert process.claim(lease.id, lost=2) == [suspicious.pk]


def test_many_suspicious_messages_are_worked_off_in_one_slice() -> None:
    make_mailbox()
    for _ in range(5):
        make_message()
    Message.objects.update(losses=2)
    assert process.drain(linger=AT_ONCE) == 5


def test_a_message_that_took_a_worker_along_while_alone_is_parked_unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    message = make_message()
    Message.objects.update(losses=process.PARK_FROM_LOSSES, lease_id=dead_lease().pk)
    monkeypatch.setattr(process.mime, "parse", lambda *_, **__: pytest.fail("it was opened again"))
    process.drain(linger=AT_ONCE)
    message.refresh_from_db()
    assert message.state == "parked"


def test_a_database_that_goes_away_costs_a_message_no_life(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    message = make_message()

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(process, "store", away)
        for _ in range(5):
            with pytest.raises(OperationalError):
                process.drain(linger=AT_ONCE)
    message.refresh_from_db()
    assert (message.state, message.losses, message.lease_id) == ("waiting", 0, None)


def test_what_does_not_fit_into_a_slice_is_given_back_without_a_loss() -> None:
    make_mailbox()
    for _ in range(3):
        make_message()
    assert process.drain(for_at_most=timedelta(0), linger=AT_ONCE) == 0
    assert set(Message.objects.values_list("lease_id", "losses")) == {(None, 0)}


def test_attachments_are_rows_that_point_into_the_raw() -> None:
    make_mailbox()
    raw = RAW_WITH_FILE
    make_message(raw=raw)
    process.drain(linger=AT_ONCE)
    attachment = Attachment.objects.get()
    assert (attachment.filename, attachment.content_type, attachment.size) == ("a.pdf", "application/pdf", 8)
    assert raw[attachment.offset : attachment.offset + attachment.length].startswith(b"JVBERi0xLjQ=")
    assert Email.objects.get().has_attachment is True
