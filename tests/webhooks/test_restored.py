"""After a restore nothing that may have been sent goes out unasked, and what comes from then on does."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import leases, watermark
from emailgistics.common.errors import ConflictError
from emailgistics.common.models import Watermark
from emailgistics.operations import alarms
from mailboxes.models import Mailbox, Message
from mailboxes.services import process
from tests.factories import RAW, make_mailbox, make_message
from tests.webhooks import answers
from tests.webhooks.answers import Receiver
from tests.webhooks.rows import make_delivery_in, make_own_webhook
from webhooks.models import BEFORE_RESTORE, Delivery, OutgoingStop, ReplayJob, Webhook
from webhooks.services import queue, restored, stop
from webhooks.services.dispatch import Course, run_until_idle
from webhooks.services.pull import pull
from webhooks.services.replay_jobs import start_replay
from webhooks.services.webhooks import pause_webhook, resume_webhook

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


@pytest.fixture(autouse=True)
def _own_journal(tmp_path: Path, settings: Settings) -> None:
    settings.JOURNAL_FILE = tmp_path / "journal.jsonl"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with answers.receiver() as there:
        yield there


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def webhook(mailbox: Mailbox, receiver: Receiver) -> Webhook:
    return make_own_webhook(mailbox=mailbox, url=receiver.url)[0]


def run() -> None:
    run_until_idle(idle_for=timedelta(0))


def resume(*flags: str) -> Any:
    out = StringIO()
    call_command("resume", *flags, "--json", stdout=out)
    return json.loads(out.getvalue())


def resume_now() -> int:
    return restored.resume(since=timezone.now(), by="grace")


def states(*rows: Delivery) -> list[str]:
    found = dict(Delivery.objects.values_list("pk", "state"))
    return [found[row.pk] for row in rows]


def test_what_was_on_its_way_is_held_and_what_comes_then_goes_out(
    mailbox: Mailbox, webhook: Webhook, receiver: Receiver
) -> None:
    dead = make_delivery_in(mailbox, webhook, lease_id=webhook.pk)  # a dispatcher had it when the backup was made
    due, sent = make_delivery_in(mailbox, webhook), make_delivery_in(mailbox, webhook, state="delivered")
    test = make_delivery_in(mailbox, webhook, is_test=True)
    Message.objects.update(state=Message.State.PROCESSED)
    restored.stop_sending()
    run()
    assert receiver.received == []
    assert resume("--since", timezone.now().isoformat()) == {"deliveries": 2}
    assert states(dead, due, sent, test) == ["held", "held", "delivered", "canceled"]
    make_message(raw=RAW.replace(b"Subject:", b"Subject: new:"), to=(mailbox.address,))
    process.drain(linger=timedelta(0))
    run()
    (request,) = receiver.received
    assert b"new: Broken engine" in request.body
    assert states(dead, due) == ["held", "held"]
    assert resume_now() == 0  # again is as good as once


def test_what_is_held_goes_out_or_ends_on_somebodys_word_alone(
    mailbox: Mailbox, webhook: Webhook, receiver: Receiver
) -> None:
    first, second, third = (make_delivery_in(mailbox, webhook) for _ in range(3))
    Message.objects.update(state=Message.State.PROCESSED)
    resume_now()
    pause_webhook(webhook)
    queue.settle()
    resume_webhook(webhook)
    run()
    assert receiver.received == []
    (row,) = resume()["data"]
    assert (row["webhook_id"], row["deliveries"]) == (webhook.public_id, 3)
    assert resume("--release", first.public_id) == {"deliveries": 1}
    assert resume("--drop", second.public_id) == {"deliveries": 1}
    run()
    assert [len(receiver.received), *states(first, second, third)] == [1, "delivered", "canceled", "held"]
    assert resume("--release", webhook.public_id) == {"deliveries": 1}
    run()
    assert [len(receiver.received), *states(third)] == [2, "delivered"]
    assert resume("--release", "all") == {"deliveries": 0}
    with pytest.raises(CommandError, match="no webhook"):
        resume("--drop", "wh_1")


def test_mail_that_was_not_opened_in_the_backup_is_opened_and_its_news_is_held(
    mailbox: Mailbox, webhook: Webhook, receiver: Receiver
) -> None:
    make_message(to=(mailbox.address,))
    assert resume_now() == 1
    run()
    assert receiver.received == []
    assert Delivery.objects.get().reason == BEFORE_RESTORE


def test_what_is_held_is_not_pulled_either(mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox, url="")
    make_delivery_in(mailbox, webhook, state="held")
    Message.objects.update(state=Message.State.PROCESSED)
    assert len(pull(webhook, after=0, limit=10)) == 1
    resume_now()
    assert pull(webhook, after=0, limit=10) == []
    resume("--release", "all")
    assert len(pull(webhook, after=0, limit=10)) == 1


def test_who_pulls_on_from_before_the_restore_passes_nothing_by(mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox, url="")
    held = make_delivery_in(mailbox, webhook)
    (seen,) = pull(webhook, after=0, limit=10)
    of_lost_mail = seen.position + 100  # which he saw after the backup
    Message.objects.update(state=Message.State.PROCESSED)
    restored.stop_sending()
    new = make_delivery_in(mailbox, webhook)
    assert pull(webhook, after=of_lost_mail, limit=10) == []
    restored.resume(since=Message.objects.latest("id").received_at, by="grace")
    (fresh,) = pull(webhook, after=of_lost_mail, limit=10)
    assert fresh.delivery_id == new.pk
    resume("--release", "all")
    assert [one.delivery_id for one in pull(webhook, after=fresh.position, limit=10)] == [held.pk]


def test_a_replay_that_the_backup_had_under_way_ends(mailbox: Mailbox, webhook: Webhook, receiver: Receiver) -> None:
    sent = make_delivery_in(mailbox, webhook, state="delivered")
    now = timezone.now()
    start_replay(webhook, since=now - timedelta(hours=1), until=now, of_state="delivered", by="grace")
    restored.stop_sending()
    run()
    assert (ReplayJob.objects.get().state, states(sent)) == ("canceled", ["delivered"])


def test_nobody_starts_sending_before_that_and_a_stop_of_somebody_outlasts_it() -> None:
    restored.stop_sending()
    with pytest.raises(ConflictError, match="an operator says"):
        stop.start_outgoing(by="grace")
    resume_now()
    assert not OutgoingStop.objects.exists()
    stop.stop_outgoing(by="ada", reason="maintenance")
    restored.stop_sending()
    resume_now()
    assert OutgoingStop.objects.get().stopped_by == "ada"
    assert stop.start_outgoing(by="grace")


def test_an_attempt_that_is_under_way_is_waited_for(mailbox: Mailbox, webhook: Webhook) -> None:
    with leases.held(queue.LEASE_KIND) as lease:
        make_delivery_in(mailbox, webhook, lease_id=lease.id)
        Message.objects.update(state=Message.State.PROCESSED)
        with pytest.raises(ConflictError, match="under way"):
            resume_now()
    assert OutgoingStop.objects.get().is_restore  # it stays stopped


def test_a_time_ahead_is_refused() -> None:
    with pytest.raises(CommandError, match="in the future"):
        resume("--since", (timezone.now() + timedelta(minutes=1)).isoformat())
    assert not OutgoingStop.objects.exists()


def test_a_restore_that_nobody_told_of_stops_the_sending_before_the_first_attempt(
    mailbox: Mailbox, webhook: Webhook, receiver: Receiver
) -> None:
    for minutes in (10, 5):
        Watermark.objects.create(at=timezone.now() - timedelta(minutes=minutes))
    run()  # this host remembers
    Watermark.objects.latest("at").delete()
    make_delivery_in(mailbox, webhook)
    Message.objects.update(state=Message.State.PROCESSED)
    run()
    assert receiver.received == []
    assert OutgoingStop.objects.get().reason == restored.SET_BACK
    assert "restored" in {alarm.code for alarm in alarms.watch()}
    assert resume_now() == 1
    run()
    assert not OutgoingStop.objects.exists()


def test_a_dispatcher_that_goes_on_while_the_database_is_set_back_sends_nothing_either(
    mailbox: Mailbox, webhook: Webhook, receiver: Receiver
) -> None:
    course = Course()
    for minutes in (10, 5):
        Watermark.objects.create(at=timezone.now() - timedelta(minutes=minutes))
    run_until_idle(idle_for=timedelta(0), course=course)
    Watermark.objects.latest("at").delete()
    make_delivery_in(mailbox, webhook)
    run_until_idle(idle_for=timedelta(0), course=course)
    assert receiver.received == []
    assert restored.is_stopped()


def test_who_looks_in_the_moment_in_which_somebody_resumes_does_not_stop_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for minutes in (10, 5):
        Watermark.objects.create(at=timezone.now() - timedelta(minutes=minutes))
    restored.stop_if_set_back()  # remembers
    Watermark.objects.latest("at").delete()
    restored.stop_if_set_back()
    assert restored.is_stopped()
    answered: list[bool] = []

    def then_somebody_resumes(ask: Callable[[], bool]) -> Callable[[], bool]:
        def answer() -> bool:
            answered.append(ask())
            if len(answered) == 1:
                resume_now()
            return answered[-1]

        return answer

    is_stopped = restored.is_stopped
    monkeypatch.setattr(restored, "is_stopped", then_somebody_resumes(is_stopped))
    monkeypatch.setattr(watermark, "is_set_back", then_somebody_resumes(watermark.is_set_back))
    restored.stop_if_set_back()
    assert (answered[0], is_stopped()) == (True, False)
