"""The list and the page of a key: what it was used for, what was refused, what was done to it, when it ends."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from apikeys import use, words
from apikeys.models import ApiKey, KeyCalls, KeyRefusals
from apikeys.plans import limits_of
from apikeys.services import revoke_api_key, schedule_revocation
from emailgistics.common.models import AuditEntry
from tests.apikeys.factories import client_of, make_key
from tests.apikeys.pages import LIST, address_of, errors_in
from tests.factories import in_days, make_mailbox, make_webhook
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db

NOW = datetime(2030, 6, 15, 10, 30, tzinfo=UTC)


def add_calls(key: ApiKey, day: date, **counts: int) -> None:
    """Counts by status class: `two=3`."""
    classes = {"two": 2, "three": 3, "four": 4, "five": 5}
    for name, count in counts.items():
        KeyCalls.objects.create(api_key=key, day=day, family="emails", status_class=classes[name], count=count)


def add_refusals(key: ApiKey, reason: str, network: str, count: int, *, last_at: datetime) -> None:
    KeyRefusals.objects.create(
        api_key=key, day=last_at.date(), reason=reason, network=network, count=count, last_at=last_at
    )


def page_of(admin: Client, key: ApiKey, query: dict[str, str] | None = None) -> str:
    return admin.get(address_of(key, "change"), query).content.decode()


# --- use


def test_calls_are_counted_by_day_and_kind_up_to_today() -> None:
    key, _ = make_key()
    other, _ = make_key()
    today = NOW.date()
    add_calls(key, today, two=5, four=1)
    add_calls(key, today - timedelta(days=13), two=2, five=1)
    add_calls(key, today - timedelta(days=14), two=100)  # before the first day
    add_calls(other, today, three=4)
    days = use.by_day([key, other], days=14, now=NOW)
    assert days[key.pk].first == date(2030, 6, 2)
    assert days[key.pk].counts[0] == {"succeeded": 2, "not changed": 0, "refused": 0, "failed": 1}
    assert days[key.pk].counts[13] == {"succeeded": 5, "not changed": 0, "refused": 1, "failed": 0}
    assert (days[key.pk].total, days[key.pk].most, days[other.pk].total) == (9, 6, 4)
    assert days[key.pk].words() == "9 calls in 14 days, most on 15 Jun: 6"
    assert days[other.pk].words() == "4 calls in 14 days, most on 15 Jun: 4"


def test_the_list_shows_use_and_last_use_with_as_many_queries_for_many_keys(admin: Client) -> None:
    key, _ = make_key(name="Busy", networks=["192.0.2.0/24", "198.51.100.0/24"])
    add_calls(key, timezone.now().astimezone(UTC).date(), two=1234)
    ApiKey.objects.update(
        last_used_at=timezone.now() - timedelta(hours=3, minutes=1),
        last_used_address="192.0.2.9",
        last_used_agent="curl/8 <b>",
    )
    page, few = counted(lambda: admin.get(LIST))
    for text in (
        'aria-label="1,234 calls in 14 days, most on', "<rect ", "1,234</span>", "3 hours ago", "192.0.2.9",
        "curl/8 &lt;b&gt;", "only from 192.0.2.0/24 and 1 more",
    ):  # fmt: skip
        assert text in page, text
    for _ in range(5):
        more, _ = make_key()
        add_calls(more, timezone.now().astimezone(UTC).date(), two=1, four=2)
    assert counted(lambda: admin.get(LIST))[1] == few


def counted(get: Callable[[], Any]) -> tuple[str, int]:
    """The page, and by how many queries."""
    calls = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return execute(*arguments)

    with connection.execute_wrapper(count):
        page = get().content.decode()
    return page, calls


def test_the_chart_is_of_14_or_30_days_and_is_a_table_as_well(admin: Client) -> None:
    key, _ = make_key()
    assert "No calls in 14 days." in page_of(admin, key)
    today = timezone.now().astimezone(UTC).date()
    add_calls(key, today - timedelta(days=20), two=7)
    add_calls(key, today, two=41, five=1)
    for query, calls, columns in (
        ({}, "42 calls", 14),
        ({"days": "30"}, "49 calls", 30),
        ({"days": "x"}, "42 calls", 14),
    ):
        page = page_of(admin, key, query)
        assert f'aria-label="{calls} in {columns} days, most on' in page
        assert page.count('class="chart-column"') == page.count('<th scope="row">') == columns
        assert ": 41 succeeded, 1 failed</title>" in page
        assert '<td class="chart-number">41</td><td class="chart-number">1</td>' in page


def test_refusals_are_told_by_reason_with_the_networks_they_came_from(admin: Client) -> None:
    key, _ = make_key()
    now = timezone.now()
    add_refusals(key, "key_revoked", "192.0.2.0/24", 26, last_at=now - timedelta(days=40))  # told, however old
    add_refusals(key, "key_revoked", "2001:db8::/64", 1, last_at=now - timedelta(hours=2, minutes=1))
    add_refusals(key, "rate_limited", "", 1, last_at=now - timedelta(days=3, minutes=1))
    add_refusals(key, "rate_limited", "198.51.100.0/24", 500, last_at=now - timedelta(days=40))
    add_refusals(key, "teapot", "203.0.113.0/24", 2, last_at=now - timedelta(days=5, minutes=1))
    assert use.refusals(key, now=now) == [
        "27 calls since it was revoked, from 2001:db8::/64 and 192.0.2.0/24; the last 2 hours ago",
        "1 call over its limits, from an unknown address; the last 3 days ago",
        "2 calls with the answer teapot, from 203.0.113.0/24; the last 5 days ago",
    ]
    assert "27 calls since it was revoked, from 2001:db8::/64 and 192.0.2.0/24" in page_of(admin, key)


def test_the_page_of_a_key_tells_what_was_done_to_it(admin: Client) -> None:
    key, _ = make_key()
    other, _ = make_key(name="Other")
    at = timezone.now() - timedelta(days=2)
    AuditEntry.objects.create(at=at, action="apikey.first_used", of=key.identifier, by="<i>", address="192.0.2.7")
    AuditEntry.objects.create(at=at, action="apikey.plan_changed", of=key.identifier, by="ada", details={"plan": "pro"})
    AuditEntry.objects.create(at=at, action="apikey.secret_of_another", of=other.identifier, by="eve")
    page = page_of(admin, key)
    for text in (
        "<td>first used</td>", "&lt;i&gt;", "192.0.2.7", "plan changed<br>", "plan: pro"     ):  # fmt: skip
        assert text in page, text
    assert "secret of another" not in page


# --- when it ends


def test_a_key_is_ended_at_a_time_that_can_be_moved_and_called_off(admin: Client) -> None:
    make_mailbox()
    key, plaintext = make_key(name="Nightly")
    answer = admin.post(address_of(key, "delete"), {"when": "24h", "reason": "Replaced"}, follow=True)
    assert f"Nightly ({key.identifier}) will be revoked" in answer.content.decode()
    key.refresh_from_db()
    assert key.revoke_at is not None
    assert abs(key.revoke_at - in_days(1)) < timedelta(minutes=1)
    assert client_of(plaintext).get("/v1/me").status_code == 200
    assert "will be revoked in 23 hours" in admin.get(LIST).content.decode()
    assert "Will be revoked" in page_of(admin, key)

    question = admin.get(address_of(key, "delete")).content.decode()
    assert 'value="at" checked' in question
    later = timezone.localtime(in_days(3)).replace(second=0, microsecond=0)
    admin.post(address_of(key, "delete"), {"when": "at", "at": later.strftime("%Y-%m-%dT%H:%M")})
    key.refresh_from_db()
    assert key.revoke_at == later

    answer = admin.post(address_of(key, "delete"), {"call_off": "1"}, follow=True)
    assert "goes on until it expires" in answer.content.decode()
    key.refresh_from_db()
    assert (key.revoke_at, key.revoked_at, key.revoke_reason) == (None, None, "")


def test_the_page_about_a_scheduled_end_moves_it_or_calls_it_off_and_ends_nothing_now(admin: Client) -> None:
    key, _ = make_key(name="Nightly")
    assert "is not to be revoked" in admin.get(address_of(key, "end"), follow=True).content.decode()
    schedule_revocation(key, at=in_days(3), reason="leaves")
    assert key.revoke_at
    assert address_of(key, "end") in page_of(admin, key)
    page = admin.get(address_of(key, "end")).content.decode()
    assert f'value="{timezone.localtime(key.revoke_at):%Y-%m-%dT%H:%M}"' in page
    assert 'value="leaves"' in page
    assert "Delete key" not in page
    for sent, field in (
        ({"at": ""}, "at"), ({"at": "soon"}, "at"), ({"at": "2020-01-01T00:00"}, "at"),
        ({"at": "2090-01-01T00:00"}, "at"),
    ):  # fmt: skip
        assert errors_in(admin.post(address_of(key, "end"), sent)) == {field}
    later = timezone.localtime(in_days(4)).replace(second=0, microsecond=0)
    answer = admin.post(address_of(key, "end"), {"at": f"{later:%Y-%m-%dT%H:%M}", "reason": "later"}, follow=True)
    assert f"will be revoked {later:%Y-%m-%d %H:%M} UTC" in answer.content.decode()
    key.refresh_from_db()
    assert (key.revoke_at, key.revoke_reason, key.revoked_at) == (later, "later", None)
    admin.post(address_of(key, "end"), {"call_off": "1"})
    key.refresh_from_db()
    assert (key.revoke_at, key.revoked_at) == (None, None)


def test_a_reason_that_quotes_a_key_is_refused_where_it_is_written(admin: Client) -> None:
    key, plaintext = make_key()
    assert errors_in(admin.post(address_of(key, "delete"), {"when": "now", "reason": plaintext})) == {"reason"}
    schedule_revocation(key, at=in_days(3))
    at = f"{timezone.localtime(in_days(4)):%Y-%m-%dT%H:%M}"
    assert errors_in(admin.post(address_of(key, "end"), {"at": at, "reason": plaintext})) == {"reason"}
    key.refresh_from_db()
    assert (key.revoked_at, key.revoke_reason) == (None, "")


@pytest.mark.parametrize(("sent", "told"), [
    ({"when": "at", "at": ""}, "Give the time"), ({"when": "at", "at": "soon"}, "like 2030-01-31 18:00"),
    ({"when": "at", "at": "2020-01-01T00:00"}, "not ahead"),
    ({"when": "now", "at": "2040-01-01T00:00"}, "A time is given"), ({"at": "2040-01-01T00:00"}, "A time is given"),
])  # fmt: skip
def test_a_time_that_is_wrong_or_beside_another_choice_ends_nothing(
    admin: Client, sent: dict[str, str], told: str
) -> None:
    key, _ = make_key()
    answer = admin.post(address_of(key, "delete"), sent)
    assert errors_in(answer) == {"at"}
    assert told in answer.content.decode()
    key.refresh_from_db()
    assert (key.revoke_at, key.revoked_at) == (None, None)


def test_now_ends_a_key_whose_end_was_set_though_the_form_still_has_that_time(admin: Client) -> None:
    key, _ = make_key()
    schedule_revocation(key, at=in_days(3))
    assert key.revoke_at
    kept = timezone.localtime(key.revoke_at).strftime("%Y-%m-%dT%H:%M")
    admin.post(address_of(key, "delete"), {"when": "now", "at": kept})
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_an_end_that_has_come_is_final(admin: Client) -> None:
    key, _ = make_key()
    revoke_api_key(key)
    answer = admin.post(address_of(key, "delete"), {"call_off": "1"}, follow=True)
    assert "was revoked before" in answer.content.decode()
    key.refresh_from_db()
    assert key.revoked_at is not None


# --- webhooks that it created


@pytest.fixture
def webhooks_of_a_key(loopback_allowed: None) -> tuple[ApiKey, list[Webhook]]:
    """Two that run and one that is paused, and one of nobody's, of the same mailbox."""
    key, _ = make_key()
    mailbox = make_mailbox()
    rows = [make_webhook(url=f"http://127.0.0.1:{port}/", mailbox=mailbox) for port in (9001, 9002, 9003, 9004)]
    Webhook.objects.filter(pk__in=[row.pk for row in rows[:3]]).update(created_by=key)
    Webhook.objects.filter(pk=rows[2].pk).update(state="paused", state_reason="by hand")
    return key, rows


