"""What the views of things that people set up have in common: domains, mailboxes, aliases, webhooks.

A view set says which rows the caller may see (`get_queryset`) and how one is shown (`serializer_class`); its actions
find, check the form, call one service, and end with one of the answers here.
"""

from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from emailgistics.common import conditional, footprint
from emailgistics.common.access import Principal, Scope, principal
from emailgistics.common.filters import Query
from emailgistics.common.ids import TypedIdModel
from emailgistics.common.pagination import PARAMETERS
from emailgistics.common.requests import find
from emailgistics.common.views import ApiViewSet

Row = TypeVar("Row", bound=TypedIdModel)

PRIVATE = "private, no-cache"  # private: the key may be in a header that caches on the way do not know

# for `extend_schema(parameters=…)`
ID = OpenApiParameter("id", str, OpenApiParameter.PATH)
LOCATION = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[201], description="where the new thing is read"
)


class ResourceViewSet(ApiViewSet[Row]):
    """Finding, listing and showing; subclasses have the actions."""

    serializer_class: type[BaseSerializer[Any]]
    required_scopes: ClassVar[Mapping[str, Scope | tuple[Scope, ...]]] = {}
    list_filters: ClassVar[tuple[str, ...]] = ()  # parameters of the list; any other is refused
    # whether answers have tags, by which changes ask; then they hand `unless_changed` to their service
    is_conditional: ClassVar[bool] = False
    changes_by_itself: ClassVar[Collection[str]] = frozenset()  # of its JSON: see common/conditional.py

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": PRIVATE}

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        # a problem is none of DRF's responses
        if self.is_conditional and request.method in ("GET", "HEAD") and isinstance(answer, Response):
            conditional.answer_if_new(request, answer, self.changes_by_itself)
        return answer

    @property
    def caller(self) -> Principal:
        return principal(self.request)

    def found(self, public_id: str) -> Row:
        """Raises NotFoundError, the same for all that the caller may not see."""
        return find(self.get_queryset(), public_id)

    def unless_changed(self, public_id: str) -> Callable[[Any], None] | None:
        """For the `agree` of a service that is to change it: what If-Match says. Raises BadRequestError."""
        return conditional.refusing_change(
            self.request, lambda: self.json_of(self.found(public_id)), self.changes_by_itself
        )

    def json_of(self, row: Row) -> dict[str, Any]:
        return dict(self._serializer(row).data)

    def listed(self, rows: QuerySet[Row]) -> Response:
        Query(self.request, *PARAMETERS, *self.list_filters).refuse_what_is_wrong()
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self._serializer(page, many=True).data)

    def shown(self, row: Row) -> Response:
        footprint.note_rows([row])
        json = self.json_of(row)
        return Response(json, headers=self._tag_of(json))

    def created(self, row: Row) -> Response:
        footprint.note_rows([row])
        # BASE_URL, not the Host of this request: behind a proxy that host is not ours to name
        location = f"{settings.BASE_URL}{self.request.path}/{row.public_id}"
        json = self.json_of(row)
        return Response(json, status=HTTPStatus.CREATED, headers={"Location": location, **self._tag_of(json)})

    def _tag_of(self, json: dict[str, Any]) -> dict[str, str]:
        """So that whoever has made or changed it can go on with If-Match, as if he had read it again.

        Not of a PUT: there a tag would say that what was sent is stored to the letter (RFC 9110 section 9.3.4).
        """
        if not self.is_conditional or self.request.method not in ("POST", "PATCH"):
            return {}
        return {"ETag": conditional.tag_of(json, self.changes_by_itself)}

    def gone(self) -> Response:
        return Response(status=HTTPStatus.NO_CONTENT)

    def _serializer(self, shown: Any, *, many: bool = False) -> BaseSerializer[Any]:
        return self.serializer_class(shown, many=many, context={"principal": self.caller})
