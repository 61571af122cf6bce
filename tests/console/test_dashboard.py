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
from emailgistics.common import leases
from emailgistics.console import dashboard
from emailgistics.console import figures as numbers
from emailgistics.operations import alarms
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
from webhooks.services import queue
from webhooks.transport import Answer

State = Delivery.State


def seen_by(client: Client, query: str = "") -> Any:
    answer = client.get(f"/admin/{query}")
    assert answer.status_code == 200
    return answer.context


def figures(client: Client) -> dict[str, tuple[str, bool]]:
    return {figure.label: (figure.value, figure.is_worry) for _, row in seen_by(client)["groups"] for figure in row}


def deliver_all() -> None:
    """To whoever is due, who takes it."""
    with leases.held("dispatch") as lease:
        claimed = queue.claim(lease.id, in_flight={})
        answer = Answer(started_at=timezone.now(), status=204)
        queue.record([queue.Result(one, answer) for one in claimed], lease.id)


def done(client: Client) -> list[bool]:
    return [step.is_done for step in seen_by(client)["steps"]]


def test_a_new_installation_shows_the_first_steps(administrator: Client) -> None:
    """Which steps, and what ticks them off: test_first_steps.py."""
    assert len(done(administrator)) == 8
    assert not any(done(administrator))
    assert b"First steps" in administrator.get("/admin/").content
    make_domain()
    assert done(administrator)[0]


def test_without_anything_every_number_reads_well(administrator: Client) -> None:
    found = figures(administrator)
    assert found.pop("Oldest waiting") == ("none", False)
    assert set(found.values()) == {("0", False)}
    page = administrator.get("/admin/").content.decode()
    assert "Nothing came and nothing was delivered in this time. Send a mail: To your alias, over SMTP at" in page
    assert "No mailbox received anything in this time." in page


def rows_behind(client: Client, href: str) -> int:
    answer = client.get(href)
    assert answer.status_code == 200, href
    return int(answer.context["found" if "/mailboxes/email/" in href else "cl"].result_count)


