"""Who is looked at for the next claim, and that limits hold for all dispatchers together."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emailgistics.common.ids import uuid7
from mailboxes.models import Email
from tests.factories import make_alias, make_mailbox, make_message, make_webhook
from tests.webhooks import answers, invariants
from tests.webhooks.invariants import Dispatcher, answer
from tests.webhooks.rows import make_delivery_in
from webhooks.models import Delivery, Event, EventBody, OutgoingStop, Webhook, WebhookHealth
from webhooks.services import dispatch, queue, stop
from webhooks.services.queue import candidates as looking
from webhooks.services.queue import claiming
from webhooks.services.queue.candidates import FIRST, Candidate, Rotation

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

HOUR = timedelta(hours=1)
bounded = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

webhook_rows = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["active", "active", "paused", "disabled"]),
        "url": st.just(""),
        "is_deleted": st.booleans(),
        "is_moved": st.booleans(),
        "is_of_mailbox": st.booleans(),
        "has_no_health": st.booleans(),
        "max_in_flight": st.integers(1, 20),
        "rate_per_minute": st.integers(1, 100),
        "open_until": st.sampled_from([-HOUR, HOUR]),
        "open_for_s": st.sampled_from([30, 60]),
        "cap": st.integers(1, 4),
    },
)
delivery_rows = st.fixed_dictionaries(
    {"due": st.sampled_from([-3 * HOUR, -HOUR, -HOUR, HOUR])},
    optional={
        "state": st.sampled_from(["pending", "pending", "held", "failed", "delivered", "canceled", "expired"]),
        "is_test": st.booleans(),
        "is_leased": st.booleans(),
        "lease_losses": st.integers(0, 3),
        "attempts": st.integers(0, 5),
    },
)
tables = st.lists(st.tuples(webhook_rows, st.lists(delivery_rows, max_size=6)), max_size=6)


def make_table(table: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    invariants.empty_tables()
    one, two = make_mailbox(address="one@example.com"), make_mailbox(address="two@example.com")
    alias = make_alias(address="alias@example.com", mailbox=one)
    email, number = make_message(to=("one@example.com",)).emails.get(), 0
    for how, rows in table:
        values = {name: how[name] for name in ("state", "url", "max_in_flight", "rate_per_minute") if name in how}
        binding: dict[str, Any] = {"mailbox": one} if "is_of_mailbox" in how else {"alias": alias}
        webhook = make_webhook(**binding)
        if how.get("is_moved") and "alias" in binding:
            values["bound_mailbox"] = two
        if how.get("is_deleted"):
            values["deleted_at"] = timezone.now()
        Webhook.objects.filter(pk=webhook.pk).update(**{"state": "active"} | values)
        health = {name: how[name] for name in ("open_for_s", "cap") if name in how}
        if "open_until" in how:
            health["open_until"] = timezone.now() + how["open_until"]
        WebhookHealth.objects.filter(pk=webhook.pk).update(**{"cap": None} | health)
        if how.get("has_no_health"):
            WebhookHealth.objects.filter(pk=webhook.pk).delete()
        for row in rows:
            number += 1
            make_row(webhook, email, row, number=number)


def make_row(webhook: Webhook, email: Email, row: dict[str, Any], *, number: int) -> None:
    kind = Event.Type.WEBHOOK_TEST if row.get("is_test") else Event.Type.WEBHOOK_DISABLED
    event = Event.objects.create(type=kind, webhook=webhook, created_at=email.received_at)
    values = {name: row[name] for name in ("state", "lease_losses", "attempts", "is_test") if name in row}
    if row.get("is_leased") and row.get("state", "pending") == "pending":
        values["lease_id"] = uuid7()
    due_at = timezone.now() + row["due"] + timedelta(seconds=number)  # each at another moment: their order is certain
    Delivery.objects.create(event=event, webhook=webhook, due_at=due_at, **{"state": "pending"} | values)


def reckoned() -> set[UUID]:
    """Row by row, in Python: the oldest of each webhook, as many as it may have beside what is in flight."""
    in_flight = Counter(Delivery.objects.exclude(lease_id=None).values_list("webhook", flat=True))
    expected = []
    for delivery in Delivery.objects.select_related("webhook__alias", "webhook__health").order_by("due_at"):
        webhook, now = delivery.webhook, timezone.now()
        health = getattr(webhook, "health", None)
        is_free = delivery.state == "pending" and delivery.lease_id is None and delivery.due_at <= now
        if not is_free or delivery.lease_losses >= 2 or health is None or webhook.deleted_at or not webhook.url:
            continue
        is_open = health.open_until is not None and health.open_until > now
        if delivery.is_test:
            expected.append(delivery.pk)
        elif webhook.current_state == "active" and not is_open and in_flight[webhook.pk] < webhook.max_in_flight:
            in_flight[webhook.pk] += 1
            expected.append(delivery.pk)
    return set(expected)


def without_time(found: list[Candidate]) -> set[Candidate]:
    return {one._replace(now=timezone.datetime.min) for one in found}


@bounded
@given(tables, st.booleans())
def test_candidates_are_what_is_due_and_may_go_out(
    table: list[tuple[dict[str, Any], list[dict[str, Any]]]], is_stopped: bool
) -> None:
    make_table(table)
    if is_stopped:
        stop.stop_outgoing(by="ada")
    found = looking.candidates(Rotation())
    tests = {one.id for one in found if one.is_test}
    expected = set() if is_stopped else reckoned()
    expected_tests = set(Delivery.objects.filter(pk__in=expected, is_test=True).values_list("pk", flat=True))
    assert {one.id for one in found} - tests == expected - expected_tests
    assert tests <= expected_tests
    assert len(tests) == min(looking.TESTS_AT_ONCE, len(expected_tests))
    assert len(found) == len({one.id for one in found})
    busy = Counter(Delivery.objects.exclude(lease_id=None).values_list("webhook", flat=True))
    assert {one.in_flight for one in found} <= {busy[one.webhook_id] for one in found}
    assert all(one.in_flight == busy[one.webhook_id] for one in found)


@pytest.mark.on_postgres
@bounded
@given(tables, st.integers(1, 4))
def test_the_one_statement_finds_what_many_small_ones_find(
    table: list[tuple[dict[str, Any], list[dict[str, Any]]]], many: int
) -> None:
    make_table(table)
    Delivery.objects.filter(is_test=True)[: looking.TESTS_AT_ONCE]
    spare = Delivery.objects.filter(is_test=True).values_list("pk", flat=True)[looking.TESTS_AT_ONCE :]
    Delivery.objects.filter(pk__in=list(spare)).update(is_test=False)  # which of more tests come first is open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking, "MANY", many)
        after = FIRST
        for _ in range(4):
            found, last = looking._on_postgres(after, each=queue.MAX_IN_FLIGHT_PER_WEBHOOK)
            plainly, plain_last = looking.one_by_one(after)
            assert without_time(found) == without_time(plainly)
            assert last == plain_last
            after = last


def test_of_each_webhook_the_oldest_come_and_not_more_than_may_be_in_flight() -> None:
    webhook = make_webhook()
    email = make_message().emails.get()
    for number in range(queue.MAX_IN_FLIGHT_PER_WEBHOOK + 3):
        make_row(webhook, email, {"due": -HOUR}, number=number)
    found = [one.id for one in looking.candidates(Rotation())]
    oldest = Delivery.objects.order_by("due_at").values_list("pk", flat=True)
    assert found == list(oldest[: queue.MAX_IN_FLIGHT_PER_WEBHOOK])


def make_waiting(count: int) -> None:
    """So many webhooks that wait for a next attempt in an hour, and stand before whoever is made next."""
    mailbox = make_mailbox()
    first = make_webhook(mailbox=mailbox)
    prototype = Webhook.objects.get(pk=first.pk)
    hooks = []
    for _ in range(count):
        prototype.pk = uuid7()
        hooks.append(Webhook(**{field.attname: getattr(prototype, field.attname) for field in Webhook._meta.fields}))
    Webhook.objects.bulk_create(hooks)
    WebhookHealth.objects.bulk_create(WebhookHealth(webhook=one) for one in hooks)
    event = Event.objects.create(type=Event.Type.WEBHOOK_DISABLED, webhook=first, created_at=timezone.now())
    due_at = timezone.now() + HOUR
    Delivery.objects.bulk_create(
        Delivery(event=event, webhook=one, state="pending", due_at=due_at, attempts=3) for one in hooks
    )


def test_behind_hundreds_of_webhooks_that_wait_for_a_retry_due_mail_is_claimed_at_once() -> None:
    make_waiting(600)
    delivery = make_delivery_in(make_mailbox(address="last@example.com"), make_webhook(mailbox=last_mailbox()))
    claimed = queue.claim(invariants.live_lease(), in_flight={}, rotation=Rotation())
    assert [one.delivery_id for one in claimed] == [delivery.pk]


def test_a_look_costs_no_more_the_more_wait_for_a_retry_and_the_next_goes_on_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "LOOKS", 1)
    make_waiting(300)
    delivery = make_delivery_in(make_mailbox(address="last@example.com"), make_webhook(mailbox=last_mailbox()))
    rotation, lease = Rotation(), invariants.live_lease()
    empty = 300 // looking.MANY
    turns = [queue.claim(lease, in_flight={}, rotation=rotation) for _ in range(empty + 1)]
    assert [[one.delivery_id for one in turn] for turn in turns] == [[]] * empty + [[delivery.pk]]


def test_webhooks_whose_rate_is_spent_take_nobody_elses_place() -> None:
    mailbox = make_mailbox()
    for _ in range(10):
        hook = make_webhook(mailbox=mailbox)
        Webhook.objects.filter(pk=hook.pk).update(rate_per_minute=1)
        WebhookHealth.objects.filter(webhook=hook).update(tokens=0, tokens_at=timezone.now())
        large = make_delivery_in(mailbox, hook, due_at=timezone.now() - HOUR)
        EventBody.objects.filter(pk=large.body_id).update(size=7 * 1024 * 1024)
    healthy = make_delivery_in(mailbox, make_webhook(mailbox=mailbox))
    claimed = queue.claim(invariants.live_lease(), in_flight={}, rotation=Rotation())
    assert [one.delivery_id for one in claimed] == [healthy.pk]


def last_mailbox() -> Any:
    return make_mailbox(address="very.last@example.com")


def test_due_mail_behind_more_webhooks_than_one_run_looks_at_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run goes on where the one before stopped."""
    monkeypatch.setattr(looking, "MANY", 4)
    make_waiting(80)
    with answers.receiver() as there:
        mailbox = last_mailbox()
        delivery = make_delivery_in(mailbox, make_webhook(url=there.url, mailbox=mailbox))
        course = dispatch.Course()  # the engine’s, from run to run
        for _ in range(12):
            dispatch.run_until_idle(idle_for=timedelta(milliseconds=150), course=course)
        assert Delivery.objects.get(pk=delivery.pk).state == "delivered"


