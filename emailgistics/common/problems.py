"""Errors as RFC 9457 problems: one shape for whatever goes wrong under /v1, wherever it goes wrong.

`code` is for programs and never changes; `detail` is for people, and `message` repeats it for tools that look there.
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypedDict

from django.conf import settings
from django.core.exceptions import PermissionDenied, TooManyFieldsSent
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import resolve
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import OpenApiResponse
from rest_framework import exceptions, serializers

from emailgistics.common import errors
from emailgistics.common.access import AllowlistRestrictedError, Scope
from emailgistics.common.logs import get_logger

log = get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
REALM = "Emailgistics API"
# of draft-ietf-httpapi-ratelimit-headers-10, section 5.1
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
RETRY_AFTER_S = 5  # a database that is restarted is back by then
ROOM_AFTER_S = 300  # somebody has to make it: what is full is not asked every second
# one text for what does not exist, what the key may not see and what is no id at all
NOT_FOUND = "There is nothing here, or nothing that this key may see."
ENDS_WITH_SLASH = "No path of the API ends with a slash: leave that out."
NO_RESOURCE = "This is where the API begins; GET {url}/v1/me is a first call, and {url}/docs says what else there is."

Responses = dict[int | tuple[int, str], Any]

STATUS_OF_KIND: Mapping[type[errors.DomainError], int] = {
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.GoneError: HTTPStatus.GONE,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.PreconditionFailedError: HTTPStatus.PRECONDITION_FAILED,
    AllowlistRestrictedError: HTTPStatus.FORBIDDEN,
    errors.RefusedError: HTTPStatus.BAD_REQUEST,
    errors.LimitReachedError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class FieldProblem(TypedDict):
    """pointer is a JSON pointer (RFC 6901) into the body, or `/name` for a query parameter."""

    pointer: str
    code: str
    detail: str


class FieldProblemSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="JSON pointer into the body, or /name of a query parameter")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """What went wrong (RFC 9457). Programs look at `code`, people at `detail`."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="stable, for programs")
    detail = serializers.CharField(help_text="for people")
    message = serializers.CharField(help_text="the same as detail")
    errors = FieldProblemSerializer(  # type: ignore[assignment]  # a field: DRF takes it off the class
        many=True,
        required=False,
        help_text="with validation_error, and not_found of an id outside the path",
    )
    required_scopes = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="with insufficient_scope"
    )
    violated_policies = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="with rate_limited: minute, hour, day; repeated as violated-policies, as the type has it",
    )
    request_id = serializers.CharField(required=False, help_text="with 5xx; always in X-Request-Id")


def described(status: int, description: str) -> Responses:
    return {(status, CONTENT_TYPE): OpenApiResponse(ProblemSerializer, description)}


# for `extend_schema(responses=…)`
BAD_REQUEST = described(400, "`validation_error` with `errors`, or `page_too_deep`.")
BODY_PROBLEMS = (
    described(400, "`validation_error` with `errors`, or `parse_error`: the body is not one JSON object.")
    | described(413, "`body_too_large`: a body has at most 1 MiB. Refused before it is read.")
    | described(415, "`unsupported_media_type`: the body is JSON, sent as application/json or without a Content-Type.")
)
NOT_FOUND_PROBLEM = described(
    404,
    f"`not_found`: {NOT_FOUND} One constant body for all of them; `errors` names the parameter or the field that has "
    "the id, unless the path has it.",
)
RATE_LIMITED = (
    "`rate_limited`: the key has used up `violated_policies`; or `too_many_failures`, in place of a 401: there is no "
    "such key or it may not be used, and it was tried too often. Retry-After says when to come again."
)
ACCESS_PROBLEMS = (
    described(
        401,
        "`missing_credentials`, `malformed_key`, `invalid_key`, `key_expired`, `key_revoked` or `network_not_allowed`, "
        "with WWW-Authenticate.",
    )
    | described(
        403,
        "`insufficient_scope` with `required_scopes`, or `allowlist_restricted`: this acts on a whole domain, and the "
        "key is not for all mailboxes. Neither says whether a thing exists that the key may not see.",
    )
    | described(429, RATE_LIMITED)
)


