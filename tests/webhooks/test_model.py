"""Whatever people, receivers, dispatchers and time do in whatever order: no mail is lost, and none waits for nobody."""

from contextlib import nullcontext, suppress
from copy import copy
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as run
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pytest_django import Settings

from emailgistics.common.errors import DomainError
from mailboxes.models import Email, Message
from mailboxes.services import provision
from tests.factories import make_alias, make_delivery, make_mailbox, make_message, make_webhook
from tests.webhooks import invariants
from tests.webhooks.invariants import Accepted, Dispatcher, answer
from tests.webhooks.rows import move
from webhooks.models import Delivery, Notice, ReplayJob, Webhook, WebhookHealth
from webhooks.services import announce, erase, pull, queue, replay, replay_jobs, retention, stop, testing, webhooks
from webhooks.services.claimed import Claimed
from webhooks.services.queue import Result

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed"), pytest.mark.long]

index = st.integers(0, 11)
slots = st.integers(0, 1)
ANSWERS: dict[str, dict[str, Any]] = {
    "yes": {"status": 204},
    "broken": {"status": 500},
    "busy": {"status": 503, "retry_after": "3600"},
    "refused": {"status": 404},
    "gone": {"status": 410},
    "too large": {"status": 413},
    "timeout": {"status": None, "error": "timeout"},
    "own fault": {"status": None, "error": "proxy"},
}
ADDRESSES = ("one@example.com", "two@example.com", "alias@example.com", "other@example.com", "nobody@example.com")


