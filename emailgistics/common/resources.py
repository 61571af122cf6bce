"""What the views of things that people set up have in common: domains, mailboxes, aliases, webhooks.

A view set says which rows the caller may see (`get_queryset`) and how one is shown (`serializer_class`); its actions
find, check the form, call one service, and end with one of the answers here.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from emailgistics.common.access import Principal, Scope, principal
from emailgistics.common.ids import TypedIdModel
from emailgistics.common.requests import find

Row = TypeVar("Row", bound=TypedIdModel)

# for `extend_schema(parameters=…)`
ID = OpenApiParameter("id", str, OpenApiParameter.PATH)
LOCATION = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[201], description="where the new thing is read"
)


class ResourceViewSet(GenericViewSet[Row]):
    """Finding, listing and showing; subclasses have the actions."""

    serializer_class: type[BaseSerializer[Any]]
    required_scopes: ClassVar[Mapping[str, Scope | tuple[Scope, ...]]] = {}

    @property
    def default_response_headers(self) -> dict[str, str]:
        # private: the key may be in a header that caches on the way do not know
        return super().default_response_headers | {"Cache-Control": "private, no-cache"}

    @property
    def caller(self) -> Principal:
        return principal(self.request)

    def found(self, public_id: str) -> Row:
        """Raises NotFoundError, the same for all that the caller may not see."""
        return find(self.get_queryset(), public_id)

    def json_of(self, row: Row) -> dict[str, Any]:
        return dict(self._serializer(row).data)

    def listed(self, rows: QuerySet[Row]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self._serializer(page, many=True).data)

    def shown(self, row: Row) -> Response:
        return Response(self.json_of(row))

    def created(self, row: Row) -> Response:
        # BASE_URL, not the Host of this request: behind a proxy that host is not ours to name
        location = f"{settings.BASE_URL}{self.request.path}/{row.public_id}"
        return Response(self.json_of(row), status=HTTPStatus.CREATED, headers={"Location": location})

    def gone(self) -> Response:
        return Response(status=HTTPStatus.NO_CONTENT)

    def _serializer(self, shown: Any, *, many: bool = False) -> BaseSerializer[Any]:
        return self.serializer_class(shown, many=many, context={"principal": self.caller})
