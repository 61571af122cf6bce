"""Lists in pages: by number near the top, by cursor to any depth. Newest first, by id.

A cursor is a place in that order. Whether a row has it is not looked up: the row may have been erased since, and so an
id that the key may not see tells no more than one that never was.
"""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.errors import OutOfRangeError
from emailgistics.common.ids import TypedIdModel, decode_id, encode_id
from emailgistics.common.planning import IN_ORDER, ONE_BY_ONE, planned
from emailgistics.common.problems import BadRequestError

DEFAULT_LIMIT, MAX_LIMIT = 25, 100
MAX_DEPTH = 10_000  # rows that a page number may skip and a total may count
MAX_DIGITS = 9
NO_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)
AFTER, BEFORE = "starting_after", "ending_before"
PARAMETERS = ("page", "limit", AFTER, BEFORE)

Row = TypeVar("Row", bound=TypedIdModel)
Row_co = TypeVar("Row_co", bound=TypedIdModel, covariant=True)


class Rows(Protocol[Row_co]):
    """What pages are cut from. A list whose queries would grow with its table knows a better way than a queryset's."""

    def newest(self, most: int, *, skip: int = 0, before: UUID | None = None) -> Sequence[Row_co]:
        """Up to so many, newest first; only those with an id before that one."""

    def oldest(self, most: int, *, after: UUID) -> Sequence[Row_co]:
        """Up to so many with an id after that one, oldest first."""

    def count(self, most: int) -> int:
        """How many there are, counted no further than to `most`."""


class RowsOf(Generic[Row]):
    """Of a queryset, as it is."""

    def __init__(self, rows: QuerySet[Row]) -> None:
        self._rows = rows

    def newest(self, most: int, *, skip: int = 0, before: UUID | None = None) -> list[Row]:
        rows = self._rows if before is None else self._rows.filter(pk__lt=before)
        return list(rows.order_by("-pk")[skip : skip + most])

    def oldest(self, most: int, *, after: UUID) -> list[Row]:
        return list(self._rows.filter(pk__gt=after).order_by("pk")[:most])

    def count(self, most: int) -> int:
        # in their order, which an index has: rows that are few may be the last of a table that is read as it lies
        return self._rows.order_by("-pk").values("pk")[:most].count()


class RowsInOrder(RowsOf[Row]):
    """Of a queryset whose order an index has, and of which each row is looked up in further tables."""

    def newest(self, most: int, *, skip: int = 0, before: UUID | None = None) -> list[Row]:
        with planned(without=(*IN_ORDER, *ONE_BY_ONE)):
            return super().newest(most, skip=skip, before=before)

    def oldest(self, most: int, *, after: UUID) -> list[Row]:
        with planned(without=(*IN_ORDER, *ONE_BY_ONE)):
            return super().oldest(most, after=after)

    def count(self, most: int) -> int:
        with planned(without=(*IN_ORDER, *ONE_BY_ONE)):
            return super().count(most)


class Pages(BasePagination):
    """`?page=&limit=`, or `?starting_after=<id>` and `?ending_before=<id>`."""

    def paginate_queryset(
        self,
        queryset: Any,  # a QuerySet[Row]; the base class would take any sequence
        request: Request,
        view: Any = None,  # noqa: ARG002 - a GenericAPIView; the base class would take any
    ) -> list[Any]:
        self.locate(request, queryset.model)
        return self.cut(RowsOf(queryset))

    def locate(self, request: Request, model: type[TypedIdModel]) -> None:
        """Reads which page is asked for. Raises ValidationError, BadRequestError."""
        self._request = request
        given = request.query_params
        if len(named := [name for name in (AFTER, BEFORE, "page") if name in given]) > 1:
            raise ValidationError({named[0]: f"Give only one of page, {AFTER} and {BEFORE}."})
        self._after, self._before = (_place(given, name, model) for name in (AFTER, BEFORE))
        self._limit = _positive(given, "limit", default=DEFAULT_LIMIT, at_most=MAX_LIMIT)
        self._page = None if self._after or self._before else _positive(given, "page", default=1)
        if self._page and self._page * self._limit > MAX_DEPTH:
            raise BadRequestError(
                f"page * limit is at most {MAX_DEPTH}; go deeper with {AFTER}=<next_cursor of the last page>.",
                "page_too_deep",
            )

    def cut(self, rows: Rows[Row]) -> list[Row]:
        """The page that `locate` has read."""
        shown = self._backward(rows, self._before) if self._before else self._forward(rows)
        counted = self._count(rows, shown)
        self._total, self._is_capped = min(counted, MAX_DEPTH), counted > MAX_DEPTH
        self._rows: list[Any] = shown
        return shown

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

    def _count(self, rows: Rows[Row], shown: list[Row]) -> int:
        """No further than to one more than MAX_DEPTH."""
        if self._page and not self._has_more and (shown or self._page == 1):
            # the last row is on this page, whose number says how many come before it
            return (self._page - 1) * self._limit + len(shown)
        return rows.count(MAX_DEPTH + 1)

    def _forward(self, rows: Rows[Row]) -> list[Row]:
        skipped = (self._page - 1) * self._limit if self._page else 0
        found = list(rows.newest(self._limit + 1, skip=skipped, before=self._after))
        self._has_more = len(found) > self._limit
        self._has_previous = bool(self._after) or skipped > 0
        return found[: self._limit]

    def _backward(self, rows: Rows[Row], before: UUID) -> list[Row]:
        found = list(rows.oldest(self._limit + 1, after=before))
        self._has_previous = len(found) > self._limit
        # whether anything is left at the cursor itself or behind it
        self._has_more = bool(found) and bool(rows.newest(1, before=UUID(int=before.int + 1)))
        return found[: self._limit][::-1]

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
            _parameter(
                AFTER,
                "The page that follows the row with this id: older ones. The row may have been deleted since.",
                {"type": "string"},
            ),
            _parameter(
                BEFORE,
                "The page before the row with this id: newer ones. The row may have been deleted since.",
                {"type": "string"},
            ),
        ]


def _place(given: Any, name: str, model: type[TypedIdModel]) -> UUID | None:
    """The place that a cursor stands for; None without it. Raises ValidationError."""
    text = given.get(name)
    if text is None:
        return None
    place = decode_id(model.ID_PREFIX, text)
    # neither the first nor the last of all ids was ever made, and a list goes one further than its cursor
    if place is None or not NO_ID < place < LAST_ID:
        example = encode_id(model.ID_PREFIX, UUID("01900000-0000-7000-8000-000000000000"))
        raise ValidationError({name: f"This is an id of what is listed, such as {example}; next_cursor has the next."})
    return place


def _positive(given: Any, name: str, *, default: int, at_most: int | None = None) -> int:
    """A query parameter as a number from 1. Raises ValidationError: a bad number is never a silent default."""
    text = given.get(name)
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else 0
    if number < 1 or (at_most and number > at_most):
        bounds = f"from 1 to {at_most}" if at_most else "from 1"
        raise ValidationError({name: ErrorDetail(f"This is a whole number {bounds}.", OutOfRangeError.code)})
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
