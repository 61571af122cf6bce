"""Mail whose clocks have ended goes, and nothing else; what is needed still waits."""

import json
import threading
from datetime import datetime, timedelta
from http import HTTPStatus
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emailgistics.common.ids import made_at, uuid7
from emailgistics.operations import ledger
from mailboxes import raw
from mailboxes.models import (
    Attachment,
    Email,
    EmailContent,
    Mailbox,
    Message,
    PostponedRemoval,
    RawMessage,
    Refusal,
    RetentionClock,
    SearchEntry,
    Transcript,
)
from mailboxes.services import erase as mailboxes_erase
from mailboxes.services import provision, quota, reparse, retain
from mailboxes.services.provision import Retention
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox, make_message, make_webhook
from tests.webhooks import invariants
from tests.webhooks.invariants import Dispatcher, answer
from tests.webhooks.test_erase import MAIL
from webhooks.files import links
from webhooks.models import Attempt, Delivery, Event, EventBody, ReplayJob, Webhook
from webhooks.services import erase, prune, replay, replay_jobs
from webhooks.services.bodies import ContentExpiredError

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

RAW, CONTENT, LOG = 30, 60, 90


@pytest.fixture
def mailbox() -> Mailbox:
    return kept(make_mailbox())


def kept(mailbox: Mailbox, *, raw: int | None = RAW, content: int | None = CONTENT, log: int | None = LOG) -> Mailbox:
    return provision.update_mailbox(mailbox, retention=Retention(raw_days=raw, content_days=content, log_days=log))


def received(*to: str) -> Message:
    """A mail that was opened and told of; what waited for its webhooks is delivered, with an answer that repeats it."""
    message = make_message(raw=MAIL, to=to or ("support@example.com",))
    invariants.process_waiting()
    dispatcher = Dispatcher()
    while claimed := dispatcher.claim():
        dispatcher.record(claimed, answer(200, response_excerpt=b"thanks, ada@example.net"))
    message.refresh_from_db()
    return message


def email_of(message: Message) -> Email:
    return Email.objects.select_related("message", "mailbox").get(message=message)


def after(days: float) -> datetime:
    return timezone.now() + timedelta(days=days)


def prune_after(days: float) -> prune.Pruned:
    done, is_all = prune.prune_mail(for_at_most=None, now=after(days))
    assert is_all
    assert_balanced()
    return done


def assert_balanced() -> None:
    """The ledger of every day, what each mailbox holds, and what holds of the delivery tables."""
    for day in ledger.days_counted():
        assert ledger.check_day(day) == []
    for mailbox in Mailbox.objects.all():
        there = sum(mailbox.emails.filter(raw_removed_at=None).values_list("size", flat=True))
        assert quota.used_by([mailbox.pk])[mailbox.pk] == there
    invariants.check()


def found(client: Client, text: str) -> list[str]:
    return [entry["id"] for entry in client.get("/v1/emails", {"q": text}).json()["data"]]


# --- what goes, and when