class Problem(JsonResponse):
    """A problem as it is answered. `code` is that of its body, for who counts answers."""

    def __init__(self, body: Mapping[str, Any], status: int) -> None:
        super().__init__(body, status=status, content_type=CONTENT_TYPE, json_dumps_params={"ensure_ascii": False})
        self.code = str(body["code"])


class BadRequestError(exceptions.APIException):
    """A request that is wrong as a whole, with a code of its own."""

    status_code = HTTPStatus.BAD_REQUEST


class InsufficientScopeError(exceptions.PermissionDenied):
    """The key lacks a scope that this needs (RFC 6750 section 3.1)."""

    def __init__(self, required: Sequence[Scope]) -> None:
        self.required = [scope.value for scope in required]
        listed = ", ".join(self.required)
        super().__init__(f"This needs a key with the scope {listed}.", "insufficient_scope")
        self.challenge = f'Bearer realm="{REALM}", error="insufficient_scope", scope="{" ".join(self.required)}"'


class RateLimitedError(exceptions.APIException):
    """The key was used too often. retry_after is in whole seconds."""

    status_code = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, *, policies: Sequence[str], retry_after: int) -> None:
        super().__init__(detail, "rate_limited")
        self.policies = list(policies)
        self.wait = retry_after


def problem(status: int, code: str, detail: str, **more: Any) -> HttpResponse:
    """The answer itself. Not a DRF response: what the client accepts has no say in how it is told of a mistake."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        "message": detail,
        **more,
    }
    return Problem(body, status)


def not_found(field: str | None = None) -> HttpResponse:
    """The field is the parameter or the part of the body that has the id, where that is not in the path."""
    if field is None:
        return problem(HTTPStatus.NOT_FOUND, "not_found", NOT_FOUND)
    found: list[FieldProblem] = [{"pointer": f"/{_escaped(field)}", "code": "not_found", "detail": NOT_FOUND}]
    return problem(HTTPStatus.NOT_FOUND, "not_found", _summary(found), errors=found)


@csrf_exempt
def unknown_route(request: HttpRequest) -> HttpResponse:
    """For every path under /v1 that leads nowhere, whatever the method."""
    if request.path_info.strip("/") == "v1":
        return problem(HTTPStatus.NOT_FOUND, "not_found", NO_RESOURCE.format(url=settings.BASE_URL))
    if request.path_info.endswith("/") and resolve(request.path_info.removesuffix("/")).func is not unknown_route:
        # of the form of the path alone: whether anything is at the other one, nobody has looked
        return problem(HTTPStatus.NOT_FOUND, "not_found", ENDS_WITH_SLASH)
    return not_found()


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Any exception of an API view as a problem; what nobody expected is logged, and told without details."""
    request = context["request"]
    match exc:
        case errors.NotFoundError():
            answer = not_found(exc.field)
        case Http404() | exceptions.NotFound():
            answer = not_found()
        case errors.DomainError():
            answer = _of_domain_error(exc, request)
        case exceptions.APIException():
            answer = _of_api_exception(exc, context)
        case PermissionDenied():
            answer = _of_api_exception(exceptions.PermissionDenied(), context)
        case TooManyFieldsSent():
            most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
            detail = f"A request has at most {most} parameters: leave some out."
            answer = problem(HTTPStatus.BAD_REQUEST, "bad_request", detail)
        case _:
            answer = _of_unexpected(exc, request)
    return answer