def test_what_stands_is_counted_and_each_number_leads_to_just_its_rows(
    administrator: Client, loopback_allowed: None
) -> None:
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
    make_delivery(webhook, state=State.FAILED, last_attempt_at=now)
    make_delivery(webhook, state=State.FAILED, last_attempt_at=now - timedelta(days=3))
    make_delivery(webhook, state=State.FAILED, last_attempt_at=now, is_test=True)  # nobody waits for that
    pending = [make_delivery(webhook), make_delivery(webhook, failures=2)]
    Delivery.objects.filter(pk=pending[0].pk).update(created_at=now - timedelta(hours=5, minutes=10))
    make_delivery(paused, state=State.HELD)
    make_delivery(webhook, state=State.CANCELED)
    Email.objects.update(status="processed")
    parked, kept, stuck, fresh = Email.objects.order_by("pk")[:4]
    for email, status in ((parked, "parked"), (kept, "quarantined"), (stuck, "waiting"), (fresh, "waiting")):
        Email.objects.filter(pk=email.pk).update(status=status)
    Email.objects.filter(pk=stuck.pk).update(received_at=now - timedelta(minutes=3))
    for days in (1, 13, 15):
        make_key(expires_at=in_days(days))
    revoked, _ = make_key(expires_at=in_days(2))
    revoke_api_key(revoked, by=None, reason="no longer used")
    assert figures(administrator) == {
        "Received": ("7", False),
        "Not opened yet": ("2", True),
        "Parked": ("1", True),
        "In quarantine": ("1", False),
        "Delivered": ("0", False),
        "Failed": ("1", True),
        "Waiting": ("2", False),
        "Failing": ("1", True),
        "Held": ("1", True),
        "Oldest waiting": ("5\xa0hours", False),
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
            # the oldest one is one
            wanted = 1 if figure.label == "Oldest waiting" else int(figure.value)
            assert rows_behind(administrator, figure.href) == wanted, figure


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize("span", ["24h", "7d", "30d"])
def test_what_flows_is_that_of_the_chosen_time_with_charts_of_just_these_numbers(
    span: str, zone: str, administrator: Client, loopback_allowed: None, settings: Any
) -> None:
    settings.TIME_ZONE = zone
    webhook, other = make_webhook(), make_mailbox(address="sales@example.com")
    for _ in range(3):
        make_email()
    make_message(to=(other.address,))
    deliver_all()
    make_delivery(webhook, state=State.DELIVERED, delivered_at=timezone.now(), is_test=True)  # is not counted
    page = seen_by(administrator, f"?span={span}")
    assert page["chart"].columns.__len__() == {"24h": 24, "7d": 7, "30d": 30}[span]
    assert [figure.value for figure in page["groups"][0][1][:1]] == ["5"]  # that of the test came, too
    for figure in (page["groups"][0][1][0], page["groups"][1][1][0], *page["top"]):
        assert rows_behind(administrator, figure.href) == int(figure.value), figure
    assert [(figure.label, figure.value) for figure in page["top"]] == [
        ("support@example.com", "4"), ("sales@example.com", "1"),
    ]  # fmt: skip
    for kind, cell, total in (("received", 0, 5), ("delivered", 1, 3)):
        bars = [(row.counts[kind], row.cells[cell]) for row in page["chart"].rows if row.counts[kind]]
        assert sum(count for count, _ in bars) == total
        assert [cell.text for _, cell in bars] == [str(count) for count, _ in bars]
        assert sum(rows_behind(administrator, cell.href) for _, cell in bars) == total


def test_a_time_that_there_is_not_is_the_last_24_hours(administrator: Client) -> None:
    for strange in ("", "?span=x", "?span=90d"):
        assert len(seen_by(administrator, strange)["chart"].columns) == 24


def test_the_script_gets_the_parts_that_change_and_nothing_else(
    administrator: Client, client_for: Callable[[str], Client], loopback_allowed: None
) -> None:
    make_delivery(make_webhook(), state=State.HELD)
    parts = administrator.get("/admin/now/?span=7d")
    text = parts.content.decode()
    assert "no-store" in parts["Cache-Control"]
    assert "<html" not in text
    for part in ("alarms", "chart", "top", "figures", "at"):
        assert f'id="dashboard-{part}"' in text
    assert text.count("aria-live") == 1
    assert 'data-live-url="/admin/now/?span=7d" data-refresh-s="10"' in text
    assert client_for("nobody").get("/admin/now/").status_code == 302
    assert client_for("staff").get("/admin/now/").status_code == 403


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


def test_alarms_stand_there_with_what_to_do_until_they_are_over(
    administrator: Client, client_for: Callable[[str], Client], settings: Any
) -> None:
    def text(who: Client = administrator) -> str:
        return who.get("/admin/").content.decode()

    settings.MIN_FREE_DISK_BYTES = 2**62
    alarms.watch()
    assert "MiB are free where DATA_DIR is" in text()
    assert "Make room before the listener asks senders to come again later" in text()
    assert "<code>disk_low</code>, since <time" in text(client_for("auditor"))
    assert "disk_low" not in text(client_for("staff"))
    settings.MIN_FREE_DISK_BYTES = 1
    alarms.watch()
    assert "disk_low" not in text()


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
    assert done(administrator) == [False, False, False, False, False, True, False, False]


def test_counts_stop_and_say_so(administrator: Client, loopback_allowed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = make_webhook()
    for state in (State.PENDING, State.HELD):
        for _ in range(3):
            make_delivery(webhook, state=state)
    monkeypatch.setattr(numbers, "MAX_COUNTED", 2)
    monkeypatch.setattr(dashboard, "MAX_COUNTED", 2)
    found = figures(administrator)
    assert (found["Waiting"][0], found["Held"][0], found["Received"][0]) == ("2+", "2+", "6")


def test_the_price_is_the_same_whatever_there_is(administrator: Client, loopback_allowed: None) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            administrator.get("/admin/")
        return [query["sql"] for query in seen]

    administrator.cookies["first_steps"] = "hidden"  # they cost some more, until they are done or hidden
    queries()
    empty = queries()
    webhook = make_webhook()
    for n in range(3):
        make_delivery(webhook)
        make_message(to=(make_mailbox(address=f"m{n}@example.com").address,))
    full = queries()
    # session, person; what flows, what stands, the oldest, webhooks, top mailboxes with their names, the address of
    # the alias (for the empty chart), whether all is stopped
    assert len(full) <= len(empty) + 1 <= 12
    counting = [sql for sql in full if "COUNT(" in sql]
    assert len(counting) == 2
    assert all("LIMIT" in sql for sql in counting), counting


def test_staff_cost_no_counting(client_for: Callable[[str], Client]) -> None:
    client = client_for("staff")
    with CaptureQueriesContext(connection) as seen:
        context = seen_by(client)
    assert "groups" not in context
    assert not [query["sql"] for query in seen if "mailboxes_" in query["sql"] or "webhooks_" in query["sql"]]
