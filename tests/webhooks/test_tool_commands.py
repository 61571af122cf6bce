"""What operators do by command: trying out, sending again, stopping all."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mailboxes.models import Mailbox
from tests.factories import make_mailbox
from tests.webhooks.rows import make_delivery_in, make_own_webhook
from webhooks.api.serializers import instant
from webhooks.api.waiting import CIRCUIT
from webhooks.management.commands import webhooks as command
from webhooks.models import Attempt, Delivery, OutgoingStop, ReplayJob, Webhook, WebhookHealth
from webhooks.services import stop, webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]


def run(*arguments: str) -> Any:
    return json.loads(said(*arguments, "--json"))


def said(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox)[0]


def ending(**fields: Any) -> Callable[..., Delivery]:
    """In place of waiting for a dispatcher: what one would have written."""

    def end(delivery: Delivery, *, at_most: timedelta) -> Delivery:
        assert at_most > timedelta(seconds=15)
        Delivery.objects.filter(pk=delivery.pk).update(attempts=1, **fields)
        Attempt.objects.create(delivery=delivery, n=1, started_at=timezone.now(), detail="no such name\x1b[2J")
        delivery.refresh_from_db()
        return delivery

    return end


def test_a_webhook_is_made_to_be_pulled(mailbox: Mailbox) -> None:
    made = run(
        "webhooks", "create", "--pull", "--mailbox", mailbox.address, "--attachments", "inline", "--max-in-flight", "3",
        "--rate", "60",
    )  # fmt: skip
    told = {name: made[name] for name in ("url", "attachments", "max_in_flight", "rate_per_minute")}
    assert told == {"url": None, "attachments": "inline", "max_in_flight": 3, "rate_per_minute": 60}
    changed = run("webhooks", "update", made["id"], "--rate", "0", "--max-in-flight", "5", "--attachments", "links")
    told = {name: changed[name] for name in ("attachments", "max_in_flight", "rate_per_minute")}
    assert told == {"attachments": "links", "max_in_flight": 5, "rate_per_minute": None}
    for wrong in (("--pull", "--url", "http://127.0.0.1:9/"), ()):
        with pytest.raises(CommandError):
            run("webhooks", "create", *wrong, "--mailbox", mailbox.address)
    with pytest.raises(CommandError, match="max_in_flight"):
        run("webhooks", "update", made["id"], "--max-in-flight", "21")


def test_a_test_tells_what_came_of_it(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.testing, "wait_for_end", ending(state="delivered", last_status=204))
    assert said("webhooks", "test", webhook.public_id).endswith(" arrived: answered 204.\n")
    assert run("webhooks", "test", webhook.public_id)["state"] == "delivered"
    monkeypatch.setattr(command.testing, "wait_for_end", ending(state="failed"))
    with pytest.raises(CommandError, match="is failed: no such name") as failed:
        said("webhooks", "test", webhook.public_id)
    assert "\x1b" not in str(failed.value)
    monkeypatch.setattr(command, "TEST_WITHIN", timedelta(0))
    monkeypatch.undo()
    monkeypatch.setattr(command, "TEST_WITHIN", timedelta(0))
    with pytest.raises(CommandError, match="was not tried yet: no dispatcher runs"):
        said("webhooks", "test", webhook.public_id)


def test_a_span_of_time_is_sent_again_with_progress(mailbox: Mailbox, webhook: Webhook) -> None:
    rows = [make_delivery_in(mailbox, webhook, state="failed") for _ in range(3)]
    lines = said("webhooks", "replay", webhook.public_id, "--since", "24h").splitlines()
    job = ReplayJob.objects.get()
    assert lines == [
        f"{job.public_id}: 3 of 3, 3 sent again",
        "done: 3 sent again, 0 were on their way, 0 no longer kept",
    ]
    assert job.created_by == "an operator"
    Delivery.objects.filter(pk=rows[0].pk).update(state="delivered")
    since = (timezone.now() - timedelta(days=1)).isoformat()
    until = timezone.now().isoformat()
    told = run("webhooks", "replay", webhook.public_id, "--since", since, "--until", until, "--status", "delivered")
    assert (told["state"], told["total"], told["replayed"]) == ("done", 1, 1)
    for wrong in ("soon", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "-1h"):
        with pytest.raises(CommandError, match="is written"):
            run("webhooks", "replay", webhook.public_id, f"--since={wrong}")
    for wrong in ("999999d", "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"):
        with pytest.raises(CommandError, match=r"before all calendars|from the year 2000 on"):
            run("webhooks", "replay", webhook.public_id, f"--since={wrong}")
    assert ReplayJob.objects.count() == 2


def test_all_outgoing_is_stopped_and_started() -> None:
    assert run("webhooks", "stop-all", "--reason", "what is going on?") == {
        "stopped": True, "by": "an operator", "reason": "what is going on?"
    }  # fmt: skip
    assert OutgoingStop.objects.get().reason == "what is going on?"
    assert said("webhooks", "stop-all") == "Stopped by an operator. what is going on?\n"
    assert said("webhooks", "start-all") == "Started.\n"
    assert not OutgoingStop.objects.exists()
    assert said("webhooks", "start-all") == "Nothing was stopped.\n"
    assert run("webhooks", "start-all") == {"stopped": False}


def test_a_list_of_deliveries_says_when_what_and_why(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="held", reason="the webhook is paused\x1b[2J")
    header, line = said("deliveries", "list").splitlines()
    assert header.split()[:5] == ["created_at", "id", "state", "webhook_id", "event_type"]
    assert delivery.event.email is not None
    for told in ("held", webhook.public_id, delivery.event.email.public_id, "email.received", "the webhook is paused"):
        assert told in line
    assert "\x1b" not in line


def test_a_delivery_is_tried_now_or_again_or_no_more(mailbox: Mailbox, webhook: Webhook) -> None:
    later = timezone.now() + timedelta(hours=5)
    waiting = make_delivery_in(mailbox, webhook, due_at=later)
    ended = make_delivery_in(mailbox, webhook, state="failed")
    held = make_delivery_in(mailbox, webhook, state="held", reason="the webhook is paused")
    told = run("deliveries", "retry", waiting.public_id)
    assert (told["state"], told["generation"]) == ("pending", 1)
    waiting.refresh_from_db()
    assert waiting.due_at < later
    told = run("deliveries", "retry", ended.public_id)
    assert (told["state"], told["generation"], told["reason"]) == ("pending", 2, "replayed by an operator")
    with pytest.raises(CommandError, match="is held: the webhook is paused"):
        run("deliveries", "retry", held.public_id)
    told = run("deliveries", "cancel", held.public_id)
    assert (told["state"], told["reason"]) == ("canceled", "canceled by an operator")
    with pytest.raises(CommandError, match="ended already"):
        run("deliveries", "cancel", held.public_id)
    for verb in ("retry", "cancel"):
        with pytest.raises(CommandError, match="There is no delivery"):
            run("deliveries", verb, "dlv_x")


def retried(delivery: Delivery) -> tuple[str, Any]:
    """What a retry says to people at its end, and then as JSON."""
    text = said("deliveries", "retry", delivery.public_id)
    return text.splitlines()[-1], run("deliveries", "retry", delivery.public_id)


def test_a_retry_says_what_keeps_it_back_all_the_same(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, due_at=timezone.now() + timedelta(hours=5))
    last, told = retried(delivery)
    assert not last.startswith("Not sent")
    assert told["reason"] == ""

    until = timezone.now() + timedelta(minutes=9)
    WebhookHealth.objects.filter(webhook=webhook).update(open_until=until, open_for_s=900)
    last, told = retried(delivery)
    assert last == f"Not sent yet: {CIRCUIT}; not before {told['next_attempt_at']}."
    assert told["reason"] == CIRCUIT
    assert told["next_attempt_at"] == instant(until)

    Webhook.objects.update(state="paused")  # and what waits was not moved yet
    last, told = retried(delivery)
    assert last == "Not sent yet: the webhook is paused."
    assert (told["reason"], told["next_attempt_at"]) == ("the webhook is paused", None)

    stop.stop_outgoing(by="Ada")
    last, told = retried(delivery)
    assert last == "Not sent yet: all outgoing webhooks are stopped."
    assert (told["reason"], told["next_attempt_at"]) == ("all outgoing webhooks are stopped", None)


def test_what_has_ended_and_is_sent_again_says_so_as_well(mailbox: Mailbox, webhook: Webhook) -> None:
    webhooks.pause_webhook(webhook)
    delivery = make_delivery_in(mailbox, webhook, state="failed")
    text = said("deliveries", "retry", delivery.public_id)
    assert text.splitlines()[-1] == "Not sent yet: the webhook is paused."
    free = make_delivery_in(mailbox, make_own_webhook(mailbox=mailbox)[0], state="failed")
    assert "Not sent" not in said("deliveries", "retry", free.public_id)