@pytest.mark.parametrize("per_minute", [1, 60, 300])
def test_two_dispatchers_together_send_no_more_than_the_rate_allows(per_minute: int) -> None:
    mailbox = make_mailbox()
    webhook = make_webhook(mailbox=mailbox)
    Webhook.objects.update(rate_per_minute=per_minute)
    email = make_message().emails.get()
    for number in range(60):
        make_row(webhook, email, {"due": -HOUR}, number=number)
    both, sent = [Dispatcher(), Dispatcher()], 0
    started, shifted = timezone.now(), timedelta(0)
    for step in range(30):
        for dispatcher in both:
            claimed = dispatcher.claim()
            dispatcher.record(claimed, answer())
            sent += len(claimed)
            elapsed = (timezone.now() - started + shifted).total_seconds()
            assert sent <= max(1, per_minute / 60) + elapsed * per_minute / 60
        span = timedelta(milliseconds=100 + 20 * step)
        shifted += span
        WebhookHealth.objects.update(tokens_at=F("tokens_at") - span)
    elapsed = (timezone.now() - started + shifted).total_seconds()
    assert sent >= min(60, int(0.5 * elapsed * per_minute / 60))


def at_once(work: Callable[[Dispatcher], object], dispatchers: list[Dispatcher]) -> None:
    """Each in a thread of its own, begun at the same moment."""
    begin = Barrier(len(dispatchers))

    def run(dispatcher: Dispatcher) -> None:
        try:
            begin.wait(5)
            work(dispatcher)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(dispatchers)) as pool:
        for done in [pool.submit(run, dispatcher) for dispatcher in dispatchers]:
            done.result(10)


