"""Lists of the console that are narrowed to a time: the last days, or exactly the time that a number was counted in."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import first_id_since

SEPARATOR = ".."
YEARS = range(1971, 2200)  # which ids can be reckoned with
IDS_MAY_BE_LATER_BY = timedelta(hours=1)  # than the instant that a row has, where clocks of two machines made them


def written(since: datetime, until: datetime) -> str:
    """As `BetweenFilter` reads it in an address."""
    return SEPARATOR.join(at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (since, until))


def read(text: str) -> tuple[datetime, datetime] | None:
    """From the first of them to before the second; None for what is none."""
    since, separator, until = text.partition(SEPARATOR)
    try:
        bounds = datetime.fromisoformat(since), datetime.fromisoformat(until)
    except ValueError:
        return None
    is_time = all(at.tzinfo is not None and at.year in YEARS for at in bounds)
    return bounds if separator and is_time else None


class BetweenFilter(SimpleListFilter):
    """By an instant of the rows. `spans` are offered, with how many days; a time of a link is, once it is chosen."""

    instant: ClassVar[str]
    spans: ClassVar[dict[str, tuple[Any, int]]] = {}
    # whether rows are made at that instant, so that their ids have it: the primary key is their index
    is_when_made: ClassVar[bool] = False

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        offered = [(value, title) for value, (title, _days) in self.spans.items()]
        chosen = request.GET.get(self.parameter_name or "", "")
        bounds = read(chosen)
        return [*offered, (chosen, shown(*bounds))] if bounds else offered

    def has_output(self) -> bool:
        return bool(self.spans) or self.value() is not None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        value = self.value()
        if value is None:
            return queryset
        if value in self.spans:
            since: datetime | None = timezone.now() - timedelta(days=self.spans[value][1])
            until: datetime | None = None
        elif bounds := read(value):
            since, until = bounds
        else:
            return queryset.none()
        rows = queryset.filter(**{f"{self.instant}__gte": since})
        if self.is_when_made and since:
            rows = rows.filter(pk__gte=first_id_since(since))
        if until is None:
            return rows
        # nothing ends before it was made
        rows = rows.filter(pk__lt=first_id_since(until + IDS_MAY_BE_LATER_BY))
        return rows.filter(**{f"{self.instant}__lt": until})


def shown(since: datetime, until: datetime) -> str:
    begin, end = (date_format(timezone.localtime(at), "DATETIME_FORMAT") for at in (since, until))
    return _("%(begin)s to before %(end)s") % {"begin": begin, "end": end}


class LinkedFilter(SimpleListFilter):
    """One that only links choose: it is shown once it holds, and can be taken off again."""

    def has_output(self) -> bool:
        return self.value() is not None


IN_DAYS = {
    "24h": (gettext_lazy("In 24 hours"), 1),
    "7d": (gettext_lazy("In 7 days"), 7),
    "30d": (gettext_lazy("In 30 days"), 30),
    "90d": (gettext_lazy("In 90 days"), 90),
}
