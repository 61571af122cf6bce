"""How well webhooks take what they are sent: their last days, out of what was counted (`services/counted.py`).

Of many in one query, whose price does not grow with how much was delivered.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailgistics.common import charts
from emailgistics.common.charts import Cell, Chart, Row, Sparkline
from emailgistics.common.series import Kind, Total, percentile_ms, quarter_of
from emailgistics.common.series_of_each import members_of, totals_of_each
from webhooks.models import Webhook

DAYS = 14


@dataclass(frozen=True, slots=True)
class Day:
    day: date
    delivered: int
    failed: int  # attempts


@dataclass(frozen=True, slots=True)
class Rate:
    """Of its attempts for mail, without tests. What is pulled counts as delivered by one attempt."""

    days: Sequence[Day]
    p50_ms: int | None
    p95_ms: int | None

    @property
    def delivered(self) -> int:
        return sum(day.delivered for day in self.days)

    @property
    def failed(self) -> int:
        return sum(day.failed for day in self.days)

    @property
    def attempts(self) -> int:
        return self.delivered + self.failed

    @property
    def success(self) -> str:
        """In percent; 100 is said only where none failed, 0 only where all did. Empty without attempts."""
        if not self.attempts:
            return ""
        percent = 100 * self.delivered / self.attempts
        rounded = min(max(round(percent, 1), 0.1), 99.9) if self.delivered and self.failed else percent
        return f"{rounded:g}\N{NO-BREAK SPACE}%"

    @property
    def latency(self) -> str:
        if self.p50_ms is None or self.p95_ms is None:
            return ""
        return _("half %(p50)s ms, 95 %% %(p95)s ms") % {"p50": f"{self.p50_ms:,}", "p95": f"{self.p95_ms:,}"}


def of_each(ids: Collection[UUID], *, now: datetime) -> dict[UUID, Rate]:
    """Of the last days of the current time zone, today the last of them."""
    today = timezone.localdate(now)
    days = [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    bounds = [_midnight(day) for day in [*days, today + timedelta(days=1)]]
    found = totals_of_each(members_of(Webhook.objects.filter(pk__in=list(ids))), list(pairwise(bounds)))
    return {pk: _rate(found.get(pk, {}), days) for pk in ids}


def _midnight(day: date) -> int:
    return quarter_of(datetime.combine(day, time(), timezone.get_current_timezone()))


def _rate(found: Mapping[int, Mapping[int, Total]], days: Sequence[date]) -> Rate:
    delivered: Counter[int] = Counter()
    counted = []
    for n, day in enumerate(days):
        of_day = found.get(n, {})
        arrived = {kind: total.times for kind, total in of_day.items() if kind >= Kind.DELIVERED}
        delivered.update(arrived)
        failed = of_day[Kind.FAILURES].times if Kind.FAILURES in of_day else 0
        counted.append(Day(day, sum(arrived.values()), failed))
    return Rate(counted, percentile_ms(delivered, 50), percentile_ms(delivered, 95))


# --- as pictures


def words(rate: Rate) -> str:
    attempts = ngettext("%(n)s attempt", "%(n)s attempts", rate.attempts) % {"n": f"{rate.attempts:,}"}
    return _("%(attempts)s in %(days)s days, %(success)s of them successful") % {
        "attempts": attempts, "days": DAYS, "success": rate.success,
    }  # fmt: skip


def sparkline(rate: Rate) -> Sparkline:
    counts = [{"delivered": day.delivered, "failed": day.failed} for day in rate.days]
    return charts.sparkline(counts, words=words(rate), below=rate.success, nothing=_("no attempts"))


def chart(rate: Rate) -> Chart:
    rows = [_row(day) for day in rate.days]
    return Chart(
        words=words(rate),
        kinds=[charts.Kind("delivered", _("successful")), charts.Kind("failed", _("failed"))],
        columns=charts.columns(rows, is_stacked=True),
        rows=rows,
        most=f"{charts.most_of(rows, is_stacked=True):,}",
        head=_("Day"),
        table=_("Attempts by day"),
        first=rows[0].label,
        last=_("today"),
        nothing=_("No attempt in %(days)s days: send a test, or a mail to what it is bound to. Tests are not counted.")
        % {"days": DAYS},
    )


def _row(day: Day) -> Row:
    label = date_format(day.day, "SHORT_DATE_FORMAT")
    told = _("%(day)s: %(delivered)s successful, %(failed)s failed") % {
        "day": label, "delivered": f"{day.delivered:,}", "failed": f"{day.failed:,}",
    }  # fmt: skip
    counts = {"delivered": day.delivered, "failed": day.failed}
    return Row(label, counts, told, [Cell(f"{count:,}") for count in counts.values()])
