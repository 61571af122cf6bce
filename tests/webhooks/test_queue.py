"""Claims, fences and what follows from an answer; no HTTP here."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, OperationalError
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.models import Lease
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from tests.factories import make_alias, make_delivery, make_mailbox, make_webhook
from webhooks import retry
from webhooks.models import Attempt, Delivery, Webhook, WebhookHealth
from webhooks.services import queue, webhooks
from webhooks.services.queue import Claimed, Result, recording, upkeep
from webhooks.transport import Answer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


def answer(status: int | None = 204, **fields: Any) -> Answer:
    return Answer(started_at=datetime.now(UTC), status=status, total_ms=3, **fields)


def claim_one(lease: leases.HeldLease) -> Claimed:
    (claimed,) = queue.claim(lease.id, in_flight={})
    return claimed


def test_a_claim_spends_an_attempt_number_and_nobody_else_gets_the_delivery() -> None:
    webhook = make_webhook()
    delivery = make_delivery(webhook)
    with leases.held("dispatch") as one, leases.held("dispatch") as two:
        claimed = claim_one(one)
        assert (claimed.delivery_id, claimed.n, claimed.url) == (delivery.pk, 1, webhook.url)
        assert claimed.event_id == delivery.event.public_id
        assert claimed.secrets is not None
        (secret,) = claimed.secrets
        assert secret.startswith("whsec_")
        assert claimed.headers == {}
        assert queue.claim(two.id, in_flight={}) == []


def test_only_what_is_due_is_claimed() -> None:
    webhook = make_webhook()
    make_delivery(webhook, due_at=timezone.now() + timedelta(minutes=1))
    make_delivery(webhook, state="delivered")
    make_delivery(webhook, state="held")
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight={}) == []


@pytest.mark.parametrize("end", [webhooks.pause_webhook, webhooks.delete_webhook])
def test_nothing_starts_for_a_webhook_that_is_off(end: Any) -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    end(webhook)
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight={}) == []


def test_a_webhook_gets_no_more_than_its_share_and_the_others_get_theirs() -> None:
    mailbox = make_mailbox()
    noisy, quiet = make_webhook(mailbox=mailbox), make_webhook(mailbox=mailbox)
    for _ in range(queue.MAX_IN_FLIGHT_PER_WEBHOOK + 5):
        make_delivery(noisy)
    late = make_delivery(quiet)
    with leases.held("dispatch") as lease:
        claimed = queue.claim(lease.id, in_flight={})
        assert sum(one.webhook_id == noisy.pk for one in claimed) == queue.MAX_IN_FLIGHT_PER_WEBHOOK
        assert late.pk in {one.delivery_id for one in claimed}
        full = {noisy.pk: queue.MAX_IN_FLIGHT_PER_WEBHOOK}
        assert queue.claim(lease.id, in_flight=full) == []


def test_the_last_quarter_of_the_pool_is_kept_for_new_mail() -> None:
    webhook, other = make_webhook(), uuid4()
    make_delivery(webhook, attempts=5, failures=5)
    fresh = {make_delivery(webhook).pk for _ in range(6)}
    crowded = {other: queue.MAX_IN_FLIGHT - queue.RESERVED}
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight={other: queue.MAX_IN_FLIGHT}) == []
        claimed = {one.delivery_id for one in queue.claim(lease.id, in_flight=crowded)}
        assert len(claimed) == 4
        assert claimed < fresh
        assert queue.claim(lease.id, in_flight=crowded | {webhook.pk: 4}) == []


def test_half_of_that_is_for_webhooks_with_nothing_in_flight() -> None:
    webhook, other = make_webhook(), uuid4()
    fresh, next_one = make_delivery(webhook), make_delivery(webhook)
    crowded = {other: queue.MAX_IN_FLIGHT - queue.RESERVED // 2}
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight=crowded | {webhook.pk: 1}) == []
        assert [one.delivery_id for one in queue.claim(lease.id, in_flight=crowded)] == [fresh.pk]
        assert [one.delivery_id for one in queue.claim(lease.id, in_flight=crowded)] == [next_one.pk]


def test_what_has_ended_leaves_its_place_to_others_before_it_is_written_down() -> None:
    webhook = make_webhook()
    for _ in range(queue.MAX_IN_FLIGHT_PER_WEBHOOK + 5):
        make_delivery(webhook)
    with leases.held("dispatch") as lease:
        first = queue.claim(lease.id, in_flight={})
        under_way, ended = {webhook.pk: len(first) - 3}, {webhook.pk: 3}
        assert queue.claim(lease.id, in_flight=under_way) == []
        assert len(queue.claim(lease.id, in_flight=under_way, ended=ended)) == 3


@pytest.mark.parametrize(("limits", "trouble", "more"), [({"max_in_flight": 2}, {}, 1), ({}, {"cap": 2}, 0)])
def test_of_a_webhook_in_trouble_what_has_ended_is_judged_before_others_begin(
    limits: dict[str, int], trouble: dict[str, int], more: int
) -> None:
    webhook = make_webhook()
    Webhook.objects.update(**{"state": "active"} | limits)
    WebhookHealth.objects.update(**{"cap": None} | trouble)
    for _ in range(5):
        make_delivery(webhook)
    with leases.held("dispatch") as lease:
        assert len(queue.claim(lease.id, in_flight={})) == 2
        assert len(queue.claim(lease.id, in_flight={webhook.pk: 1}, ended={webhook.pk: 1})) == more


def test_a_success_is_the_end_and_is_on_record() -> None:
    delivery = make_delivery(make_webhook())
    with leases.held("dispatch") as lease:
        said = answer(200, peer_ip="127.0.0.1", response_excerpt=b"\xffok\x00")
        queue.record([Result(claim_one(lease), said)], lease.id)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.last_status, delivery.lease_id) == ("delivered", 1, 200, None)
    assert delivery.delivered_at is not None
    attempt = Attempt.objects.get()
    assert (attempt.n, attempt.status, attempt.peer_ip) == (1, 200, "127.0.0.1")
    assert bytes(attempt.response_excerpt) == b"\xffok\x00"


@pytest.mark.parametrize("status", [None, 301, 400, 404, 500, 503])
def test_everything_else_is_tried_again_later(status: int | None) -> None:
    delivery = make_delivery(make_webhook())
    error = "" if status else "connect"
    before = timezone.now()
    with leases.held("dispatch") as lease:
        queue.record([Result(claim_one(lease), answer(status, error=error, detail="why"))], lease.id)
        assert queue.claim(lease.id, in_flight={}) == []
    delivery.refresh_from_db()
    assert (delivery.state, delivery.failures) == ("pending", 1)
    assert (delivery.last_status, delivery.last_error) == (status, error)
    assert delivery.due_at >= before + retry.DELAYS[0]
    assert delivery.reason == "why"


def test_after_the_last_delay_it_has_failed_and_says_so() -> None:
    delivery = make_delivery(make_webhook(), attempts=15, failures=15)
    with leases.held("dispatch") as lease:
        queue.record([Result(claim_one(lease), answer(500))], lease.id)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.reason) == ("failed", 16, "exhausted after 16 attempts")


def test_however_many_webhooks_hang_a_quiet_one_gets_its_turn_at_once() -> None:
    mailbox = make_mailbox()
    noisy = [make_webhook(mailbox=mailbox) for _ in range(queue.MAX_IN_FLIGHT // queue.MAX_IN_FLIGHT_PER_WEBHOOK)]
    for webhook in noisy:
        for _ in range(queue.MAX_IN_FLIGHT_PER_WEBHOOK + 5):
            make_delivery(webhook)
    with leases.held("dispatch") as lease:
        first = queue.claim(lease.id, in_flight={})
        assert len(first) == queue.MAX_IN_FLIGHT - queue.RESERVED
        hanging = dict(Counter(one.webhook_id for one in first))
        assert queue.claim(lease.id, in_flight=hanging) == []
        quiet = make_delivery(make_webhook(mailbox=mailbox))
        assert [one.delivery_id for one in queue.claim(lease.id, in_flight=hanging)] == [quiet.pk]


def test_an_attempt_that_came_back_clears_the_suspicion() -> None:
    delivery = make_delivery(make_webhook(), lease_losses=2)
    with leases.held("dispatch") as lease:
        queue.record([Result(claim_one(lease), answer(None, error="timeout"))], lease.id)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.lease_losses) == ("pending", 0)


def test_410_holds_the_mail_and_turns_the_webhook_off_until_somebody_resumes_it() -> None:
    webhook = make_webhook()
    delivery = make_delivery(webhook)
    with leases.held("dispatch") as lease:
        queue.record([Result(claim_one(lease), answer(410))], lease.id)
    webhook.refresh_from_db()
    delivery.refresh_from_db()
    assert (webhook.state, webhook.state_reason) == ("disabled", "the receiver answered 410 Gone")
    assert (delivery.state, delivery.reason, delivery.last_status) == ("held", "the receiver answered 410 Gone", 410)
    webhooks.resume_webhook(webhook)
    queue.settle()
    delivery.refresh_from_db()
    assert delivery.state == "pending"


def test_a_result_that_comes_after_a_take_over_decides_nothing() -> None:
    delivery = make_delivery(make_webhook())
    with leases.held("dispatch") as late:
        claimed = claim_one(late)
    assert queue.take_over() == 1  # the lease ended without a word about the delivery
    with leases.held("dispatch") as other:
        again = claim_one(other)
        assert again.n == 2
        queue.record([Result(claimed, answer(500))], late.id)
        delivery.refresh_from_db()
        assert (delivery.state, delivery.failures, delivery.lease_id) == ("pending", 0, other.id)
        queue.record([Result(again, answer(204))], other.id)
    delivery.refresh_from_db()
    assert delivery.state == "delivered"
    assert list(Attempt.objects.values_list("n", "error", "status")) == [(1, "lost", None), (2, "", 204)]


def test_a_lost_lease_is_written_down_and_does_not_move_the_schedule() -> None:
    delivery = make_delivery(make_webhook(), attempts=3, failures=3)
    gone = Lease(kind="dispatch", host="gone", pid=1)
    gone.seen_at = Now() - leases.LEASE_FOR - timedelta(seconds=1)  # type: ignore[assignment]
    gone.save()
    Delivery.objects.update(lease_id=gone.pk, attempts=4)
    assert queue.take_over() == 1
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.failures, delivery.lease_losses) == (4, 3, 1)
    assert Attempt.objects.get().error == "lost"


def test_what_a_living_dispatcher_holds_is_not_taken_over() -> None:
    make_delivery(make_webhook())
    with leases.held("dispatch") as lease:
        claim_one(lease)
        assert queue.take_over() == 0


def test_a_delivery_that_took_two_dispatchers_along_runs_with_nothing_beside_it() -> None:
    webhook = make_webhook()
    suspicious = make_delivery(webhook, lease_losses=2)
    innocent = make_delivery(webhook)
    with leases.held("dispatch") as lease:
        assert claim_one(lease).delivery_id == innocent.pk
        assert queue.claim(lease.id, in_flight={webhook.pk: 1}) == []
        claimed = claim_one(lease)
    assert (claimed.delivery_id, claimed.is_suspicious) == (suspicious.pk, True)


def test_what_has_ended_is_written_down_before_a_delivery_runs_alone() -> None:
    webhook = make_webhook()
    make_delivery(webhook, lease_losses=2)
    with leases.held("dispatch") as lease:
        for alone_first in (False, True):
            assert queue.claim(lease.id, in_flight={}, ended={webhook.pk: 1}, alone_first=alone_first) == []
        assert len(queue.claim(lease.id, in_flight={})) == 1


def test_a_delivery_that_has_to_run_alone_does_not_wait_for_ever_for_a_quiet_moment() -> None:
    webhook = make_webhook()
    suspicious = make_delivery(webhook, lease_losses=2)
    make_delivery(webhook)
    assert queue.must_make_way() is False
    Delivery.objects.filter(pk=suspicious.pk).update(due_at=timezone.now() - queue.ALONE_WAITS_FOR)
    assert queue.must_make_way() is True
    with leases.held("dispatch") as lease:
        assert queue.claim(lease.id, in_flight={webhook.pk: 1}, alone_first=True) == []
        (claimed,) = queue.claim(lease.id, in_flight={}, alone_first=True)
    assert claimed.delivery_id == suspicious.pk


def test_pausing_holds_what_waits_and_resuming_makes_it_due() -> None:
    webhook = make_webhook()
    delivery = make_delivery(webhook, due_at=timezone.now() + timedelta(hours=1))
    webhooks.pause_webhook(webhook)
    queue.settle()
    delivery.refresh_from_db()
    assert delivery.state == "held"
    webhooks.resume_webhook(webhook)
    queue.settle()
    delivery.refresh_from_db()
    assert delivery.state == "pending"


def test_deleting_a_webhook_cancels_what_it_had_not_delivered_with_a_reason() -> None:
    webhook = make_webhook()
    done, waiting, held = (make_delivery(webhook, state=state) for state in ("delivered", "pending", "held"))
    webhooks.delete_webhook(webhook)
    late = make_delivery(webhook)  # of a mail that was being processed meanwhile
    queue.settle()
    states = dict(Delivery.objects.values_list("pk", "state"))
    assert states == {done.pk: "delivered", waiting.pk: "canceled", held.pk: "canceled", late.pk: "canceled"}
    reasons = Delivery.objects.filter(state="canceled").values_list("reason", flat=True)
    assert set(reasons) == {queue.DELETED}


@pytest.mark.parametrize("binding", ["alias", "mailbox", "domain"])
def test_deleting_what_a_webhook_is_bound_to_cancels_what_it_had_not_delivered(binding: str) -> None:
    alias = make_alias()
    things: dict[str, Alias | Mailbox | Domain] = {"alias": alias, "mailbox": alias.mailbox, "domain": alias.domain}
    bound = things[binding]
    delivery = make_delivery(make_webhook(**{binding: bound}))
    queue.settle()
    delivery.refresh_from_db()
    assert delivery.state == "pending"
    if isinstance(bound, Alias):
        provision.delete_alias(bound)
    elif isinstance(bound, Mailbox):
        provision.delete_mailbox(bound, with_mail=True)
    else:
        provision.delete_domain(bound, with_mail=True)
    queue.settle()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason) == ("canceled", queue.DELETED)


def test_what_was_held_is_released_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SETTLE_AT_ONCE", 2)
    webhook = make_webhook()
    held = [make_delivery(webhook, state="held").pk for _ in range(3)]
    queue.settle()
    assert list(Delivery.objects.filter(state="pending").order_by("id").values_list("pk", flat=True)) == held[:2]
    with leases.held("dispatch") as lease:
        assert [one.delivery_id for one in queue.claim(lease.id, in_flight={})] == held[:2]


def test_one_answer_that_cannot_be_stored_takes_no_other_along() -> None:
    webhook = make_webhook()
    for _ in range(3):
        make_delivery(webhook)
    with leases.held("dispatch") as lease:
        first, second, third = queue.claim(lease.id, in_flight={})
        poison = answer(204, detail="x\x00" * 10, peer_ip="not an address")
        try:
            queue.record([Result(first, answer()), Result(second, poison), Result(third, answer())], lease.id)
        except OperationalError as error:  # pragma: no cover - would mean a retry for ever
            pytest.fail(str(error))
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_a_secret_that_does_not_open_is_a_failed_attempt_and_not_a_crash() -> None:
    webhook = make_webhook()
    Webhook.objects.update(sealed_secret=b"\x01\x00\x01" + b"0" * 40)
    make_delivery(webhook)
    with leases.held("dispatch") as lease:
        assert claim_one(lease).secrets is None


def test_what_cannot_be_written_down_at_all_is_lost_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    make_delivery(make_webhook())

    def refuse(*_: object) -> None:
        raise DataError("whatever it is")

    with leases.held("dispatch") as lease:
        (one,) = queue.claim(lease.id, in_flight={})
        monkeypatch.setattr(recording, "write_ended", refuse)
        queue.record([queue.Result(one, answer())], lease.id)
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.lease_id, delivery.lease_losses, delivery.failures) == ("pending", None, 1, 0)
        assert delivery.due_at > timezone.now()
        assert list(Attempt.objects.values_list("n", "error")) == [(1, "lost")]


def test_a_few_failures_among_many_successes_open_no_circuit() -> None:
    webhook = make_webhook()
    for said in [204] * 40 + [500] * 10:
        make_delivery(webhook)
        with leases.held("dispatch") as lease:
            queue.record([queue.Result(one, answer(said)) for one in queue.claim(lease.id, in_flight={})], lease.id)
    known = WebhookHealth.objects.get(webhook=webhook)
    assert known.open_until is None
    assert (known.window_results, known.window_failures) == (50, 10)
