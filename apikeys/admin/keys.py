"""The list of keys, and the page of one. None is ever changed."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from unfold.decorators import display

from apikeys import console, use, words
from apikeys.admin.ending import EndingPages, outliving
from apikeys.admin.making import MakingPages
from apikeys.admin.planning import PlanPages
from apikeys.models import ApiKey, ApiKeyMailbox, ApiKeyQuerySet
from apikeys.plans import limits_of
from emailgistics.common.admin import ConsoleChangeList, without_keys
from emailgistics.common.instants import instant

NAMED_IN_LIST = 2  # mailboxes, scopes
SEARCH = "q"
CUT = "cut"  # said by the page's script: it cut a pasted key before it was sent
PASTED = gettext_lazy(
    "You pasted a whole key: treat it as leaked if it left a safe place. Only its identifier was searched for."
)


class StandingFilter(admin.SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*((value, str(label)) for value, label in ApiKey.Standing.choices), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("Not revoked")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        assert isinstance(queryset, ApiKeyQuerySet)
        chosen = self.value()
        if chosen in ApiKey.Standing.values:
            return queryset.of_standing(ApiKey.Standing(chosen), now=timezone.now())
        # who searches for a key is told of it, whatever became of it
        if chosen == "all" or request.GET.get(SEARCH):
            return queryset
        return queryset.not_revoked()


class KeyList(ConsoleChangeList):
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """With what each key on the page was used for, in one query."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        used = use.by_day(self.result_list, days=use.IN_LIST_DAYS, now=timezone.now())
        for key in self.result_list:
            key.days = used[key.pk]


