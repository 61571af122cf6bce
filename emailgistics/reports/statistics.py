"""How much mail came, what became of it and of its deliveries, over time: numbers out of `common/series.py`.

For HTTP, the console and commands alike. What is asked for costs as much after years as on the first day: it is read by
index, in as few rows as it has days, hours and quarters at its ends, and by two queries.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from emailgistics.common import series
from emailgistics.common.access import Principal
from emailgistics.common.errors import RefusedError
from emailgistics.common.series import EVERYTHING, HOWEVER, Kind, Selection, Total
from emailgistics.common.zones import is_time_zone
from emailgistics.reports import periods
from emailgistics.reports.periods import Interval
from mailboxes.addresses import shown
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.models import Webhook

NONE = Total(0, 0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of a time. The latencies are milliseconds, to 19 %; null where nothing was delivered."""

    received: int
    bytes: int
    processed: int
    parked: int
    quarantined: int
    delivered: int
    failed: int
    held: int
    retries: int
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    api_calls: int


@dataclass(frozen=True, slots=True)
class Period:
    start: datetime
    end: datetime
    figures: Figures


@dataclass(frozen=True, slots=True)
class Statistics:
    since: datetime
    until: datetime
    interval: Interval
    time_zone: str
    totals: Figures
    data: Sequence[Period]


def whose(
    caller: Principal | None,
    *,
    mailbox: Mailbox | None = None,
    alias: Alias | None = None,
    domain: Domain | None = None,
) -> Selection:
    """What a key may know of all these; without a caller, for the console and commands, all of it.

    An alias's mail counts where it went: what went to a mailbox that the key does not see is not for it, though the
    alias is by now. Who sees all mailboxes sees what those have counted that were deleted since, so that the past stays
    as it was; others see no more of a mailbox that is gone. A domain is its mailboxes.
    """
    knows_all = caller is None or caller.all_mailboxes
    rows = Mailbox.objects.all() if caller is None else Mailbox.objects.visible_to(caller)
    if mailbox:
        rows = rows.filter(pk=mailbox.pk)
    if domain:
        rows = rows.filter(domain=domain)
    subjects = list(rows.values_list("pk", flat=True)) if mailbox or not knows_all else []
    if knows_all and not mailbox:
        subjects = [domain.pk if domain else EVERYTHING]
        rows = Mailbox.objects.filter(domain=domain) if domain else Mailbox.objects.all()
    return Selection(
        subjects=subjects,
        members=rows.values("pk"),
        part=alias.pk if alias else HOWEVER,
        key_id=caller.key_id if caller else None,
        knows_all=knows_all,
    )


def of_webhook(webhook: Webhook) -> Selection:
    """Its deliveries, whatever mailbox their mail came to; for the console and commands."""
    return Selection(
        subjects=[webhook.pk],
        members=Webhook.objects.filter(pk=webhook.pk).values("pk"),
        part=HOWEVER,
        key_id=None,
        knows_all=True,
    )


def statistics(
    of: Selection,
    *,
    since: datetime | date | None = None,
    until: datetime | date | None = None,
    interval: Interval = Interval.DAY,
    time_zone: str | None = None,
) -> Statistics:
    """From since to before until, which are instants or the beginning of a date; without any, the last 30 days.

    In the installation's time zone, unless another one is named. Raises RefusedError, whose field is the name that the
    API has for what is wrong.
    """
    zone = _zone(time_zone)
    begin, end = periods.span(since, until, zone=zone, now=timezone.now())
    cut = periods.periods(begin, end, interval, zone)
    found = series.totals(of, cut)
    return Statistics(
        since=series.begins(begin),
        until=series.begins(end),
        interval=interval,
        time_zone=zone.key,
        totals=figures_of(_all(found)),
        data=[
            Period(series.begins(first), series.begins(last), figures_of(found.get(n, {})))
            for n, (first, last) in enumerate(cut)
        ],
    )


def _zone(name: str | None) -> ZoneInfo:
    if name is None:
        return ZoneInfo(settings.TIME_ZONE)
    if not is_time_zone(name):
        raise RefusedError(f"There is no time zone {shown(name)}; write it like Europe/Berlin.", field="time_zone")
    return ZoneInfo(name)


def _all(found: Mapping[int, Mapping[int, Total]]) -> Mapping[int, Total]:
    sums: dict[int, Total] = defaultdict(lambda: NONE)
    for of_period in found.values():
        for kind, (times, amount) in of_period.items():
            sums[kind] = Total(sums[kind].times + times, sums[kind].amount + amount)
    return sums


def figures_of(found: Mapping[int, Total]) -> Figures:
    """Of counts by their kind."""

    def times(kind: Kind) -> int:
        return found.get(kind, NONE).times

    delivered = Counter({kind: total.times for kind, total in found.items() if kind >= Kind.DELIVERED})
    return Figures(
        received=times(Kind.RECEIVED),
        bytes=found.get(Kind.RECEIVED, NONE).amount,
        processed=times(Kind.PROCESSED),
        parked=times(Kind.PARKED),
        quarantined=times(Kind.QUARANTINED),
        delivered=delivered.total(),
        failed=times(Kind.FAILED),
        held=times(Kind.HELD),
        retries=times(Kind.RETRIES),
        latency_p50_ms=series.percentile_ms(delivered, 50),
        latency_p95_ms=series.percentile_ms(delivered, 95),
        api_calls=times(Kind.API_CALLS),
    )