def states(rows: list[Webhook]) -> list[str]:
    return [Webhook.objects.get(pk=row.pk).state for row in rows]


def test_deleting_lists_the_webhooks_of_the_key_and_pauses_those_that_are_chosen(
    admin: Client, webhooks_of_a_key: tuple[ApiKey, list[Webhook]]
) -> None:
    key, rows = webhooks_of_a_key
    assert f"/admin/webhooks/webhook/{rows[0].pk}/change/" in page_of(admin, key)
    question = admin.get(address_of(key, "delete")).content.decode()
    assert [f"127.0.0.1:{port}" in question for port in (9001, 9002, 9003, 9004)] == [True, True, True, False]
    assert question.count('name="pause"') == 2
    assert 'name="pause" value="' in question
    assert "checked" not in question[question.index('name="pause"') : question.index("Reason, if you like")]
    answer = admin.post(address_of(key, "delete"), {"when": "now", "pause": [rows[1].public_id]}, follow=True)
    assert "1 webhook of it paused" in answer.content.decode()
    assert states(rows) == ["active", "paused", "paused", "active"]
    assert key.identifier in Webhook.objects.get(pk=rows[1].pk).state_reason
    key.refresh_from_db()
    assert key.revoked_by == User.objects.get(username="ada")


def test_a_webhook_that_is_not_of_the_key_is_not_paused_with_it(
    admin: Client, webhooks_of_a_key: tuple[ApiKey, list[Webhook]]
) -> None:
    key, rows = webhooks_of_a_key
    answer = admin.post(address_of(key, "delete"), {"pause": [rows[3].public_id]})
    assert errors_in(answer) == {"pause"}
    assert states(rows) == ["active", "active", "paused", "active"]
    key.refresh_from_db()
    assert key.revoked_at is None