def test_nothing_goes_before_its_days_and_each_clock_takes_what_is_its_own(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    message = received()
    assert prune_after(RAW - 0.01).total == 0
    assert raw.read_raw(message) == MAIL

    assert prune_after(RAW + 0.01).raws == 1
    assert not RawMessage.objects.exists()
    assert (EmailContent.objects.count(), Attachment.objects.count(), EventBody.objects.count()) == (1, 1, 1)
    assert prune_after(CONTENT - 0.01).total == 0

    assert prune_after(CONTENT + 0.01).contents == 1
    email = email_of(message)
    assert (email.subject, email.from_address, email.message_id_header, email.date) == ("", "", "", None)
    assert not any(model.objects.exists() for model in (EmailContent, Attachment, EventBody))
    assert bytes(Attempt.objects.get().response_excerpt) == b""
    assert Delivery.objects.get().state == "delivered"
    assert prune_after(LOG - 0.01).total == 0

    assert prune_after(LOG + 0.01).emails == 1
    for model in (Message, Email, SearchEntry, Event, Delivery, Attempt, PostponedRemoval):
        assert not model.objects.exists()
    assert prune_after(LOG + 1).total == 0


def test_without_days_mail_is_kept_for_good(settings: Any) -> None:
    make_mailbox()
    message = received()
    assert prune_after(40_000).total == 0
    assert not RetentionClock.objects.exists()
    settings.RETENTION_CONTENT_DAYS = 7
    assert prune_after(7.1).contents == 1
    assert email_of(message).raw_removed_at is not None


def test_mail_of_a_deleted_mailbox_goes_as_well(mailbox: Mailbox) -> None:
    received()
    Mailbox.objects.update(deleted_at=timezone.now())
    assert prune_after(LOG + 1).emails == 1


def test_the_raw_stays_as_long_as_one_mailbox_keeps_it_and_is_read_for_that_one_only(mailbox: Mailbox) -> None:
    sales = kept(make_mailbox(address="sales@example.com"), raw=CONTENT)
    message = received("support@example.com", "sales@example.com")
    assert prune_after(RAW + 1).raws == 1
    client = make_client()
    statuses = {
        email.mailbox_id: client.get(f"/v1/emails/{email.public_id}/raw").status_code for email in message.emails.all()
    }
    assert statuses == {mailbox.pk: HTTPStatus.GONE, sales.pk: HTTPStatus.OK}
    assert prune_after(CONTENT + 1).contents == 2
    assert not RawMessage.objects.exists()


def test_the_message_stays_with_the_last_email_and_nobody_is_named_whose_log_went(mailbox: Mailbox) -> None:
    sales = kept(make_mailbox(address="sales@example.com"), log=None)
    message = received("support@example.com", "sales@example.com")
    Transcript.objects.create(message=message, lines=[[1, "C", "RCPT TO:<support@example.com>"]])
    assert prune_after(LOG + 1).emails == 1
    assert list(message.recipients.values_list("address", flat=True)) == ["sales@example.com"]
    assert not Transcript.objects.exists()
    assert email_of(message).mailbox == sales


def test_other_days_begin_a_clock_anew(mailbox: Mailbox) -> None:
    received()
    assert prune_after(LOG - 1).contents == 1
    received()
    kept(mailbox, raw=None, content=None, log=1)
    assert prune_after(1.1).emails == 2


def test_what_came_due_while_other_days_were_said_is_not_passed_by(mailbox: Mailbox) -> None:
    received()
    retain.set_clocks(now=timezone.now())
    kept(mailbox, raw=RAW + 5)  # for a moment, and nobody has set the clocks meanwhile
    assert prune.prune_mail(for_at_most=None, sets_clocks=False, now=after(RAW + 1))[0].total == 0
    kept(mailbox)
    assert prune.prune_mail(for_at_most=None, sets_clocks=False, now=after(RAW + 2))[0].raws == 1


def test_a_clock_that_looks_in_the_very_millisecond_of_a_mail_goes_on_in_a_later_one(mailbox: Mailbox) -> None:
    email = email_of(received())
    for microseconds in (0, 1, 400, 999):
        RetentionClock.objects.all().delete()
        now = made_at(email.pk) + timedelta(days=RAW, microseconds=microseconds)
        retain.set_clocks(now=now)
        with transaction.atomic():
            while due := retain.take_next(1, now=now):  # of each clock once: those that found nothing rest
                assert due.clock is not None
                assert RetentionClock.objects.get(pk=due.clock.pk).due_at > now
    assert prune_after(RAW + 0.1).raws == 1


# --- what is needed still


@pytest.mark.parametrize("state", ["pending", "held"])
def test_nothing_goes_while_a_delivery_is_not_over_and_all_of_it_a_day_after(mailbox: Mailbox, state: str) -> None:
    make_webhook(mailbox=mailbox)
    message = received()
    Delivery.objects.update(state=state, reason="for the test", delivered_at=None, last_attempt_at=None)
    assert (prune_after(LOG + 1).total, retain.count_postponed()) == (0, 1)
    assert raw.read_raw(message) == MAIL
    Delivery.objects.update(state="canceled")
    assert prune_after(LOG + 1.9).total == 0
    assert prune_after(LOG + 2.1).emails == 1


def test_what_is_erased_while_it_is_put_off_is_not_looked_at_for_ever(mailbox: Mailbox) -> None:
    message = received()
    retain.postpone({email_of(message).pk: after(0)})
    Email.objects.all().delete()
    prune.prune_mail(for_at_most=None, now=after(1))
    assert retain.count_postponed() == 0


def test_mail_that_waits_or_is_in_quarantine_stays(mailbox: Mailbox) -> None:
    waiting = make_message()
    assert (prune_after(LOG + 1).total, retain.count_postponed()) == (0, 1)
    invariants.process_waiting()
    Email.objects.update(status=Email.Status.QUARANTINED, quarantine_reason="a rule")
    assert (prune_after(LOG + 3).total, retain.count_postponed()) == (0, 1)
    Email.objects.update(status=Email.Status.PROCESSED)
    assert prune_after(LOG + 5).emails == 1
    assert not Message.objects.filter(pk=waiting.pk).exists()


def test_what_a_replay_of_a_span_of_time_is_still_to_come_to_stays(mailbox: Mailbox) -> None:
    webhook = make_webhook(mailbox=mailbox)
    received()
    span = {"since": after(-1), "until": after(0.5)}
    job = replay_jobs.start_replay(webhook, of_state="all", by="ada", **span)
    assert (prune_after(CONTENT + 1).total, retain.count_postponed()) == (0, 1)
    ReplayJob.objects.filter(pk=job.pk).update(state=ReplayJob.State.CANCELED)
    assert prune_after(CONTENT + 3).contents == 1


def test_what_was_sent_again_late_keeps_what_its_links_open_for_their_time(mailbox: Mailbox, settings: Any) -> None:
    settings.LINK_TTL = timedelta(days=3)
    make_webhook(mailbox=mailbox)
    received()
    Delivery.objects.update(last_attempt_at=after(RAW + 5), delivered_at=after(RAW + 5))
    assert prune_after(RAW + 6).total == 0
    assert prune_after(RAW + 7.9).total == 0
    assert prune_after(RAW + 8.1).raws == 1


def test_a_clock_passes_over_what_is_needed_and_comes_to_the_rest(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "AT_ONCE", 2)
    make_webhook(mailbox=mailbox)
    messages = [received() for _ in range(5)]
    first = Delivery.objects.filter(event__email__message__in=messages[:2])
    first.update(state="held", reason="for the test", delivered_at=None)
    assert (prune_after(LOG + 1).emails, retain.count_postponed()) == (3, 2)
    assert set(Message.objects.all()) == set(messages[:2])


# --- what is shown then


def test_the_api_says_that_the_raw_is_gone_and_shows_the_rest(mailbox: Mailbox, client: Client) -> None:
    make_webhook(mailbox=mailbox)
    email = email_of(received())
    attachment = email.attachments.get()
    url = links.url(Event.objects.get(), links.RAW)
    api = make_client()
    before = api.get(f"/v1/emails/{email.public_id}", {"include": "text"}).json()
    prune_after(RAW + 1)
    for path in ("raw", f"attachments/{attachment.public_id}"):
        gone = api.get(f"/v1/emails/{email.public_id}/{path}")
        assert (gone.status_code, gone.json()["code"]) == (HTTPStatus.GONE, "raw_removed")
    shown = api.get(f"/v1/emails/{email.public_id}", {"include": "text"}).json()
    assert shown.pop("raw_removed_at") is not None
    before.pop("raw_removed_at")
    assert shown == before
    assert client.get(url).status_code == HTTPStatus.NOT_FOUND


def test_the_api_says_that_the_content_is_gone_and_nothing_finds_it(mailbox: Mailbox) -> None:
    email = email_of(received())
    attachment, api = email.attachments.get().public_id, make_client()
    for text in ("engine", "Lovelace", "turn", "ada"):
        assert found(api, text) == [email.public_id]
    prune_after(CONTENT + 1)
    shown = api.get(f"/v1/emails/{email.public_id}", {"include": "text,html,headers,details"}).json()
    nulls = ("text", "html", "headers", "bounce", "list", "calendar", "from", "message_id", "date")
    assert [shown[name] for name in nulls] == [None] * len(nulls)
    assert (shown["subject"], shown["to"], shown["marks"]) == ("", [], [])
    assert shown["content_removed_at"] is not None
    assert shown["mail_from"] == "ada@example.net"
    for path in ("attachments", f"attachments/{attachment}"):
        gone = api.get(f"/v1/emails/{email.public_id}/{path}")
        assert (gone.status_code, gone.json()["code"]) == (HTTPStatus.GONE, "content_removed")
    for text in ("engine", "Lovelace", "turn"):
        assert found(api, text) == []
    assert found(api, "ada") == [email.public_id]  # the envelope, which is the log


def test_an_email_whose_content_is_gone_is_not_sent_again_and_says_so(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    email = email_of(received())
    prune_after(CONTENT + 1)
    email.refresh_from_db()
    with pytest.raises(ContentExpiredError):
        replay.replay_email(email, by="ada", webhooks=Webhook.objects.all())
    with pytest.raises(ContentExpiredError):
        replay.replay_delivery(Delivery.objects.get(), by="ada")
    refused = make_client().post(f"/v1/emails/{email.public_id}/replay", {}, content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (HTTPStatus.CONFLICT, "content_expired")


def test_opening_it_again_brings_nothing_back(mailbox: Mailbox) -> None:
    kept(make_mailbox(address="sales@example.com"), raw=None, content=None, log=None)
    message = received("support@example.com", "sales@example.com")
    prune_after(CONTENT + 1)
    row = reparse.Reparse.objects.create(message=message, asked_at=timezone.now())
    lease = invariants.live_lease("mail")
    claimed = reparse.claim(lease)
    assert claimed is not None
    assert reparse.open_again(claimed, lease)
    row.refresh_from_db()
    assert sorted(one["outcome"] for one in row.report) == ["content_gone", "unchanged"]
    assert EmailContent.objects.count() == 1


def test_what_is_pruned_of_the_log_is_as_if_it_had_never_been(mailbox: Mailbox) -> None:
    email = email_of(received())
    prune_after(LOG + 1)
    assert make_client().get(f"/v1/emails/{email.public_id}").status_code == HTTPStatus.NOT_FOUND


def test_an_email_can_be_erased_whatever_retention_has_left_of_it(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    first, second = received(), received()
    prune_after(RAW + 1)
    erase.erase_email(email_of(first).pk, by="grace")
    assert_balanced()
    prune_after(CONTENT + 1)
    erase.erase_email(email_of(second).pk, by="grace")
    assert_balanced()
    assert not Message.objects.exists()


def test_what_ends_while_an_address_is_erased_does_not_stop_that(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(mailbox, raw=None, content=None)
    old, emails_of = email_of(received()), mailboxes_erase.emails_of
    kept(make_mailbox(address="sales@example.com"), raw=None, content=None, log=None)
    young = email_of(received("sales@example.com"))
    Refusal.objects.create(
        at=timezone.now(), source="smtp", mail_from="ada@example.net", reply="550 5.1.1 No", code="unknown_recipient"
    )

    def found_a_moment_ago(address: str) -> set[UUID]:
        ids = emails_of(address)
        prune_after(LOG + 1)
        return ids

    monkeypatch.setattr(mailboxes_erase, "emails_of", found_a_moment_ago)
    done = erase.erase_address("ada@example.net", by="grace", wait_for=timedelta(0))
    assert done.emails == [erase.Erased(old.pk, None), erase.Erased(young.pk, 0)]
    assert (Email.objects.count(), Refusal.objects.count()) == (0, 0)


# --- how it goes on


def test_a_slice_does_one_batch_at_least_and_goes_on_where_it_stopped(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "AT_ONCE", 1)
    for _ in range(3):
        received()
    kept(mailbox, raw=None, content=None)
    slices = []
    for _ in range(10):
        done, is_all = prune.prune_mail(for_at_most=timedelta(0), now=after(LOG + 1))
        slices.append(done.emails)
        if is_all:
            break
    assert sum(slices) == 3
    assert max(slices) == 1


def test_what_a_kill_undoes_is_done_by_the_next_one(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    make_webhook(mailbox=mailbox)
    received()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("remove_raws", "remove_contents", "remove_emails", "postpone"):
        with monkeypatch.context() as patch:
            patch.setattr(retain, name, killed)
            for days in (RAW, CONTENT, LOG):
                try:
                    prune.prune_mail(for_at_most=None, now=after(days + 1))
                except KeyboardInterrupt:
                    assert_balanced()
    assert not Email.objects.exists()


def test_the_command_counts_first_and_says_what_went(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    received()
    now = after(CONTENT + 1)
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert run("--dry-run") == {"dry_run": True, "raws": 0, "contents": 1, "emails": 0}
    assert EmailContent.objects.exists()
    done = run("--until-done")
    assert (done["contents"], done["needed"]) == (1, 0)
    assert run("--dry-run") == {"dry_run": True, "raws": 0, "contents": 0, "emails": 0}
    assert run("--once")["contents"] == 0


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("prune", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_what_is_put_off_is_written_in_one_order_whoever_does_it() -> None:
    first, second = uuid7(), uuid7()
    with CaptureQueriesContext(connection) as queries:
        retain.postpone({second: after(1), first: after(2)})
    (sql,) = [one["sql"].replace("-", "") for one in queries if "INSERT" in one["sql"]]
    assert 0 < sql.index(first.hex) < sql.index(second.hex)


@pytest.mark.on_postgres
@pytest.mark.django_db(transaction=True)
def test_what_somebody_else_has_locked_is_not_waited_for_and_comes_a_moment_later(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    messages = [received() for _ in range(3)]
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Message.objects.filter(pk=messages[0].pk).select_for_update())
            list(Delivery.objects.filter(event__email__message=messages[1]).select_for_update())
            locked.set()
            done.wait(60)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(60)
    try:
        assert prune_after(LOG + 1).emails == 1
    finally:
        done.set()
        holder.join()
    assert set(Message.objects.all()) == set(messages[:2])
    assert prune_after(LOG + 2.1).emails == 2


@pytest.mark.on_postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_that_prune_at_once_each_email_goes_once_and_the_raw_with_the_last(mailbox: Mailbox) -> None:
    kept(make_mailbox(address="sales@example.com"))
    for _ in range(20):
        received("support@example.com", "sales@example.com")
    now, found, begin = after(RAW + 1), list[int](), threading.Barrier(2)

    def run_one() -> None:
        begin.wait(60)
        found.append(prune.prune_mail(for_at_most=None, now=now)[0].raws)
        connection.close()

    threads = [threading.Thread(target=run_one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.append(prune_after(RAW + 1.1).raws)  # what one of them had locked as the other came to it
    assert sum(found) == 40
    assert not RawMessage.objects.exists()
