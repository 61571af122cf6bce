"""What every answer to an API request has from the key that asked: who it was, until when, what is left of its limits.

And what is counted of it.
"""

from collections.abc import Callable
from datetime import UTC

from django.http import HttpRequest, HttpResponse

from apikeys import usage
from apikeys.authentication import Admission
from apikeys.limits import WINDOWS, Quota, Verdict

SHOWN = next(index for index, window in enumerate(WINDOWS) if window.name == "hour")


class KeyMiddleware:
    """Only requests that got past their key have anything to tell: a 401 has no such header."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        admission: Admission | None = getattr(request, "admission", None)
        if admission is not None:
            for name, value in headers(admission).items():
                response[name] = value
        usage.note_answer(request, response)
        return response


def headers(admission: Admission) -> dict[str, str]:
    verdict, key = admission.verdict, admission.key
    shown = max(verdict.violated, key=lambda quota: quota.back_at, default=verdict.quotas[SHOWN])
    ends_at = key.ends_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "X-API-Key-Id": key.principal.identifier,
        "X-API-Key-Expires": ends_at,  # it may be revoked before it expires
        "X-RateLimit-Limit": str(shown.limit),
        "X-RateLimit-Remaining": str(shown.remaining),
        "X-RateLimit-Reset": str(shown.back_at),
        **of_the_draft(verdict),
    }


def of_the_draft(verdict: Verdict) -> dict[str, str]:
    """draft-ietf-httpapi-ratelimit-headers-10: lists of RFC 9651, with q in requests, w and t in seconds.

    A refusal tells of the violated policies alone: no `t` is to be later than Retry-After (section 6).
    """

    def item(quota: Quota) -> str:
        return f'"{quota.window.name}";r={quota.remaining};t={quota.back_at - verdict.now}'

    policies = (f'"{quota.window.name}";q={quota.limit};w={quota.window.seconds}' for quota in verdict.quotas)
    return {
        "RateLimit-Policy": ", ".join(policies),
        "RateLimit": ", ".join(map(item, verdict.violated or verdict.quotas)),
    }
