"""Pages for what goes wrong outside the API. They need neither database nor session: both may be what is wrong."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - what it says may be anything
    return _page(HTTPStatus.BAD_REQUEST)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    return _page(HTTPStatus.FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    return _page(HTTPStatus.NOT_FOUND)


def fault(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return _page(HTTPStatus.INTERNAL_SERVER_ERROR)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - it is for developers
    return _page(HTTPStatus.FORBIDDEN, template="403_csrf.html")


def too_many(*, wait_s: int) -> HttpResponse:
    response = _page(HTTPStatus.TOO_MANY_REQUESTS, wait_s=wait_s)
    response["Retry-After"] = str(wait_s)
    return response


def _page(status: HTTPStatus, *, template: str = "", **context: object) -> HttpResponse:
    response = HttpResponse(render_to_string(template or f"{status}.html", context), status=status)
    add_never_cache_headers(response)
    return response
