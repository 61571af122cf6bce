"""What every API request has in common: an id of its own, and things that it names by their ids."""

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar
from uuid import UUID

import structlog
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from emailgistics.common import problems
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import TypedIdModel, decode_id, encode_id, uuid7

API_PREFIX = "/v1"
NOBODY = UUID(int=0)  # no UUIDv7, so nothing has it

Row = TypeVar("Row", bound=TypedIdModel)


class ApiRequestMiddleware:
    """Gives each request under /v1 an id, in X-Request-Id and in its log lines, and keeps HTML out of the answers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_api(request.path_info):
            return self.get_response(request)
        request_id = encode_id("req", uuid7())
        request.request_id = request_id  # type: ignore[attr-defined]  # for the body of a 5xx
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
        if response.status_code >= HTTPStatus.BAD_REQUEST and response["Content-Type"] != problems.CONTENT_TYPE:
            response = _without_html(request, response.status_code)
        response["X-Request-Id"] = request_id
        return response


def is_api(path: str) -> bool:
    return path == API_PREFIX or path.startswith(API_PREFIX + "/")


def find(rows: QuerySet[Row], public_id: str) -> Row:
    """The row with that id among rows that the caller may see. Raises NotFoundError.

    An id that is none at all is asked for like any other, so that not even the number of queries tells them apart.
    """
    pk = decode_id(rows.model.ID_PREFIX, public_id) or NOBODY
    try:
        return rows.get(pk=pk)
    except rows.model.DoesNotExist as error:
        raise NotFoundError(problems.NOT_FOUND) from error


def _without_html(request: HttpRequest, status: int) -> HttpResponse:
    """For what Django refuses before a view sees it: a host it does not serve, a fault in a middleware."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return problems.fault(request, status=status)
    if status == HTTPStatus.NOT_FOUND:
        return problems.not_found()
    phrase = HTTPStatus(status).phrase
    return problems.problem(status, phrase.lower().replace(" ", "_"), f"{phrase}.")
