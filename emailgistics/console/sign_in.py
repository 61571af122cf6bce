"""Wrong passwords, counted before the next one is looked at: by address, and by user name.

Who fails on purpose under somebody's name, from many addresses, would keep that person out. So a browser in which they
have signed in before carries a mark of that, and counts for itself only: neither what others try under the name nor
what others do behind the same address keeps it out. The mark opens nothing. Whoever has none waits for a minute in
which nobody fails.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase

from emailgistics.common.clients import seconds_to_wait

COOKIE = "emailgistics_known"
LASTS = timedelta(days=400)  # what browsers keep a cookie for at most
SALT = "emailgistics.console.sign_in"


class TooManyFailuresError(Exception):
    """The password was not looked at."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


@contextmanager
def counted(request: HttpRequest, name: str) -> Iterator[None]:
    """Around the look at the password: a ValidationError is a failure, and a good password is none.

    Raises TooManyFailuresError. Those that are under way at the same moment, at most one for each thread of the web
    processes, are let through together.
    """
    whose = _counted_for(request, name)
    if wait_s := max(_count(request, group, of, cost=0) for group, of in whose.items()):
        raise TooManyFailuresError(wait_s)
    try:
        yield
    except ValidationError:
        for group, of in whose.items():
            _count(request, group, of, cost=1)
        raise


def remember(response: HttpResponseBase, user: AbstractBaseUser | AnonymousUser) -> None:
    """Marks the browser as one in which the user has signed in."""
    response.set_cookie(
        COOKIE,
        signing.dumps([user.get_username(), secrets.token_urlsafe(12)], salt=SALT),
        max_age=LASTS,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _counted_for(request: HttpRequest, name: str) -> dict[str, str]:
    """By group; an empty text stands for the address."""
    try:
        known_as, browser = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=LASTS)
    except (signing.BadSignature, ValueError, TypeError):
        known_as = browser = ""
    if known_as and known_as == name:
        return {"sign_in.browser": browser}
    return {"sign_in.address": "", "sign_in.name": f"name {name.casefold()}"}


def _count(request: HttpRequest, group: str, of: str, *, cost: int) -> int:
    per_minute = settings.SIGN_IN_FAILURES_PER_MINUTE
    return seconds_to_wait(request, group=group, per_minute=per_minute, cost=cost, of=of)
