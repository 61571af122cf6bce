"""JSON bodies of requests: how much is read, and how strictly.

A field that nobody knows is a mistake to be told of, not to be passed over: a typo in `mailbox_id` would otherwise give
mail to another mailbox. For the same reason a value has the type that it should have: "false" is not false.
"""

import json
from collections.abc import Mapping
from typing import IO, Any, ClassVar, Never

from django.db.models import QuerySet
from django.http import UnreadablePostError
from rest_framework import exceptions, serializers
from rest_framework.fields import SkipField, empty
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from emailgistics.common.requests import BODY_TOO_LARGE, JSON_TYPE, MAX_BODY_BYTES, Row, find, find_many

MAX_DEPTH = 32  # levels of a body; whatever looks into one by recursion stays far from Python's limit
MAX_REFERENCES = 100  # ids in one list of a body
OBJECT = 'Send one JSON object, such as {"name": "value"}.'
NO_UTF_8 = "The body is not UTF-8, or has half a surrogate pair in it: encode it as UTF-8, and escape whole pairs."
TOO_DEEP = f"The JSON is nested too deeply: at most {MAX_DEPTH} levels."


class BodyTooLargeError(exceptions.APIException):
    status_code = 413
    default_code = "body_too_large"
    default_detail = BODY_TOO_LARGE


class JsonObjectParser(BaseParser):
    """A JSON object of at most MAX_BODY_BYTES and MAX_DEPTH levels, in UTF-8.

    RFC 8259 to the letter, so no NaN, and each name once.

    No body is an empty object.
    """

    media_type = JSON_TYPE

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        octets = _read(stream)
        if not octets:
            return {}
        try:
            text = octets.decode("utf-8-sig")  # RFC 8259 section 8.1 lets a reader pass over a byte order mark
            parsed = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once_each)
            if "\\u" in text:
                # half a surrogate pair, written as an escape: nothing can store it, and no answer could repeat it
                json.dumps(parsed, ensure_ascii=False).encode()
        except json.JSONDecodeError as error:
            raise exceptions.ParseError(f"The body is not JSON: {error}. {OBJECT}") from error
        except UnicodeError as error:
            raise exceptions.ParseError(NO_UTF_8) from error
        except ValueError as error:  # more digits than Python reads
            raise exceptions.ParseError("A number in the body is too long: write it with fewer digits.") from error
        except RecursionError as error:
            raise exceptions.ParseError(TOO_DEEP) from error
        if not isinstance(parsed, dict):
            raise exceptions.ValidationError(f"The body is no JSON object. {OBJECT}")
        _refuse_depth(parsed)
        return parsed


def body_of(request: Request) -> dict[str, Any]:
    """The body as it was sent, an empty one without any. Raises ParseError, UnsupportedMediaType, BodyTooLargeError."""
    body: Any = request.data
    # without a body, DRF makes something of its own
    return body if type(body) is dict else {}


def find_in(body: Mapping[str, Any], rows: QuerySet[Row], name: str) -> Row | None:
    """The row whose id the body gives under that name; None when it gives none. Raises NotFoundError.

    Asked for before anything else is validated: whatever else is wrong, an id that may not be seen is a 404.
    """
    given = body.get(name)
    return None if given is None else find(rows, given if isinstance(given, str) else "", field=name)


def find_many_in(body: Mapping[str, Any], rows: QuerySet[Row], name: str) -> list[Row]:
    """The rows whose ids the body lists under that name, in the order there. Raises NotFoundError.

    What is no list of at most MAX_REFERENCES is told of later: that is a matter of form.
    """
    given = body.get(name)
    if not isinstance(given, list) or len(given) > MAX_REFERENCES:
        return []
    return find_many(rows, [one if isinstance(one, str) else "" for one in given], field=name)


def values_in_body(request: Request, serializer: "type[BodySerializer]", **more: Any) -> dict[str, Any]:
    """`values_in` of the request's body."""
    return values_in(body_of(request), serializer, **more)


def values_in(
    body: Mapping[str, Any],
    serializer: "type[BodySerializer]",
    *,
    current: Mapping[str, Any] | None = None,
    references: Mapping[str, QuerySet[Any]] | None = None,
    many_references: Mapping[str, QuerySet[Any]] | None = None,
) -> dict[str, Any]:
    """What the body gives, checked by the serializer, under the names that services know.

    current is the JSON of the resource as it is. references are the fields that name another thing by its id, each with
    the rows that the caller may see, many_references those that name several; they are looked for first of all. Raises
    NotFoundError, ValidationError.
    """
    found: dict[str, Any] = {name: find_in(body, rows, name) for name, rows in (references or {}).items()}
    found |= {name: find_many_in(body, rows, name) for name, rows in (many_references or {}).items()}
    checked = serializer(data=body, context={"current": current or {}, "found": found})
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


