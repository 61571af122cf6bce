"""Pages that want a sign-in of the last minutes: whoever finds a browser open makes no key and no person with it.

The page that opens a form asks; sending it has more time, so that nothing is lost that was typed meanwhile.
"""

import time
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from emailgistics.console.sessions import CONFIRMED

LEEWAY = timedelta(hours=1)  # for sending what was opened in time
# by the name of its address
PAGES = frozenset(
    {
        *(f"apikeys_apikey_{page}" for page in ("add", "rotate", "delete", "end", "plan")),
        *(f"auth_user_{page}" for page in ("add", "change", "delete", "password_change", "sessions", "two_factor")),
        "account_two_factor",
        "account_recovery_codes",
    }
)
LISTS = frozenset({"auth_user_changelist"})  # to be looked at by whoever may; their actions are as the pages
SAFE = ("GET", "HEAD", "OPTIONS")


def is_fresh(request: HttpRequest, *, leeway: timedelta = timedelta(0)) -> bool:
    confirmed_at: float = request.session.get(CONFIRMED, 0)
    age_s = time.time() - confirmed_at
    return age_s <= (settings.FRESH_SIGN_IN + leeway).total_seconds()


def asks(request: HttpRequest) -> HttpResponse | None:
    """What is answered in the place of the page; None if it may go on."""
    page = request.resolver_match.url_name if request.resolver_match else None
    if request.method in SAFE:
        return None if page not in PAGES or is_fresh(request) else to_confirm(request.get_full_path())
    if page not in PAGES | LISTS or is_fresh(request, leeway=LEEWAY):
        return None
    if page in LISTS:
        return to_confirm(request.get_full_path())
    context = {"confirm_url": f"{reverse('admin:confirm')}?{urlencode({REDIRECT_FIELD_NAME: reverse('admin:index')})}"}
    return TemplateResponse(request, "console/not_fresh.html", context, status=HTTPStatus.FORBIDDEN)


def to_confirm(back: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(f"{reverse('admin:confirm')}?{urlencode({REDIRECT_FIELD_NAME: back})}")
