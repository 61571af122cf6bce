"""Whatever people, receivers, dispatchers and time do in whatever order: no mail is lost, and none waits for nobody."""

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from emailgistics.common.errors import DomainError
from mailboxes.models import Email, Message
from mailboxes.services import provision
from tests.factories import make_alias, make_mailbox, make_message, make_webhook
from tests.webhooks import invariants
from tests.webhooks.invariants import Dispatcher, answer
from tests.webhooks.rows import move
from webhooks.models import Delivery, ReplayJob, Webhook
from webhooks.services import pull, queue, replay, replay_jobs, stop, testing, webhooks
from webhooks.services.claimed import Claimed
from webhooks.services.queue import Result

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

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
        self.counts = invariants.counts()
        self.one, self.two = (make_mailbox(address=address) for address in ADDRESSES[:2])
        self.alias = make_alias(address="alias@example.com", mailbox=self.one)
        self.other = make_alias(address="other@example.com", mailbox=self.two)
        make_webhook(alias=self.alias)
        make_webhook(mailbox=self.one)

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
            make_message(to=tuple(sorted(to)))

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
        dispatcher.record(dispatcher.under_way[:at_most], answer(**ANSWERS[how]))

    @rule(slot=slots)
    def claim_and_deliver(self, slot: int) -> None:
        dispatcher = self.dispatchers[slot]
        dispatcher.record(dispatcher.claim(), answer())

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
    def cancel(self, which: int) -> None:
        for delivery in self.delivery(which):
            with suppress(DomainError):
                replay.cancel_delivery(delivery, by="ada")
                self.is_taken_away(delivery)

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

    def under_way(self) -> list[Claimed]:
        return [one for dispatcher in self.dispatchers for one in dispatcher.under_way]

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
        settings=settings(
            max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