class Mail(RuleBasedStateMachine):
    """Two mailboxes, two aliases, webhooks of all kinds, two dispatchers."""

    @initialize()
    def begin(self) -> None:
        invariants.empty_tables()
        self.dispatchers = [Dispatcher(), Dispatcher()]
        self.late: list[tuple[UUID, Claimed]] = []  # of dead dispatchers, which may still come back
        self.forgotten: set[tuple[UUID, int]] = set()
        self.told: set[tuple[UUID, UUID]] = set()
        self.accepted: set[Accepted] = set()
        self.counts = invariants.counts()
        self.one, self.two = (make_mailbox(address=address) for address in ADDRESSES[:2])
        self.alias = make_alias(address="alias@example.com", mailbox=self.one)
        self.other = make_alias(address="other@example.com", mailbox=self.two)
        make_webhook(alias=self.alias)
        make_webhook(mailbox=self.one)
        for to in (ADDRESSES[:1], ADDRESSES[2:3], ADDRESSES[:4]):
            self.mail_comes(set(to))
        self.mail_is_processed()

    @rule(
        binding=st.sampled_from(["alias", "other", "one", "two", "domain"]),
        url=st.sampled_from(["http://127.0.0.1:9/", "http://127.0.0.1:9/", ""]),
        how=st.fixed_dictionaries(
            {},
            optional={
                "max_in_flight": st.integers(1, 3),
                "rate_per_minute": st.sampled_from([1, 60]),
                "payload": st.just("metadata"),
            },
        ),
    )
    def add_a_webhook(self, binding: str, url: str, how: dict[str, Any]) -> None:
        thing = self.one.domain if binding == "domain" else getattr(self, binding)
        name = {"alias": "alias", "other": "alias", "one": "mailbox", "two": "mailbox", "domain": "domain"}[binding]
        thing.refresh_from_db()
        with suppress(DomainError):
            webhooks.create_webhook(url=url, **{name: thing}, **how)

    @rule(to=st.sets(st.sampled_from(ADDRESSES), min_size=1, max_size=3))
    def mail_comes(self, to: set[str]) -> None:
        with suppress(DomainError):
            message = make_message(to=tuple(sorted(to)))
            self.accepted |= {(message.pk, address) for address in to}

    @rule(to=st.sets(st.sampled_from(ADDRESSES[:4]), min_size=1, max_size=3))
    def mail_comes_and_is_processed(self, to: set[str]) -> None:
        self.mail_comes(to)
        self.mail_is_processed()

    @rule()
    def mail_is_processed(self) -> None:
        waiting = list(Email.objects.filter(message__state=Message.State.WAITING).select_related("mailbox"))
        for email in waiting:
            self.told |= invariants.expected_of(email)
        invariants.process_waiting()

    @rule(slot=slots)
    def claim(self, slot: int) -> None:
        self.dispatchers[slot].claim()

    @rule(slot=slots, how=st.sampled_from(sorted(ANSWERS)), at_most=st.integers(1, 12))
    def requests_end(self, slot: int, how: str, at_most: int) -> None:
        dispatcher = self.dispatchers[slot]
        ended = dispatcher.under_way[:at_most]
        dispatcher.record(ended, answer(**ANSWERS[how]))
        self.are_forgotten(ended, how)

    @rule(slot=slots)
    def claim_and_deliver(self, slot: int) -> None:
        dispatcher = self.dispatchers[slot]
        dispatcher.record(dispatcher.claim(), answer())

    @rule(slot=slots, how=st.sampled_from(sorted(ANSWERS)))
    def claim_and_be_answered(self, slot: int, how: str) -> None:
        self.dispatchers[slot].claim()
        self.requests_end(slot, how, 12)

    @rule(slot=slots)
    def claim_and_be_taken_over(self, slot: int) -> None:
        self.dispatchers[slot].claim()
        self.dispatcher_dies(slot)
        self.take_over()

    @rule(slot=slots)
    def dispatcher_dies(self, slot: int) -> None:
        dead = self.dispatchers[slot]
        dead.die()
        self.late += [(dead.lease, one) for one in dead.under_way]
        # what was taken from it is nobody's by now: if it does not come back, nobody writes that number down
        kept = set(Delivery.objects.filter(lease_id=dead.lease).values_list("pk", flat=True))
        self.forgotten |= {(one.delivery_id, one.n) for one in dead.under_way if one.delivery_id not in kept}
        self.dispatchers[slot] = Dispatcher()

    @precondition(lambda self: self.late)
    @rule(how=st.sampled_from(sorted(ANSWERS)), which=index)
    def dead_dispatcher_comes_back(self, how: str, which: int) -> None:
        lease, claimed = self.late.pop(which % len(self.late))
        queue.record([Result(claimed, answer(**ANSWERS[how]))], lease)
        self.are_forgotten([claimed], how)

    @rule()
    def take_over(self) -> None:
        queue.take_over()

    @rule()
    def settle(self) -> None:
        queue.settle()

    @rule(which=index)
    def pause(self, which: int) -> None:
        for webhook in self.webhook(which):
            webhooks.pause_webhook(webhook, reason="by hand")

    @rule(which=index)
    def pause_and_hold(self, which: int) -> None:
        self.pause(which)
        self.settle()

    @rule(which=index)
    def resume(self, which: int) -> None:
        for webhook in self.webhook(which):
            webhooks.resume_webhook(webhook)

    @rule(which=index)
    def delete_webhook(self, which: int) -> None:
        for webhook in self.webhook(which):
            webhooks.delete_webhook(webhook)

    @rule(which=index, url=st.sampled_from(["", "http://127.0.0.1:9/", "http://127.0.0.1:9/elsewhere"]))
    def change_url(self, which: int, url: str) -> None:
        for webhook in self.webhook(which):
            webhooks.update_webhook(webhook, url=url)

    @rule(where=st.sampled_from(["one", "two"]))
    def move_alias(self, where: str) -> None:
        with suppress(DomainError):
            move(self.alias, getattr(self, where))

    @rule(is_active=st.booleans())
    def switch_domain(self, is_active: bool) -> None:
        provision.update_domain(self.one.domain, is_active=is_active)

    @rule()
    def delete_alias(self) -> None:
        with suppress(DomainError):
            provision.delete_alias(self.other)

    @rule(which=index)
    def replay_one(self, which: int) -> None:
        with suppress(DomainError):
            for delivery in self.delivery(which):
                replay.replay_delivery(delivery, by="ada")

    @rule(which=index)
    def replay_email(self, which: int) -> None:
        emails = list(Email.objects.filter(status=Email.Status.PROCESSED).order_by("id"))
        if emails:
            email = emails[which % len(emails)]
            wanting = {(email.pk, webhook.pk) for webhook in replay.wanting(email, Webhook.objects.all())}
            replay.replay_email(email, by="ada", webhooks=Webhook.objects.all())
            self.told |= wanting

    @rule(which=index, of_state=st.sampled_from(replay_jobs.OF_STATES))
    def replay_a_range(self, which: int, of_state: str) -> None:
        since, until = timezone.now() - timedelta(days=1), timezone.now() + timedelta(days=1)
        for webhook in self.webhook(which):
            with suppress(DomainError):
                replay_jobs.start_replay(
                    webhook, since=since, until=until, of_state=of_state, by="ada", rate_per_minute=12
                )

    @rule()
    def work_replays(self) -> None:
        replay_jobs.work_replays()

    @rule()
    def cancel_replays(self) -> None:
        for job in ReplayJob.objects.filter(state=ReplayJob.State.RUNNING):
            replay_jobs.cancel_replay(job, by="ada")

    @rule(which=index)
    def erase(self, which: int) -> None:
        emails = list(Email.objects.order_by("id").values_list("pk", flat=True))
        if emails:
            erase.erase_email(emails[which % len(emails)], by="grace")

    @rule(which=index)
    def cancel(self, which: int) -> None:
        for delivery in self.delivery(which):
            before = copy(delivery)  # canceling it reads it again
            with suppress(DomainError):
                replay.cancel_delivery(delivery, by="ada")
                self.is_taken_away(before)

    @rule(which=index)
    def retry_now(self, which: int) -> None:
        for delivery in self.delivery(which):
            with suppress(DomainError):
                replay.retry_now(delivery)

    @rule(which=index, limit=st.integers(1, 5))
    def pull_and_acknowledge(self, which: int, limit: int) -> None:
        for webhook in self.webhook(which):
            pulled = [one.delivery_id for one in pull.pull(webhook, after=0, limit=limit)]
            before = list(Delivery.objects.filter(pk__in=pulled))
            assert pull.acknowledge(webhook, pulled, by="ada") == len(pulled)
            for delivery in before:
                self.is_taken_away(delivery)

    @rule(which=index)
    def send_a_test(self, which: int) -> None:
        for webhook in self.webhook(which):
            # one that waited to be pulled, before the webhook had a URL, keeps back no other
            states = [Delivery.State.PENDING] if webhook.url else invariants.UNFINISHED
            unfinished = webhook.deliveries.filter(is_test=True, state__in=states).exists()
            with pytest.raises(testing.UnfinishedTestError) if unfinished else nullcontext():
                testing.send_test(webhook, by="ada")

    @rule()
    def stop_all(self) -> None:
        stop.stop_outgoing(by="ada")

    @rule()
    def start_all(self) -> None:
        stop.start_outgoing(by="ada")

    @rule(seconds=st.sampled_from([1, 31, 3600, 24 * 3600, 8 * 24 * 3600]))
    def time_passes(self, seconds: int) -> None:
        invariants.let_time_pass(timedelta(seconds=seconds))

    @invariant()
    def nothing_is_lost(self) -> None:
        now = invariants.counts()
        invariants.check_counts(self.counts, now)
        self.counts = now
        invariants.check(forgotten=self.forgotten | {(one.delivery_id, one.n) for one in self.under_way()})
        invariants.check_told(self.told)
        invariants.check_accepted(self.accepted)
        leases = {dispatcher.lease for dispatcher in self.dispatchers} | {lease for lease, _ in self.late}
        held = Delivery.objects.filter(lease_id__isnull=False).values_list("lease_id", flat=True)
        assert set(held) <= leases

    def teardown(self) -> None:
        if not hasattr(self, "told"):
            return
        self.mail_is_processed()
        for dispatcher in self.dispatchers:
            self.forgotten |= {(one.delivery_id, one.n) for one in dispatcher.under_way}
        invariants.finish()
        invariants.check(forgotten=self.forgotten)
        invariants.check_told(self.told)
        invariants.check_accepted(self.accepted)

    def under_way(self) -> list[Claimed]:
        return [one for dispatcher in self.dispatchers for one in dispatcher.under_way]

    def are_forgotten(self, ended: list[Claimed], how: str) -> None:
        """No request was made, so none is on record; and the number is not handed back where it means nothing more."""
        if how == "own fault":
            taken = set(Delivery.objects.filter(is_test=False, state="pending").values_list("pk", flat=True))
            self.forgotten |= {(one.delivery_id, one.n) for one in ended if one.is_test or one.delivery_id not in taken}

    def is_taken_away(self, delivery: Delivery) -> None:
        """Its number is written down by whoever was sending it, if he comes back."""
        if delivery.lease_id is not None and delivery.lease_id not in {one.lease for one in self.dispatchers}:
            self.forgotten.add((delivery.pk, delivery.attempts))

    def webhook(self, which: int) -> list[Webhook]:
        there = list(Webhook.objects.live().select_related("alias").order_by("id"))
        return [there[which % len(there)]] if there else []

    def delivery(self, which: int) -> list[Delivery]:
        there = list(Delivery.objects.order_by("id"))
        return [there[which % len(there)]] if there else []


