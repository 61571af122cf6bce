"""Opening stored mail again: what is written, what is left alone, and what a worker that dies leaves behind."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.errors import UnavailableError
from mailboxes import mime
from mailboxes.models import Attachment, Email, EmailContent, Message, RawMessage, Reparse
from mailboxes.services import process, reparse
from mailboxes.services.reparse import EmailReport
from tests.factories import RAW, make_email, make_mailbox, make_message
from tests.mailboxes.test_process import dead_lease, hearing

pytestmark = pytest.mark.django_db(transaction=True)

TWO_FILES = (
    b"Subject: Two\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\none\r\n"
    b"--b\r\nContent-Type: application/zip\r\nContent-Disposition: attachment; filename=b.zip\r\n\r\ntwo\r\n"
    b"--b--\r\n"
)


def work() -> int:
    """What a worker does that is nudged."""
    return reparse.drain(until=time.monotonic() + 10)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is there as soon as somebody asks."""
    monkeypatch.setattr(reparse, "nudge", lambda _: work())


def again(**how: Any) -> list[EmailReport]:
    return list(reparse.reparse(reparse.chosen(), **how))


def ask(email: Email, *, is_dry_run: bool = False) -> Reparse:
    return Reparse.objects.create(message=email.message, is_dry_run=is_dry_run, asked_at=timezone.now())


def everything() -> list[Any]:
    models: tuple[Any, ...] = (Message, Email, EmailContent, Attachment)
    return [list(model.objects.order_by("pk").values()) for model in models]


def make_stale(email: Email) -> None:
    """As an older parser would have left it."""
    Email.objects.filter(pk=email.pk).update(subject="=?x?Q?old?=", from_name="")
    EmailContent.objects.filter(pk=email.pk).update(text="garbled")
    Message.objects.filter(pk=email.message_id).update(parse_version=0)


@pytest.mark.usefixtures("worker")
def test_what_is_read_otherwise_now_is_written_and_reported_by_the_names_of_the_api() -> None:
    make_mailbox()
    email = make_email()
    as_opened = everything()
    make_stale(email)
    assert again() == [
        {"id": email.public_id, "outcome": "changed", "changed": ["from", "subject", "text"], "reason": ""}
    ]
    assert everything() == as_opened
    assert not Reparse.objects.exists()


@pytest.mark.usefixtures("worker")
def test_every_column_that_a_parser_fills_is_made_again() -> None:
    make_mailbox()
    email = make_email(raw=TWO_FILES)
    as_opened = everything()
    old = {"kind": "list", "date": timezone.now(), "message_id_header": "<old>", "has_attachment": False}
    Email.objects.update(subject="old", from_name="old", from_address="old", **old)
    nobody = {"sender": None, "reply_to": [], "to": [{"name": "old", "address": ""}], "cc": []}
    EmailContent.objects.update(
        in_reply_to="old", references=["old"], headers=[], text="old", text_truncated=True, html="old",
        html_truncated=True, preview="old", addresses=nobody,
    )  # fmt: skip
    Message.objects.update(parse_status="partial", parse_defects=["old"])
    (report,) = again()
    assert report["changed"] == [
        "attachments", "date", "from", "headers", "html", "html_truncated", "in_reply_to", "kind", "message_id",
        "parse", "preview", "references", "subject", "text", "text_truncated", "to",
    ]  # fmt: skip
    assert report["id"] == email.public_id
    assert everything() == as_opened


@pytest.mark.usefixtures("worker")
def test_a_mail_that_reads_as_before_only_gets_the_version_of_the_parser() -> None:
    make_mailbox()
    email = make_email(raw=TWO_FILES)
    as_opened = everything()
    Message.objects.update(parse_version=0)
    heard: list[Any] = []
    with hearing(lambda **news: heard.append(news)):
        assert again() == [{"id": email.public_id, "outcome": "unchanged", "changed": [], "reason": ""}]
    assert everything() == as_opened
    assert heard == []


