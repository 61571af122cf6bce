"""What machines ask an installation: /healthz/live, /healthz/ready, /healthz/work and /metrics.

A middleware, before whatever looks at a request: a probe names the host by its address, which ALLOWED_HOSTS need not
know, and it has neither session nor key. Without the token they answer one word, and the metrics nothing at all.
"""

import hmac
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from emailgistics.common.logs import get_logger
from emailgistics.operations import health, metrics
from emailgistics.operations.health import Health

log = get_logger(__name__)

PLAIN = "text/plain; charset=utf-8"
NOT_SET = "There are no metrics until METRICS_TOKEN is set.\n"
NOT_GIVEN = "Send the header Authorization: Bearer <METRICS_TOKEN>.\n"


class ProbesMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = ANSWERS.get(request.path_info)
        if answer is None:
            return self.get_response(request)
        if request.method not in ("GET", "HEAD"):
            response = HttpResponse("GET or HEAD.\n", PLAIN, status=HTTPStatus.METHOD_NOT_ALLOWED)
            response["Allow"] = "GET, HEAD"
        else:
            response = answer(request)
        return response


def _live(_request: HttpRequest) -> HttpResponse:
    """That this process answers at all."""
    return HttpResponse("ok\n", PLAIN)


def _ready(request: HttpRequest) -> HttpResponse:
    return _said(request, health.readiness(), otherwise="unready")


def _work(request: HttpRequest) -> HttpResponse:
    return _said(request, health.work(), otherwise="trouble")


def _said(request: HttpRequest, found: Health, *, otherwise: str) -> HttpResponse:
    word = "ok" if found.is_well else otherwise
    status = HTTPStatus.OK if found.is_well else HTTPStatus.SERVICE_UNAVAILABLE
    if not _has_token(request):
        return HttpResponse(f"{word}\n", PLAIN, status=status)
    said: dict[str, Any] = {"status": word, "reasons": found.reasons, **found.facts}
    return HttpResponse(json.dumps(said, indent=2) + "\n", "application/json", status=status)


def _metrics(request: HttpRequest) -> HttpResponse:
    if not settings.METRICS_TOKEN:
        return HttpResponse(NOT_SET, PLAIN, status=HTTPStatus.NOT_FOUND)
    if not _has_token(request):
        response = HttpResponse(NOT_GIVEN, PLAIN, status=HTTPStatus.UNAUTHORIZED)
        response["WWW-Authenticate"] = "Bearer"
        return response
    try:
        return HttpResponse(metrics.scrape(), metrics.CONTENT_TYPE_LATEST)
    except DatabaseError as error:
        log.warning("metrics.database_away", error=type(error).__name__)
        return HttpResponse("The database does not answer.\n", PLAIN, status=HTTPStatus.SERVICE_UNAVAILABLE)


def _has_token(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    expected = f"Bearer {settings.METRICS_TOKEN}".encode()
    return bool(settings.METRICS_TOKEN) and hmac.compare_digest(given, expected)


ANSWERS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz/live": _live,
    "/healthz/ready": _ready,
    "/healthz/work": _work,
    "/metrics": _metrics,
}
