"""What keys were used for, as data for the pages about them; counted by `usage.py`, in days of UTC."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.db.models import Sum
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apikeys import advice, words
from apikeys.models import ApiKey, KeyCalls
from emailgistics.common import charts
from emailgistics.common.charts import Cell, Chart, Kind, Row, Sparkline
from emailgistics.common.models import AuditEntry

IN_LIST_DAYS = 14
CHART_DAYS = (14, 30)  # to choose from
KINDS = {2: "succeeded", 3: "not changed", 4: "refused", 5: "failed"}  # by status class
KIND_NAMES = {
    "succeeded": gettext_lazy("succeeded"),
    "not changed": gettext_lazy("not changed"),
    "refused": gettext_lazy("refused"),
    "failed": gettext_lazy("failed"),
}
COLOURS = {"not changed": "unchanged"}  # as charts.css calls it
NETWORKS_NAMED = 3
ENTRIES_SHOWN = 50

REFUSED = {  # `27 calls …, from 192.0.2.0/24`
    "key_revoked": gettext_lazy("since it was revoked"),
    "key_expired": gettext_lazy("since it expired"),
    "network_not_allowed": gettext_lazy("from where it may not be used"),
    "rate_limited": gettext_lazy("over its limits"),
    "insufficient_scope": gettext_lazy("that need a scope it does not have"),
    "allowlist_restricted": gettext_lazy("about a whole domain, with a list of mailboxes"),
}

Counts = dict[str, int]  # by kind


@dataclass(frozen=True, slots=True)
class Days:
    """The calls of a key on consecutive days, the last of them today."""

    first: date
    counts: Sequence[Counts]

    @property
    def total(self) -> int:
        return sum(sum(column.values()) for column in self.counts)

    @property
    def most(self) -> int:
        return max(sum(column.values()) for column in self.counts)

    def rows(self) -> Iterable[tuple[date, Counts]]:
        return ((self.first + timedelta(days=number), column) for number, column in enumerate(self.counts))

    def words(self) -> str:
        """For who does not see the chart."""
        days = len(self.counts)
        if not self.total:
            return _("no calls in %(days)s days") % {"days": days}
        busiest = max(self.rows(), key=lambda row: sum(row[1].values()))[0]
        return ngettext(
            "%(count)s call in %(days)s days, most on %(day)s: %(most)s",
            "%(count)s calls in %(days)s days, most on %(day)s: %(most)s",
            self.total,
        ) % {"count": f"{self.total:,}", "days": days, "day": date_format(busiest, "j M"), "most": f"{self.most:,}"}


def by_day(keys: Iterable[ApiKey], *, days: int, now: datetime) -> dict[UUID, Days]:
    """Of each of the keys, in one query."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=days - 1)
    found = {key.pk: [dict.fromkeys(KINDS.values(), 0) for _day in range(days)] for key in keys}
    rows = KeyCalls.objects.filter(api_key__in=found, day__gte=first, day__lte=today)
    for pk, day, status_class, count in rows.values_list("api_key", "day", "status_class").annotate(Sum("count")):
        found[pk][(day - first).days][KINDS.get(status_class, KINDS[5])] += count
    return {pk: Days(first, counts) for pk, counts in found.items()}


def sparkline(days: Days) -> Sparkline:
    columns = [{"calls": sum(column.values())} for column in days.counts]
    return charts.sparkline(columns, words=days.words(), below=f"{days.total:,}", nothing=_("no calls"))


def chart(days: Days) -> Chart:
    """The same as a table, too."""
    kinds = [kind for kind in KINDS.values() if any(column[kind] for column in days.counts)]
    rows = [
        Row(
            label=date_format(day, "j M Y"),
            counts={COLOURS.get(kind, kind): column[kind] for kind in kinds},
            told=f"{date_format(day, 'j M')}: {_told(column)}",
            cells=[Cell(f"{column[kind]:,}") for kind in kinds],
        )
        for day, column in days.rows()
    ]
    return Chart(
        words=days.words(),
        kinds=[Kind(COLOURS.get(kind, kind), str(KIND_NAMES[kind])) for kind in kinds],
        columns=charts.columns(rows, is_stacked=True),
        rows=rows,
        most=f"{days.most:,}",
        head=_("Day (UTC)"),
        table=_("Calls by day"),
        first=date_format(days.first, "j M"),
        last=_("today"),
        nothing=f"{days.words()[0].upper()}{days.words()[1:]}.",
    )


def refusals(key: ApiKey, *, now: datetime) -> list[str]:
    """`27 calls since it was revoked, from 192.0.2.0/24; the last 2 hours ago`, the latest reason first."""
    reasons: dict[str, list[advice.Refusal]] = {}
    for refusal in advice.refusals_of(key, now=now):
        reasons.setdefault(refusal.reason, []).append(refusal)
    return [_refused(reason, found, now) for reason, found in reasons.items()]


def history(key: ApiKey) -> list[AuditEntry]:
    """What was done to the key, the latest first."""
    rows = AuditEntry.objects.filter(of=key.identifier).select_related("person").order_by("-at", "-pk")
    return list(rows[:ENTRIES_SHOWN])


def _refused(reason: str, found: Sequence[advice.Refusal], now: datetime) -> str:
    count = sum(refusal.calls for refusal in found)
    networks = words.in_short([refusal.network or _("an unknown address") for refusal in found], named=NETWORKS_NAMED)
    return ngettext(
        "%(count)s call %(why)s, from %(networks)s; the last %(when)s",
        "%(count)s calls %(why)s, from %(networks)s; the last %(when)s",
        count,
    ) % {
        "count": f"{count:,}",
        "why": REFUSED.get(reason) or _("with the answer %(code)s") % {"code": reason},
        "networks": networks,
        "when": words.from_now(max(refusal.last_at for refusal in found), now),
    }


def _told(column: Counts) -> str:
    return ", ".join(f"{count:,} {KIND_NAMES[kind]}" for kind, count in column.items() if count) or _("no calls")
