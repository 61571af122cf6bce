"""What every page of the console has in common: who may, and what is only looked at."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.widgets import AutocompleteSelect, RelatedFieldWidgetWrapper
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.forms import Field
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.functional import cached_property
from django.utils.text import capfirst
from unfold import decorators
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.views import ChangeList

from emailgistics.common.access import is_system_administrator

MAX_COUNTED = 10_000
WHOLE_KEY = re.compile(r"(emgk_[0-9A-Za-z]{10})_\w*", re.ASCII)
# filters in an address that no page of ours makes; what is wrong in them is a fault of the database, or holds it up
REFUSED_LOOKUPS = frozenset({"regex", "iregex", "in", "range", "year", "iso_year"})

Shown = TypeVar("Shown", bound=Callable[..., Any])


def display(**options: Any) -> Callable[[Shown], Shown]:
    """As unfold's decorator for columns and fields, with types."""
    decorated: Callable[[Shown], Shown] = decorators.display(**options)
    return decorated


def by_system_administrator(request: HttpRequest) -> bool:
    """Asked once for each request: a page asks for the permissions of every model."""
    known: bool | None = getattr(request, "_by_system_administrator", None)
    if known is None:
        known = is_system_administrator(request.user)
        request._by_system_administrator = known  # type: ignore[attr-defined]  # noqa: SLF001 - ours
    return known


def first_id_since(instant: datetime) -> UUID:
    """The lowest UUIDv7 of that instant (RFC 9562 section 5.7): the primary key finds what was made since."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)


def ids_of(model: type[Model], texts: Iterable[str]) -> list[str]:
    """Those of the texts that can be ids of the model: databases answer others with a fault."""
    return [text for text in texts if _is_id(model, text)]


def _is_id(model: type[Model], text: str) -> bool:
    try:
        model._meta.pk.clean(text, None)  # noqa: SLF001 - documented
    except ValidationError:
        return False
    return True


def without_keys(query: QueryDict) -> QueryDict | None:
    """The query with whole API keys cut down to their identifiers; None if there are none in it.

    Somebody pasted them in a search box, and the address must not stay in the history.
    """
    cleaned = query.copy()
    for name in query:
        cleaned.setlist(name, [WHOLE_KEY.sub(r"\1", text) for text in query.getlist(name)])
    return cleaned if cleaned != query else None


class ForSystemAdministrators:
    """System administrators do everything; nobody else sees it. Other permissions of Django's are not asked."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return by_system_administrator(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return by_system_administrator(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return by_system_administrator(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return by_system_administrator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return by_system_administrator(request)


class ReadOnly(ForSystemAdministrators):
    """For history: nothing is added, changed or deleted by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable at run time
    """Counts up to MAX_COUNTED: lists stay fast when tables are large."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:MAX_COUNTED].count())


class PickOne(AutocompleteSelect):
    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Django's own raises what is sent in place of an id, when it shows the form again."""
        try:
            return super().optgroups(name, value, attr)
        except ValidationError:
            return super().optgroups(name, [""], attr)


class ConsoleChangeList(ChangeList):  # type: ignore[misc]  # unfold has no types
    """A list that says when it is not all."""

    full_result_count: int | None

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.is_capped = self.result_count >= MAX_COUNTED
        if not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count  # so nothing is offered to be shown that is not


class ConsoleModelAdmin(ForSystemAdministrators, ModelAdmin):  # type: ignore[misc]  # unfold has no types
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they count whole tables
    list_per_page = 50
    list_after_template = "console/_capped.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if cleaned := without_keys(request.GET):
            return HttpResponseRedirect(f"{request.path}?{cleaned.urlencode()}")
        if request.method == "POST":
            sent = request.POST.copy()
            sent.setlist(ACTION_CHECKBOX_NAME, ids_of(self.model, sent.getlist(ACTION_CHECKBOX_NAME)))
            request.POST = sent  # type: ignore[assignment]
        title = capfirst(self.opts.verbose_name_plural)
        response: HttpResponse = super().changelist_view(request, {"title": title, **(extra_context or {})})
        return response

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        is_refused = not REFUSED_LOOKUPS.isdisjoint(lookup.split(LOOKUP_SEP))
        return not is_refused and bool(super().lookup_allowed(lookup, value, request))

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ConsoleChangeList]:  # noqa: ARG002
        return ConsoleChangeList

    def log_changes(self, request: HttpRequest, rows: Sequence[Model], message: str) -> None:
        """For actions that change several; the history of each shows it."""
        by: Any = request.user.pk
        LogEntry.objects.log_actions(by, rows, CHANGE, message)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Field | None:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", PickOne(db_field, self.admin_site))
        field: Field | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Field | None:
        """Without buttons that open a form of another thing in a window of its own."""
        field: Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field


class HistoryAdmin(ReadOnly, ConsoleModelAdmin):
    actions = None
    sortable_by = ()  # newest first, as its index is
    list_disable_select_all = True
    actions_detail_hide_default = True  # the button to a history of changes: there are none


class HistoryTabularInline(ReadOnly, TabularInline):  # type: ignore[misc]
    extra = 0
    max_num = 0


class HistoryStackedInline(ReadOnly, StackedInline):  # type: ignore[misc]
    extra = 0
    max_num = 0
