"""Statistics for people: the API's numbers as charts, a table and a file, with the rows behind each."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from emailgistics.common.models import AuditEntry
from emailgistics.common.series import Counts, Kind
from emailgistics.console import statistics_table
from emailgistics.reports.statistics import statistics, whose
from mailboxes.models import Mailbox
from mailboxes.services import counted
from tests.console.test_dashboard import deliver_all, rows_behind
from tests.factories import make_email, make_mailbox, make_message, make_webhook
from webhooks.models import Delivery, Webhook

PAGE, FILE = "/admin/statistics/", "/admin/statistics.csv"
pytestmark = pytest.mark.usefixtures("loopback_allowed")


def seen(client: Client, **query: str) -> Any:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return answer.context


def wrong(client: Client, **query: str) -> dict[str, str]:
    context = seen(client, **query)
    assert context["table"] is None
    return {name: " ".join(texts) for name, texts in context["form"].errors.items()}


def file_of(client: Client, **query: str) -> list[list[str]]:
    answer = client.get(FILE, query)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="statistics-')
    return list(csv.reader(io.StringIO(b"".join(answer).decode())))  # type: ignore[call-overload]  # it streams


@pytest.fixture
def some_mail() -> Webhook:
    """Three mails in one mailbox, each delivered; one in another, of another domain; none failed."""
    webhook = make_webhook()
    for _ in range(3):
        make_email()
    make_message(to=(make_mailbox(address="desk@example.org").address,))
    deliver_all()
    return webhook


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_bars_and_rows_are_the_numbers_of_the_api_and_lead_to_what_they_count(
    zone: str, administrator: Client, some_mail: Webhook, settings: Any
) -> None:
    settings.TIME_ZONE = zone
    counted.fold()
    for period, columns in (("24h", 24), ("7d", 7), ("30d", 30), ("90d", 90)):
        table = seen(administrator, period=period)["table"]
        assert len(table.rows) == columns
        assert [len(chart.columns) for _, chart in table.charts] == [columns] * 5
        assert (table.found.totals.received, table.found.totals.delivered) == (4, 3)
    assert table.found == statistics(
        whose(None),
        since=timezone.localdate() - timedelta(days=89),
        until=timezone.localdate() + timedelta(days=1),
        time_zone=zone,
    )
    for measure, name in ((0, "received"), (5, "delivered")):
        rows = [row for row in table.rows if getattr(row.figures, name)]
        assert [row.cells[measure].text for row in rows] == [str(getattr(row.figures, name)) for row in rows]
        for cell in (*(row.cells[measure] for row in rows), table.totals[measure]):
            assert rows_behind(administrator, cell.href) == int(cell.text)
    drawn = [bar for _, chart in table.charts[:1] for column in chart.columns for bar in column.bars]
    assert len(drawn) == len([row for row in table.rows if row.figures.received])


def test_it_is_of_one_mailbox_or_domain_by_name_or_id_and_so_are_the_rows_behind(
    administrator: Client, some_mail: Webhook
) -> None:
    mailbox = Mailbox.objects.get(local_part="desk")
    for query in (
        {"mailbox": "Desk@Example.org"}, {"mailbox": mailbox.public_id}, {"mailbox": str(mailbox.pk)},
        {"domain": "example.org"}, {"domain": mailbox.domain.public_id},
    ):  # fmt: skip
        table = seen(administrator, **query)["table"]
        assert (table.found.totals.received, table.found.totals.delivered) == (1, 0)
        assert rows_behind(administrator, table.totals[0].href) == 1
    of_domain = seen(administrator, domain="example.com")["table"]
    assert (of_domain.totals[0].text, of_domain.totals[5].text) == ("3", "3")
    assert rows_behind(administrator, of_domain.totals[5].href) == 3


def test_of_a_webhook_there_are_its_deliveries(administrator: Client, some_mail: Webhook) -> None:
    table = seen(administrator, webhook=some_mail.public_id)["table"]
    assert [measure.name for measure in table.measures] == [
        "delivered", "failed", "held", "retries", "latency_p50_ms", "latency_p95_ms",
    ]  # fmt: skip
    assert table.totals[0].text == "3"
    assert rows_behind(administrator, table.totals[0].href) == 3
    other = make_webhook(url="http://127.0.0.1:9/2", mailbox=make_mailbox(address="desk@example.net"))
    assert seen(administrator, webhook=other.public_id)["table"].totals[0].text == "0"


def test_it_ranks_mailboxes_domains_and_webhooks_and_leads_to_each(administrator: Client, some_mail: Webhook) -> None:
    table = seen(administrator, by="mailbox", period="7d")["table"]
    assert [(row.label, row.cells[0].text, row.share) for row in table.rows] == [
        ("support@example.com", "3", 100.0), ("desk@example.org", "1", 33.3),
    ]  # fmt: skip
    assert [rows_behind(administrator, row.cells[0].href) for row in table.rows] == [3, 1]
    alone = administrator.get(table.rows[1].href).context["table"]
    assert (alone.totals[0].text, len(alone.rows)) == ("1", 7)
    table = seen(administrator, by="domain")["table"]
    assert [(row.label, row.cells[0].text) for row in table.rows] == [("example.com", "3"), ("example.org", "1")]
    table = seen(administrator, by="webhook")["table"]
    assert [(row.label, row.cells[0].text) for row in table.rows] == [("http://127.0.0.1:9/", "3")]
    assert administrator.get(table.rows[0].href).context["table"].totals[0].text == "3"


def test_what_was_deleted_is_named_as_that(administrator: Client, some_mail: Webhook) -> None:
    Webhook.objects.filter(pk=some_mail.pk).update(deleted_at=timezone.now())
    assert [row.label for row in seen(administrator, by="webhook")["table"].rows] == ["http://127.0.0.1:9/ (deleted)"]


def test_days_have_the_hours_that_the_zone_gives_them_and_none_is_left_out(
    administrator: Client, settings: Any
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    counts, mailbox = Counts(), make_mailbox()
    for at in (datetime(2029, 10, 28, 0, 30, tzinfo=UTC), datetime(2029, 10, 28, 1, 30, tzinfo=UTC)):  # 2:30, twice
        counts.add(Kind.RECEIVED, subject=mailbox.pk, at=at)
    counts.write()
    counted.fold()
    days = {"period": "custom", "since": "2029-10-27", "until": "2029-10-29"}
    by_hour = seen(administrator, **days)["table"]
    assert len(by_hour.rows) == 24 + 25 + 24
    assert [row.label for row in by_hour.rows if row.figures.received] == ["2029-10-28 02:00"] * 2
    by_day = seen(administrator, **days, interval="day")["table"]
    assert [(row.label, row.cells[0].text) for row in by_day.rows] == [
        ("2029-10-27", "0"), ("2029-10-28", "2"), ("2029-10-29", "0"),
    ]  # fmt: skip
    lines = file_of(administrator, **days, interval="day")
    assert [line[:3] for line in lines] == [
        ["from", "to", "received"],
        ["2029-10-27T00:00:00+02:00", "2029-10-28T00:00:00+02:00", "0"],
        ["2029-10-28T00:00:00+02:00", "2029-10-29T00:00:00+01:00", "2"],
        ["2029-10-29T00:00:00+01:00", "2029-10-30T00:00:00+01:00", "0"],
        ["all", "", "2"],
    ]


def test_what_is_wrong_is_said_at_its_field(administrator: Client) -> None:
    make_webhook(url="http://127.0.0.1:9/")
    webhook = Webhook.objects.get().public_id
    assert "There is no mailbox nobody@example.com." in wrong(administrator, mailbox="nobody@example.com")["mailbox"]
    assert set(wrong(administrator, domain="x", webhook="y")) == {"domain", "webhook"}
    assert wrong(administrator, period="custom") == {"since": "Say on which day it begins."}
    assert set(wrong(administrator, period="custom", since="2030-01-02", until="2030-01-01")) == {"until"}
    assert set(wrong(administrator, period="custom", since="0001-01-01")) == {"since"}
    assert set(wrong(administrator, period="custom", since="yesterday")) == {"since"}
    too_many = wrong(administrator, period="custom", since="2020-01-01", until="2029-01-01", interval="hour")
    assert "more than 1000 rows" in too_many["interval"]
    assert set(wrong(administrator, webhook=webhook, mailbox="support@example.com")) == {"webhook"}
    assert set(wrong(administrator, by="webhook", domain="example.com")) == {"by"}
    assert set(wrong(administrator, by="mailbox", webhook=webhook)) == {"by"}
    assert set(wrong(administrator, by="domain", mailbox="support@example.com")) == {"by"}
    assert set(wrong(administrator, by="colour", interval="year", period="x")) == {"by", "interval", "period"}


def test_without_anything_it_says_what_to_do(administrator: Client) -> None:
    page = administrator.get(PAGE).content.decode()
    assert "No mail came in this time. Choose another one, or less narrow a filter." in page
    assert "Nothing was counted in this time." in administrator.get(PAGE, {"by": "mailbox"}).content.decode()


def test_the_file_has_the_rows_of_the_table_and_no_cell_that_a_spreadsheet_runs(
    administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_message(to=(make_mailbox(address="=1+2@example.com").address,))
    make_message(to=(make_mailbox().address,))
    lines = file_of(administrator, by="mailbox", period="7d")
    assert lines[0][:4] == ["id", "name", "received", "bytes"]
    assert sorted(line[1] for line in lines[1:-1]) == ["'=1+2@example.com", "support@example.com"]
    assert lines[-1][:3] == ["all", "", "2"]
    assert all(line[0].startswith("mbx_") for line in lines[1:-1])
    entry = AuditEntry.objects.get(action="statistics.exported")
    assert (entry.by, entry.details["rows"]) == ("superuser", 2)
    monkeypatch.setattr(statistics_table, "MOST_LINES", 1)
    page = administrator.get(PAGE, {"by": "mailbox"}).content.decode()
    assert "Only the busiest are listed" in page


def test_what_is_asked_wrongly_is_no_file(administrator: Client) -> None:
    answer = administrator.get(FILE, {"mailbox": "nobody@example.com"})
    assert answer["Content-Type"].startswith("text/html")
    assert "There is no mailbox nobody@example.com." in answer.content.decode()


def test_only_who_may_let_data_out_exports(client_for: Callable[[str], Client]) -> None:
    for name, status in (("nobody", 302), ("ordinary", 403), ("staff", 403), ("member", 200)):
        assert client_for(name).get(FILE).status_code == status
    assert client_for("staff").get(PAGE).status_code == 403


def test_however_much_there_is_it_takes_the_same_queries(
    administrator: Client, some_mail: Webhook, django_assert_max_num_queries: Any
) -> None:
    for n in range(5):
        make_message(to=(make_mailbox(address=f"m{n}@example.com").address,))
    assert Delivery.objects.count() == 3
    # session, person, whether all is stopped, three lists to choose from; the numbers, and of a ranking three more
    for query, at_most in (({}, 8), ({"by": "mailbox"}, 11), ({"by": "webhook"}, 11)):
        administrator.get(PAGE, query)
        with django_assert_max_num_queries(at_most):
            administrator.get(PAGE, query)
