"""How another person signs in: their sessions, and their second factor. For whoever looks after people."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import ConsoleModelAdmin, display
from emailgistics.common.clients import client_address
from emailgistics.console import sessions, two_factor
from emailgistics.console.account import described, session_id


class SignInPages(ConsoleModelAdmin):
    def get_urls(self) -> list[URLPattern]:
        page = path(
            "<path:object_id>/sessions/", self.admin_site.admin_view(self.sessions_view), name="auth_user_sessions"
        )
        return [page, *super().get_urls()]

    @display(description=gettext_lazy("Signing in"))
    def signing_in(self, user: User) -> SafeString | str:
        state = _("with two-factor sign-in") if two_factor.authenticator_of(user) else _("by password alone")
        page = reverse("admin:auth_user_sessions", args=[user.pk])
        link = _("sessions, and two-factor sign-in")
        return format_html('{}: <a class="text-link" href="{}">{}</a>', state, page, link)

    def sessions_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user: User | None = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if user is None:
            answer: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return answer
        if request.method == "POST":
            self._end(request, user)
            return redirect("admin:auth_user_sessions", user.pk)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": user,
            "title": _("How %(name)s signs in") % {"name": user.get_username()},
            "person": user,
            "authenticator": two_factor.authenticator_of(user),
            "sessions": described(request, user),
        }
        return TemplateResponse(request, "console/person_sign_in.html", context)

    def _end(self, request: HttpRequest, user: User) -> None:
        by: Any = request.user
        address = client_address(request)
        if "reset" in request.POST and by == user:
            messages.error(request, _("That is your own: switch it off under “Your account”, with a code."))
        elif "reset" in request.POST:
            if two_factor.switch_off(user, by=by, address=address):
                sessions.end_all(user, by=by, address=address)
                self.log_change(request, user, "Two-factor sign-in reset; all sessions ended.")
                messages.success(request, _("Two-factor sign-in is reset, and their sessions are ended."))
        elif "all" in request.POST:
            count = sessions.end_all(user, by=by, address=address)
            messages.success(request, _("Sessions ended: %(count)s.") % {"count": count})
        elif sessions.end_one(user, session_id(request), by=by, address=address):
            messages.success(request, _("The session is ended."))
