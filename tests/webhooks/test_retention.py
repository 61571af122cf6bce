"""What is no longer kept, and what is whatever its age."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import leases
from mailboxes.services import provision
from tests.factories import make_delivery, make_mailbox, make_webhook
from tests.webhooks.rows import make_delivery_in
from webhooks.models import MAILBOX_DELETED, Attempt, Delivery, Event, EventBody, Notice
from webhooks.services import queue, replay, retention, webhooks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed", "days")]


@pytest.fixture
def days(settings: Settings) -> None:
    settings.WEBHOOK_LOG_DAYS, settings.WEBHOOK_BODY_DAYS, settings.WEBHOOK_HELD_DAYS = 10, 20, 30


def age(delivery: Delivery, days: float) -> Delivery:
    then = timezone.now() - timedelta(days=days)
    Delivery.objects.filter(pk=delivery.pk).update(created_at=then, last_attempt_at=then)
    Event.objects.filter(pk=delivery.event_id).update(created_at=then)
    return delivery


def prune_all() -> None:
    while retention.prune():
        pass


def test_records_of_attempts_go_after_their_days_and_the_delivery_stays() -> None:
    delivery = make_delivery(make_webhook(), state="delivered")
    for n, days in ((1, 10.1), (2, 9.9)):
        Attempt.objects.create(delivery=delivery, n=n, started_at=timezone.now() - timedelta(days=days))
    prune_all()
    assert list(Attempt.objects.values_list("n", flat=True)) == [2]
    assert Delivery.objects.count() == 1


def test_notices_go_after_the_days_that_mail_is_held_and_younger_ones_stay() -> None:
    webhook = make_webhook()
    for days in (30.1, 29.9):
        Notice.objects.create(webhook=webhook, kind="failing", text=str(days), at=timezone.now() - timedelta(days=days))
    prune_all()
    assert list(Notice.objects.values_list("text", flat=True)) == ["29.9"]


def test_octets_go_when_everything_about_them_has_ended_and_not_before() -> None:
    mailbox = make_mailbox()
    hook = make_webhook(mailbox=mailbox)
    ended = age(make_delivery(hook, state="delivered"), 21)
    fresh = age(make_delivery(hook, state="delivered"), 19)
    held = age(make_delivery(hook, state="held"), 21)
    waiting = age(make_delivery(hook), 21)
    replayed = age(make_delivery(hook, state="failed"), 21)
    Delivery.objects.filter(pk=replayed.pk).update(last_attempt_at=timezone.now())
    prune_all()
    kept = set(Delivery.objects.exclude(body=None).values_list("pk", flat=True))
    assert kept == {fresh.pk, held.pk, waiting.pk, replayed.pk}
    assert EventBody.objects.count() == 4
    ended.refresh_from_db()
    assert (ended.state, ended.body) == ("delivered", None)


def test_octets_that_another_webhook_still_waits_for_stay() -> None:
    mailbox = make_mailbox()
    done = age(make_delivery(make_webhook(mailbox=mailbox), state="delivered"), 21)
    Delivery.objects.create(
        event=done.event,
        body=done.body,
        webhook=make_webhook(mailbox=mailbox),
        state="pending",
        due_at=timezone.now() + timedelta(days=1),
    )
    prune_all()
    assert EventBody.objects.count() == 1


def test_what_is_held_expires_only_a_week_after_its_owner_was_told() -> None:
    webhook = make_webhook()
    webhooks.pause_webhook(webhook)
    old = age(make_delivery(webhook, state="held"), 31)
    young = age(make_delivery(webhook, state="held"), 22)
    prune_all()
    notice = Notice.objects.get()
    assert (notice.webhook, notice.kind) == (webhook, "expiring")
    assert set(Delivery.objects.values_list("state", flat=True)) == {"held"}
    Notice.objects.update(at=timezone.now() - timedelta(days=7, minutes=1))
    prune_all()
    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.state, old.reason, young.state) == ("expired", retention.EXPIRED, "held")


def test_a_notice_from_before_the_mail_came_does_not_count() -> None:
    webhook = make_webhook()
    Notice.objects.create(webhook=webhook, kind="expiring", text="long ago", at=timezone.now() - timedelta(days=200))
    age(make_delivery(webhook, state="held"), 31)
    prune_all()
    assert Delivery.objects.get().state == "held"
    assert Notice.objects.get().text != "long ago"


def test_nothing_young_is_told_of_or_pruned() -> None:
    delivery = make_delivery(make_webhook(), state="held")
    Attempt.objects.create(delivery=delivery, n=1, started_at=timezone.now())
    assert retention.prune() == 0
    assert (Attempt.objects.count(), EventBody.objects.count(), Notice.objects.count()) == (1, 1, 0)


def test_mail_of_a_deleted_mailbox_goes_to_nobody_also_not_to_a_webhook_of_the_domain() -> None:
    mailbox = make_mailbox(address="sales@example.com")
    webhook = make_webhook(domain=mailbox.domain)
    due, held = make_delivery_in(mailbox, webhook), make_delivery_in(mailbox, webhook, state="held")
    provision.delete_mailbox(mailbox, with_mail=True)
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight={}) == []
    prune_all()
    for delivery in (due, held):
        delivery.refresh_from_db()
        assert (delivery.state, delivery.reason, delivery.attempts) == ("canceled", MAILBOX_DELETED, 0)


def test_a_replay_begins_to_wait_anew() -> None:
    webhook = make_webhook()
    delivery = age(make_delivery(webhook, state="expired"), 200)
    Notice.objects.create(webhook=webhook, kind="expiring", text="then", at=timezone.now() - timedelta(days=100))
    replay.replay_delivery(delivery, by="Ada")
    prune_all()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.generation) == ("pending", 2)