# --- its plan


def test_a_plan_is_changed_over_its_page_and_holds_from_the_next_call_on(admin: Client) -> None:
    key, plaintext = make_key()
    page = admin.get(address_of(key, "plan")).content.decode()
    assert 'value="standard" checked' in page
    admin.post(address_of(key, "plan"), {"plan": "enterprise", "minute": "5", "hour": "60", "day": ""})
    key.refresh_from_db()
    own = {"minute": 5, "hour": 60, "day": limits_of(key).day}
    assert (key.rate_plan, key.own_limits) == ("enterprise", own)
    assert client_of(plaintext).get("/v1/me").json()["limits"] == own
    assert "Enterprise: 5/min, 60/h" in page_of(admin, key)
    answer = admin.post(address_of(key, "plan"), {"plan": "pro", "minute": "7"}, follow=True)
    assert "from now on" in answer.content.decode()
    key.refresh_from_db()
    assert (key.rate_plan, key.own_limits) == ("pro", None)


@pytest.mark.parametrize(("sent", "field"), [
    ({"plan": "free"}, "plan"), ({}, "plan"), ({"plan": "enterprise", "minute": "0"}, "minute"),
    ({"plan": "enterprise", "hour": "many"}, "hour"), ({"plan": "enterprise", "minute": "9", "hour": "3"}, "__all__"),
])  # fmt: skip
def test_a_plan_that_is_none_changes_nothing(admin: Client, sent: dict[str, str], field: str) -> None:
    key, _ = make_key(plan="pro")
    assert errors_in(admin.post(address_of(key, "plan"), sent)) == {field}
    key.refresh_from_db()
    assert (key.rate_plan, key.own_limits) == ("pro", None)


