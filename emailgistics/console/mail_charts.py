"""Statistics as charts: what pages of the console show of `reports/statistics.py`, in its words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emailgistics.common import charts
from emailgistics.common.charts import Cell, Chart, Kind, Row
from emailgistics.console import places
from emailgistics.console.time_spans import HEADS, label
from emailgistics.reports.periods import Interval
from emailgistics.reports.statistics import Figures, Period, Statistics

Link = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a time. name is the field of Figures; kind, what the style sheet calls it; place, its list."""

    name: str
    label: Any
    kind: str
    shown: Callable[[int], str]
    place: Link | None = None

    def of(self, figures: Figures) -> int | None:
        found: int | None = getattr(figures, self.name)
        return found

    def cell(self, figures: Figures, since: datetime, until: datetime, of: Mapping[str, object]) -> Cell:
        found = self.of(figures)
        if found is None:
            return Cell("–")
        return Cell(self.shown(found), self.place(since, until, **of) if self.place and found else "")


def count(number: int) -> str:
    return f"{number:,}"


def ms(number: int) -> str:
    seconds = 1000
    return f"{number:,}\N{NO-BREAK SPACE}ms" if number < 10 * seconds else f"{number / seconds:,.0f}\N{NO-BREAK SPACE}s"


def octets(number: int) -> str:
    return str(filesizeformat(number))


RECEIVED = Measure("received", gettext_lazy("received"), "received", count, places.received)
SIZE = Measure("bytes", gettext_lazy("size"), "size", octets)
PROCESSED = Measure("processed", gettext_lazy("processed"), "processed", count)
PARKED = Measure("parked", gettext_lazy("parked"), "parked", count)
QUARANTINED = Measure("quarantined", gettext_lazy("quarantined"), "quarantined", count)
DELIVERED = Measure("delivered", gettext_lazy("delivered"), "delivered", count, places.delivered)
FAILED = Measure("failed", gettext_lazy("failed"), "failed", count, places.failed)
HELD = Measure("held", gettext_lazy("held"), "held", count)
RETRIES = Measure("retries", gettext_lazy("retries"), "retries", count)
P50 = Measure("latency_p50_ms", gettext_lazy("latency, half of them"), "p50", ms)
P95 = Measure("latency_p95_ms", gettext_lazy("latency, 95 %"), "p95", ms)
OF_MAIL = (RECEIVED, SIZE, PROCESSED, PARKED, QUARANTINED)
OF_DELIVERIES = (DELIVERED, FAILED, HELD, RETRIES, P50, P95)


def chart(
    found: Statistics,
    measures: Sequence[Measure],
    *,
    of: Mapping[str, object],
    nothing: str,
    is_stacked: bool = False,
    has_table: bool = True,
) -> Chart:
    """These measures over time. of is what the lists behind the numbers are narrowed to, as `places` has it."""
    rows = [_row(period, measures, found.interval, of) for period in found.data]
    most = charts.most_of(rows, is_stacked=is_stacked)
    first, last = (label(period.start, found.interval) for period in (found.data[0], found.data[-1]))
    return Chart(
        words=_words(found, measures),
        kinds=[Kind(measure.kind, str(measure.label)) for measure in measures],
        columns=charts.columns(rows, is_stacked=is_stacked),
        rows=rows if has_table else (),
        most=measures[0].shown(most),
        head=str(HEADS[found.interval]),
        table=_("Numbers of the chart"),
        first=first,
        last=last,
        nothing=nothing,
        has_table=has_table,
    )


def _row(period: Period, measures: Sequence[Measure], interval: Interval, of: Mapping[str, object]) -> Row:
    name = label(period.start, interval)
    counts = {measure.kind: measure.of(period.figures) for measure in measures}
    told = ", ".join(
        f"{measure.label}: {measure.shown(number)}" for measure in measures if (number := counts[measure.kind])
    )
    return Row(
        label=name,
        counts=counts,
        told=f"{name}: {told or _('nothing')}",
        cells=[measure.cell(period.figures, period.start, period.end, of) for measure in measures],
    )


def _words(found: Statistics, measures: Sequence[Measure]) -> str:
    """For who does not see the chart: all of the time together."""
    parts = [
        f"{measure.label} {measure.shown(number)}"
        for measure in measures
        if (number := measure.of(found.totals)) is not None
    ]
    columns = len(found.data)
    by = {
        Interval.HOUR: ngettext("%(n)s hour", "%(n)s hours", columns),
        Interval.DAY: ngettext("%(n)s day", "%(n)s days", columns),
        Interval.WEEK: ngettext("%(n)s week", "%(n)s weeks", columns),
        Interval.MONTH: ngettext("%(n)s month", "%(n)s months", columns),
    }[found.interval] % {"n": columns}
    return _("In %(time)s: %(numbers)s") % {"time": by, "numbers": ", ".join(parts)}
