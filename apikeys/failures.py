"""Requests that a key is refused for, counted: whoever tries keys out is soon told to wait.

Unknown and malformed keys count for the client's address (/64 of IPv6). A key that is known and may not be used,
because it has ended or comes from another network, counts for itself: the job that somebody forgot bans nobody else in
its office. A good key never comes here, whatever its neighbours do. Nor does a request without a key: that is no guess.
"""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest
from rest_framework import exceptions

from emailgistics.common.clients import seconds_to_wait


class TooManyFailuresError(exceptions.APIException):
    """429 in place of the 401, with how long to wait."""

    status_code = HTTPStatus.TOO_MANY_REQUESTS
    default_code = "too_many_failures"

    def __init__(self, detail: str, *, wait: int) -> None:
        super().__init__(detail)
        self.wait = wait


def count_unknown(request: HttpRequest) -> None:
    """Raises TooManyFailuresError."""
    wait = seconds_to_wait(request, group="apikeys.unknown", per_minute=settings.KEY_FAILURES_PER_MINUTE)
    if wait:
        raise TooManyFailuresError(
            "Too many requests with keys that do not exist came from your address. "
            f"Check the key, and try again in {wait} seconds.",
            wait=wait,
        )


def count_refused(request: HttpRequest, *, identifier: str, reason: str) -> None:
    """Of a key that is known; reason is what its 401 says. Raises TooManyFailuresError."""
    limit = settings.KEY_FAILURES_PER_MINUTE
    if wait := seconds_to_wait(request, group="apikeys.refused", per_minute=limit, of=identifier):
        raise TooManyFailuresError(
            f"{reason} It was tried more than {limit} times in a minute: stop what uses it, or give that another key.",
            wait=wait,
        )
