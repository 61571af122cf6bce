"""How well webhooks do, in their list and on the page of one: by what was counted, whatever is kept of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from emailgistics.common.series import Counts, Kind, delivered_within
from mailboxes.services import counted
from tests.factories import make_mailbox, make_webhook
from tests.webhooks.browsing import LIST, page, text_of
from webhooks.admin import rates
from webhooks.models import Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]


def count(webhook: Webhook, *, delivered: int = 0, failed: int = 0, days_ago: int = 0, ms: int = 40) -> None:
    counts, at = Counts(), timezone.now() - timedelta(days=days_ago)
    if delivered:
        kind = delivered_within(timedelta(milliseconds=ms))
        counts.add(kind, subject=webhook.pk, at=at, is_restricted=True, times=delivered)
    if failed:
        counts.add(Kind.FAILURES, subject=webhook.pk, at=at, is_restricted=True, times=failed)
    counts.write()


def rate_of(webhook: Webhook) -> rates.Rate:
    return rates.of_each([webhook.pk], now=timezone.now())[webhook.pk]


def test_the_rate_is_of_attempts_in_14_days_folded_or_not() -> None:
    webhook, idle = (
        make_webhook(),
        make_webhook(url="http://127.0.0.1:9/2", mailbox=make_mailbox(address="a@b.example")),
    )
    count(webhook, delivered=90, ms=30)
    count(webhook, delivered=6, failed=4, days_ago=3, ms=3000)
    count(webhook, delivered=50, failed=50, days_ago=14)  # too long ago
    for _ in ("entries", "sums"):
        rate = rate_of(webhook)
        assert (rate.delivered, rate.failed, rate.success) == (96, 4, "96\xa0%")
        assert [(day.delivered, day.failed) for day in rate.days if day.delivered] == [(6, 4), (90, 0)]
        assert rate.p50_ms is not None
        assert rate.p95_ms is not None
        assert 24 < rate.p50_ms < 38
        assert 2400 < rate.p95_ms < 3800
        none = rate_of(idle)
        assert (none.attempts, none.success, none.latency) == (0, "", "")
        counted.fold()


@pytest.mark.parametrize(
    ("delivered", "failed", "said"),
    [(1, 0, "100\xa0%"), (0, 3, "0\xa0%"), (99_999, 1, "99.9\xa0%"), (1, 99_999, "0.1\xa0%"), (2, 1, "66.7\xa0%")],
)
def test_all_and_none_are_said_only_where_it_was_all_or_none(delivered: int, failed: int, said: str) -> None:
    day = rates.Day(timezone.localdate(), delivered, failed)
    assert rates.Rate([day], None, None).success == said


def test_list_and_page_show_it(admin: Client) -> None:
    webhook = make_webhook()
    text = text_of(admin.get(LIST))
    assert "no attempts" in text
    count(webhook, delivered=3, failed=1)
    text = text_of(admin.get(LIST))
    assert "4 attempts in 14 days, 75\xa0% of them successful" in text
    assert 'class="spark"' in text
    text = text_of(admin.get(page(webhook)))
    assert "Success in 14 days" in text
    assert "75\xa0%" in text
    assert "Latency in 14 days" in text
    assert text.count('class="chart-column"') == 14
    assert f"/admin/statistics/?webhook={webhook.public_id}" in text


def test_many_webhooks_take_the_queries_of_one(admin: Client, django_assert_max_num_queries: Any) -> None:
    first = make_webhook()
    count(first, delivered=1)
    admin.get(LIST)
    with django_assert_max_num_queries(10):
        admin.get(LIST)
    for n in range(20):
        count(make_webhook(url=f"http://127.0.0.1:9/{n}", mailbox=first.mailbox), delivered=1, failed=n)
    with django_assert_max_num_queries(10):
        admin.get(LIST)
