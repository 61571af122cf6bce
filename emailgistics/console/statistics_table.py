"""What the statistics page shows, as rows and charts: over time, or of the busiest mailboxes, domains or webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from emailgistics.common.charts import Cell, Chart
from emailgistics.console import mail_charts
from emailgistics.console.mail_charts import Measure
from emailgistics.console.statistics_form import BY_TIME, Question
from emailgistics.console.time_spans import HEADS, label
from emailgistics.reports.breakdown import By, breakdown
from emailgistics.reports.statistics import Figures, Statistics, of_webhook, statistics, whose
from webhooks.models import Webhook

MOST_LINES = 100  # of mailboxes, domains or webhooks


@dataclass(frozen=True, slots=True)
class TableRow:
    """id is of what the row is of, for files; a row of a time has its bounds in its place. share is of the largest."""

    label: str
    href: str
    id: str
    start: datetime
    end: datetime
    figures: Figures
    cells: Sequence[Cell]
    share: float = 0


@dataclass(frozen=True, slots=True)
class Table:
    head: str
    measures: Sequence[Measure]
    rows: Sequence[TableRow]
    totals: Sequence[Cell]
    found: Statistics
    charts: Sequence[tuple[str, Chart]]
    is_over_time: bool

    @property
    def is_full(self) -> bool:
        return not self.is_over_time and len(self.rows) == MOST_LINES


def table_of(asked: Question, query: QueryDict) -> Table:
    """Raises RefusedError, for more rows than an answer has. query is what links to other rows go on from."""
    selection = of_webhook(asked.webhook) if asked.webhook else whose(None, mailbox=asked.mailbox, domain=asked.domain)
    found = statistics(
        selection,
        since=asked.span.since,
        until=asked.span.until,
        interval=asked.span.interval,
        time_zone=timezone.get_current_timezone_name(),
    )
    measures: Sequence[Measure] = mail_charts.OF_DELIVERIES
    if asked.webhook is None and asked.by != By.WEBHOOK:
        measures = (*mail_charts.OF_MAIL, *measures)
    of = {
        name: row.pk
        for name, row in (("mailbox", asked.mailbox), ("domain", asked.domain), ("webhook", asked.webhook))
        if row is not None
    }
    is_over_time = asked.by == BY_TIME
    return Table(
        head=str(HEADS[found.interval] if is_over_time else heads()[By(asked.by)]),
        measures=measures,
        rows=_over_time(found, measures, of) if is_over_time else _of_each(asked, found, measures, query),
        totals=[measure.cell(found.totals, found.since, found.until, of) for measure in measures],
        found=found,
        charts=_charts(found, of, has_mail=mail_charts.RECEIVED in measures) if is_over_time else (),
        is_over_time=is_over_time,
    )


def heads() -> dict[By, str]:
    return {By.MAILBOX: _("Mailbox"), By.DOMAIN: _("Domain"), By.WEBHOOK: _("Webhook")}


def _over_time(found: Statistics, measures: Sequence[Measure], of: Mapping[str, object]) -> list[TableRow]:
    return [
        TableRow(
            label=label(period.start, found.interval),
            href="",
            id="",
            start=period.start,
            end=period.end,
            figures=period.figures,
            cells=[measure.cell(period.figures, period.start, period.end, of) for measure in measures],
        )
        for period in found.data
    ]


def _of_each(asked: Question, found: Statistics, measures: Sequence[Measure], query: QueryDict) -> list[TableRow]:
    by = By(asked.by)
    lines = breakdown(
        by,
        since=found.since,
        until=found.until,
        at_most=MOST_LINES,
        mailbox=asked.mailbox,
        domain=asked.domain,
        webhook=asked.webhook,
    )
    most = max((measures[0].of(line.figures) or 0 for line in lines), default=0)
    return [
        TableRow(
            label=_name(line.of),
            href=_alone(query, by, line.of.public_id),
            id=line.of.public_id,
            start=found.since,
            end=found.until,
            figures=line.figures,
            cells=[
                measure.cell(line.figures, found.since, found.until, {by.value: line.of.pk}) for measure in measures
            ],
            share=round(100 * (measures[0].of(line.figures) or 0) / most, 1) if most else 0,
        )
        for line in lines
    ]


def _name(row: Any) -> str:
    name = (row.url or _("pulled: %(id)s") % {"id": row.public_id}) if isinstance(row, Webhook) else str(row)
    return _("%(name)s (deleted)") % {"name": name} if row.deleted_at else name


def _alone(query: QueryDict, by: By, public_id: str) -> str:
    """The page of that one, over the same time."""
    kept = query.copy()
    for name in ("by", "mailbox", "domain", "webhook"):
        kept.pop(name, None)
    kept[by.value] = public_id
    return f"{reverse('admin:statistics')}?{kept.urlencode()}"


def _charts(found: Statistics, of: Mapping[str, object], *, has_mail: bool) -> list[tuple[str, Chart]]:
    def drawn(*measures: Measure, nothing: str, is_stacked: bool = False) -> Chart:
        return mail_charts.chart(found, measures, of=of, nothing=nothing, is_stacked=is_stacked, has_table=False)

    no_mail = _("No mail came in this time. Choose another one, or less narrow a filter.")
    no_delivery = _("Nothing was delivered in this time. A delivery is made for each webhook that a mail is for.")
    of_mail = [
        (_("Mail received"), drawn(mail_charts.RECEIVED, nothing=no_mail)),
        (_("Size of the mail"), drawn(mail_charts.SIZE, nothing=no_mail)),
    ]
    return [
        *(of_mail if has_mail else ()),
        (
            _("Deliveries"),
            drawn(mail_charts.DELIVERED, mail_charts.FAILED, nothing=no_delivery, is_stacked=True),
        ),
        (
            _("Held and tried again"),
            drawn(
                mail_charts.HELD, mail_charts.RETRIES, nothing=_("Nothing was held or tried again."), is_stacked=True
            ),
        ),
        (_("Latency of deliveries"), drawn(mail_charts.P50, mail_charts.P95, nothing=no_delivery)),
    ]