@pytest.mark.usefixtures("worker")
def test_a_dry_run_says_what_would_change_and_changes_nothing() -> None:
    make_mailbox()
    email = make_email(raw=TWO_FILES)
    make_stale(email)
    Attachment.objects.filter(position=0).update(sha256="0" * 64)
    before, heard = everything(), list[Any]()
    with hearing(lambda **news: heard.append(news)):
        (report,) = again(is_dry_run=True)
    assert (report["outcome"], report["changed"]) == ("changed", ["attachments", "subject", "text"])
    assert (everything(), heard) == (before, [])


@pytest.mark.usefixtures("worker")
def test_an_attachment_with_the_same_octets_in_the_same_part_keeps_its_id() -> None:
    make_mailbox()
    email = make_email(raw=TWO_FILES)
    first, second = Attachment.objects.order_by("position")
    # an older parser had found another one before them, and called the second one otherwise
    Attachment.objects.filter(pk=second.pk).update(position=2, filename="old")
    Attachment.objects.filter(pk=first.pk).update(position=1)
    values = Attachment.objects.filter(pk=first.pk).values().get() | {"id": uuid4(), "position": 0, "sha256": "0" * 64}
    Attachment.objects.create(**values)

    (report,) = again()
    assert report["changed"] == ["attachments"]
    found = Attachment.objects.filter(email=email).order_by("position").values_list("pk", "filename", "position")
    assert list(found) == [(first.pk, "a.pdf", 0), (second.pk, "b.zip", 1)]


@pytest.mark.usefixtures("worker")
def test_other_octets_in_the_part_are_another_attachment() -> None:
    make_mailbox()
    make_email(raw=TWO_FILES)
    first, second = Attachment.objects.order_by("position")
    Attachment.objects.filter(pk=first.pk).update(sha256="0" * 64)
    (report,) = again()
    assert report["changed"] == ["attachments"]
    renewed, kept = Attachment.objects.order_by("position").values_list("pk", flat=True)
    assert renewed != first.pk
    assert kept == second.pk


@pytest.mark.usefixtures("worker")
def test_where_the_octets_of_an_attachment_begin_is_corrected_without_a_word() -> None:
    make_mailbox()
    make_email(raw=TWO_FILES)
    as_opened = everything()
    Attachment.objects.update(offset=0)
    assert [report["outcome"] for report in again()] == ["unchanged"]
    assert everything() == as_opened


@pytest.mark.usefixtures("worker")
def test_a_parked_mail_that_opens_now_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    message = make_message()
    Message.objects.update(losses=process.PARK_FROM_LOSSES, lease_id=dead_lease().pk)
    process.drain(linger=timedelta(0))
    message.refresh_from_db()
    assert message.state == "parked"
    (report,) = again()
    assert report["outcome"] == "repaired"
    assert {"from", "headers", "parse", "subject", "text"} <= set(report["changed"])
    message.refresh_from_db()
    email = message.emails.get()
    assert (message.state, message.parse_status, message.parse_defects) == ("processed", "ok", [])
    assert (email.status, email.subject) == ("processed", "Broken engine")
    assert email.content.text.strip() == "It does not turn."


@pytest.mark.usefixtures("worker")
def test_all_mailboxes_of_a_message_are_of_one_version_and_told_of_on_their_own() -> None:
    make_mailbox()
    make_mailbox(address="sales@example.com")
    message = make_message(to=("support@example.com", "sales@example.com"))
    process.drain(linger=timedelta(0))
    stale = message.emails.get(mailbox__local_part="sales")
    Email.objects.filter(pk=stale.pk).update(subject="old")
    heard: list[tuple[str, list[str], list[str]]] = []

    def listen(email: Email, recipients: list[Any], changed: list[str], **_: Any) -> None:
        heard.append((email.public_id, [recipient.address for recipient in recipients], changed))

    with hearing(listen):
        reports = again()
    assert sorted(report["outcome"] for report in reports) == ["changed", "unchanged"]
    assert heard == [(stale.public_id, ["sales@example.com"], ["subject"])]


