"""The API Access page: keys are looked at, made, shown once, and ended. None is ever changed."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, F, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_variables
from unfold.decorators import display

from apikeys import console, presets
from apikeys.forms import KeyForm, RevokeForm
from apikeys.models import ApiKey, ApiKeyMailbox, ApiKeyQuerySet
from apikeys.plans import limits_of
from apikeys.services import create_api_key, revoke_api_key
from emailgistics.common import one_use
from emailgistics.common.admin import ConsoleModelAdmin
from emailgistics.common.errors import RefusedError

PURPOSE = "apikey"  # of the one-use tokens
NAMED_IN_LIST = 2  # mailboxes, scopes
FIELD_OF = {"expires_at": "expiry"}  # where an error of the service is shown, if the names differ


class StandingFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*ApiKey.Standing.choices, ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": "Not revoked"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        assert isinstance(queryset, ApiKeyQuerySet)
        chosen = self.value()
        if chosen in ApiKey.Standing.values:
            return queryset.of_standing(ApiKey.Standing(chosen), now=timezone.now())
        # who searches for a key is told of it, whatever became of it
        if chosen == "all" or request.GET.get("q"):
            return queryset
        return queryset.not_revoked()


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleModelAdmin):
    change_list_template = "apikeys/change_list.html"
    list_display = ("shown_name", "standing", "shown_scopes", "shown_mailboxes", "expires", "created", "plan")
    list_filter = (StandingFilter,)
    search_fields = ("name", "identifier")
    search_help_text = "Name or identifier"
    ordering: ClassVar = (F("revoked_at").desc(nulls_first=True), "-id")
    actions = None
    list_fullwidth = True

    # --- what there is

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        live = ApiKeyMailbox.objects.filter(mailbox__deleted_at=None)
        count = live.filter(api_key=OuterRef("pk")).order_by().values("api_key").annotate(count=Count("pk"))
        first = live.select_related("mailbox__domain").order_by("pk")[:NAMED_IN_LIST]
        keys: QuerySet[ApiKey] = super().get_queryset(request)
        return (
            keys.select_related("created_by", "revoked_by")
            .annotate(allowed_count=Coalesce(Subquery(count.values("count")), 0))
            .prefetch_related(Prefetch("allowlist", queryset=first, to_attr="first_allowed"))
        )

    @admin.display(description="Name", ordering="name")
    def shown_name(self, key: ApiKey) -> str:
        return format_html('{}<br><code class="ak-id">{}</code>', key.name, key.identifier)

    @display(description="Status", label=console.STANDING_LABELS)  # type: ignore[untyped-decorator]  # unfold has no types
    def standing(self, key: ApiKey) -> tuple[str, str]:
        standing = key.standing(timezone.now())
        return standing.value, standing.label

    @admin.display(description="Scopes")
    def shown_scopes(self, key: ApiKey) -> str:
        short = console.scopes_in_short(key.scopes, named=NAMED_IN_LIST)
        return format_html('<span title="{}">{}</span>', ", ".join(key.scopes), short)

    @admin.display(description="Mailboxes")
    def shown_mailboxes(self, key: ApiKey) -> str:
        row: Any = key  # as get_queryset made it
        return console.mailboxes_in_short(
            None if key.all_mailboxes else row.allowed_count, named=[str(entry.mailbox) for entry in row.first_allowed]
        )

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, key: ApiKey) -> str:
        now = timezone.now()
        when = (
            f"revoked {presets.from_now(key.revoked_at, now)}"
            if key.revoked_at
            else presets.from_now(key.expires_at, now)
        )
        return format_html('{}<br><span class="ak-hint">{}</span>', presets.instant(key.expires_at), when)

    @admin.display(description="Created", ordering="created_at")
    def created(self, key: ApiKey) -> str:
        by = console.person(key.created_by)
        return format_html('{}<br><span class="ak-hint">{}</span>', presets.instant(key.created_at), by)

    @admin.display(description="Plan", ordering="rate_plan")
    def plan(self, key: ApiKey) -> str:
        limits = console.limits_in_short(limits_of(key))
        return format_html('{}<br><span class="ak-hint">{}</span>', key.get_rate_plan_display(), limits)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, {"title": "API Access", **(extra_context or {})})
        if (
            isinstance(response, TemplateResponse)
            and response.context_data
            and (page := response.context_data.get("cl"))
        ):
            response.context_data["statuses"] = [choice for spec in page.filter_specs for choice in spec.choices(page)]
        return response

    # --- a key is never changed

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
        key = self.get_object(request, object_id)
        if key is None:
            return self._not_there(request, object_id)
        return self._page(
            request,
            "apikeys/detail.html",
            title=key.name,
            original=key,
            **console.detail_of(key, now=timezone.now()),
            **(extra_context or {}),
        )

    # --- making one

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("add/preview/", view(self.preview_view), name="apikeys_apikey_preview"),
            path("mailboxes/", view(self.mailboxes_view), name="apikeys_apikey_mailboxes"),
            *super().get_urls(),
        ]

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._generate(request) if request.method == "POST" else self._form(request, KeyForm())

    @sensitive_variables("plaintext")
    def _generate(self, request: HttpRequest) -> HttpResponseBase:
        """The one answer in which the whole key exists; or the form again; or the page of a form that was spent."""
        token = request.POST.get(one_use.FIELD, "")
        form = KeyForm(request.POST)
        try:
            one_use.refuse_if_spent(token, user_id=request.user.pk, purpose=PURPOSE)
            if not form.is_valid():
                return self._form(request, form)
            key, plaintext = self._make(request, form, token)
        except one_use.FormSpentError as spent:
            return self._page(
                request,
                "apikeys/already_made.html",
                status=409,
                title="This key was made already",
                made=spent.made,
                key=ApiKey.objects.filter(identifier=spent.made).first(),
            )
        except RefusedError as refused:
            field = FIELD_OF.get(refused.field or "", refused.field)
            form.add_error(field if field in form.fields else None, refused.message)
            return self._form(request, form)
        return self._page(
            request, "apikeys/made.html", title="Key generated", key=key, **console.shown_once(key, plaintext)
        )

    def _make(self, request: HttpRequest, form: KeyForm, token: str) -> tuple[ApiKey, str]:
        assert isinstance(request.user, User)
        with transaction.atomic():
            spent = one_use.spend(token, user_id=request.user.pk, purpose=PURPOSE)
            key, plaintext = create_api_key(**form.new_key(), created_by=request.user)
            spent.made = key.identifier
            spent.save(update_fields=["made"])
            self.log_addition(request, key, [{"added": {}}])
        return key, plaintext

    def _form(self, request: HttpRequest, form: KeyForm) -> TemplateResponse:
        token = one_use.new_token(user_id=request.user.pk, purpose=PURPOSE)
        return self._page(
            request, "apikeys/add.html", title="Add Key", token=token, **console.form_parts(form, now=timezone.now())
        )

    def preview_view(self, request: HttpRequest) -> JsonResponse:
        """What the key of a form that is being filled in would be; see console.preview."""
        if request.method not in ("GET", "HEAD") or not self.has_add_permission(request):
            raise PermissionDenied
        return JsonResponse(console.preview(request.GET, now=timezone.now()))

    def mailboxes_view(self, request: HttpRequest) -> JsonResponse:
        """Mailboxes for the picker; see console.find_for_picker."""
        if request.method not in ("GET", "HEAD") or not self.has_add_permission(request):
            raise PermissionDenied
        return JsonResponse(console.find_for_picker(request.GET.get("q", ""), whole="whole" in request.GET))

    # --- ending one

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Deleting is revoking: the row stays, for audit."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        key = self.get_object(request, object_id)
        if key is None:
            return self._not_there(request, object_id)
        if key.revoked_at is not None:
            self.message_user(request, f"{key} was revoked before; that is final.")
            return redirect("admin:apikeys_apikey_change", key.pk)
        form = RevokeForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            return self._revoke(request, key, reason=form.cleaned_data["reason"])
        detail = console.detail_of(key, now=timezone.now())
        title = f"Delete {key.name}?"
        return self._page(
            request, "apikeys/revoke.html", title=title, form=form, original=key, **detail, **(extra_context or {})
        )

    def _revoke(self, request: HttpRequest, key: ApiKey, *, reason: str) -> HttpResponseRedirect:
        assert isinstance(request.user, User)
        with transaction.atomic():
            revoke_api_key(key, by=request.user, reason=reason)
            self.log_change(request, key, "Revoked.")
        self.message_user(request, f"{key} is revoked: every call with it answers 401 from now on.")
        return redirect("admin:apikeys_apikey_changelist")

    # --- pages

    def _page(self, request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "is_fullwidth": "", **context}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, template, frame, status=status)

    def _not_there(self, request: HttpRequest, object_id: str) -> HttpResponse:
        response: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return response
