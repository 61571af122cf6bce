"""The web console: who gets in, and its frame."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from unfold.sites import UnfoldAdminSite

from emailgistics.common.admin import by_system_administrator
from emailgistics.common.clients import seconds_to_wait
from emailgistics.console.errors import too_many
from emailgistics.console.sign_in import TooManyFailuresError, remember
from webhooks.services.stop import outgoing_stop

# nothing here films, listens or pays
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"

View = Callable[..., Any]


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    index_title = "Dashboard"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        # what goes together with a thing is said on the page of that thing, before it goes
        self.disable_action("delete_selected")

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """With what every page says on top: that outgoing webhooks are stopped."""
        context: dict[str, Any] = super().each_context(request)
        return context | {"outgoing_stop": outgoing_stop() if by_system_administrator(request) else None}

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and (request.user.is_staff or by_system_administrator(request)))

    def admin_view(self, view: View, cacheable: bool = False) -> Callable[..., HttpResponseBase]:
        """Signed-out people are asked to sign in; who is signed in and may not come here is told so."""
        wrapped: Callable[..., HttpResponseBase] = super().admin_view(view, cacheable)

        @wraps(wrapped)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.user.is_authenticated and not self._may_see(view, request):
                raise PermissionDenied
            if "%00" in request.META.get("QUERY_STRING", ""):
                raise BadRequest("The address has a NUL character in it.")
            if wait := self._seconds_to_wait(view, request):
                return too_many(wait_s=wait)
            is_leaving = view == self.logout and request.user.is_authenticated
            # who may not come in may still leave; CsrfViewMiddleware checks it
            response = view(request, *args, **kwargs) if is_leaving else wrapped(request, *args, **kwargs)
            response["Permissions-Policy"] = PERMISSIONS_POLICY
            return response

        return checked

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        try:
            response: HttpResponseBase = super().login(request, extra_context)
        except TooManyFailuresError as error:
            return too_many(wait_s=error.wait_s)
        if request.method == "POST" and request.user.is_authenticated:
            remember(response, request.user)
        return response

    def _seconds_to_wait(self, view: View, request: HttpRequest) -> int:
        """For whoever sends the forms of a ModelAdmin with `posts_per_minute`: the name of the setting that says it."""
        setting = getattr(getattr(view, "__self__", None), "posts_per_minute", None)
        if setting is None or request.method != "POST":
            return 0
        per_minute = getattr(settings, setting)
        return seconds_to_wait(request, group=setting, per_minute=per_minute, of=f"person {request.user.pk}")

    def _may_see(self, view: View, request: HttpRequest) -> bool:
        """System administrators everything; other staff the dashboard and their own password; everybody the way out.

        A page that is new is for system administrators, until it is named here.
        """
        if view == self.logout or by_system_administrator(request):
            return True
        own = (self.index, self.password_change, self.password_change_done, self.i18n_javascript)
        return self.has_permission(request) and view in own
