"""The dashboard: right numbers, links to what is behind them, first steps, and a bounded price."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apikeys.models import ApiKey
from apikeys.services import revoke_api_key
from emailgistics.console import dashboard
from mailboxes.models import Email
from mailboxes.services import provision
from tests.apikeys.factories import make_key
from tests.factories import (
    in_days,
    make_alias,
    make_delivery,
    make_domain,
    make_email,
    make_mailbox,
    make_message,
    make_webhook,
)
from webhooks.models import Delivery, Webhook, WebhookHealth

State = Delivery.State


def seen_by(client: Client) -> Any:
    answer = client.get("/admin/")
    assert answer.status_code == 200
    return answer.context


def figures(client: Client) -> dict[str, tuple[str, bool]]:
    return {figure.label: (figure.value, figure.is_worry) for _, row in seen_by(client)["groups"] for figure in row}


def done(client: Client) -> list[bool]:
    return [step.is_done for step in seen_by(client)["steps"]]


def test_a_new_installation_shows_the_first_steps_which_tick_themselves_off(
    administrator: Client, loopback_allowed: None
) -> None:
    titles = [step.title for step in seen_by(administrator)["steps"]]
    assert titles == [
        "Add a domain", "Add a mailbox", "Add an alias", "Add a webhook", "Make an API key", "Send a mail",
    ]  # fmt: skip
    assert done(administrator) == [False] * 6
    make_domain()
    assert done(administrator) == [True] + [False] * 5
    mailbox = make_mailbox()
    assert done(administrator) == [True] * 2 + [False] * 4
    alias = make_alias(mailbox=mailbox)
    assert done(administrator) == [True] * 3 + [False] * 3
    assert b"To help@example.com, over SMTP at 127.0.0.1" in administrator.get("/admin/").content
    make_webhook(alias=alias)
    assert done(administrator) == [True] * 4 + [False] * 2
    make_key()
    assert done(administrator) == [True] * 5 + [False]
    make_email()
    assert done(administrator) == []
    assert b"First steps" not in administrator.get("/admin/").content


def test_without_anything_every_number_reads_well(administrator: Client) -> None:
    found = figures(administrator)
    assert found.pop("Oldest waiting") == ("none", False)
    assert set(found.values()) == {("0", False)}


def test_numbers_are_right_and_each_leads_to_its_rows(administrator: Client, loopback_allowed: None) -> None:
    now = timezone.now()
    mailbox = make_mailbox()
    webhook, paused, disabled = (make_webhook(mailbox=mailbox, url=f"http://127.0.0.1:9/{n}") for n in range(3))
    Webhook.objects.filter(pk=paused.pk).update(state="paused", state_reason="by hand")
    Webhook.objects.filter(pk=disabled.pk).update(state="disabled", state_reason="410")
    moved = make_webhook(alias=make_alias(mailbox=mailbox))
    provision.update_alias(moved.alias, mailbox=make_mailbox(address="sales@example.com"))  # type: ignore[arg-type]
    trouble = {"failing_since": now, "failures": 3}
    WebhookHealth.objects.filter(webhook__in=[webhook, paused]).update(**trouble, open_until=now - timedelta(hours=1))
    WebhookHealth.objects.filter(webhook=disabled).update(**trouble, open_until=now + timedelta(hours=1))
    make_delivery(webhook, state=State.DELIVERED, delivered_at=now)
    make_delivery(webhook, state=State.DELIVERED, delivered_at=now - timedelta(days=3))
    make_delivery(webhook, state=State.FAILED)
    make_delivery(webhook, state=State.FAILED, is_test=True)  # nobody waits for that, and it is not replayed
    pending = [make_delivery(webhook) for _ in range(2)]
    Delivery.objects.filter(pk=pending[0].pk).update(created_at=now - timedelta(hours=5, minutes=10))
    make_delivery(paused, state=State.HELD)
    make_delivery(webhook, state=State.CANCELED)
    parked, old, older = Email.objects.order_by("pk")[:3]
    Email.objects.filter(pk=parked.pk).update(status="parked")
    Email.objects.filter(pk=old.pk).update(received_at=now - timedelta(days=2))
    Email.objects.filter(pk=older.pk).update(received_at=now - timedelta(days=8))
    for days in (1, 13, 15):
        make_key(expires_at=in_days(days))
    revoked, _ = make_key(expires_at=in_days(2))
    revoke_api_key(revoked, by=None, reason="no longer used")
    assert figures(administrator) == {
        "Received in 24 hours": ("6", False),
        "Received in 7 days": ("7", False),
        "Parked": ("1", True),
        "Delivered in 24 hours": ("1", False),
        "Failed in 7 days": ("1", True),
        "Waiting": ("2", False),
        "Oldest waiting": ("5\xa0hours", False),
        "Held": ("1", True),
        "Webhooks active": ("1", False),
        "Webhooks paused": ("2", False),
        "Webhooks disabled": ("1", True),
        "Webhooks failing": ("1", True),
        "Circuit breakers open": ("1", True),
        "API keys that expire in 14 days": ("2", True),
        "API keys of 90 days and more": ("0", False),
        "API keys unused for 60 days": ("0", False),
    }
    for _, row in seen_by(administrator)["groups"]:
        for figure in row:
            answer = administrator.get(figure.href)
            assert answer.status_code == 200, figure
            behind = answer.context["cl"].result_count
            # the oldest waiting one is among those that wait
            assert behind == (2 if figure.label == "Oldest waiting" else int(figure.value)), figure


def test_what_is_wrong_is_said_first_with_what_comes_of_it(administrator: Client, loopback_allowed: None) -> None:
    assert seen_by(administrator)["alarms"] == []
    assert b"Needs attention" not in administrator.get("/admin/").content
    webhook = make_webhook()
    make_delivery(webhook, state=State.HELD)
    WebhookHealth.objects.filter(webhook=webhook).update(failing_since=timezone.now(), failures=1)
    assert [(alarm.label, alarm.value) for alarm in seen_by(administrator)["alarms"]] == [
        ("Held", "1"), ("Webhooks failing", "1"),
    ]  # fmt: skip
    text = administrator.get("/admin/").content.decode()
    assert '<a href="/admin/webhooks/webhook/?health=failing">Webhooks failing: 1</a>' in text
    assert "After some days of that they are disabled." in text


def test_of_parked_mail_it_is_said_that_its_webhooks_were_told(administrator: Client) -> None:
    make_mailbox()
    make_message()
    Email.objects.update(status="parked")
    (alarm,) = seen_by(administrator)["alarms"]
    assert (alarm.label, alarm.worry) == (
        "Parked", "Mail that could not be opened. It is stored as it came, and its webhooks were told just that.",
    )  # fmt: skip


def test_what_is_deleted_or_over_does_not_count(administrator: Client, loopback_allowed: None) -> None:
    mailbox = make_mailbox()
    make_alias(mailbox=mailbox)
    Webhook.objects.filter(pk=make_webhook(mailbox=mailbox).pk).update(deleted_at=timezone.now())
    make_key(expires_at=in_days(1))
    ApiKey.objects.update(revoked_at=timezone.now())
    provision.delete_domain(mailbox.domain)
    assert {value for value, _ in figures(administrator).values()} == {"0", "none"}
    assert done(administrator) == [False, False, False, False, True, False]


def test_counts_stop_and_say_so(administrator: Client, loopback_allowed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = make_webhook()
    for state in (State.PENDING, State.HELD):
        for _ in range(3):
            make_delivery(webhook, state=state)
    assert seen_by(administrator)["scanned"] == ""
    monkeypatch.setattr(dashboard, "MAX_COUNTED", 2)
    monkeypatch.setattr(dashboard, "SCANNED", 4)
    found = figures(administrator)
    assert (found["Waiting"][0], found["Held"][0], found["Received in 24 hours"][0]) == ("2+", "2+", "2+")
    assert b"counted among the newest 4 of each" in administrator.get("/admin/").content


def test_the_price_is_the_same_whatever_there_is(administrator: Client, loopback_allowed: None) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            administrator.get("/admin/")
        return [query["sql"] for query in seen]

    empty = queries()
    webhook = make_webhook()
    for _ in range(3):
        make_delivery(webhook)
    full = queries()
    assert len(full) == len(empty) == 14  # session, person, seven of numbers, four of steps, whether all is stopped
    counting = [sql for sql in full if "COUNT(" in sql]
    assert len(counting) == 7
    assert all("LIMIT" in sql for sql in counting), counting


def test_staff_cost_no_counting(client_for: Callable[[str], Client]) -> None:
    client = client_for("staff")
    with CaptureQueriesContext(connection) as seen:
        context = seen_by(client)
    assert "groups" not in context
    assert not [query["sql"] for query in seen if "mailboxes_" in query["sql"] or "webhooks_" in query["sql"]]