@pytest.mark.usefixtures("worker")
def test_what_was_deleted_of_an_email_does_not_come_back() -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    EmailContent.objects.all().delete()
    assert [report["outcome"] for report in again()] == ["content_gone"]
    assert not EmailContent.objects.exists()
    assert Email.objects.get().subject == "=?x?Q?old?="


@pytest.mark.usefixtures("worker")
def test_without_its_raw_a_mail_stays_as_it_is() -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    RawMessage.objects.all().delete()
    before = everything()
    assert again() == [{"id": email.public_id, "outcome": "raw_gone", "changed": [], "reason": ""}]
    assert everything() == before


@pytest.mark.usefixtures("worker")
def test_with_a_raw_that_is_not_what_was_accepted_it_stays_as_it_is_too() -> None:
    make_mailbox()
    email = make_email()
    Message.objects.update(sha256="0" * 64)
    before = everything()
    assert again() == [{"id": email.public_id, "outcome": "failed", "changed": [], "reason": "raw_unreadable"}]
    assert everything() == before


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_a_fault_of_the_parser_of_today_takes_nothing_away(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    make_mailbox()
    ask(make_email())
    Message.objects.update(parse_status=status)
    before = everything()
    broken = replace(mime.parse(RAW), status="failed", defects=(mime.Defect.INTERNAL_ERROR,), text="")
    monkeypatch.setattr(reparse.mime, "parse", lambda *_, **__: broken)
    assert work() == 1
    (report,) = Reparse.objects.get().report
    if status == "ok":
        assert (report["outcome"], report["reason"]) == ("failed", "internal_error")
        assert everything() == before
    else:  # of what could not be read before, some of the header is more than nothing
        assert report["outcome"] == "changed"


# --- workers that die, come late, or meet others


@pytest.mark.parametrize("line", ["_attachments", "_tell", "_end"])
def test_a_fault_between_two_lines_leaves_nothing_half(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    make_mailbox()
    email = make_email(raw=TWO_FILES)
    make_stale(email)
    Attachment.objects.filter(position=0).update(sha256="0" * 64)
    before, row = everything(), ask(email)
    with monkeypatch.context() as patched:
        patched.setattr(reparse, line, lambda *_, **__: 1 / 0)
        assert work() == 0
    assert everything() == before
    row.refresh_from_db()
    assert (row.losses, row.ended_at, row.report) == (1, None, [])
    assert work() == 1
    row.refresh_from_db()
    assert (row.report[0]["outcome"], row.lease_id) == ("changed", None)


def test_octets_that_kill_workers_are_given_up_after_three_and_the_mail_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    before, row, opened = everything(), ask(email), list[int]()

    def kill(_: bytes, **__: Any) -> None:
        opened.append(1)
        raise SystemExit  # passes every `except Exception`, as a signal does

    with monkeypatch.context() as patched:
        patched.setattr(reparse.mime, "parse", kill)
        for _ in range(3):
            with pytest.raises(SystemExit):
                work()
        assert work() == 1
        assert work() == 0
    row.refresh_from_db()
    assert len(opened) == 3
    assert row.report == [{"id": email.public_id, "outcome": "failed", "changed": [], "reason": "processing_lost"}]
    assert everything() == before


def test_what_a_killed_worker_held_is_taken_over_once_its_lease_has_run_out() -> None:
    make_mailbox()
    row = ask(make_email())
    Reparse.objects.update(lease_id=dead_lease().pk, losses=1)
    assert work() == 1
    row.refresh_from_db()
    assert row.report[0]["outcome"] == "unchanged"


def test_while_a_living_worker_has_one_no_other_begins_another() -> None:
    make_mailbox()
    rows = [ask(make_email()), ask(make_email(raw=RAW.replace(b"Broken", b"Mended")))]
    with leases.held("mail") as one, leases.held("mail") as two:
        first = reparse.claim(one.id)
        assert first is not None
        assert first.pk == rows[0].pk
        assert reparse.claim(two.id) is None
        assert work() == 0
    assert work() == 2


def test_a_worker_that_comes_back_late_changes_nothing_and_tells_nobody() -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    row, stale = ask(email), dead_lease()
    Reparse.objects.update(lease_id=stale.pk, losses=1)
    held = Reparse.objects.get()
    assert work() == 1
    before, heard = everything(), list[Any]()
    other = replace(mime.parse(RAW), subject="what the late one read")
    with hearing(lambda **news: heard.append(news)):
        assert reparse.store(held, other, RAW, lease_id=stale.pk) is False
        assert reparse.open_again(held, stale.pk) is False
    assert (everything(), heard) == (before, [])
    row.refresh_from_db()
    assert row.report[0]["outcome"] == "changed"


def test_two_that_ask_for_the_same_mail_have_it_written_and_told_once() -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    rows, heard = [ask(email), ask(email)], list[str]()
    with hearing(lambda email, **_: heard.append(email.public_id)):
        assert work() == 2
    assert [Reparse.objects.get(pk=row.pk).report[0]["outcome"] for row in rows] == ["changed", "unchanged"]
    assert heard == [email.public_id]


@pytest.mark.parametrize("what", ["message", "content"])
def test_what_is_deleted_while_it_is_being_opened_stays_deleted(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    ask(email)

    def delete_meanwhile(octets: bytes, **_: Any) -> Any:
        if what == "content":
            EmailContent.objects.all().delete()
        else:
            Email.objects.all().delete()
            Message.objects.all().delete()
        return parse(octets)

    parse = mime.parse
    monkeypatch.setattr(reparse.mime, "parse", delete_meanwhile)
    assert work() == (what == "content")
    assert not EmailContent.objects.exists()
    if what == "content":
        assert Reparse.objects.get().report[0]["outcome"] == "content_gone"
    else:
        assert not Reparse.objects.exists()
        assert not Message.objects.exists()


@pytest.mark.on_postgres
def test_who_deletes_it_in_the_middle_of_the_writing_waits_and_then_deletes_all_of_it() -> None:
    make_mailbox()
    email = make_email(raw=TWO_FILES)
    make_stale(email)
    ask(email)
    deleting = threading.Thread(target=in_own_connection(lambda: delete_as_erasing_does(email)))

    def meanwhile(**_: Any) -> None:
        deleting.start()
        deleting.join(timeout=0.5)
        assert deleting.is_alive()

    with hearing(meanwhile):
        assert work() == 1
    deleting.join(timeout=10)
    assert not deleting.is_alive()
    assert [model.objects.count() for model in (Email, EmailContent, Attachment, Message, Reparse)] == [0] * 5


def delete_as_erasing_does(email: Email) -> None:
    from django.db import transaction

    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=email.message_id)
        Email.objects.select_for_update().get(pk=email.pk).delete()
        message.delete()


def in_own_connection(run: Callable[[], None]) -> Callable[[], None]:
    def thread() -> None:
        try:
            run()
        finally:
            connection.close()

    return thread


def test_a_database_that_goes_away_costs_no_life(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    row = ask(make_email())

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(reparse, "open_again", away)
        for _ in range(5):
            with pytest.raises(OperationalError):
                work()
    row.refresh_from_db()
    assert (row.losses, row.lease_id) == (0, None)


def test_mail_that_waits_goes_first() -> None:
    make_mailbox()
    ask(make_email())
    make_message()
    assert work() == 0
    process.drain(linger=timedelta(0))
    assert work() == 1


def test_mail_that_comes_in_between_goes_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    for _ in range(3):
        ask(make_email())

    def mail_comes(octets: bytes, **_: Any) -> Any:
        make_message(raw=RAW.replace(b"Broken", b"New"))
        return parse(octets)

    parse = mime.parse
    monkeypatch.setattr(reparse.mime, "parse", mail_comes)
    assert work() == 1


def test_none_is_begun_after_the_time_is_up() -> None:
    make_mailbox()
    row = ask(make_email())
    assert reparse.drain(until=time.monotonic()) == 0
    row.refresh_from_db()
    assert (row.losses, row.lease_id) == (0, None)


# --- who asks


@pytest.mark.usefixtures("worker")
def test_many_are_opened_a_few_at_a_time_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    emails = [make_email() for _ in range(5)]
    asked: list[int] = []
    monkeypatch.setattr(reparse, "AT_ONCE", 2)
    monkeypatch.setattr(reparse, "nudge", lambda _: (asked.append(Reparse.objects.count()), work()))
    assert [report["id"] for report in again(rate_per_minute=6000)] == [email.public_id for email in emails]
    assert asked == [2, 2, 1]


@pytest.mark.usefixtures("worker")
def test_no_more_are_asked_for_than_the_rate_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    for _ in range(3):
        make_email()
    slept: list[float] = []
    monkeypatch.setattr(reparse, "time", SimpleNamespace(monotonic=time.monotonic, sleep=slept.append))
    assert len(again(rate_per_minute=6)) == 3
    # one by one, and each counts ten seconds from where it was begun
    assert [round(pause) for pause in slept] == [10, 10]


def test_without_a_worker_nothing_is_left_behind_and_it_is_said() -> None:
    make_mailbox()
    make_email()
    with pytest.raises(UnavailableError, match="no worker runs"):
        again(patience=timedelta(0))
    assert not Reparse.objects.exists()


def test_who_stops_asking_takes_back_what_was_not_begun_and_may_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    monkeypatch.setattr(reparse, "nudge", lambda _: None)
    monkeypatch.setattr(reparse, "time", SimpleNamespace(monotonic=time.monotonic, sleep=interrupt))
    with pytest.raises(KeyboardInterrupt):
        again()
    assert not Reparse.objects.exists()
    monkeypatch.undo()
    monkeypatch.setattr(reparse, "nudge", lambda _: work())
    assert [report["outcome"] for report in again()] == ["changed"]


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("worker")
def test_what_nobody_came_back_for_is_forgotten_after_a_day() -> None:
    make_mailbox()
    email = make_email()
    left = Reparse.objects.create(message=email.message, asked_at=timezone.now(), ended_at=timezone.now())
    again()
    assert Reparse.objects.filter(pk=left.pk).exists()
    Reparse.objects.update(ended_at=Now() - timedelta(days=2))
    again()
    assert not Reparse.objects.exists()


@pytest.mark.usefixtures("worker")
def test_what_fails_is_not_begun_for_ever() -> None:
    make_mailbox()
    make_email()
    Message.objects.update(sha256="0" * 64, parse_version=0)
    old = reparse.chosen(older_than_version=mime.VERSION)
    assert [report["outcome"] for report in reparse.reparse(old, rate_per_minute=6000)] == ["failed"]


def test_messages_are_chosen_by_state_time_and_version() -> None:
    make_mailbox()
    first, second, third = (make_email().message for _ in range(3))
    make_message()
    at = timezone.now()
    Message.objects.filter(pk=first.pk).update(state="parked", parse_version=0, received_at=at - timedelta(days=2))
    Message.objects.filter(pk=second.pk).update(received_at=at - timedelta(days=1), parse_version=0)

    def chosen(**how: Any) -> set[Message]:
        return set(reparse.chosen(**how))

    assert chosen() == {first, second, third}
    assert chosen(is_parked=True) == {first}
    assert chosen(older_than_version=mime.VERSION) == {first, second}
    assert chosen(since=at - timedelta(days=1)) == {second, third}
    assert chosen(until=at - timedelta(days=1)) == {first}
    assert chosen(older_than_version=mime.VERSION, since=at - timedelta(days=1)) == {second}
    assert chosen(message_ids=[third.pk]) == {third}
