"""What keys were used for, as data for the pages about them; counted by `usage.py`, in days of UTC."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Sum

from apikeys import advice, charts, presets
from apikeys.models import ApiKey, KeyCalls
from emailgistics.common.models import AuditEntry

IN_LIST_DAYS = 14
CHART_DAYS = (14, 30)  # to choose from
KINDS = {2: "succeeded", 3: "not changed", 4: "refused", 5: "failed"}  # by status class
NETWORKS_NAMED = 3
ENTRIES_SHOWN = 50

REFUSED = {  # `27 calls …, from 192.0.2.0/24`
    "key_revoked": "since it was revoked",
    "key_expired": "since it expired",
    "network_not_allowed": "from where it may not be used",
    "rate_limited": "over its limits",
    "insufficient_scope": "that need a scope it does not have",
    "allowlist_restricted": "about a whole domain, with a list of mailboxes",
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
        if not self.total:
            return f"no calls in {len(self.counts)} days"
        calls = f"{self.total:,} call{'' if self.total == 1 else 's'} in {len(self.counts)} days"
        busiest = max(self.rows(), key=lambda row: sum(row[1].values()))[0]
        return f"{calls}, most on {busiest.day} {busiest:%b}: {self.most:,}"


def by_day(keys: Iterable[ApiKey], *, days: int, now: datetime) -> dict[UUID, Days]:
    """Of each of the keys, in one query."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=days - 1)
    found = {key.pk: [dict.fromkeys(KINDS.values(), 0) for _ in range(days)] for key in keys}
    rows = KeyCalls.objects.filter(api_key__in=found, day__gte=first, day__lte=today)
    for pk, day, status_class, count in rows.values_list("api_key", "day", "status_class").annotate(Sum("count")):
        found[pk][(day - first).days][KINDS.get(status_class, KINDS[5])] += count
    return {pk: Days(first, counts) for pk, counts in found.items()}


def sparkline(days: Days) -> dict[str, Any]:
    columns = [{"calls": sum(column.values())} for column in days.counts]
    bars = charts.stacked(columns, width=84, height=24)
    return {"columns": bars, "words": days.words(), "total": days.total, "total_shown": f"{days.total:,}"}


def chart(days: Days) -> dict[str, Any]:
    """Its columns have a title each, for who points at them; `rows` is the same as a table."""
    bars = charts.stacked(days.counts, width=600, height=160)
    kinds = [kind for kind in KINDS.values() if any(column[kind] for column in days.counts)]
    columns = [
        {"x": round(number * 600 / len(bars), 2), "title": f"{day.day} {day:%b}: {_told(column)}", "bars": bars[number]}
        for number, (day, column) in enumerate(days.rows())
    ]
    return {
        "columns": columns,
        "column_width": round(600 / len(bars), 2),
        "kinds": kinds,
        "rows": [(day, [f"{column[kind]:,}" for kind in kinds]) for day, column in days.rows()],
        "words": days.words(),
        "total": days.total,
        "most": f"{days.most:,}",
        "days": len(bars),
        "first": days.first,
    }


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
    calls = f"{count:,} call{'' if count == 1 else 's'}"
    networks = presets.in_short([refusal.network or "an unknown address" for refusal in found], named=NETWORKS_NAMED)
    last = presets.from_now(max(refusal.last_at for refusal in found), now)
    return f"{calls} {REFUSED.get(reason, f'with the answer {reason}')}, from {networks}; the last {last}"


def _told(column: Counts) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in column.items() if count) or "no calls"