@admin.register(ApiKey)
class ApiKeyAdmin(MakingPages, EndingPages, PlanPages):
    change_list_template = "apikeys/change_list.html"
    list_display = (
        "shown_name", "standing", "shown_scopes", "shown_mailboxes", "expires", "last_used", "used", "plan",
    )  # fmt: skip
    list_filter = (StandingFilter,)
    search_fields = ("name", "identifier")
    search_help_text = gettext_lazy("Name, identifier or a whole key")
    ordering: ClassVar = (F("revoked_at").desc(nulls_first=True), "-id")
    actions = None
    list_fullwidth = True
    posts_per_minute: ClassVar = "KEY_FORMS_PER_MINUTE"

    # --- the list

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        live = ApiKeyMailbox.objects.filter(mailbox__deleted_at=None)
        count = live.filter(api_key=OuterRef("pk")).order_by().values("api_key").annotate(count=Count("pk"))
        first = live.select_related("mailbox__domain").order_by("pk")[:NAMED_IN_LIST]
        keys: QuerySet[ApiKey] = super().get_queryset(request)
        return (
            keys.select_related("created_by", "revoked_by", "rotated_from")
            .annotate(allowed_count=Coalesce(Subquery(count.values("count")), 0))
            .prefetch_related(Prefetch("allowlist", queryset=first, to_attr="first_allowed"))
        )

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ConsoleChangeList]:  # noqa: ARG002
        return KeyList

    @admin.display(description=gettext_lazy("Name"), ordering="name")
    def shown_name(self, key: ApiKey) -> str:
        return format_html('{}<br><code class="ak-id">{}</code>', key.name, key.identifier)

    @display(description=gettext_lazy("Status"), label=console.STANDING_LABELS)  # type: ignore[untyped-decorator]  # unfold has no types
    def standing(self, key: ApiKey) -> tuple[str, str]:
        standing = key.standing(timezone.now())
        return standing.value, str(standing.label)

    @admin.display(description=gettext_lazy("Scopes"))
    def shown_scopes(self, key: ApiKey) -> str:
        short = console.scopes_in_short(key.scopes, named=NAMED_IN_LIST)
        return format_html('<span title="{}">{}</span>', ", ".join(key.scopes), short)

    @admin.display(description=gettext_lazy("Mailboxes"))
    def shown_mailboxes(self, key: ApiKey) -> str:
        row: Any = key  # as get_queryset made it
        short = console.mailboxes_in_short(
            None if key.all_mailboxes else row.allowed_count, named=[str(entry.mailbox) for entry in row.first_allowed]
        )
        if not key.networks:
            return short
        place = words.in_short(key.networks, named=1)
        all_places = ", ".join(key.networks)
        return format_html(
            '{}<br><span class="ak-hint" title="{}">{}</span>',
            short,
            all_places,
            _("only from %(networks)s") % {"networks": place},
        )

    @admin.display(description=gettext_lazy("Expires"), ordering="expires_at")
    def expires(self, key: ApiKey) -> str:
        now = timezone.now()
        ended_at = key.revoked_at or key.revoke_at
        if ended_at:
            told = _("revoked %(when)s") if ended_at <= now else _("will be revoked %(when)s")
            return _dated(key.ends_at, told % {"when": words.from_now(ended_at, now)})
        return _dated(key.expires_at, words.from_now(key.expires_at, now))

    @admin.display(description=gettext_lazy("Last used"), ordering=F("last_used_at").desc(nulls_last=True))
    def last_used(self, key: ApiKey) -> str:
        if key.last_used_at is None:
            return _("never")
        address = key.last_used_address or _("an unknown address")
        return format_html(
            '<span title="{}" class="ak-nowrap">{}<span class="ak-hint ak-narrow">{}</span></span>',
            _("%(at)s, from %(address)s, %(agent)s")
            % {
                "at": words.instant(key.last_used_at),
                "address": address,
                "agent": key.last_used_agent or _("no user agent"),
            },
            words.from_now(key.last_used_at, timezone.now()),
            address,
        )

    @admin.display(description=gettext_lazy("14 days"))
    def used(self, key: ApiKey) -> str:
        row: Any = key  # as KeyList made it
        return render_to_string("partials/_sparkline.html", {"spark": use.sparkline(row.days)})

    @admin.display(description=gettext_lazy("Plan"), ordering="rate_plan")
    def plan(self, key: ApiKey) -> str:
        limits = limits_of(key)
        return format_html(
            '<span title="{}">{}<br><span class="ak-hint">{}</span></span>',
            console.limits_in_short(limits),
            key.get_rate_plan_display(),
            _("%(hour)s/h") % {"hour": f"{limits.hour:,}"},
        )

    @method_decorator(sensitive_post_parameters(SEARCH))
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST" and SEARCH in request.POST:
            return self._search(request)
        if without_keys(request.GET):
            self.message_user(request, PASTED, messages.WARNING)
        response: HttpResponse = super().changelist_view(request, {"title": _("API Access"), **(extra_context or {})})
        if (
            isinstance(response, TemplateResponse)
            and response.context_data
            and (page := response.context_data.get("cl"))
        ):
            response.context_data["statuses"] = [choice for spec in page.filter_specs for choice in spec.choices(page)]
        return response

    def _search(self, request: HttpRequest) -> HttpResponse:
        """A search is sent as a form: what is in an address stays in histories and logs, and keys get pasted here."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.POST.copy()
        for name in ("csrfmiddlewaretoken", CUT):
            asked.pop(name, None)
        cleaned = without_keys(asked)
        if cleaned is not None or request.POST.get(CUT):
            self.message_user(request, PASTED, messages.WARNING)
        return HttpResponseRedirect(f"{request.path}?{(cleaned or asked).urlencode()}")

    # --- one key

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request):
            raise PermissionDenied
        key = self._key(request, object_id)
        if key is None:
            return self._not_there(request, object_id)
        now = timezone.now()
        chosen = [days for days in use.CHART_DAYS if str(days) == request.GET.get("days")]
        return self._page(
            request,
            "apikeys/detail.html",
            title=key.name,
            original=key,
            outliving=outliving(key),
            **console.facts_of(key, now=now),
            **console.page_of(key, days=chosen[0] if chosen else use.CHART_DAYS[0], now=now),
            **(extra_context or {}),
        )


def _dated(at: Any, hint: str) -> str:
    return format_html('{}<br><span class="ak-hint">{}</span>', instant(at, style="DATE_FORMAT"), hint)
