"""Statistics for people: the numbers of `GET /v1/statistics`, in its words, as charts, a table and a CSV file.

Hours and days are those of the person's time zone. The file has the rows of the table; it is for who may export.
"""

import csv
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from emailgistics.common import audit
from emailgistics.common.clients import client_address
from emailgistics.common.errors import RefusedError
from emailgistics.common.roles import Action, may
from emailgistics.common.spreadsheets import defused
from emailgistics.console.statistics_form import CUSTOM, DEFAULT, StatisticsForm, offered
from emailgistics.console.statistics_table import Table, table_of

NAME = "statistics"


def statistics_view(request: HttpRequest) -> HttpResponseBase:
    if not may(request, Action.VIEW):
        raise PermissionDenied
    form = StatisticsForm(request.GET)
    return _page(request, form, _table(request, form))


def export_view(request: HttpRequest) -> HttpResponseBase:
    """The same as a file; where it is asked for what there is not, the page that says so."""
    if not may(request, Action.MANAGE):
        raise PermissionDenied
    form = StatisticsForm(request.GET)
    table = _table(request, form)
    return _page(request, form, None) if table is None else _export(request, table)


def _page(request: HttpRequest, form: StatisticsForm, table: Table | None) -> TemplateResponse:
    return TemplateResponse(request, "console/statistics.html", _context(request, form, table))


def _table(request: HttpRequest, form: StatisticsForm) -> Table | None:
    if not form.is_valid():
        return None
    try:
        return table_of(form.question(), request.GET)
    except RefusedError as error:
        form.add_error("interval", error.message)
        return None


def _context(request: HttpRequest, form: StatisticsForm, table: Table | None) -> dict[str, Any]:
    export_url = f"{reverse('admin:statistics_csv')}?{request.GET.urlencode()}"
    return {
        **admin.site.each_context(request),
        "title": _("Statistics"),
        "form": form,
        "period": request.GET.get("period") or (CUSTOM if request.GET.get("since") else DEFAULT),
        "offered": offered(),
        "table": table,
        "time_zone": timezone.get_current_timezone_name(),
        "export_url": export_url if may(request, Action.MANAGE) else "",
    }


# --- the file


class _Echo:
    """For csv, which writes to files: gives back what would be written."""

    def write(self, line: str) -> str:
        return line


def _export(request: HttpRequest, table: Table) -> StreamingHttpResponse:
    first, last = (timezone.localtime(at).date() for at in (table.found.since, table.found.until))
    assert isinstance(request.user, User)
    audit.record(
        "statistics.exported",
        of=NAME,
        person=request.user,
        address=client_address(request),
        details={"from": first.isoformat(), "to": last.isoformat(), "rows": len(table.rows)},
    )
    answer = StreamingHttpResponse(_lines(table), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{NAME}-{first}-{last}.csv"'
    answer["Cache-Control"] = "no-store"
    return answer


def _lines(table: Table) -> Iterator[str]:
    """Numbers without units, under the names that the API has for them; the last row is all of it."""
    writer: Any = csv.writer(_Echo())
    what = ["from", "to"] if table.is_over_time else ["id", "name"]
    yield writer.writerow([*what, *(measure.name for measure in table.measures)])
    for row in table.rows:
        bounds = [timezone.localtime(at).isoformat() for at in (row.start, row.end)]
        about = bounds if table.is_over_time else [row.id, defused(row.label)]
        yield writer.writerow([*about, *(measure.of(row.figures) for measure in table.measures)])
    yield writer.writerow(["all", "", *(measure.of(table.found.totals) for measure in table.measures)])