class Text(serializers.CharField):
    """A JSON string, taken as it is."""

    default_error_messages: ClassVar = {"invalid": "This is text, in quotes."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class Flag(serializers.BooleanField):
    """true or false, and no word for it."""

    default_error_messages: ClassVar = {"invalid": "This is true or false, without quotes."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Whole(serializers.IntegerField):
    """A JSON number without a fraction."""

    default_error_messages: ClassVar = {"invalid": "This is a whole number, without quotes."}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Choice(serializers.ChoiceField):
    """One of some texts; which, is said to who gives another."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        self.error_messages["invalid_choice"] = f"This is one of {', '.join(map(str, self.choices))}."


class Reference(serializers.CharField):
    """The id of another thing; its value is the row. `values_in_body` has looked for it among what may be seen."""

    def run_validation(self, data: Any = empty) -> Any:
        is_empty, value = self.validate_empty_values(data)
        return value if is_empty else self.context["found"][self.field_name]


class References(serializers.ListField):
    """The ids of other things; its value is the rows, each once. `values_in_body` has looked for them."""

    default_error_messages: ClassVar = {"not_a_list": "This is a list of ids."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=serializers.CharField(), max_length=MAX_REFERENCES, **kwargs)

    def run_validation(self, data: Any = empty) -> Any:
        is_empty, value = self.validate_empty_values(data)
        if is_empty:
            return value
        self.run_validators(self.to_internal_value(data))
        return self.context["found"][self.field_name]


class Unchanged(serializers.CharField):
    """What a PUT says again and cannot change. It gives no value."""

    def run_validation(self, data: Any = empty) -> Never:
        self.validate_empty_values(data)
        if data != self.context["current"].get(self.field_name):
            raise exceptions.ValidationError([_fixed(str(self.field_name), self.parent)])
        raise SkipField


# No docstring: it would be the description of every body in the OpenAPI document.
#
# What may be sent for a resource. A name that is no field is refused; what the resource shows but nobody sets may be
# sent back as it was read, so that a client can put what it got. `context["current"]` is the JSON of the resource as it
# is, when there is one.
class BodySerializer(serializers.Serializer[Any]):
    default_error_messages: ClassVar = {"invalid": "This is an object, such as {{…}}."}

    # what is shown and cannot be changed, with what to do instead
    FIXED: ClassVar[Mapping[str, str]] = {}
    # what is shown and changes by itself: sent back with what was read, its id too, it is passed over, for it may be
    # another by now. Sent without, somebody wants to set it, and is told that it cannot be.
    IGNORED: ClassVar[frozenset[str]] = frozenset()

    def to_internal_value(self, data: Any) -> Any:
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            # an object inside the body has no fields but its own
            current: Mapping[str, Any] = self.context.get("current", {}) if self.parent is None else {}
            passed_over = self.IGNORED if "id" in data else frozenset[str]()
            for name, value in data.items():
                if name in self.fields or (name in current and (name in passed_over or current[name] == value)):
                    continue
                errors[name] = [_fixed(name, self) if name in current else _unknown(list(self.fields))]
        try:
            values = super().to_internal_value(data)
        except exceptions.ValidationError as error:
            detail = error.detail
            raise exceptions.ValidationError({**detail, **errors} if isinstance(detail, dict) else detail) from error
        if errors:
            raise exceptions.ValidationError(errors)
        return values


class NothingSerializer(BodySerializer):
    """For what takes no body."""

    def to_internal_value(self, data: Any) -> Any:
        if data:
            raise exceptions.ValidationError(dict.fromkeys(data, "Nothing is sent with this; leave it out."))
        return {}


def _read(stream: IO[Any]) -> bytes:
    octets = b""
    try:
        while piece := stream.read(MAX_BODY_BYTES + 1 - len(octets)):
            octets += piece
    except UnreadablePostError as error:
        raise exceptions.ParseError("The body ended before it was whole: send it again.") from error
    if len(octets) > MAX_BODY_BYTES:
        raise BodyTooLargeError
    return octets


def _refuse_constant(name: str) -> Never:
    raise exceptions.ParseError(f"The body is not JSON: {name} is no number there; send null, or leave the field out.")


def _refuse_depth(parsed: dict[str, Any]) -> None:
    """Raises ParseError. Level by level: recursion into a deep one is what there is to prevent."""
    level: list[Any] = [parsed]
    for _ in range(MAX_DEPTH):
        inner = (thing.values() if isinstance(thing, dict) else thing for thing in level)
        level = [child for things in inner for child in things if isinstance(child, dict | list)]
        if not level:
            return
    raise exceptions.ParseError(TOO_DEEP)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    things = dict(pairs)
    if len(things) < len(pairs):
        raise exceptions.ParseError("A name stands twice in one object of the body: leave one of the two out.")
    return things


def _fixed(name: str, serializer: Any) -> exceptions.ErrorDetail:
    return exceptions.ErrorDetail(serializer.FIXED.get(name, f"{name} cannot be changed."), code="read_only")


def _unknown(known: list[str]) -> exceptions.ErrorDetail:
    return exceptions.ErrorDetail(f"There is no field of this name here; there is {', '.join(known)}.", "unknown_field")
