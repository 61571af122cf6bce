"""The filters of lists, as they stand in the query.

A filter that is not right is never passed over: it would show more than was asked for. What is wrong is told together,
each with its remedy.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request

from emailgistics.common.errors import InvalidChoiceError, RefusedError
from emailgistics.common.text import within

Value = TypeVar("Value")

MAX_TEXT = 500  # characters
INSTANT = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d))?", re.ASCII)


class Query:
    """Reads parameters one by one, and keeps what is wrong with them."""

    def __init__(self, request: Request, *others: str) -> None:
        """`others` are the parameters that somebody else reads, such as those of pages."""
        self._query = request.query_params
        self._errors: dict[str, list[ErrorDetail]] = {}
        self._known = list(others)

    def read(self, name: str, parse: Callable[[str], Value]) -> Value | None:
        """None without it, and if it is not right. parse raises ValueError or RefusedError with what is said of it."""
        self._known.append(name)
        given = self._query.getlist(name)
        if not given:
            return None
        try:
            return parse(_single(given, name))
        except (ValueError, RefusedError) as error:
            code = getattr(error, "code", "invalid")
            self._errors[name] = [ErrorDetail(str(error), "invalid" if code == RefusedError.code else code)]
            return None

    def refuse_what_is_wrong(self) -> None:
        """What was given and never read, too: a name that is misspelt. Raises ValidationError."""
        there_is = f"There is no such parameter here; there is {', '.join(sorted(self._known))}."
        for name in self._query.keys() - set(self._known):
            self._errors[name] = [ErrorDetail(there_is, "unknown_field")]
        if self._errors:
            raise ValidationError(self._errors)


def one_of(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise InvalidChoiceError(f"This is one of {', '.join(values)}, or is left out.")
        return text

    return parse


def boolean(text: str) -> bool:
    return one_of("true", "false")(text) == "true"


def instant(text: str) -> datetime:
    """RFC 3339; of a date alone, its start in UTC."""
    if INSTANT.fullmatch(text):
        # no such day, or one that is none in UTC any more
        with suppress(ValueError, OverflowError):
            at = datetime.fromisoformat(text.upper())
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    raise ValueError(
        "This is an instant like 2026-06-01T10:00:00Z or 2026-06-01T12:00:00%2B02:00 (in a query, + is written %2B), "
        "or a date like 2026-06-01, which is its start in UTC."
    )


def _single(given: Sequence[str], name: str) -> str:
    if len(given) > 1:
        raise ValueError("Give it once.")
    text = within(given[0], limit=MAX_TEXT, field=name)
    if not text.strip():
        raise ValueError("Give it a value, or leave it out.")
    return text
