"""What every page of the console has in common: who may, and what is only looked at."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import ShowFacets
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.widgets import AutocompleteSelect, RelatedFieldWidgetWrapper
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import DateTimeField, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.forms import BoundField, Field, Widget
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils.functional import cached_property
from django.utils.text import capfirst
from unfold import decorators
from unfold import forms as unfold_forms
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.fields import UnfoldAdminReadonlyField
from unfold.views import ChangeList

from emailgistics.common.instants import instant
from emailgistics.common.key_form import IDENTIFIER
from emailgistics.common.roles import Action, may

MAX_COUNTED = 10_000
WHOLE_KEY = re.compile(rf"({IDENTIFIER})_\w*", re.ASCII)  # or as much of one as was pasted
# filters in an address that no page of ours makes; what is wrong in them is a fault of the database, or holds it up
REFUSED_LOOKUPS = frozenset({"regex", "iregex", "in", "range", "year", "iso_year"})
# what filters add to the name of their field; anything else would lead on, from a relation to any column behind it
ASKED_OF_FILTERS = frozenset({"", "__exact", "__id__exact", "__isnull", "__gte", "__lt"})

Fieldsets = Sequence[tuple[str | None, dict[str, Any]]]
Shown = TypeVar("Shown", bound=Callable[..., Any])


def display(**options: Any) -> Callable[[Shown], Shown]:
    """As unfold's decorator for columns and fields, with types."""
    decorated: Callable[[Shown], Shown] = decorators.display(**options)
    return decorated


def by_system_administrator(request: HttpRequest) -> bool:
    return may(request, Action.MANAGE)


def first_id_since(at: datetime) -> UUID:
    """The lowest UUIDv7 of that instant (RFC 9562 section 5.7): the primary key finds what was made since."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def without_fields(fieldsets: Fieldsets, names: Collection[str]) -> Fieldsets:
    """For pages of which a part is not for everybody."""
    kept = []
    for title, options in fieldsets:
        lines = [
            tuple(name for name in line if name not in names) if isinstance(line, tuple | list) else line
            for line in options["fields"]
            if line not in names
        ]
        if fields := [line for line in lines if line]:
            kept.append((title, {**options, "fields": fields}))
    return kept


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


class ByTable:
    """Permissions as the site's table says; those of Django's own are not asked."""

    admin_site: Any
    opts: Any

    def page_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def shows(self, request: HttpRequest, part: str) -> bool:
        """Whether a part of its pages is for the person who asks."""
        return bool(self.admin_site.shows(request, self.page_name(part)))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(self.admin_site.opens(request, self.page_name("changelist")))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(self.admin_site.opens(request, self.page_name("change")))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(self.admin_site.takes(request, self.page_name("add")))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(self.admin_site.takes(request, self.page_name("change")))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(self.admin_site.takes(request, self.page_name("delete")))


class ReadOnly:
    """For history: nothing is added, changed or deleted by hand, whatever a table says."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class ListedWithin(ReadOnly):
    """For what is listed on the page of another thing: its model may have no pages."""

    admin_site: Any
    opts: Any

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return bool(self.admin_site.lists_within(request, f"{self.opts.app_label}_{self.opts.model_name}"))


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable at run time
    """Counts up to MAX_COUNTED: lists stay fast when tables are large."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:MAX_COUNTED].count())


def _asked_by(list_filter: Any) -> str:
    """What stands in the address for it: a parameter of its own, or the name of a field."""
    if isinstance(list_filter, tuple | list):
        return str(list_filter[0])
    return str(getattr(list_filter, "parameter_name", list_filter))


class SeenField(BoundField):
    """For forms that send along what was there: HTML has nothing described that is hidden."""

    def build_widget_attrs(self, attrs: dict[str, Any], widget: Widget | None = None) -> dict[str, Any]:
        built = super().build_widget_attrs(attrs, widget)
        if widget is not None and widget.is_hidden:
            built.pop("aria-describedby", None)
        return built


class ReadonlyField(UnfoldAdminReadonlyField):  # type: ignore[misc]  # unfold has no types
    """What a form only shows; an instant as every page shows it."""

    def contents(self) -> Any:
        # False: it could not be looked up
        field, _, value = self.resolved_field or (None, None, None)
        return instant(value) if isinstance(field, DateTimeField) and value else super().contents()


unfold_forms.UnfoldAdminReadonlyField = ReadonlyField  # it asks nobody which, as Django does not that it replaces


def _column(field: "DateTimeField[Any, Any]") -> Callable[[Any], Any]:
    """Of a list, in the place of a field's own."""

    def shown(row: Model) -> Any:
        return instant(getattr(row, field.name))

    shown.__name__ = field.name
    return display(description=field.verbose_name, ordering=field.name)(shown)


class PickOne(AutocompleteSelect):
    def use_required_attribute(self, initial: Any) -> bool:  # noqa: ARG002
        """Never: the list has no empty choice to begin with, which HTML wants then. The form asks for it."""
        return False

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Django's own raises what is sent in place of an id, when it shows the form again."""
        try:
            return super().optgroups(name, value, attr)
        except ValidationError:
            return super().optgroups(name, [""], attr)


class ConsoleChangeList(ChangeList):  # type: ignore[misc]  # unfold has no types
    """A list that says when it is not all."""

    full_result_count: int | None
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = self._loaded(self.result_list)
        self.is_capped = self.result_count >= MAX_COUNTED
        if not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count  # so nothing is offered to be shown that is not

    def _loaded(self, page: QuerySet[Any]) -> list[Any]:
        """Which rows those are comes first, then what is shown of them.

        In one query, what hangs on rows, and what is counted for each, would be read for all that it sorts or skips.
        """
        ids = list(page.values_list("pk", flat=True))
        rows = self.root_queryset.order_by()
        by_id = (rows if rows.query.select_related else self.apply_select_related(rows)).in_bulk(ids)
        return [by_id[pk] for pk in ids if pk in by_id]


class ConsoleModelAdmin(ByTable, ModelAdmin):  # type: ignore[misc]  # unfold has no types
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

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        instants = {field.name: _column(field) for field in self.opts.fields if isinstance(field, DateTimeField)}
        return [instants.get(name, name) for name in super().get_list_display(request)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:  # noqa: ARG002
        """What filters of the list ask for, and links of ours. Django's own lets any column of the row be asked."""
        if not REFUSED_LOOKUPS.isdisjoint(lookup.split(LOOKUP_SEP)):
            return False
        asked = map(_asked_by, self.get_list_filter(request))
        is_filter = any(lookup.removeprefix(name) in ASKED_OF_FILTERS for name in asked if lookup.startswith(name))
        return is_filter or lookup in self.admin_site.narrows(self.page_name("changelist"))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        page = self.page_name("changelist")
        offered: dict[str, Any] = super().get_actions(request)
        return {name: action for name, action in offered.items() if self.admin_site.acts(request, page, name)}

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


class HistoryTabularInline(ListedWithin, TabularInline):  # type: ignore[misc]
    template = "console/_history_table.html"
    extra = 0
    max_num = 0


class HistoryStackedInline(ListedWithin, StackedInline):  # type: ignore[misc]
    extra = 0
    max_num = 0