def test_the_plan_of_a_key_that_has_ended_stays(admin: Client) -> None:
    key, _ = make_key()
    revoke_api_key(key)
    assert "Change plan" not in admin.get(address_of(key, "plan")).content.decode()
    answer = admin.post(address_of(key, "plan"), {"plan": "pro"}, follow=True)
    assert "has ended; its plan stays" in answer.content.decode()
    key.refresh_from_db()
    assert key.rate_plan == "standard"


# --- the record


def test_what_is_done_over_the_pages_is_recorded_with_the_person_and_the_address(admin: Client) -> None:
    key, _ = make_key()
    for page, sent in (("plan", {"plan": "pro"}), ("delete", {"when": "24h"}), ("delete", {"call_off": "1"}),
                       ("delete", {"when": "now"})):  # fmt: skip
        admin.post(address_of(key, page), sent, REMOTE_ADDR="192.0.2.44")
    done = AuditEntry.objects.filter(of=key.identifier, by="ada", address="192.0.2.44").order_by("pk")
    assert [entry.action for entry in done] == [
        "apikey.plan_changed", "apikey.revocation_scheduled", "apikey.revocation_called_off", "apikey.revoked",
    ]  # fmt: skip
    assert done[0].details["rate_plan"] == "pro"
    page_text = page_of(admin, key)
    ends = words.instant(datetime.fromisoformat(done[1].details["revoke_at"]))
    assert re.search(f"revoke at: <time [^>]*>{ends}</time>", page_text)
    assert "plan changed" in page_text
    assert "192.0.2.44" in page_text