def test_nothing_is_lost_whatever_happens_in_whatever_order() -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Mail,
        settings=run(max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)),
    )


def test_a_webhook_that_answers_413_to_what_has_no_smaller_form_waits_as_after_any_failure() -> None:
    mailbox = make_mailbox()
    webhook, other = make_webhook(mailbox=mailbox), make_webhook(mailbox=mailbox)
    announce.disable(other.pk, reason="for the test")
    dispatcher = Dispatcher()
    for _ in range(3):
        dispatcher.record(dispatcher.claim(), answer(413))
    delivery = Delivery.objects.get(webhook=webhook)
    assert (delivery.attempts, delivery.failures) == (1, 1)
    assert delivery.due_at > timezone.now()


def test_a_test_whose_dispatchers_were_lost_is_tried_again_or_ends_though_its_webhook_is_paused() -> None:
    webhook = make_webhook()
    webhooks.pause_webhook(webhook)
    delivery = testing.send_test(webhook, by="ada")
    for _ in range(6):
        dispatcher = Dispatcher()
        dispatcher.claim()
        dispatcher.die()
        queue.take_over()
        queue.settle()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.last_error) == ("failed", "quarantined")


def test_what_is_replayed_after_it_has_expired_is_sent_and_does_not_expire_again_at_once(settings: Settings) -> None:
    webhook = make_webhook()
    delivery = make_delivery(webhook)
    held_for = timedelta(days=settings.WEBHOOK_HELD_DAYS)
    Delivery.objects.update(created_at=timezone.now() - held_for - timedelta(days=1))
    Notice.objects.create(webhook=webhook, kind=Notice.Kind.EXPIRING, at=timezone.now() - timedelta(days=8))
    retention.prune()
    delivery.refresh_from_db()
    assert delivery.state == "expired"
    replay.replay_delivery(delivery, by="ada")
    retention.prune()
    delivery.refresh_from_db()
    assert delivery.state == "pending"


def test_a_success_that_was_begun_before_a_failure_and_ends_after_it_ends_the_way_to_being_disabled() -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    make_delivery(webhook)
    dispatcher = Dispatcher()
    first, second = dispatcher.claim()
    dispatcher.record([first], answer(500))
    dispatcher.record([second], answer(204))
    assert WebhookHealth.objects.get(webhook=webhook).failing_since is None


def test_half_of_many_requests_that_ended_together_do_not_open_the_circuit() -> None:
    webhook = make_webhook()
    for _ in range(20):
        make_delivery(webhook)
    dispatcher = Dispatcher()
    results = [Result(one, answer(500 if number % 2 else 204)) for number, one in enumerate(dispatcher.claim())]
    queue.record(results, dispatcher.lease)
    assert WebhookHealth.objects.get(webhook=webhook).open_until is None
