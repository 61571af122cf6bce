"""What browsers are told with every answer, whatever answers: a view, a middleware that refuses, a probe, a file.

The outermost middleware. Answers that say something of their own keep it: the policy of django-csp, the frame of a
mail. docs/security/headers.md says what each header is for.
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

# for what django-csp has not seen, none of which is a page
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
NO_DEVICES = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"


class SafeHeadersMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in _defaults(request).items():
            response.setdefault(name, value)
        return response


def _defaults(request: HttpRequest) -> Mapping[str, str]:
    headers = {
        "Cache-Control": "no-store",  # static files say that they may be kept, and the API says what may be asked again
        "Content-Security-Policy": NO_PAGE,
        "Cross-Origin-Opener-Policy": str(settings.SECURE_CROSS_ORIGIN_OPENER_POLICY),
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": NO_DEVICES,
        "Referrer-Policy": str(settings.SECURE_REFERRER_POLICY),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": settings.X_FRAME_OPTIONS,
    }
    # Django's own waits for a request that is https itself, and behind a proxy none looks so
    if settings.SECURE_HSTS_SECONDS and _host(request.META.get("HTTP_HOST", "")) == _host(
        urlsplit(settings.BASE_URL).netloc
    ):
        headers["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
    return headers


def _host(netloc: str) -> str:
    """As browsers write it, whoever wrote it."""
    return netloc.lower().removesuffix(":443")
