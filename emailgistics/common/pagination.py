"""Lists in pages: by number near the top, by cursor to any depth. Newest first, by id."""

from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.ids import TypedIdModel
from emailgistics.common.problems import BadRequestError
from emailgistics.common.requests import find

DEFAULT_LIMIT, MAX_LIMIT = 25, 100
MAX_DEPTH = 10_000  # rows that a page number may skip and a total may count
MAX_DIGITS = 9
AFTER, BEFORE = "starting_after", "ending_before"

Row = TypeVar("Row", bound=TypedIdModel)


class Pages(BasePagination):
    """`?page=&limit=`, or `?starting_after=<id>` and `?ending_before=<id>`; the rows come ordered by -id."""

    def paginate_queryset(
        self,
        queryset: Any,  # a QuerySet[Row]; the base class would take any sequence
        request: Request,
        view: Any = None,  # a GenericAPIView; the base class would take any
    ) -> list[Any]:
        self._request = request
        given = request.query_params
        # what a cursor names is looked for first: an id that may not be seen is a 404 whatever else is wrong
        # among all that the key may see: the row may have left the filter since, which is no reason to end the paging
        visible = queryset if view is None or {AFTER, BEFORE}.isdisjoint(given) else view.get_queryset()
        bare = visible.select_related(None).prefetch_related(None)
        after = find(bare, given[AFTER]) if AFTER in given else None
        before = find(bare, given[BEFORE]) if BEFORE in given else None
        if len([name for name in (AFTER, BEFORE, "page") if name in given]) > 1:
            raise ValidationError({AFTER: f"Give only one of page, {AFTER} and {BEFORE}."})
        self._limit = _positive(given, "limit", default=DEFAULT_LIMIT, at_most=MAX_LIMIT)
        self._page = None if after or before else _positive(given, "page", default=1)
        if self._page and self._page * self._limit > MAX_DEPTH:
            raise BadRequestError(
                f"page * limit is at most {MAX_DEPTH}; go deeper with {AFTER}=<next_cursor of the last page>.",
                "page_too_deep",
            )
        self._rows = self._backward(queryset, before) if before else self._forward(queryset, after)
        counted = self._count(queryset)
        self._total, self._is_capped = min(counted, MAX_DEPTH), counted > MAX_DEPTH
        return self._rows

    def get_paginated_response(self, data: Any) -> Response:
        following, previous = self._next(), self._previous()
        body = {
            "data": data,
            "pagination": {
                "page": self._page,
                "limit": self._limit,
                "total": self._total,
                "total_capped": self._is_capped,
                "has_more": self._has_more,
                "next": following,
                "previous": previous,
                "next_cursor": self._rows[-1].public_id if self._has_more else None,
            },
        }
        links = [f'<{url}>; rel="{rel}"' for rel, url in (("next", following), ("prev", previous)) if url]
        return Response(body, headers={"Link": ", ".join(links)} if links else None)

    def _count(self, queryset: QuerySet[Row]) -> int:
        """No further than to one more than MAX_DEPTH."""
        if self._page and not self._has_more and (self._rows or self._page == 1):
            # the last row is on this page, whose number says how many come before it
            return (self._page - 1) * self._limit + len(self._rows)
        return queryset.order_by().values("pk")[: MAX_DEPTH + 1].count()

    def _forward(self, queryset: QuerySet[Row], after: Row | None) -> list[Row]:
        if after:
            queryset = queryset.filter(pk__lt=after.pk)
        skipped = (self._page - 1) * self._limit if self._page else 0
        rows = list(queryset.order_by("-pk")[skipped : skipped + self._limit + 1])
        self._has_more = len(rows) > self._limit
        self._has_previous = bool(after) or skipped > 0
        return rows[: self._limit]

    def _backward(self, queryset: QuerySet[Row], before: Row) -> list[Row]:
        rows = list(queryset.filter(pk__gt=before.pk).order_by("pk")[: self._limit + 1])
        self._has_previous = len(rows) > self._limit
        self._has_more = bool(rows)  # at least the row that the cursor names
        return rows[: self._limit][::-1]

    def _next(self) -> str | None:
        if not self._has_more:
            return None
        if self._page and (self._page + 1) * self._limit <= MAX_DEPTH:
            return self._url(page=str(self._page + 1))
        return self._url(**{AFTER: self._rows[-1].public_id})

    def _previous(self) -> str | None:
        if not self._has_previous:
            return None
        if self._page:
            return self._url(page=str(self._page - 1))
        return self._url(**{BEFORE: self._rows[0].public_id}) if self._rows else None

    def _url(self, **place: str) -> str:
        kept = [
            (name, value)
            for name, values in self._request.query_params.lists()
            for value in values
            if name not in ("page", AFTER, BEFORE)
        ]
        # BASE_URL, not the Host of this request: behind a proxy that host is not ours to name
        return f"{settings.BASE_URL}{self._request.path}?{urlencode([*kept, *place.items()])}"

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["data", "pagination"],
            "properties": {"data": schema, "pagination": _pagination_schema()},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:  # noqa: ARG002
        return [
            _parameter("page", f"From 1; page * limit is at most {MAX_DEPTH}.", {"type": "integer", "minimum": 1}),
            _parameter(
                "limit",
                "Rows of one answer.",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            ),
            _parameter(AFTER, "The page that follows the row with this id: older ones.", {"type": "string"}),
            _parameter(BEFORE, "The page before the row with this id: newer ones.", {"type": "string"}),
        ]


def _positive(given: Any, name: str, *, default: int, at_most: int | None = None) -> int:
    """A query parameter as a number from 1. Raises ValidationError: a bad number is never a silent default."""
    text = given.get(name)
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else 0
    if number < 1 or (at_most and number > at_most):
        bounds = f"from 1 to {at_most}" if at_most else "from 1"
        raise ValidationError({name: f"This is a whole number {bounds}."})
    return number


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _pagination_schema() -> dict[str, Any]:
    url = {"type": ["string", "null"], "format": "uri"}
    properties: dict[str, Any] = {
        "page": {"type": ["integer", "null"], "description": "null when a cursor was given"},
        "limit": {"type": "integer"},
        "total": {"type": "integer", "description": f"counted up to {MAX_DEPTH}"},
        "total_capped": {"type": "boolean", "description": "there are more than total says"},
        "has_more": {"type": "boolean"},
        "next": url,
        "previous": url,
        "next_cursor": {"type": ["string", "null"], "description": f"for {AFTER}"},
    }
    names: Sequence[str] = list(properties)
    return {"type": "object", "required": names, "properties": properties}