@pytest.mark.parametrize(
    ("webhook_is", "health_is", "at_most"),
    [
        ({"max_in_flight": 3}, {}, 3),
        ({"max_in_flight": 1}, {}, 1),
        ({}, {"cap": 2}, 2),
        ({"max_in_flight": 5}, {"open_for_s": 30, "open_until": timezone.now() - HOUR, "cap": 1}, 1),
        ({"rate_per_minute": 120}, {}, 2),
    ],
)
def test_what_may_be_in_flight_is_exact_for_two_dispatchers_that_claim_at_the_same_moment(
    webhook_is: dict[str, Any], health_is: dict[str, Any], at_most: int
) -> None:
    email, webhook = make_message_of(make_mailbox()), make_webhook(mailbox=make_mailbox(address="w@example.com"))
    for number in range(12):
        make_row(webhook, email, {"due": -HOUR}, number=number)
    both = [Dispatcher(), Dispatcher()]
    for _ in range(8):
        Webhook.objects.update(**{"state": "active"} | webhook_is)
        WebhookHealth.objects.update(**{"cap": None, "tokens": None, "tokens_at": None} | health_is)
        at_once(lambda dispatcher: dispatcher.claim(), both)
        leased = Delivery.objects.exclude(lease_id=None)
        assert leased.count() == at_most
        assert sum(len(dispatcher.under_way) for dispatcher in both) == at_most
        leased.update(lease_id=None, attempts=0)
        for dispatcher in both:
            dispatcher.under_way.clear()


def make_message_of(mailbox: Any) -> Email:
    return make_message(to=(mailbox.address,)).emails.get()


def test_while_all_outgoing_is_stopped_nothing_is_claimed_not_even_a_test_or_what_runs_alone() -> None:
    webhook, email = make_webhook(), make_message().emails.get()
    for number, row in enumerate([{}, {"is_test": True}, {"lease_losses": 2}], start=1):
        make_row(webhook, email, {"due": -HOUR} | row, number=number)
    stop.stop_outgoing(by="ada")
    lease = invariants.live_lease()
    assert queue.claim(lease, in_flight={}) == queue.claim(lease, in_flight={}, alone_first=True) == []
    OutgoingStop.objects.all().delete()
    assert len(queue.claim(lease, in_flight={})) == 2
