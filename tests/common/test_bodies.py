"""What is read of a request's body, and how strictly."""

import json
import time
from io import BytesIO
from typing import Any, ClassVar

import pytest
from django.http import UnreadablePostError
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from emailgistics.common.bodies import (
    BodySerializer,
    BodyTooLargeError,
    Flag,
    JsonObjectParser,
    Reference,
    References,
    Text,
    Unchanged,
    Whole,
    body_of,
    values_in_body,
)
from emailgistics.common.errors import NotFoundError
from emailgistics.common.requests import MAX_BODY_BYTES
from mailboxes.models import Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox
from webhooks.models import Webhook
from webhooks.services import webhooks


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


def parse(octets: bytes) -> Any:
    return JsonObjectParser().parse(BytesIO(octets))


class Dribble(BytesIO):
    """Gives seven octets at a time, as a slow client does."""

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size > 0
        return super().read(min(size, 7))


class Broken(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise UnreadablePostError("reset by peer")


# --- what is JSON


def test_an_object_is_read_as_it_is() -> None:
    body = {"name": "Jürgen 🐙", "days": 7, "nested": {"list": [True, None, 1.5]}, "": "no name"}
    assert parse(json.dumps(body).encode()) == body
    assert parse(json.dumps(body, ensure_ascii=False).encode()) == body
    assert parse(b"\xef\xbb\xbf" + json.dumps(body).encode()) == body
    assert parse(b"") == {}
    assert JsonObjectParser().parse(Dribble(json.dumps(body).encode())) == body


@pytest.mark.parametrize(("octets", "said"), [
    (b"{", "not JSON"), (b" ", "not JSON"), (b"{'a': 1}", "not JSON"), (b'{"a": 1,}', "not JSON"),
    (b'{"a": 1} {"b": 2}', "not JSON"), (b'{"a": "\n"}', "not JSON"), (b"name=Ada", "not JSON"),
    (b'{"a": NaN}', "NaN"), (b'{"a": -Infinity}', "-Infinity"), (b'{"a": [{"b": Infinity}]}', "Infinity"),
    (b'{"a": "\xff"}', "UTF-8"), ('{"a": "b"}'.encode("utf-16"), "UTF-8"),
    (b'{"a": "\\ud800"}', "surrogate"), (b'{"\\udfff": 1}', "surrogate"), (b'{"a": {"b": ["\\ud83dx"]}}', "surrogate"),
    (b'{"a": 1, "a": 2}', "twice"), (b'{"a": {"b": 1, "b": 1}}', "twice"), (b'{"\\u0061": 1, "a": 2}', "twice"),
    (b'{"a": ' + b"9" * 5000 + b"}", "too long"),
    (b"[" * 100_000, "too deeply"), (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "too deeply"),
    (b'{"a": "\\u0061", "b":' + b"[" * 100_000, "too deeply"),
])  # fmt: skip
def test_what_is_no_json_is_told(octets: bytes, said: str) -> None:
    with pytest.raises(ParseError, match=said) as refusal:
        parse(octets)
    str(refusal.value.detail).encode()  # it can be answered


def nested(levels: int, *, around: bytes = b"1") -> bytes:
    """An object of that many levels, objects and lists in turn."""
    inner = levels - 1
    opened = b"".join(b'{"b":' if level % 2 else b"[" for level in range(inner))
    closed = b"".join(b"}" if level % 2 else b"]" for level in reversed(range(inner)))
    return b'{"a":' + opened + around + closed + b"}"


def test_a_body_has_at_most_32_levels() -> None:
    assert parse(nested(32)) == json.loads(nested(32))
    assert parse(nested(32, around=b'"[[[[{{{{"'))
    # one more, those that json.loads just about reads, and those that it does not
    for levels in (33, 34, *range(900, 1000), 100_000):
        with pytest.raises(ParseError, match="nested too deeply: at most 32 levels"):
            parse(nested(levels))
    with pytest.raises(ParseError, match="at most 32 levels"):
        parse(b'{"flat": [' + b"[]," * 1000 + b'{}], "deep": ' + nested(32) + b"}")


@pytest.mark.parametrize("piece", [b"[],", b"1,", b'{"a":1},', b"[[[[[[[[1]]]]]]]],"])
def test_the_levels_of_a_mebibyte_are_counted_in_a_moment(piece: bytes) -> None:
    body = b'{"a":[' + piece * ((MAX_BODY_BYTES - 10) // len(piece)) + b"1]}"
    started = time.process_time()
    json.loads(body)
    read = time.process_time() - started
    started = time.process_time()
    parse(body)
    assert time.process_time() - started < 6 * read + 0.2


@pytest.mark.django_db
@pytest.mark.parametrize("frame", [b'{"payload":%s}', b'{"events":[%s]}', b'{"url":"x","a":%s}'])
def test_no_depth_of_a_body_is_a_fault(frame: bytes) -> None:
    client = make_client()
    # json.loads reads the first of these wherever the stack is; at the last ones it gives up itself
    for levels in range(800, 1000):
        body = frame % (b"[" * levels + b"]" * levels)
        answer = client.post("/v1/webhooks", body, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "parse_error"), levels


@pytest.mark.parametrize("octets", [b"[]", b"null", b"true", b'"name"', b"7", b'[{"name": "Ada"}]'])
def test_json_that_is_no_object_is_told(octets: bytes) -> None:
    with pytest.raises(ValidationError, match="JSON object"):
        parse(octets)


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert parse(b'{"a": "\\ud83d\\udc19"}') == {"a": "🐙"}


def test_a_body_may_have_a_mebibyte_and_no_octet_more() -> None:
    frame = len(b'{"a": ""}')
    largest = b'{"a": "' + b"x" * (MAX_BODY_BYTES - frame) + b'"}'
    assert len(largest) == MAX_BODY_BYTES
    assert len(parse(largest)["a"]) == MAX_BODY_BYTES - frame
    stream = BytesIO(largest + b" " * 10)
    with pytest.raises(BodyTooLargeError) as refusal:
        JsonObjectParser().parse(stream)
    assert (refusal.value.status_code, refusal.value.get_codes()) == (413, "body_too_large")
    assert stream.tell() == MAX_BODY_BYTES + 1  # and no more of it was read


def test_a_body_that_breaks_off_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ParseError, match="ended before"):
        JsonObjectParser().parse(Broken())


# --- what the values may be


class ThingBody(BodySerializer):
    FIXED: ClassVar = {"made_by": "Its maker does not change: make another thing."}

    name = Text(required=False, allow_blank=True, max_length=5)
    active = Flag(source="is_active", required=False)
    days = Whole(required=False, allow_null=True, min_value=1, max_value=100)


class FadingBody(BodySerializer):
    IGNORED: ClassVar = frozenset({"fresh_until"})

    name = Text(required=False)


class InnerBody(BodySerializer):
    days = Whole(required=False)


class OuterBody(BodySerializer):
    inner = InnerBody(required=False)


class WholeThingBody(BodySerializer):
    id = Unchanged()
    name = Text()


def request_with(body: Any) -> Request:
    made = APIRequestFactory().post("/", json.dumps(body), content_type="application/json")
    parser: BaseParser = JsonObjectParser()
    return Request(made, parsers=[parser])


def values(body: Any, *, serializer: type[BodySerializer] = ThingBody, **current: Any) -> dict[str, Any]:
    return values_in_body(request_with(body), serializer, current=current)


def problems_of(body: Any, *, serializer: type[BodySerializer] = ThingBody, **current: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as refusal:
        values(body, serializer=serializer, **current)
    codes: Any = refusal.value.get_codes()
    return dict(codes)


def test_values_come_under_the_names_that_services_know() -> None:
    given = values({"name": " Ada ", "active": False, "days": None})
    assert given == {"name": " Ada ", "is_active": False, "days": None}
    assert values({}) == {}


@pytest.mark.parametrize("value", ["yes", "true", "on", 1, 0, "", [], {}, 1.0])
def test_only_true_and_false_are_booleans(value: Any) -> None:
    assert problems_of({"active": value}) == {"active": ["invalid"]}


@pytest.mark.parametrize("value", [7, 7.5, True, ["a"], {"a": 1}])
def test_only_text_is_text(value: Any) -> None:
    assert problems_of({"name": value}) == {"name": ["invalid"]}


@pytest.mark.parametrize(("value", "code"), [
    ("7", "invalid"), (7.0, "invalid"), (True, "invalid"), ([7], "invalid"), (1e999, "invalid"), ("", "invalid"),
    (0, "min_value"), (-1, "min_value"), (101, "max_value"), (10**4000, "max_value"),
])  # fmt: skip
def test_only_whole_numbers_within_bounds_are_numbers(value: Any, code: str) -> None:
    serializer = ThingBody(data={"days": value})
    assert not serializer.is_valid()
    assert {name: [error.code for error in errors] for name, errors in serializer.errors.items()} == {"days": [code]}


@pytest.mark.parametrize(("body", "codes"), [
    ({"name": None, "active": None}, {"name": ["null"], "active": ["null"]}),
    ({"name": "too long"}, {"name": ["max_length"]}),
    ({"name": "a\0b"}, {"name": ["null_characters_not_allowed"]}),
    ({"nmae": "Ada"}, {"nmae": ["unknown_field"]}),
    ({"nmae": "Ada", "active": 1}, {"nmae": ["unknown_field"], "active": ["invalid"]}),
    ({"is_active": True}, {"is_active": ["unknown_field"]}),
])  # fmt: skip
def test_every_mistake_is_told_with_its_field(body: dict[str, Any], codes: dict[str, Any]) -> None:
    assert problems_of(body) == codes


def test_an_unknown_field_is_told_what_there_is() -> None:
    with pytest.raises(ValidationError, match="there is name, active, days"):
        values({"nmae": "Ada"})


def test_what_was_read_may_be_sent_back_and_not_changed() -> None:
    shown = {"id": "thing_1", "made_by": "Ada", "active": True}
    assert values({**shown, "name": "New"}, **shown) == {"name": "New", "is_active": True}
    with pytest.raises(ValidationError) as refusal:
        values({"id": "thing_2", "made_by": "Bob"}, **shown)
    assert refusal.value.detail == {
        "id": ["id cannot be changed."],
        "made_by": ["Its maker does not change: make another thing."],
    }
    assert refusal.value.get_codes() == {"id": ["read_only"], "made_by": ["read_only"]}


def test_what_changes_by_itself_is_passed_over_when_it_is_sent_back() -> None:
    shown = {"id": "thing_1", "name": "Ada", "fresh_until": "2030-01-31T18:00:00.000Z"}
    for body in (shown, shown | {"fresh_until": None}, shown | {"fresh_until": ["x"]}):
        assert values(body, serializer=FadingBody, **shown) == {"name": "Ada"}
        assert problems_of(body | {"id": "x"}, serializer=FadingBody, **shown) == {"id": ["read_only"]}
    # without the rest of what was read, somebody wants to set it
    for body in ({"fresh_until": None}, {"name": "Ada", "fresh_until": ["x"]}):
        assert problems_of(body, serializer=FadingBody, **shown) == {"fresh_until": ["read_only"]}
    # where there is nothing yet, nobody can have read it
    assert problems_of({"fresh_until": None}, serializer=FadingBody) == {"fresh_until": ["unknown_field"]}


@pytest.mark.django_db
@pytest.mark.usefixtures("loopback_allowed")
def test_a_webhook_that_was_read_is_put_back_although_its_rotation_ended_meanwhile() -> None:
    webhook, _ = webhooks.create_webhook(url="http://127.0.0.1:9/", mailbox=make_mailbox())
    webhooks.rotate_secret(webhook)
    client, url = make_client(), f"/v1/webhooks/{webhook.public_id}"
    read = client.get(url).json()
    assert read["previous_secret_until"] is not None
    Webhook.objects.update(sealed_previous_secret=None, previous_secret_until=None)
    after = read | {"previous_secret_until": None}
    for method in (client.put, client.patch):
        answer = method(url, read, content_type="application/json")
        assert (answer.status_code, answer.json()) == (200, after)
    webhooks.pause_webhook(webhook, reason="for a while")
    told = client.put(url, read, content_type="application/json").json()
    assert [(entry["pointer"], entry["detail"]) for entry in told["errors"]] == [
        ("/state", "Ask for pause or resume."),
        ("/state_reason", "Ask for pause or resume."),
    ]
    new = {"mailbox_id": read["mailbox_id"], "url": read["url"], "previous_secret_until": None}
    told = client.post("/v1/webhooks", new, content_type="application/json").json()
    assert [(entry["pointer"], entry["code"]) for entry in told["errors"]] == [
        ("/previous_secret_until", "unknown_field")
    ]


def test_an_object_in_the_body_has_no_fields_but_its_own() -> None:
    shown = {"id": "thing_1"}
    assert values({"id": "thing_1", "inner": {"days": 1}}, serializer=OuterBody, **shown) == {"inner": {"days": 1}}
    told = problems_of({"inner": {"id": "thing_1"}}, serializer=OuterBody, **shown)
    assert told == {"inner": {"id": ["unknown_field"]}}
    assert problems_of({"inner": [1]}, serializer=OuterBody, **shown) == {"inner": {"non_field_errors": ["invalid"]}}


def test_a_put_says_again_what_it_cannot_change() -> None:
    shown = {"id": "thing_1", "name": "Old"}
    assert values({"id": "thing_1", "name": "New"}, serializer=WholeThingBody, **shown) == {"name": "New"}
    assert problems_of({"id": "thing_2", "name": "New"}, serializer=WholeThingBody, **shown) == {"id": ["read_only"]}
    assert problems_of({"id": None}, serializer=WholeThingBody, **shown) == {"id": ["null"], "name": ["required"]}


class BoundBody(BodySerializer):
    mailbox_id = Reference(source="mailbox", required=False, allow_null=True)
    name = Text()


@pytest.mark.django_db
def test_a_reference_is_the_row_and_is_looked_for_before_anything_else() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    rows = {"mailbox_id": Mailbox.objects.filter(pk=mailbox.pk)}

    def bound(**body: Any) -> dict[str, Any]:
        return values_in_body(request_with(body), BoundBody, references=rows)

    assert bound(mailbox_id=mailbox.public_id, name="x") == {"mailbox": mailbox, "name": "x"}
    assert bound(name="x") == {"name": "x"}
    assert bound(mailbox_id=None, name="x") == {"mailbox": None, "name": "x"}
    for given in (other.public_id, "nonsense", "", 7, [mailbox.public_id], {"id": mailbox.public_id}, True):
        with pytest.raises(NotFoundError):
            bound(mailbox_id=given, nmae=7)


class ManyBody(BodySerializer):
    mailbox_ids = References(source="mailboxes", required=False)
    name = Text()


@pytest.mark.django_db
def test_a_list_of_references_is_the_rows_each_once_in_their_order_for_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    a, b, other = (make_mailbox(address=f"{name}@example.com") for name in "abc")
    rows = {"mailbox_ids": Mailbox.objects.filter(pk__in=[a.pk, b.pk])}

    def bound(**body: Any) -> dict[str, Any]:
        return values_in_body(request_with(body), ManyBody, many_references=rows)

    with django_assert_num_queries(1):
        found = bound(mailbox_ids=[b.public_id, a.public_id, b.public_id], name="x")
    assert found == {"mailboxes": [b, a], "name": "x"}
    assert bound(mailbox_ids=[], name="x") == {"mailboxes": [], "name": "x"}
    assert bound(name="x") == {"name": "x"}
    for given in (other.public_id, "nonsense", "", 7, None, [a.public_id], {"id": a.public_id}, True):
        with django_assert_num_queries(1), pytest.raises(NotFoundError):
            bound(mailbox_ids=[a.public_id, given], nmae=7)
    for wrong in ("x", 7, True, {"id": a.public_id}, None, [a.public_id] * 101):
        with pytest.raises(ValidationError) as refusal:
            bound(mailbox_ids=wrong, name="x")
        assert set(refusal.value.get_codes()) == {"mailbox_ids"}


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json", "text/plain"])
def test_no_body_is_an_empty_one(content_type: str) -> None:
    made = RequestFactory().generic("POST", "/", CONTENT_TYPE=content_type)
    assert made.content_type == content_type
    request = Request(made, parsers=[JsonObjectParser()])
    body = body_of(request)
    assert (type(body), body) == (dict, {})


def test_another_type_of_body_is_refused() -> None:
    request = Request(APIRequestFactory().post("/", b"a=1", content_type="text/plain"), parsers=[JsonObjectParser()])
    with pytest.raises(APIException) as refusal:
        body_of(request)
    assert refusal.value.status_code == 415
