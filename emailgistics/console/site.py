"""The web console: who gets in, to what, and its frame."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from emailgistics.common.clients import client_address, seconds_to_wait
from emailgistics.common.roles import Action, may
from emailgistics.console import access_table, fresh, sessions
from emailgistics.console.account import AccountPages
from emailgistics.console.errors import too_many
from emailgistics.console.second_step import FirstStep
from emailgistics.console.sign_in import TooManyFailuresError, remember
from webhooks.services.stop import outgoing_stop

# nothing here films, listens or pays

View = Callable[..., Any]
OWN_PAGES = (
    "emailgistics.console.dashboard.now_view",
    "emailgistics.console.statistics_page.statistics_view",
    "emailgistics.console.statistics_page.export_view",
    "emailgistics.console.first_steps_pages.urls",
)

SAFE = frozenset({"GET", "HEAD"})


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    index_title = gettext_lazy("Dashboard")

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        # what goes together with a thing is said on the page of that thing, before it goes
        self.disable_action("delete_selected")

    def get_urls(self) -> list[URLPattern]:
        # by name: these pages know those of the apps, which are registered with this site as they are loaded
        now, statistics, export, first_steps = map(import_string, OWN_PAGES)
        urls: list[URLPattern] = super().get_urls()
        return [
            path("now/", self.admin_view(now), name="now"),
            path("statistics/", self.admin_view(statistics), name="statistics"),
            path("statistics.csv", self.admin_view(export), name="statistics_csv"),
            path("reach/<str:kind>/<uuid:pk>/", self.admin_view(self.reach), name="reach"),
            *first_steps(self),
            *AccountPages(self).urls(),
            *urls,
        ]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """With what every page says on top: that outgoing webhooks are stopped."""
        context: dict[str, Any] = super().each_context(request)
        context["colors"] = None  # they are in console.css: a style sheet has no place within a page's body
        return context | {
            "outgoing_stop": outgoing_stop() if self.shows(request, "outgoing_stop") else None,
            "may_open": Asked(lambda page: self.opens(request, page)),
            "may_send": Asked(lambda page: self.takes(request, page)),
        }

    def has_permission(self, request: HttpRequest) -> bool:
        return may(request, Action.ENTER)

    # --- the table, as asked by pages: see access_table.py

    def opens(self, request: HttpRequest, page: str) -> bool:
        row = access_table.PAGES.get(page, access_table.NOBODYS)
        return _may(request, row.look)

    def takes(self, request: HttpRequest, page: str) -> bool:
        """Whether its form, sent by that person, is looked at."""
        row = access_table.PAGES.get(page, access_table.NOBODYS)
        return _may(request, row.send)

    def acts(self, request: HttpRequest, page: str, action: str) -> bool:
        """On rows that are ticked in the list."""
        return _may(request, access_table.ACTIONS.get((page, action)))

    def lists_within(self, request: HttpRequest, model: str) -> bool:
        """On the page of another thing."""
        return _may(request, access_table.INLINES.get(model))

    def shows(self, request: HttpRequest, part: str) -> bool:
        """Raises KeyError for what is no part: it would be missed by nobody."""
        return may(request, access_table.PARTS[part])

    def narrows(self, page: str) -> frozenset[str]:
        return access_table.LOOKUPS.get(page, frozenset())

    def admin_view(self, view: View, cacheable: bool = False) -> Callable[..., HttpResponseBase]:
        """Signed-out people are asked to sign in; who is signed in and may not come here is told so."""
        wrapped: Callable[..., HttpResponseBase] = super().admin_view(view, cacheable)

        @wraps(wrapped)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.user.is_authenticated and not self._may_see(request):
                raise PermissionDenied
            if "%00" in request.META.get("QUERY_STRING", ""):
                raise BadRequest("The address has a NUL character in it.")
            if wait := self._seconds_to_wait(view, request):
                return too_many(wait_s=wait)
            if request.user.is_authenticated and (asks := fresh.asks(request)):
                return asks
            is_leaving = view == self.logout and request.user.is_authenticated
            # who may not come in may still leave; CsrfViewMiddleware checks it
            return view(request, *args, **kwargs) if is_leaving else wrapped(request, *args, **kwargs)

        return checked

    def reach(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponseBase:
        """Who can reach the mail of a domain, a mailbox, an alias."""
        from emailgistics.console.reach_page import reach_page  # noqa: PLC0415 - the site is there before the models

        return reach_page(self, request, kind, pk)

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:  # noqa: ARG002
        """In place of unfold's, which looks for a part of any text in every row: see `console.search`."""
        from emailgistics.console.search_page import search_page  # noqa: PLC0415 - the site is there before the models

        return search_page(self, request)

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Where Django looks for a sign-in page: ours, whose first step signs in nobody who has a second factor."""
        if request.method == "GET" and self.has_permission(request):
            return redirect("admin:index")
        back = (
            {}
            if REDIRECT_FIELD_NAME in {*request.GET, *request.POST}
            else {REDIRECT_FIELD_NAME: reverse("admin:index")}
        )
        context = {
            **self.each_context(request),
            "title": _("Log in"),
            "subtitle": None,
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            **back,
            **(extra_context or {}),
        }
        request.current_app = self.name
        view = FirstStep.as_view(
            extra_context=context, authentication_form=self.login_form, template_name="admin/login.html"
        )
        try:
            response: HttpResponseBase = view(request)
        except TooManyFailuresError as error:
            return too_many(wait_s=error.wait_s)
        if request.method == "POST" and request.user.is_authenticated:
            remember(response, request.user)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Whoever else knows the old one is signed out."""
        response: HttpResponseBase = super().password_change(request, extra_context)
        if isinstance(request.user, User) and isinstance(response, HttpResponseRedirect):
            how: Any = {"by": request.user, "address": client_address(request)}
            sessions.end_all(request.user, but=request.session.session_key, **how)
        return response

    def _seconds_to_wait(self, view: View, request: HttpRequest) -> int:
        """For whoever sends the forms of a ModelAdmin with `posts_per_minute`: the name of the setting that says it."""
        setting = getattr(getattr(view, "__self__", None), "posts_per_minute", None)
        if setting is None or request.method != "POST":
            return 0
        per_minute = getattr(settings, setting)
        return seconds_to_wait(request, group=setting, per_minute=per_minute, of=f"person {request.user.pk}")

    def _may_see(self, request: HttpRequest) -> bool:
        found = request.resolver_match
        page = (found and found.url_name) or ""
        return self.opens(request, page) if request.method in SAFE else self.takes(request, page)


class Asked:
    """For templates: `{% if may_open.mailboxes_email_raw %}`."""

    def __init__(self, ask: Callable[[str], bool]) -> None:
        self._ask = ask

    def __getitem__(self, page: str) -> bool:
        return self._ask(page)


def _may(request: HttpRequest, action: Action | None) -> bool:
    return action is not None and may(request, action)
