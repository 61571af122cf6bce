"""What goes on beside the sending, what a fault in it may not do, and what is said of an endpoint that has moved."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError
from django.utils import timezone

from emailgistics.common import leases
from mailboxes.models import Alias, Domain
from mailboxes.services import provision
from tests.factories import make_alias, make_delivery, make_mailbox, make_webhook
from tests.webhooks import answers, invariants
from tests.webhooks.rows import make_delivery_in
from webhooks.models import DELETED, Attempt, Delivery, Webhook, WebhookHealth
from webhooks.services import dispatch, pull, queue, retention, webhooks
from webhooks.services.queue import Result, upkeep
from webhooks.transport import Answer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

SOON = timedelta(milliseconds=200)


def said(status: int | None, **fields: Any) -> Answer:
    return Answer(started_at=datetime.now(UTC), status=status, **fields)


def test_a_fault_in_the_upkeep_stops_neither_the_sending_nor_loses_what_was_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise IntegrityError("as if somebody had deleted what we were about to write")

    monkeypatch.setattr(dispatch, "work_replays", broken)
    monkeypatch.setattr(dispatch, "SETTLE_EVERY", timedelta(0))
    with answers.receiver() as there:
        webhook = make_webhook(url=there.url)
        for _ in range(5):
            make_delivery(webhook)
        dispatch.run_until_idle(idle_for=SOON)
        assert len(there.received) == 5
    assert set(Delivery.objects.values_list("state", "lease_losses")) == {("delivered", 0)}


def test_a_fault_in_a_claim_ends_the_run_and_what_is_in_flight_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, claims = queue.claim, []

    def broken_later(*arguments: Any, **options: Any) -> Any:
        claims.append(1)
        if len(claims) > 1:
            raise IntegrityError("a fault of ours")
        return claim(*arguments, **options)

    monkeypatch.setattr(queue, "claim", broken_later)
    with answers.receiver(answers.slowly(0.3)) as there:
        webhook = make_webhook(url=there.url)
        for _ in range(3):
            make_delivery(webhook)
        dispatch.run_until_idle(idle_for=SOON)
        assert len(there.received) == 3
    assert set(Delivery.objects.values_list("state", "lease_losses")) == {("delivered", 0)}
    assert set(Attempt.objects.values_list("n", "status")) == {(1, 200)}


def test_what_is_too_old_is_pruned_also_while_there_is_always_something_to_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pruned: list[int] = []
    monkeypatch.setattr(retention, "prune", lambda: pruned.append(1) or 0)
    course = dispatch.Course()
    course.keep_up(all_of_it=True)
    course.keep_up()
    assert len(pruned) == 1  # and again after PRUNE_EVERY
    monkeypatch.setattr(dispatch, "PRUNE_EVERY", timedelta(0))
    busy = dispatch.Course()
    with answers.receiver(answers.slowly(1.5)) as there:
        make_delivery(make_webhook(url=there.url))
        dispatch.run_until_idle(idle_for=SOON, course=busy)
    assert len(pruned) > 2


def test_a_410_from_the_url_before_says_nothing_of_the_new_one() -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    with leases.held("dispatch") as lease:
        (claimed,) = queue.claim(lease.id, in_flight={})
        webhooks.update_webhook(webhook, url="http://127.0.0.1:9/repaired")
        queue.record([Result(claimed, said(410))], lease.id)
    webhook.refresh_from_db()
    assert (webhook.state, webhook.state_reason) == ("active", "")


def test_a_413_from_the_url_before_says_nothing_of_the_new_one() -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    with leases.held("dispatch") as lease:
        (claimed,) = queue.claim(lease.id, in_flight={})
        webhooks.update_webhook(webhook, url="http://127.0.0.1:9/repaired")
        queue.record([Result(claimed, said(413))], lease.id)
    webhook.refresh_from_db()
    assert webhook.thinned_at is None


def test_another_url_begins_with_a_clean_slate() -> None:
    webhook = make_webhook()
    later = timezone.now() + timedelta(minutes=15)
    WebhookHealth.objects.update(open_until=later, open_for_s=900, failures=19, failing_since=timezone.now())
    delivery = make_delivery(webhook)
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight={}) == []
        webhooks.update_webhook(webhook, url="http://127.0.0.1:9/repaired")
        assert [one.delivery_id for one in queue.claim(lease.id, in_flight={})] == [delivery.pk]
    health = WebhookHealth.objects.get()
    assert (health.failures, health.failing_since, health.open_for_s) == (0, None, 0)


@pytest.mark.parametrize("what", ["alias", "domain"])
def test_nothing_goes_out_for_a_webhook_whose_alias_or_domain_was_deleted(what: str) -> None:
    alias = make_alias()
    bound: Alias | Domain = alias if what == "alias" else alias.domain
    other = make_mailbox(address="other@example.net") if what == "domain" else alias.mailbox
    delivery = make_delivery_in(other, make_webhook(**{what: bound}))
    if isinstance(bound, Alias):
        provision.delete_alias(bound)
    else:
        provision.delete_domain(bound, with_mail=True)
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight={}) == []
    queue.settle()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason, delivery.attempts) == ("canceled", DELETED, 0)


def test_pulling_and_writing_down_an_answer_wait_for_each_other_in_no_circle() -> None:
    webhook = make_webhook()
    for _ in range(20):
        make_delivery(webhook)
    failures: list[Exception] = []

    def guarded(work: Any) -> None:
        try:
            work()
        except (OperationalError, AssertionError) as error:
            failures.append(error)
        finally:
            from django.db import connection

            connection.close()

    def record_all() -> None:
        lease = invariants.live_lease()
        while claimed := queue.claim(lease, in_flight={}):
            queue.record([Result(one, said(413)) for one in claimed], lease)
            Delivery.objects.filter(state="pending").update(due_at=timezone.now() + timedelta(hours=1))

    def pull_all() -> None:
        for _ in range(20):
            pull.pull(webhook, after=0, limit=3)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (record_all, pull_all)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_what_waits_for_a_week_is_held_and_looked_at_again_after_a_day() -> None:
    webhook = make_webhook()
    long_ago = timezone.now() - timedelta(days=7, minutes=1)
    delivery = make_delivery(webhook, due_at=long_ago)
    Delivery.objects.update(created_at=long_ago)
    fresh = make_delivery(webhook, due_at=long_ago)  # resumed a moment ago
    assert upkeep.hold_what_waits_too_long() == 1
    queue.settle()
    states = dict(Delivery.objects.values_list("pk", "state"))
    assert states == {delivery.pk: "held", fresh.pk: "pending"}
    Delivery.objects.filter(pk=delivery.pk).update(deferred_since=timezone.now() - timedelta(days=1, minutes=1))
    queue.settle()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason, delivery.due_at) == ("pending", "", long_ago)
    assert upkeep.hold_what_waits_too_long() == 0  # the week begins anew


def test_settling_goes_from_webhook_to_webhook_and_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "WEBHOOKS_AT_ONCE", 2)
    mailbox = make_mailbox()
    hooks = [make_webhook(mailbox=mailbox) for _ in range(5)]
    for webhook in hooks:
        make_delivery(webhook)
    Webhook.objects.update(state="paused")
    after, looks = queue.FIRST, []
    for _ in range(3):
        after = queue.settle(after)
        looks.append(Delivery.objects.filter(state="held").count())
    assert (looks, after) == ([2, 4, 5], queue.FIRST)
