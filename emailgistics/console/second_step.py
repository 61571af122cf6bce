"""Signing in: the password first, then, for whoever has two-factor sign-in, a code. In between nobody is signed in."""

import time
from typing import Any

from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import AbstractBaseUser, User
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme

from emailgistics.console import two_factor
from emailgistics.console.forms import CodeForm
from emailgistics.console.sign_in import counted, remember

HALF = "half_signed_in"  # in the session: whose password was right, and when
HALF_LASTS_S = 5 * 60
MAX_WRONG = 5  # codes, until the password is asked for again
BACKEND = "django.contrib.auth.backends.ModelBackend"


class FirstStep(LoginView):
    """The password. Who has a second factor is not signed in by it."""

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.get_user()
        if two_factor.authenticator_of(user) is None:
            return super().form_valid(form)
        self.request.session.flush()  # whoever was signed in here before is not any more
        self.request.session[HALF] = {
            "user": user.pk,
            "hash": user.get_session_auth_hash(),
            "at": time.time(),
            "wrong": 0,
            "next": self.get_success_url(),  # looked at: it leads to nowhere else
        }
        return redirect("admin:login_code")


def second_step(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """The code. Raises TooManyFailuresError."""
    user = half_signed_in(request)
    if user is None:
        return redirect("admin:login")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            with counted(request, user.get_username()):
                _refuse_wrong(user, form.cleaned_data["code"])
        except ValidationError as wrong:
            form.add_error("code", wrong)
            if _count_wrong(request):
                return redirect("admin:login")
        else:
            return _sign_in(request, user)
    return TemplateResponse(request, "console/sign_in_code.html", {**frame, "form": form})


def half_signed_in(request: HttpRequest) -> User | None:
    """Whose password was right a moment ago, and still is it."""
    half = request.session.get(HALF)
    if not half or time.time() - half["at"] > HALF_LASTS_S:
        return None
    user = get_user_model().objects.filter(pk=half["user"], is_active=True).first()
    is_same = user is not None and constant_time_compare(user.get_session_auth_hash(), half["hash"])
    return user if is_same else None


def safe_next(request: HttpRequest, address: str) -> str:
    """The address if it is one of this installation, else the dashboard."""
    hosts = {request.get_host()}
    is_ours = url_has_allowed_host_and_scheme(address, allowed_hosts=hosts, require_https=request.is_secure())
    return address if is_ours else reverse("admin:index")


def mark(request: HttpRequest, user: AbstractBaseUser) -> None:
    """Keeps in the session that a second factor was given, as django-otp does."""
    device = two_factor.authenticator_of(user)
    if device:
        request.session[two_factor.MARK] = device.persistent_id


def _sign_in(request: HttpRequest, user: User) -> HttpResponse:
    back = safe_next(request, request.session.pop(HALF)["next"])
    login(request, user, backend=BACKEND)
    mark(request, user)
    response = HttpResponseRedirect(back)
    remember(response, user)
    return response


def _refuse_wrong(user: User, code: str) -> None:
    if not two_factor.accepts(user, code):
        raise ValidationError(CodeForm.WRONG)


def _count_wrong(request: HttpRequest) -> bool:
    """Whether that was one too many."""
    half = request.session[HALF]
    half["wrong"] += 1
    request.session[HALF] = half
    if half["wrong"] < MAX_WRONG:
        return False
    request.session.flush()
    return True
