"""Sending again on somebody's word: what becomes of a delivery, and that two at once end in one consistent state."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from emailgistics.common.errors import ConflictError
from emailgistics.common.ids import uuid7
from mailboxes.models import Email, Mailbox, Message
from mailboxes.services import process, provision
from tests.factories import make_email, make_mailbox, make_message
from tests.webhooks.rows import again, make_delivery_in, make_own_webhook
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.services import replay, stop, testing, webhooks
from webhooks.services.bodies import ContentExpiredError
from webhooks.services.replay import EmailReplay, cancel_delivery, replay_delivery, replay_email, retry_now

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

ENDED = ["delivered", "failed", "canceled", "expired"]
ALL = Webhook.objects.all()
LONG_AGO = timezone.now() - timedelta(days=3)


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox)[0]


def fields(delivery: Delivery) -> dict[str, Any]:
    return Delivery.objects.filter(pk=delivery.pk).values().get()


@pytest.mark.parametrize("state", ENDED)
def test_what_has_ended_becomes_pending_again_as_a_new_generation(
    state: str, mailbox: Mailbox, webhook: Webhook
) -> None:
    delivery = make_delivery_in(
        mailbox, webhook, content=b'{"old":1}', state=state, attempts=16, failures=16, lease_losses=2, position=7,
        deferred_since=LONG_AGO, delivered_at=LONG_AGO, due_at=LONG_AGO, reason="exhausted", last_status=500,
    )  # fmt: skip
    before = fields(delivery)
    replay_delivery(delivery, by="Ada")
    after = fields(delivery)
    for name in ("due_at", "begun_at"):
        assert abs(after.pop(name) - timezone.now()) < timedelta(minutes=1)
        del before[name]
    assert after == before | {
        "state": "pending", "generation": 2, "failures": 0, "lease_losses": 0, "delivered_at": None,
        "deferred_since": None, "position": None, "reason": "replayed by Ada",
    }  # fmt: skip
    assert (delivery.state, delivery.generation) == ("pending", 2)
    assert EventBody.objects.count() == 1


@pytest.mark.parametrize("state", ["pending", "held"])
def test_what_is_on_its_way_is_left_alone(state: str, mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state=state, due_at=LONG_AGO)
    before = fields(delivery)
    with pytest.raises(ConflictError, match="on its way"):
        replay_delivery(delivery, by="Ada")
    assert fields(delivery) == before


def test_a_replay_for_a_webhook_that_is_off_waits_for_it(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="failed")
    webhooks.pause_webhook(webhook)
    replay_delivery(delivery, by="Ada")
    assert (delivery.state, delivery.reason) == ("held", "replayed by Ada; the webhook is paused")


def test_nothing_is_sent_again_to_a_deleted_webhook(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="failed")
    webhooks.delete_webhook(webhook)
    before = fields(delivery)
    with pytest.raises(ConflictError, match="deleted"):
        replay_delivery(delivery, by="Ada")
    assert fields(delivery) == before


@pytest.mark.parametrize("state", ENDED)
def test_mail_of_a_deleted_mailbox_is_not_sent_again(state: str, mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(domain=mailbox.domain)
    delivery = make_delivery_in(mailbox, webhook, state=state)
    email = delivery.event.email
    assert email is not None
    Email.objects.update(status="processed")
    provision.delete_mailbox(mailbox, with_mail=True)
    before = fields(delivery)
    with pytest.raises(ConflictError, match="mailbox that this mail came to was deleted"):
        replay_delivery(delivery, by="Ada")
    with pytest.raises(ConflictError, match="mailbox that this mail came to was deleted"):
        replay_email(Email.objects.get(pk=email.pk), by="Ada", webhooks=ALL)
    assert fields(delivery) == before
    Delivery.objects.all().delete()
    with pytest.raises(ConflictError, match="mailbox that this mail came to was deleted"):
        replay_email(Email.objects.get(pk=email.pk), by="Ada", webhooks=ALL)
    assert not Delivery.objects.exists()


def test_what_is_no_longer_kept_is_told_and_changes_nothing(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="expired")
    Delivery.objects.update(body=None)
    EventBody.objects.all().delete()
    before = fields(delivery)
    with pytest.raises(ContentExpiredError) as refused:
        replay_delivery(delivery, by="Ada")
    assert refused.value.code == "content_expired"
    assert isinstance(refused.value, ConflictError)
    assert fields(delivery) == before


def received() -> tuple[Email, Delivery]:
    """A processed email, and its one delivery, which has arrived."""
    email = make_email()
    delivery = Delivery.objects.get()
    Delivery.objects.update(state="delivered", delivered_at=timezone.now())
    return email, delivery


@pytest.mark.django_db(transaction=True)
def test_the_same_octets_go_out_unless_they_say_more_than_the_webhook_may_be_told(webhook: Webhook) -> None:
    _, delivery = received()
    full = delivery.body_id
    webhooks.update_webhook(webhook, attachments="inline")
    replay_delivery(delivery, by="Ada")
    assert delivery.body_id == full
    Delivery.objects.update(state="delivered")
    webhooks.update_webhook(webhook, payload="metadata")
    replay_delivery(delivery, by="Ada")
    body = EventBody.objects.get(pk=delivery.body_id)
    assert body.form == "metadata"
    assert b"It does not turn" not in bytes(body.body)
    webhooks.update_webhook(webhook, payload="full")
    Delivery.objects.update(state="delivered")
    replay_delivery(delivery, by="Ada")
    assert delivery.body_id == body.pk


@pytest.mark.django_db(transaction=True)
def test_octets_that_are_gone_are_made_again_in_the_form_of_now(webhook: Webhook) -> None:
    _, delivery = received()
    Delivery.objects.update(body=None)
    EventBody.objects.all().delete()
    replay_delivery(delivery, by="Ada")
    assert delivery.body is not None
    assert delivery.body.form == "full"
    assert b"It does not turn" in bytes(delivery.body.body)


def test_a_retry_makes_the_next_attempt_due_now_and_spends_nothing(mailbox: Mailbox, webhook: Webhook) -> None:
    later = timezone.now() + timedelta(hours=12)
    delivery = make_delivery_in(mailbox, webhook, due_at=later, failures=9, attempts=9)
    before = fields(delivery)
    retry_now(delivery)
    after = fields(delivery)
    assert after.pop("due_at") < timezone.now() + timedelta(seconds=1)
    assert after == {name: value for name, value in before.items() if name != "due_at"}
    due = make_delivery_in(mailbox, webhook, due_at=LONG_AGO)
    retry_now(due)
    assert due.due_at == LONG_AGO


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"lease_id": uuid7()}, "under way"), ({"state": "held", "reason": "the webhook is paused"}, "is paused"),
        *(({"state": state}, "has ended") for state in ENDED),
    ],
)  # fmt: skip
def test_what_waits_for_no_attempt_cannot_be_retried(
    wrong: dict[str, Any], told: str, mailbox: Mailbox, webhook: Webhook
) -> None:
    delivery = make_delivery_in(mailbox, webhook, due_at=timezone.now() + timedelta(hours=1), **wrong)
    before = fields(delivery)
    with pytest.raises(ConflictError, match=told):
        retry_now(delivery)
    assert fields(delivery) == before


@pytest.mark.parametrize("how", [{}, {"state": "held"}, {"lease_id": uuid7()}])
def test_a_canceled_delivery_is_let_go_of(how: dict[str, Any], mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, **how)
    cancel_delivery(delivery, by="x" * 300)
    assert (delivery.state, delivery.lease_id) == ("canceled", None)
    assert delivery.reason == ("canceled by " + "x" * 300)[:200]


@pytest.mark.parametrize("state", ENDED)
def test_what_has_ended_cannot_be_canceled(state: str, mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state=state)
    before = fields(delivery)
    with pytest.raises(ConflictError, match="ended already"):
        cancel_delivery(delivery, by="Ada")
    assert fields(delivery) == before


@pytest.mark.django_db(transaction=True)
def test_an_email_goes_to_all_that_want_it_now(mailbox: Mailbox, webhook: Webhook) -> None:
    email, delivery = received()
    waiting, _ = make_own_webhook(domain=mailbox.domain)
    make = Delivery.objects.create
    make(event=delivery.event, webhook=waiting, body=delivery.body, state="pending", due_at=timezone.now())
    late, _ = make_own_webhook(mailbox=mailbox, payload="metadata")
    deaf, _ = make_own_webhook(mailbox=mailbox, events=["webhook.disabled"])
    dead, _ = make_own_webhook(mailbox=mailbox)
    webhooks.delete_webhook(dead)
    elsewhere, _ = make_own_webhook(mailbox=make_mailbox(address="sales@example.com"))
    done = replay_email(email, by="Ada", webhooks=ALL)
    assert done == EmailReplay(replayed=1, made=1, on_their_way=1, content_expired=0)
    states = {row.webhook_id: (row.state, row.generation) for row in Delivery.objects.all()}
    assert states == {webhook.pk: ("pending", 2), waiting.pk: ("pending", 1), late.pk: ("pending", 1)}
    body = Delivery.objects.get(webhook=late).body
    assert body is not None
    assert body.form == "metadata"
    assert Event.objects.count() == 1
    assert not Delivery.objects.filter(webhook__in=[deaf, dead, elsewhere]).exists()
    again_ = replay_email(email, by="Ada", webhooks=ALL)
    assert again_ == EmailReplay(replayed=0, made=0, on_their_way=3, content_expired=0)


@pytest.mark.django_db(transaction=True)
def test_an_email_that_nobody_wanted_when_it_came_can_be_sent_later(mailbox: Mailbox) -> None:
    email = make_email(to=mailbox.address)
    assert not Event.objects.exists()
    webhook, _ = make_own_webhook(mailbox=mailbox)
    webhooks.pause_webhook(webhook)
    hidden, _ = make_own_webhook(mailbox=mailbox)
    done = replay_email(email, by="Ada", webhooks=Webhook.objects.exclude(pk=hidden.pk))
    assert done == EmailReplay(replayed=0, made=1, on_their_way=0, content_expired=0)
    delivery = Delivery.objects.get()
    assert (delivery.webhook, delivery.state, delivery.reason) == (
        webhook, "held", "replayed by Ada; the webhook is paused"
    )  # fmt: skip
    assert delivery.body is not None
    assert b"It does not turn" in bytes(delivery.body.body)


def test_an_email_that_waits_to_be_opened_has_nothing_to_tell_yet(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="failed")
    assert delivery.event.email is not None
    with pytest.raises(ConflictError, match="has not been opened yet"):
        replay_email(delivery.event.email, by="Ada", webhooks=ALL)


@pytest.mark.django_db(transaction=True)
def test_a_parked_email_is_sent_again_like_every_other(webhook: Webhook) -> None:
    message = make_message(to=("support@example.com",))
    Message.objects.update(sha256="0" * 64)  # a raw that is not what was accepted is never opened
    process.drain(linger=timedelta(0))
    email = message.emails.get()
    assert email.status == "parked"
    told = Delivery.objects.get().body
    assert told is not None
    assert b'"defects":["raw_unreadable"]' in bytes(told.body)
    Delivery.objects.update(state="failed")
    done = replay_email(email, by="Ada", webhooks=ALL)
    assert done == EmailReplay(replayed=1, made=0, on_their_way=0, content_expired=0)
    assert Delivery.objects.get().state == "pending"


def test_an_email_of_which_nothing_is_kept_is_told(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="expired")
    email = delivery.event.email
    assert email is not None
    Email.objects.update(status="processed")
    Delivery.objects.update(body=None)
    EventBody.objects.all().delete()
    email.refresh_from_db()
    with pytest.raises(ContentExpiredError):
        replay_email(email, by="Ada", webhooks=ALL)
    other = make_own_webhook(mailbox=mailbox)[0]
    Delivery.objects.create(event=delivery.event, webhook=other, state="pending", due_at=timezone.now())
    assert replay_email(email, by="Ada", webhooks=ALL) == EmailReplay(
        replayed=0, made=0, on_their_way=1, content_expired=1
    )


def at_once(*work: Callable[[], object]) -> list[object]:
    """What each of them answers or raises, begun at the same moment on connections of their own."""
    results: list[object] = [None] * len(work)
    ready = threading.Barrier(len(work))

    def run(index: int) -> None:
        try:
            ready.wait(60)
            results[index] = work[index]()
        except Exception as error:  # noqa: BLE001 - told to the test
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.mark.django_db(transaction=True)
def test_of_two_replays_at_once_one_happens(mailbox: Mailbox, webhook: Webhook) -> None:
    for _ in range(5):
        delivery = make_delivery_in(mailbox, webhook, state="failed")
        work = [lambda pk=delivery.pk: replay_delivery(Delivery.objects.get(pk=pk), by="Ada")] * 3
        results = at_once(*work)
        assert [type(result) for result in results].count(ConflictError) == 2, results
        assert fields(delivery)["generation"] == 2


@pytest.mark.django_db(transaction=True)
def test_two_that_send_one_email_again_make_one_event_and_one_delivery_each(mailbox: Mailbox) -> None:
    email = make_email(to=mailbox.address)
    for _ in range(3):
        make_own_webhook(mailbox=mailbox)
    results = at_once(*[lambda: replay_email(Email.objects.get(pk=email.pk), by="Ada", webhooks=ALL)] * 3)
    done = [result for result in results if isinstance(result, EmailReplay)]
    assert len(done) == 3, results
    assert sum(one.made for one in done) == 3
    assert sum(one.on_their_way for one in done) == 6
    assert (Event.objects.count(), Delivery.objects.count()) == (1, 3)


@pytest.mark.django_db(transaction=True)
def test_a_replay_and_a_cancellation_at_once_end_in_one_state(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="failed")
    get = lambda: Delivery.objects.get(pk=delivery.pk)  # noqa: E731
    results = at_once(lambda: replay_delivery(get(), by="Ada"), lambda: cancel_delivery(get(), by="Bob"))
    after = fields(delivery)
    assert after["generation"] == 2
    assert after["state"] == ("pending" if isinstance(results[1], ConflictError) else "canceled")


def test_a_nudge_waits_for_the_commit(
    mailbox: Mailbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    nudged: list[str] = []
    monkeypatch.setattr(replay, "nudge", nudged.append)
    delivery = make_delivery_in(mailbox, webhook, state="failed")
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        replay_delivery(delivery, by="Ada")
        assert nudged == []
    assert nudged == ["webhooks.tasks.dispatch"]


def test_a_test_is_an_event_of_its_own_that_is_tried_once(webhook: Webhook) -> None:
    webhooks.pause_webhook(webhook)
    delivery = testing.send_test(webhook, by="Ada")
    assert (delivery.event.type, delivery.event.email, delivery.event.webhook) == ("webhook.test", None, webhook)
    assert (delivery.is_test, delivery.state, delivery.attempts) == (True, "pending", 0)
    assert delivery.body is not None
    assert b'"type":"webhook.test"' in bytes(delivery.body.body)
    waited = testing.wait_for_end(delivery, at_most=timedelta(seconds=0.1))
    assert waited.state == "pending"
    Delivery.objects.update(state="failed")
    assert testing.wait_for_end(delivery, at_most=timedelta(seconds=60)).state == "failed"
    assert testing.send_test(webhook, by="Ada").event != delivery.event


@pytest.mark.parametrize("how", [{}, {"lease_id": uuid7()}])
def test_one_test_at_a_time(how: dict[str, Any], mailbox: Mailbox, webhook: Webhook) -> None:
    make_delivery_in(mailbox, webhook)  # mail is no test
    pulled = make_own_webhook(mailbox=mailbox, url="")[0]
    for each in (webhook, pulled):
        first = testing.send_test(each, by="Ada")
        Delivery.objects.filter(pk=first.pk, state="pending").update(**how)
        with pytest.raises(testing.UnfinishedTestError) as refused:
            testing.send_test(each, by="Ada")
        assert (refused.value.code, isinstance(refused.value, ConflictError)) == ("test_under_way", True)
        assert Event.objects.filter(webhook=each).count() == 1
        cancel_delivery(first, by="Ada")
        assert testing.send_test(each, by="Ada").pk != first.pk


@pytest.mark.django_db(transaction=True)
def test_of_several_tests_at_once_one_is_made(webhook: Webhook) -> None:
    results = at_once(*[lambda: testing.send_test(again(webhook), by="Ada")] * 3)
    assert sorted(type(result).__name__ for result in results) == ["Delivery", *["UnfinishedTestError"] * 2]
    assert Delivery.objects.count() == 1


def test_while_all_is_stopped_no_test_is_waited_for(webhook: Webhook) -> None:
    delivery = testing.send_test(webhook, by="Ada")
    stop.stop_outgoing(by="Ada")
    began = time.monotonic()
    assert testing.wait_for_end(delivery, at_most=timedelta(seconds=60)).state == "pending"
    assert time.monotonic() - began < 30


def test_a_test_of_a_webhook_without_url_waits_to_be_pulled(mailbox: Mailbox) -> None:
    delivery = testing.send_test(make_own_webhook(url="", mailbox=mailbox)[0], by="Ada")
    assert (delivery.state, delivery.reason) == ("held", "waits to be pulled: the webhook has no URL")


def test_a_deleted_webhook_is_not_tested(webhook: Webhook) -> None:
    stale = again(webhook)
    webhooks.delete_webhook(webhook)
    with pytest.raises(Exception, match="was deleted"):
        testing.send_test(stale, by="Ada")
    assert not Event.objects.exists()
