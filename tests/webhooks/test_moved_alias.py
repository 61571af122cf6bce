"""An alias that leads to another mailbox: its webhooks stop at once, and whose mail goes where afterwards."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from emailgistics.common import leases
from mailboxes.models import Alias, Mailbox
from mailboxes.services import process
from tests.factories import make_alias, make_mailbox, make_message
from tests.webhooks.rows import again, make_delivery_in, make_own_webhook, move, states
from webhooks.models import MOVED, OTHER_MAILBOX, Delivery, Webhook, WebhookHealth
from webhooks.services import queue, webhooks
from webhooks.services.claimed import Claimed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

ELSEWHERE = "http://127.0.0.1:10/mine"


@pytest.fixture
def old() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def new() -> Mailbox:
    return make_mailbox(address="sales@example.com")


@pytest.fixture
def alias(old: Mailbox) -> Alias:
    return make_alias(mailbox=old)


@pytest.fixture
def webhook(alias: Alias) -> Webhook:
    return make_own_webhook(alias=alias)[0]


def claim() -> list[Claimed]:
    """What a dispatcher would begin now; it ends at once, and its attempts are lost."""
    with leases.held("dispatch") as lease:
        claimed = queue.claim(lease.id, in_flight={})
    queue.take_over()
    return claimed


def going_out() -> list[Any]:
    queue.settle()
    WebhookHealth.objects.update(cap=None)  # resumed long ago
    return [one.delivery_id for one in claim()]


@contextmanager
def just_before_writing(table: str, act: Callable[[], object]) -> Iterator[None]:
    """Something that happens in between: right before the first statement that changes rows of the table."""
    left = [act]

    def wrapper(execute: Any, statement: str, *rest: Any) -> Any:
        if left and re.search(rf'UPDATE "?{table}\b', statement):
            left.pop()()
        return execute(statement, *rest)

    with connection.execute_wrapper(wrapper):
        yield
    assert not left


def test_it_counts_as_paused_at_once_and_settling_writes_that_down(
    alias: Alias, new: Mailbox, webhook: Webhook
) -> None:
    assert (webhook.is_moved, webhook.current_state, webhook.current_state_reason) == (False, "active", "")
    move(alias, new)
    queue.settle()
    seen = again(webhook)
    assert (seen.state, seen.state_reason, seen.current_state, seen.current_state_reason) == (
        "paused", MOVED, "paused", MOVED,
    )  # fmt: skip


def test_who_paused_it_is_told_beside_the_move(alias: Alias, new: Mailbox, webhook: Webhook) -> None:
    webhooks.pause_webhook(webhook, reason="for a while")
    move(alias, new)
    queue.settle()
    assert again(webhook).current_state_reason == f"for a while; {MOVED}"


def test_a_list_asks_no_more_for_each(
    alias: Alias, new: Mailbox, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        make_own_webhook(alias=alias)
    move(alias, new)
    with django_assert_num_queries(1):
        listed = list(Webhook.objects.select_related("alias"))
        assert [one.current_state for one in listed] == ["paused"] * 3


def test_nothing_starts_after_the_move(alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook) -> None:
    waiting = make_delivery_in(old, webhook)
    other, _ = make_own_webhook(mailbox=old)
    bystander = make_delivery_in(old, other)
    move(alias, new)
    assert [one.delivery_id for one in claim()] == [bystander.pk]
    queue.settle()
    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempts) == ("held", 0)


def test_mail_that_comes_after_the_move_is_held(alias: Alias, new: Mailbox, webhook: Webhook) -> None:
    move(alias, new)
    make_message(to=("help@example.com",))
    process.drain(linger=timedelta(0))
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason, delivery.webhook_id) == ("held", "the webhook is paused", webhook.pk)


def test_a_move_between_choosing_a_delivery_and_reading_its_webhook_gives_it_back(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    delivery = make_delivery_in(old, webhook, attempts=2, failures=2)
    bystander = make_delivery_in(old, make_own_webhook(mailbox=old)[0])
    with just_before_writing("webhooks_delivery", lambda: move(alias, new)):
        assert [one.delivery_id for one in claim()] == [bystander.pk]
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason, delivery.attempts, delivery.failures, delivery.lease_id) == (
        "held", "the webhook is paused", 2, 2, None,
    )  # fmt: skip
    assert not delivery.attempt_log.exists()


def test_pointing_it_elsewhere_between_choosing_and_reading_sends_no_old_mail_there(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    move(alias, new)
    webhooks.resume_webhook(again(webhook))
    delivery = make_delivery_in(old, webhook)
    with just_before_writing("webhooks_delivery", lambda: webhooks.update_webhook(again(webhook), url=ELSEWHERE)):
        assert claim() == []
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason, delivery.attempts) == ("held", OTHER_MAILBOX, 0)


def test_resuming_confirms_and_the_mail_from_before_goes_to_the_same_endpoint(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    before = make_delivery_in(old, webhook)
    move(alias, new)
    queue.settle()
    after = make_delivery_in(new, webhook, state="held")
    assert going_out() == []
    webhooks.resume_webhook(again(webhook))
    seen = again(webhook)
    assert (seen.current_state, seen.state_reason, seen.bound_mailbox_id) == ("active", "", new.pk)
    assert going_out() == [before.pk, after.pk]


AIMED = [{"url": ELSEWHERE}, {"url": "http://127.0.0.1:9/other"}, {"headers": {"X-To": "me"}}]


@pytest.mark.parametrize("change", AIMED)
@pytest.mark.parametrize("is_resumed_first", [True, False])
def test_who_gets_the_alias_cannot_point_the_mail_from_before_at_himself(
    change: dict[str, Any], is_resumed_first: bool, alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    before = make_delivery_in(old, webhook)
    move(alias, new)
    after = make_delivery_in(new, webhook)
    if is_resumed_first:
        webhooks.resume_webhook(again(webhook))
        webhooks.update_webhook(again(webhook), **change)
    else:
        webhooks.update_webhook(again(webhook), **change)
        webhooks.resume_webhook(again(webhook))
    late = make_delivery_in(old, webhook)  # of a mail that was being processed meanwhile
    assert set(going_out()) <= {after.pk}
    queue.settle()  # does not let go of it again
    assert states() == {before.pk: "held", late.pk: "held", after.pk: "pending"}
    assert set(Delivery.objects.filter(state="held").values_list("reason", flat=True)) == {OTHER_MAILBOX}
    # nothing is lost: when the alias comes back, and somebody who may see that mailbox says so, it goes out
    move(alias, old)
    webhooks.resume_webhook(again(webhook))
    assert {before.pk, late.pk} <= set(going_out())


def test_a_change_that_changes_nothing_holds_nothing_back(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    webhooks.update_webhook(webhook, headers={"X-A": "1"})
    before = make_delivery_in(old, webhook)
    move(alias, new)
    webhooks.resume_webhook(again(webhook))
    webhooks.update_webhook(again(webhook), url=webhook.url, headers={"X-A": None}, description="new")
    assert going_out() == [before.pk]


def test_a_change_while_it_is_moved_keeps_it_off_though_the_alias_comes_back(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    waiting = make_delivery_in(old, webhook)
    for change in (
        lambda: webhooks.update_webhook(again(webhook), url=ELSEWHERE),
        lambda: webhooks.rotate_secret(again(webhook)),
    ):
        move(alias, new)
        change()
        move(alias, old)
        seen = again(webhook)
        assert (seen.is_moved, seen.current_state, seen.state_reason) == (False, "paused", MOVED)
        assert going_out() == []
        webhooks.resume_webhook(seen)
    assert going_out() == [waiting.pk]


def test_mail_of_a_mailbox_that_nobody_confirmed_is_held_though_the_alias_comes_back(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    ours = make_delivery_in(old, webhook)
    move(alias, new)
    theirs = make_delivery_in(new, webhook)
    move(alias, old)
    assert going_out() == [ours.pk]
    move(alias, new)
    queue.settle()
    move(alias, old)
    webhooks.resume_webhook(again(webhook))
    assert going_out() == [ours.pk]
    theirs.refresh_from_db()
    assert (theirs.state, theirs.reason, theirs.attempts) == ("held", OTHER_MAILBOX, 0)


def test_mail_of_a_mailbox_confirmed_in_between_stays_held_and_says_why_until_it_is_confirmed_again(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    third = make_mailbox(address="board@example.com")
    first = make_delivery_in(old, webhook)
    move(alias, new)
    webhooks.resume_webhook(again(webhook))
    between = make_delivery_in(new, webhook)
    move(alias, third)
    queue.settle()
    assert [again(webhook).keeps_back(mailbox.pk) for mailbox in (old, new, third)] == [False, True, False]
    webhooks.resume_webhook(again(webhook))
    assert going_out() == [first.pk]
    between.refresh_from_db()
    assert (between.state, between.reason, between.attempts) == ("held", OTHER_MAILBOX, 0)
    move(alias, new)
    webhooks.resume_webhook(again(webhook))
    assert not again(webhook).keeps_back(new.pk)
    assert set(going_out()) == {first.pk, between.pk}


def test_resuming_confirms_what_the_caller_saw_and_nothing_later(
    alias: Alias, old: Mailbox, new: Mailbox, webhook: Webhook
) -> None:
    third = make_mailbox(address="board@example.com")
    waiting = make_delivery_in(old, webhook)
    seen = again(webhook)
    move(alias, third)
    webhooks.resume_webhook(seen)
    assert again(webhook).current_state == "paused"
    assert going_out() == []
    move(alias, new)
    seen = again(webhook)
    move(alias, third)
    webhooks.resume_webhook(seen)
    assert (again(webhook).bound_mailbox_id, again(webhook).current_state) == (new.pk, "paused")
    assert going_out() == []
    webhooks.resume_webhook(again(webhook))
    assert going_out() == [waiting.pk]


def test_settling_does_not_pause_what_was_confirmed_in_between(alias: Alias, new: Mailbox, webhook: Webhook) -> None:
    move(alias, new)
    with just_before_writing("webhooks_webhook", lambda: webhooks.resume_webhook(again(webhook))):
        queue.settle()
    assert (again(webhook).state, again(webhook).current_state) == ("active", "active")


def test_webhooks_of_mailboxes_and_domains_do_not_care(alias: Alias, old: Mailbox, new: Mailbox) -> None:
    bound = [make_own_webhook(mailbox=old)[0], make_own_webhook(domain=old.domain)[0]]
    waiting = {make_delivery_in(old, one).pk for one in bound}
    move(alias, new)
    webhooks.update_webhook(bound[0], url=ELSEWHERE)
    assert set(going_out()) == waiting


FULL = '{"type":"email.received","data":{"subject":"s","text":"words","attachments":[],"raw":{"size":1,"url":"u"}}}'
THIN = '{"type":"email.received","data":{"subject":"s","attachments":[],"raw":{"size":1}}}'


def test_what_waits_says_no_more_than_the_webhook_gets_by_now(old: Mailbox) -> None:
    webhook, _ = make_own_webhook(mailbox=old)
    delivery = make_delivery_in(old, webhook, content=FULL.encode())
    other = Delivery.objects.create(
        event=delivery.event, body=delivery.body, webhook=make_own_webhook(mailbox=old)[0], state="pending",
        due_at=delivery.due_at,
    )  # fmt: skip
    webhooks.update_webhook(webhook, payload="metadata")
    sent = {one.delivery_id: one.body for one in claim()}
    assert sent == {delivery.pk: THIN.encode(), other.pk: FULL.encode()}
    assert json.loads(THIN)["data"].keys() < json.loads(FULL)["data"].keys()
    # the same octets from now on, whatever the webhook gets later
    webhooks.update_webhook(webhook, payload="full")
    assert {one.delivery_id: one.body for one in claim()}[delivery.pk] == THIN.encode()


def test_a_body_that_cannot_be_cut_down_is_not_sent_and_holds_nobody_up(old: Mailbox) -> None:
    webhook, _ = make_own_webhook(mailbox=old, payload="metadata")
    broken = [make_delivery_in(old, webhook, content=content, form="full") for content in (b"\xff", b"[]", b"{}")]
    fine = make_delivery_in(old, webhook, content=THIN.encode())
    assert {one.delivery_id: one.body for one in claim()} == {one.pk: None for one in broken} | {fine.pk: THIN.encode()}
