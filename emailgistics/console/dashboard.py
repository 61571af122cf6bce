"""The dashboard: how the installation is doing in a few numbers, and what to do first in a new one.

What flows is read from what was counted when it happened (`reports/statistics.py`); what stands is counted up to
MAX_COUNTED. So it costs the same whatever there is. Its script asks for `now_view` every few seconds: the same again,
without the frame.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from emailgistics.common import bounded, series_of_each
from emailgistics.common.admin import MAX_COUNTED
from emailgistics.common.charts import Chart
from emailgistics.common.roles import may
from emailgistics.common.series import Kind, quarter_of
from emailgistics.console import access_table, figures, first_steps, mail_charts, places, time_spans
from emailgistics.console.figures import Figure
from emailgistics.operations import alarms
from emailgistics.reports.statistics import Statistics, statistics, whose
from mailboxes.models import Mailbox

SPANS = ("24h", "7d", "30d")
REFRESH_S = 10
TOP = 8  # mailboxes
# these lead to their rows; that all is stopped stands on top of every page
TOLD_BY_FIGURES = ("mail_parked", "webhooks_disabled", "outgoing_stopped")


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For unfold's DASHBOARD_CALLBACK."""
    if not _shows(request, "figures"):
        return context
    return context | {"may_see": True, **_shown(request), **(first_steps.on_dashboard(request) or {})}


def now_view(request: HttpRequest) -> HttpResponse:
    """What of the dashboard changes by itself, as it is now."""
    return render(request, "console/_dashboard.html", _shown(request))


def _shown(request: HttpRequest) -> dict[str, Any]:
    now = timezone.now()
    name = request.GET.get("span", "")
    span = time_spans.up_to_now(name if name in SPANS else SPANS[0], now)
    found = statistics(
        whose(None),
        since=span.since,
        until=span.until,
        interval=span.interval,
        time_zone=timezone.get_current_timezone_name(),
    )
    counts = bounded.counts(figures.standing(found, now), at_most=MAX_COUNTED)
    groups = [
        (_("Mail"), figures.of_mail(found, counts)),
        (_("Deliveries"), figures.of_deliveries(found, counts, now)),
        (_("Webhooks"), figures.of_webhooks()),
    ]
    if _shows(request, "keys"):
        groups.append((_("API keys"), figures.of_keys(counts)))
    return {
        "spans": _spans(name if name in SPANS else SPANS[0]),
        "live_url": f"{reverse('admin:now')}?span={name if name in SPANS else SPANS[0]}",
        "refresh_s": REFRESH_S,
        "at": now,
        "chart": _chart(found),
        "top": _top_mailboxes(found),
        "groups": groups,
        "standing_alarms": alarms.standing(but=TOLD_BY_FIGURES),
        "alarms": [figure for _name, row in groups for figure in row if figure.is_worry],
        "statistics_url": reverse("admin:statistics"),
    }


def _shows(request: HttpRequest, part: str) -> bool:
    return may(request, access_table.PARTS[f"index_{part}"])


def _spans(chosen: str) -> list[tuple[str, Any, bool]]:
    return [(name, time_spans.NAMES[name], name == chosen) for name in SPANS]


def _chart(found: Statistics) -> Chart:
    return mail_charts.chart(
        found,
        [mail_charts.RECEIVED, mail_charts.DELIVERED],
        of={},
        nothing=_("Nothing came and nothing was delivered in this time. Send a mail: %(how)s")
        % {"how": first_steps.where_to_send()},
    )


def _top_mailboxes(found: Statistics) -> list[Figure]:
    """Those that received most in the time of the chart."""
    rows = Mailbox.objects.all()
    period = quarter_of(found.since), quarter_of(found.until)
    most = series_of_each.busiest(series_of_each.members_of(rows), period, kinds=[Kind.RECEIVED], at_most=TOP)
    named = rows.select_related("domain").in_bulk(list(most))
    return [
        Figure(str(named[pk]), f"{count:,}", places.received(found.since, found.until, mailbox=pk))
        for pk, count in most.items()
        if pk in named
    ]
