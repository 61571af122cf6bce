"""The times that pages of the console show: the last hours or days up to now, in the time zone of the person."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.reports.periods import Interval

DAY = timedelta(days=1)
HOURS = 24
LONGEST_BY_HOUR, LONGEST_BY_DAY, LONGEST_BY_WEEK = 3, 100, 800  # days


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant or beginning of a day to before another."""

    since: datetime | date
    until: datetime | date
    interval: Interval


NAMES: dict[str, Any] = {
    "24h": gettext_lazy("24 hours"),
    "7d": gettext_lazy("7 days"),
    "30d": gettext_lazy("30 days"),
    "90d": gettext_lazy("90 days"),
}


def up_to_now(name: str, now: datetime) -> Span:
    """24h: this hour and those before it. Days: today and those before it."""
    if name == "24h":
        hour = timezone.localtime(now).replace(minute=0, second=0, microsecond=0)
        # in UTC: the clock may have been put on or back meanwhile
        end = hour.astimezone(UTC) + timedelta(hours=1)
        return Span(end - timedelta(hours=HOURS), end, Interval.HOUR)
    today = timezone.localdate(now)
    return Span(today - DAY * (int(name.removesuffix("d")) - 1), today + DAY, Interval.DAY)


def fitting(days: int) -> Interval:
    """By what a time of so many days is best looked at."""
    if days <= LONGEST_BY_HOUR:
        return Interval.HOUR
    if days <= LONGEST_BY_DAY:
        return Interval.DAY
    return Interval.WEEK if days <= LONGEST_BY_WEEK else Interval.MONTH


def label(start: datetime, interval: Interval) -> str:
    """Of a period that begins then."""
    at = timezone.localtime(start)
    if interval is Interval.HOUR:
        return f"{date_format(at, 'SHORT_DATE_FORMAT')} {at:%H:%M}"
    if interval is Interval.MONTH:
        return date_format(at, "F Y")
    day = date_format(at, "SHORT_DATE_FORMAT")
    return _("week from %(day)s") % {"day": day} if interval is Interval.WEEK else day


HEADS: dict[Interval, Any] = {
    Interval.HOUR: gettext_lazy("Hour"),
    Interval.DAY: gettext_lazy("Day"),
    Interval.WEEK: gettext_lazy("Week"),
    Interval.MONTH: gettext_lazy("Month"),
}
