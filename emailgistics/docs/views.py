"""`/docs`: the explorer, where people try the API out, the pages beside it, and the OpenAPI document for them and for
programs.
"""

from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.http import require_safe
from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from emailgistics.common.clients import seconds_to_wait, too_often
from emailgistics.common.problems import ACCESS_PROBLEMS, NOT_FOUND_PROBLEM, not_found
from emailgistics.docs import library
from emailgistics.docs.schema import document, event_schema
from mailboxes.api.views.emails import AnyTypeNegotiation
from webhooks.samples import EVENTS

# Swagger UI puts styles on its elements, and evaluates nothing. It may speak to this installation only.
CONTENT_SECURITY_POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "connect-src": ["'self'"],
}

# these have no script but the one that copies samples
PAGES_POLICY = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'"],
}

SCHEMA_TYPE = "application/schema+json"

AnyView = Callable[..., HttpResponseBase]


def for_readers(view: AnyView) -> AnyView:
    """For people who are signed in, whatever they may do; for everybody with DOCS_PUBLIC=1."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if wait_s := _seconds_to_wait(request):
            return too_often(wait_s)
        if settings.DOCS_PUBLIC or request.user.is_authenticated:
            response = view(request, *args, **kwargs)
        else:
            response = redirect_to_login(request.get_full_path())
        response["Cache-Control"] = "private, no-cache"
        patch_vary_headers(response, ["Cookie"])
        return response

    return checked


def _seconds_to_wait(request: HttpRequest) -> int:
    return seconds_to_wait(request, group="docs", per_minute=settings.DOCS_PER_MINUTE)


@method_decorator([for_readers, csp_replace(CONTENT_SECURITY_POLICY)], name="dispatch")
class Explorer(SpectacularSwaggerSplitView):
    """Swagger UI. With `?script=` what starts it, so that the page has no script of its own."""

    authentication_classes = ()
    permission_classes = ()
    url_name = "docs-schema"
    template_name = "docs/explorer.html"
    template_name_js = "docs/explorer.js"


@method_decorator([for_readers, csp_replace(PAGES_POLICY)], name="dispatch")
class DocsPage(View):
    """A page of the guide or of the reference, or a file that one of them offers."""

    def get(self, request: HttpRequest, path: str) -> HttpResponse:
        if path in library.files():
            return _file(library.files()[path])
        page = library.pages().get(path)
        if page is None:
            raise Http404
        return render(request, "docs/page.html", _context(page))


def _context(page: library.Page) -> dict[str, Any]:
    before, after = library.neighbours(page)
    sections = groupby(library.pages().values(), key=lambda listed: listed.section)
    return {
        "page": page,
        "content": library.rendered(page, settings.BASE_URL),
        "area": page.section if page.section == "Reference" else "Guide",
        "sections": [{"name": name, "pages": list(pages)} for name, pages in sections],
        "before": before,
        "after": after,
    }


@require_safe
@for_readers
def docs_schema(request: HttpRequest) -> HttpResponseBase:
    """The document for the page. Under another name of this host the API is at that name, too: the page may go nowhere
    else.
    """
    is_our_name = request.get_host() == urlsplit(settings.BASE_URL).netloc
    return _answer(request, document(settings.BASE_URL if is_our_name else "/"))


class SchemaViewSet(ViewSet):
    """The document for programs, with any valid key."""

    content_negotiation_class = AnyTypeNegotiation
    required_scopes: ClassVar = {"retrieve": ()}

    @extend_schema(exclude=True)
    def retrieve(self, request: Request) -> HttpResponseBase:
        http_request = request._request  # noqa: SLF001 - DRF has no public name for it
        if wait_s := _seconds_to_wait(http_request):
            raise Throttled(wait_s, f"Too many requests for this document; try again in {wait_s} seconds.")
        response = _answer(http_request, document(settings.BASE_URL))
        response["Cache-Control"] = "private, no-cache"
        return response


class SchemaNameSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="as in the path")
    event_type = serializers.CharField()
    url = serializers.URLField()


class SchemaListSerializer(serializers.Serializer[Any]):
    data = SchemaNameSerializer(many=True)  # type: ignore[assignment]  # DRF takes it off the class


class EventSchemaViewSet(ViewSet):
    """The shape of each event, for validators and generators of code."""

    content_negotiation_class = AnyTypeNegotiation
    required_scopes: ClassVar = {"list": (), "retrieve": ()}

    @extend_schema(
        operation_id="schemas_list",
        summary="List the JSON Schemas of events",
        description="One for each type of event that a webhook can be told of.",
        responses={
            200: forced_singular_serializer(SchemaListSerializer),  # type: ignore[no-untyped-call]  # theirs
            **ACCESS_PROBLEMS,
        },
    )
    def list(self, request: Request) -> Response:  # noqa: ARG002
        names = ((event_type, f"{event_type}.json") for event_type in EVENTS)
        named = [
            {"name": name, "event_type": event_type, "url": f"{settings.BASE_URL}/v1/schemas/{name}"}
            for event_type, name in names
        ]
        return Response({"data": named}, headers={"Cache-Control": "private, no-cache"})

    @extend_schema(
        operation_id="schemas_retrieve",
        summary="Read the JSON Schema of an event",
        description="Draft 2020-12, of the body that webhooks get. It allows further names: there will be some.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="As in email.received.json.")],
        responses={
            (200, SCHEMA_TYPE): OpenApiTypes.OBJECT,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
        },
    )
    def retrieve(self, request: Request, name: str) -> HttpResponseBase:
        event_type, _, ending = name.rpartition(".")
        schema = event_schema(event_type) if ending == "json" and event_type in EVENTS else None
        if schema is None:
            return not_found()
        response = _answer(request._request, schema, content_type=SCHEMA_TYPE)  # noqa: SLF001 - as above
        response["Cache-Control"] = "private, no-cache"
        return response


def _file(path: Path) -> HttpResponse:
    """As text to be read and copied: a browser runs none of it."""
    return HttpResponse(path.read_bytes(), content_type=library.CONTENT_TYPES[path.suffix])


def _answer(request: HttpRequest, content: bytes, content_type: str = "application/json") -> HttpResponseBase:
    etag = f'"{sha256(content).hexdigest()}"'
    response = get_conditional_response(request, etag=etag) or HttpResponse(content, content_type=content_type)
    response["ETag"] = etag
    return response