def fault(
    request: Any,
    *,
    status: int = 500,
    code: str = "internal_error",
    detail: str = "Something went wrong on our side. The operator finds it in the log by the request id.",
) -> HttpResponse:
    answer = problem(status, code, detail, request_id=getattr(request, "request_id", None))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        answer["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _of_domain_error(exc: errors.DomainError, request: Any) -> HttpResponse:
    status = next((status for kind, status in STATUS_OF_KIND.items() if isinstance(exc, kind)), None)
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("api.unavailable", code=exc.code, exc_info=exc)
        return fault(request, status=status or 500, code=exc.code, detail=exc.message)
    if status == HTTPStatus.BAD_REQUEST:
        pointer = "/" + _escaped(exc.field) if exc.field else ""
        # what is wrong as a whole is wrong in that field: a code that has no more to say is that of any wrong value
        code = "invalid" if exc.code == errors.RefusedError.code else exc.code
        found: list[FieldProblem] = [{"pointer": pointer, "code": code, "detail": exc.message}]
        return problem(status, "validation_error", exc.message, errors=found)
    answer = problem(status, exc.code, exc.message)
    if isinstance(exc, errors.LimitReachedError):
        answer["Retry-After"] = str(ROOM_AFTER_S)
    if isinstance(exc, AllowlistRestrictedError):
        # RFC 6750 section 3: the key does not enable access. No scope attribute: none would help
        description = f'error="insufficient_scope", error_description="{exc.message}"'
        answer["WWW-Authenticate"] = f'Bearer realm="{REALM}", {description}'
    return answer


def _of_unexpected(exc: Exception, request: Any) -> HttpResponse:
    if isinstance(exc, (OperationalError, InterfaceError)):
        log.error("api.database_away", exc_info=exc)
        return fault(request, status=503, code="unavailable", detail="Try again in a moment.")
    log.error("api.failed", exc_info=exc)
    got_request_exception.send(sender=None, request=request)
    return fault(request)


def _of_api_exception(exc: exceptions.APIException, context: Mapping[str, Any]) -> HttpResponse:
    if isinstance(exc, exceptions.ValidationError):
        found = list(_field_problems(exc.get_full_details()))
        return problem(exc.status_code, "validation_error", _summary(found), errors=found)
    code, detail = exc.default_code, _remedy(exc, context) or str(exc.detail)
    codes = exc.get_codes()
    if isinstance(codes, str):
        code = codes
    more: dict[str, Any] = dict(getattr(exc, "members", {}))
    match exc:
        case InsufficientScopeError():
            more["required_scopes"] = exc.required
        case RateLimitedError():
            # the type comes with a name that is not like ours
            more |= {"type": QUOTA_EXCEEDED, "violated_policies": exc.policies, "violated-policies": exc.policies}
        case exceptions.Throttled():
            code = "rate_limited"
    answer = problem(exc.status_code, code, detail, **more)
    if challenge := getattr(exc, "challenge", None) or getattr(exc, "auth_header", None):
        answer["WWW-Authenticate"] = challenge
    if (wait := getattr(exc, "wait", None)) is not None:
        answer["Retry-After"] = str(wait)
    return answer


def _remedy(exc: exceptions.APIException, context: Mapping[str, Any]) -> str:
    """What to do, where the framework says only what is wrong; empty where it is said already."""
    view = context.get("view")
    match exc:
        case exceptions.UnsupportedMediaType():
            parsers = getattr(view, "parser_classes", ())
            taken = parsers[0].media_type if parsers else "application/json"
            return f"Send the body as {taken}, and say so in Content-Type."
        case exceptions.MethodNotAllowed() if view is not None:
            there_is = ", ".join(view.allowed_methods)
            return f"There is no {context['request'].method} of this path; there is {there_is}."
        case exceptions.NotAcceptable():
            return "Answers are application/json: say so in Accept, or leave that header out."
    return ""


def _field_problems(details: Any, pointer: str = "") -> Iterator[FieldProblem]:
    """The leaves of DRF's tree of errors, each with the way to it."""
    if isinstance(details, list):
        for index, entry in enumerate(details):
            # a list of messages belongs to one field, a list of trees to the items of a list
            yield from _field_problems(entry, pointer if _is_leaf(entry) else f"{pointer}/{index}")
    elif _is_leaf(details):
        yield {"pointer": pointer, "code": details["code"], "detail": str(details["message"])}
    else:
        for name, entry in details.items():
            yield from _field_problems(entry, pointer if name == "non_field_errors" else f"{pointer}/{_escaped(name)}")


def _is_leaf(details: Any) -> bool:
    return isinstance(details, dict) and details.keys() == {"message", "code"} and isinstance(details["message"], str)


def _escaped(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _summary(found: Sequence[FieldProblem]) -> str:
    return " ".join(f"{entry['pointer'].lstrip('/')}: {entry['detail']}".removeprefix(": ") for entry in found)
