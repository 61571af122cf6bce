"""What holds for everybody who is signed in, whatever page they open."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import add_never_cache_headers

from emailgistics.common.requests import is_api
from emailgistics.common.zones import is_time_zone
from emailgistics.console import sessions, two_factor
from emailgistics.console.models import Session

TIME_ZONE_COOKIE = "emailgistics_time_zone"  # written by console.js: what the browser says
CONSOLE = "/admin/"
FILES = "/files/"
# with REQUIRE_TWO_FACTOR, all that is there for who has none yet
OPEN_PAGES = ("admin:account_two_factor", "admin:confirm", "admin:logout", "admin:jsi18n")


class LanguageMiddleware:
    """Pages are in the language of the installation. What programs read stays as it is documented, in English."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_for_programs = is_api(request.path_info) or request.path_info.startswith(FILES)
        with translation.override(settings.LANGUAGE_CODE if is_for_programs else settings.CONSOLE_LANGUAGE):
            return self.get_response(request)


class ConsoleMiddleware:
    """Notes that the session is used, asks for two-factor sign-in to be set up, and lets pages of the console show
    instants in the person's time zone.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if is_api(path) or path.startswith(f"/{settings.STATIC_URL.strip('/')}/"):
            return self.get_response(request)
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            sessions.note_seen(request)
            if settings.REQUIRE_TWO_FACTOR and two_factor.MARK not in request.session and not _is_open(path):
                response = HttpResponseRedirect(reverse("admin:account_two_factor"))
                add_never_cache_headers(response)
                return response
        with _in_time_zone(request) if path.startswith(CONSOLE) else nullcontext():
            return self.get_response(request)


def chosen_time_zone(request: HttpRequest) -> str:
    """What the person chose, or else what the browser said; empty for neither."""
    row: Session | None = getattr(request.session, "row", None)
    preferences = getattr(row.user, "preferences", None) if row and row.user else None
    for name in (getattr(preferences, "time_zone", ""), request.COOKIES.get(TIME_ZONE_COOKIE, "").replace("%2F", "/")):
        if name and is_time_zone(name):
            return name
    return ""


def _in_time_zone(request: HttpRequest) -> AbstractContextManager[None]:
    name = chosen_time_zone(request)
    return timezone.override(ZoneInfo(name)) if name else nullcontext()


def _is_open(path: str) -> bool:
    return path in {reverse(page) for page in OPEN_PAGES}
