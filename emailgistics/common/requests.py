"""What every API request has in common: an id of its own, a body that is small, and things named by their ids."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import LimitedStream
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request

from emailgistics.common import footprint, problems
from emailgistics.common.errors import NotFoundError, RefusedError
from emailgistics.common.ids import TypedIdModel, decode_id, encode_id, uuid7

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module, by the settings

API_PREFIX = "/v1"
MAX_BODY_BYTES = 1024 * 1024
BODY_TOO_LARGE = f"A request body has at most {MAX_BODY_BYTES} octets: send less at once."
JSON_TYPE = "application/json"
NAMES_OF_IDS = (b"alias_id", b"domain_id", b"mailbox_id", b"starting_after", b"ending_before")
NO_UTF_8 = "This is not UTF-8: write each octet of its UTF-8 form as %XX, such as %C3%BC for \u00fc."
NOBODY = UUID(int=0)  # no UUIDv7, so nothing has it

Row = TypeVar("Row", bound=TypedIdModel)


class ApiRequestMiddleware:
    """What holds for each request under /v1, whatever answers it.

    It has an id, in X-Request-Id and in its log lines; a body that says to be too large is refused before it is read
    (a view's `body_limits` name, by action, the setting that says so, where it is not MAX_BODY_BYTES); and no HTML is
    answered.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_api(request.path_info):
            return self.get_response(request)
        request_id = encode_id("req", uuid7())
        request.request_id = request_id  # type: ignore[attr-defined]  # for the body of a 5xx
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self._answer(request)
        if response.status_code >= HTTPStatus.BAD_REQUEST and response["Content-Type"] != problems.CONTENT_TYPE:
            response = _without_html(request, response.status_code)
        response["X-Request-Id"] = request_id
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if (declared := declared_length(request)) and declared > (most := _most_octets(request)):
            detail = f"A request body has at most {most} octets: send less at once."
            return problems.problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)
        _open_chunked_body(request)
        if not request.META.get("CONTENT_TYPE"):
            request.META["CONTENT_TYPE"] = JSON_TYPE
        return self.get_response(request)


class Methods(BaseMetadata):
    """OPTIONS: which methods there are. Nothing about any thing, and nothing that differs from key to key."""

    def determine_metadata(self, request: Request, view: "APIView") -> dict[str, Any]:  # noqa: ARG002
        return {"methods": view.allowed_methods}


def is_api(path: str) -> bool:
    return path == API_PREFIX or path.startswith(API_PREFIX + "/")


def find(rows: QuerySet[Row], public_id: str, *, field: str | None = None) -> Row:
    """The row with that id among rows that the caller may see. Raises NotFoundError, for the field that has the id.

    An id that is none at all is asked for like any other, so that not even the number of queries tells them apart.
    """
    pk = decode_id(rows.model.ID_PREFIX, public_id) or NOBODY
    try:
        row = rows.get(pk=pk)
    except rows.model.DoesNotExist as error:
        raise NotFoundError(problems.NOT_FOUND, field=field) from error
    footprint.note_rows([row])
    return row


def find_many(rows: QuerySet[Row], public_ids: Sequence[str], *, field: str | None = None) -> list[Row]:
    """The rows with these ids among rows that the caller may see, each once, in that order. Raises NotFoundError, for
    the field that has the ids.

    One query, whatever the ids are.
    """
    wanted = list(dict.fromkeys(decode_id(rows.model.ID_PREFIX, one) or NOBODY for one in public_ids))
    found = {row.pk: row for row in rows.filter(pk__in=wanted)} if wanted else {}
    if len(found) < len(wanted):
        raise NotFoundError(problems.NOT_FOUND, field=field)
    footprint.note_rows(found.values())
    return [found[pk] for pk in wanted]


def find_in_query(rows: QuerySet[Row], request: Request, name: str) -> Row | None:
    """The row that a filter names by its id; None without that filter. Raises NotFoundError."""
    given = request.query_params.get(name)
    return None if given is None else find(rows, given, field=name)


def refuse_unreadable(request: Request, *, repeatable: Sequence[str] = ()) -> None:
    """Parameters that stand there twice, of which one would silently win, and octets that are no UTF-8, which would be
    read as something else. Told by the form of the query alone. Raises ValidationError.

    The id of a thing is not among the latter: whatever is none is a 404.
    """
    wrong: dict[str, list[ErrorDetail]] = {}
    for given, values in request.query_params.lists():
        if len(values) > 1 and given not in repeatable:
            wrong[given] = [ErrorDetail("This is there more than once: give it once.", "repeated")]
    for pair in request.META.get("QUERY_STRING", "").encode("latin-1", "replace").split(b"&"):
        name, value = (unquote_to_bytes(part.replace(b"+", b" ")) for part in pair.partition(b"=")[::2])
        try:
            name.decode()
            if name not in NAMES_OF_IDS:
                value.decode()
        except UnicodeDecodeError:
            wrong[name.decode(errors="replace")] = [ErrorDetail(NO_UTF_8, "invalid")]
    if wrong:
        raise ValidationError(wrong)


def matching(rows: QuerySet[Row], request: Request, name: str, condition: Callable[[str], Q]) -> QuerySet[Row]:
    """The rows that fit what a filter says; all of them without that filter, and none if nothing can fit it."""
    given = request.query_params.get(name)
    if given is None:
        return rows
    if "\0" in given:  # no row has a NUL, and PostgreSQL takes none in a question
        return rows.none()
    try:
        return rows.filter(condition(given))
    except RefusedError:  # it is no name that anything could have
        return rows.none()


def is_chunked(request: HttpRequest) -> bool:
    """Whether the body comes without a length (RFC 9112 section 7.1)."""
    return "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()


def declared_length(request: HttpRequest) -> int:
    """In octets; 0 where the client says nothing."""
    text = request.META.get("CONTENT_LENGTH") or ""
    # twenty digits say enough: Python refuses to read thousands of them
    return int(text[:20]) if text.isascii() and text.isdecimal() else 0


def _most_octets(request: HttpRequest) -> int:
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return MAX_BODY_BYTES
    action = getattr(view, "actions", {}).get(str(request.method).lower())
    setting = getattr(getattr(view, "cls", None), "body_limits", {}).get(action)
    return int(getattr(settings, setting)) if setting else MAX_BODY_BYTES


def _open_chunked_body(request: HttpRequest) -> None:
    """Lets a body that comes without a length be read, up to what is one octet too much.

    Django reads as many octets as Content-Length says, so none: the body would silently be an empty one.
    """
    if is_chunked(request) and not request.META.get("CONTENT_LENGTH"):
        # whoever reads it takes this for the length, and nothing else looks at it
        request.META["CONTENT_LENGTH"] = str(MAX_BODY_BYTES + 1)
        stream: Any = LimitedStream(request.META["wsgi.input"], MAX_BODY_BYTES + 1)
        request._stream = stream  # noqa: SLF001 - where Django keeps it


def _without_html(request: HttpRequest, status: int) -> HttpResponse:
    """For what Django refuses before a view sees it: a host it does not serve, a fault in a middleware."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return problems.fault(request, status=status)
    if status == HTTPStatus.NOT_FOUND:
        return problems.not_found()
    phrase = HTTPStatus(status).phrase
    return problems.problem(status, phrase.lower().replace(" ", "_"), _remedy(request))


def _remedy(request: HttpRequest) -> str:
    try:
        request.get_host()
    except DisallowedHost:
        return f"Nothing is served under the host of this request: use {settings.BASE_URL}, as its operator set it up."
    return "This is no request that can be read: look at its URL and its headers."
