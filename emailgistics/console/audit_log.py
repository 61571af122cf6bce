"""The audit log: who did what, when, from where, to what."""

import csv
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import HistoryAdmin, display
from emailgistics.common.commands import readable
from emailgistics.common.instants import instant
from emailgistics.common.models import AuditEntry
from emailgistics.common.planning import only
from emailgistics.common.roles import Action, may
from emailgistics.common.spreadsheets import defused
from emailgistics.console import access_table

IN_SHORT = 60  # characters of an entry's details, in a list
LOOKED_AT = 1000  # of the newest, for what there is to choose from
COLUMNS = ("at", "action", "of", "by", "address", "details")


class AmongNewest(SimpleListFilter):
    """What the newest entries have in a column, and the chosen one: all there ever was would be read to know more."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        column = str(self.parameter_name)
        newest = model_admin.get_queryset(request).order_by("-id").values_list(column, flat=True)[:LOOKED_AT]
        names = {*newest, *filter(None, [request.GET.get(column)])}
        return [(name, name) for name in sorted(names)]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class ActionFilter(AmongNewest):
    title = gettext_lazy("action")
    parameter_name = "action"


class ByFilter(AmongNewest):
    title = gettext_lazy("by whom")
    parameter_name = "by"


class WhenFilter(SimpleListFilter):
    title = gettext_lazy("when")
    parameter_name = "when"
    SPANS = {
        "24h": (gettext_lazy("In 24 hours"), 1),
        "7d": (gettext_lazy("In 7 days"), 7),
        "30d": (gettext_lazy("In 30 days"), 30),
        "365d": (gettext_lazy("In a year"), 365),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [(value, title) for value, (title, _) in self.SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        span = self.SPANS.get(self.value() or "")
        return queryset.filter(at__gte=timezone.now() - timedelta(days=span[1])) if span else queryset


@admin.register(AuditEntry)
class AuditLogAdmin(HistoryAdmin):
    """Newest first."""

    list_display = ("when", "action", "object", "who", "address", "in_short")
    list_filter = (WhenFilter, ActionFilter, ByFilter)
    search_fields = ("of", "by")  # the box is shown; see get_search_results
    search_help_text = gettext_lazy("Id or identifier of what it was done to, or who did it")
    fields = readonly_fields = ("at", "action", "object", "who", "address", "shown_details")
    ordering = ("-id",)
    list_select_related = ("person",)
    list_before_template = "console/audit_links.html"

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name="common_auditentry_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"may_manage": may(request, Action.MANAGE), **(extra_context or {})})

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - as Django calls it
        queryset: QuerySet[AuditEntry],
        search_term: str,
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """By the two indexes, however rare it is; not by walking from the newest entry to the oldest."""
        term = search_term.strip()
        return (queryset.filter(Q(**only("of", term)) | Q(**only("by", term))) if term else queryset), False

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """What the list shows with the same filters, all of it."""
        if not may(request, Action.MANAGE):
            raise PermissionDenied
        if request.method != "GET":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        entries = self.get_changelist_instance(request).get_queryset(request).order_by("-id")
        answer = StreamingHttpResponse(
            written(entries.iterator(chunk_size=500)), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = 'attachment; filename="audit-log.csv"'
        answer["Cache-Control"] = "no-store"
        return answer

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        rows: QuerySet[AuditEntry] = super().get_queryset(request)
        if self.shows(request, "all"):
            return rows
        begin = (start for start, action in access_table.AUDITED.items() if may(request, action))
        return rows.filter(reduce(or_, (Q(action__startswith=start) for start in begin), Q(pk=None)))

    @display(description=gettext_lazy("At"), ordering="id")
    def when(self, entry: AuditEntry) -> str:
        return instant(entry.at)

    @display(description=gettext_lazy("Of"))
    def object(self, entry: AuditEntry) -> str:
        """A link to its page, if it has one that the person may see: the search knows."""
        if "_" not in entry.of:
            return entry.of
        url = f"{reverse('admin:search')}?{urlencode({'q': entry.of})}"
        return format_html('<a class="text-link" href="{}">{}</a>', url, entry.of)

    @display(description=gettext_lazy("By"))
    def who(self, entry: AuditEntry) -> str:
        return entry.by

    @display(description=gettext_lazy("Details"))
    def in_short(self, entry: AuditEntry) -> str:
        details = self.shown_details(entry)
        return format_html('<span title="{}">{}</span>', details, Truncator(details).chars(IN_SHORT))

    @display(description=gettext_lazy("Details"))
    def shown_details(self, entry: AuditEntry) -> str:
        return "; ".join(f"{name}: {readable(value)}" for name, value in entry.details.items())


def written(entries: Iterable[AuditEntry]) -> Iterator[bytes]:
    writer: Any = csv.writer(_Echo())
    yield "\ufeff".encode() + writer.writerow(COLUMNS)
    for entry in entries:
        details = "; ".join(f"{name}: {readable(value)}" for name, value in entry.details.items())
        texts = (entry.action, entry.of, entry.by, entry.address or "", details)
        yield writer.writerow([entry.at.isoformat(timespec="milliseconds"), *map(defused, texts)])


class _Echo:
    """What csv writes to, to have it back."""

    def write(self, text: str) -> bytes:
        return text.encode()
