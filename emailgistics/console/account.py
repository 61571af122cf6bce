"""What is one's own: the time zone, two-factor sign-in, sessions; and the two pages that ask who it is."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from emailgistics.common.clients import client_address
from emailgistics.common.secret import Secret
from emailgistics.console import fresh, second_step, sessions, two_factor
from emailgistics.console.errors import too_many
from emailgistics.console.forms import CodeForm, PasswordAndCodeForm, TimeZoneForm
from emailgistics.console.models import Preferences
from emailgistics.console.sign_in import TooManyFailuresError, counted, remember

View = Callable[..., HttpResponse]
RECOVERY_FILE = "emailgistics-recovery-codes.txt"


class AccountPages:
    def __init__(self, site: AdminSite) -> None:
        self.site = site

    def urls(self) -> list[URLPattern]:
        own = self._for_oneself
        return [
            path("login/code/", self._page_of_anybody(self.code), name="login_code"),
            path("confirm/", own(self.confirm), name="confirm"),
            path("account/", own(self.account), name="account"),
            path("account/sessions/end/", own(require_POST(self.end_sessions)), name="account_sessions_end"),
            path("account/two-factor/", own(self.two_factor), name="account_two_factor"),
            path("account/two-factor/off/", own(self.two_factor_off), name="account_two_factor_off"),
            path("account/recovery-codes/", own(require_POST(self.recovery_codes)), name="account_recovery_codes"),
        ]

    # --- who it is

    def code(self, request: HttpRequest) -> HttpResponse:
        frame = {**self.site.each_context(request), "title": _("Enter the code"), "subtitle": None}
        return second_step.second_step(request, frame)

    def confirm(self, request: HttpRequest, user: User) -> HttpResponse:
        """The password again, and a code; then back to where one was."""
        back = second_step.safe_next(request, request.GET.get(REDIRECT_FIELD_NAME, ""))
        form = PasswordAndCodeForm(request.POST or None, user=user)
        if request.method == "POST" and form.prove(request):
            request.session[sessions.CONFIRMED] = time.time()
            request.session.cycle_key()
            response = HttpResponseRedirect(back)
            remember(response, user)
            return response
        minutes = int(settings.FRESH_SIGN_IN.total_seconds() // 60)
        return self._page(request, "confirm", title=_("Confirm that it is you"), form=form, minutes=minutes)

    # --- the account

    def account(self, request: HttpRequest, user: User) -> HttpResponse:
        chosen = Preferences.objects.filter(user=user).first()
        initial = {"time_zone": chosen.time_zone if chosen else ""}
        form = TimeZoneForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            Preferences.objects.update_or_create(user=user, defaults=form.cleaned_data)
            messages.success(request, _("Your time zone is kept: dates are shown in it from now on."))
            return redirect("admin:account")
        return self._page(
            request,
            "account",
            title=_("Your account"),
            form=form,
            authenticator=two_factor.authenticator_of(user),
            codes_left=two_factor.codes_left(user),
            sessions=described(request, user),
        )

    def end_sessions(self, request: HttpRequest, user: User) -> HttpResponse:
        how: Any = {"by": user, "address": client_address(request)}
        if "others" in request.POST:
            count = sessions.end_all(user, but=request.session.session_key, **how)
            messages.success(request, _("Sessions ended: %(count)s.") % {"count": count})
        elif sessions.end_one(user, session_id(request), **how):
            messages.success(request, _("The session is ended."))
        return redirect("admin:account")

    # --- two-factor sign-in

    def two_factor(self, request: HttpRequest, user: User) -> HttpResponse:
        if two_factor.authenticator_of(user):
            return redirect("admin:account")
        form = CodeForm(request.POST or None)
        form.fields["code"].help_text = _("Six digits, which change every 30 seconds.")
        codes = None
        if request.method == "POST" and form.is_valid():
            try:
                with counted(request, user.get_username()):
                    codes = self._switched_on(request, user, form.cleaned_data["code"])
            except ValidationError as wrong:
                form.add_error("code", wrong)
        if codes:
            return self._codes(request, codes, title=_("Two-factor sign-in is on"))
        set_up = two_factor.prepare(user)
        return self._page(
            request,
            "two_factor",
            title=_("Set up two-factor sign-in"),
            form=form,
            secret=Secret(set_up.secret),
            picture=Secret(set_up.picture),
            is_required=settings.REQUIRE_TWO_FACTOR,
        )

    def recovery_codes(self, request: HttpRequest, user: User) -> HttpResponse:
        if two_factor.authenticator_of(user) is None:
            return redirect("admin:account")
        codes = two_factor.renew_codes(user, address=client_address(request))
        return self._codes(request, codes, title=_("New recovery codes"))

    def two_factor_off(self, request: HttpRequest, user: User) -> HttpResponse:
        if two_factor.authenticator_of(user) is None:
            return redirect("admin:account")
        form = PasswordAndCodeForm(request.POST or None, user=user)
        if request.method == "POST" and form.prove(request):
            two_factor.switch_off(user, by=user, address=client_address(request))
            request.session.pop(two_factor.MARK, None)
            request.session.cycle_key()
            messages.success(request, _("Two-factor sign-in is off: your password alone signs you in."))
            return redirect("admin:account")
        return self._page(request, "two_factor_off", title=_("Switch two-factor sign-in off"), form=form)

    def _switched_on(self, request: HttpRequest, user: User, code: str) -> list[str]:
        """Other sessions end: they were begun by the password alone. Raises ValidationError."""
        address = client_address(request)
        codes = two_factor.confirm(user, code, address=address)
        if codes is None:
            raise ValidationError(CodeForm.WRONG)
        request.session.cycle_key()
        second_step.mark(request, user)
        sessions.end_all(user, by=user, address=address, but=request.session.session_key)
        return codes

    def _codes(self, request: HttpRequest, codes: list[str], *, title: str) -> HttpResponse:
        text = Secret("\n".join(codes))
        context = {"codes": text, "rows": len(codes), "file_name": RECOVERY_FILE}
        return self._page(request, "recovery_codes", title=title, **context)

    # --- the frame

    def _page(self, request: HttpRequest, name: str, **context: Any) -> TemplateResponse:
        request.current_app = self.site.name
        return TemplateResponse(request, f"console/{name}.html", {**self.site.each_context(request), **context})

    def _for_oneself(self, view: View) -> View:
        """For everybody who is signed in, whatever else they may do."""

        @wraps(view)
        def own(request: HttpRequest) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path(), "admin:login")
            return fresh.asks(request) or view(request, request.user)

        return self._page_of_anybody(own)

    @staticmethod
    def _page_of_anybody(view: View) -> View:
        @wraps(view)
        def throttled(request: HttpRequest) -> HttpResponse:
            try:
                return view(request)
            except TooManyFailuresError as error:
                return too_many(wait_s=error.wait_s)

        return never_cache(csrf_protect(sensitive_post_parameters()(throttled)))


def described(request: HttpRequest, user: User) -> list[dict[str, Any]]:
    """The sessions of somebody, for `console/_sessions.html`."""
    return [
        {"row": row, "browser": sessions.browser_of(row), "is_this": sessions.is_this(row, request)}
        for row in sessions.of(user)
    ]


def session_id(request: HttpRequest) -> UUID:
    """Of the session that a form names. Raises Http404."""
    try:
        return UUID(request.POST.get("session", ""))
    except ValueError as error:
        raise Http404 from error
