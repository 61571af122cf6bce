"""Bodies that are wrong, as the whole API answers them: always a problem of the caller, never a fault of ours."""

import json
from io import BytesIO
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emailgistics.common.requests import MAX_BODY_BYTES
from mailboxes.models import Alias, Domain, Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_alias
from tests.mailboxes.api_client import answered, problem, refused, shape

pytestmark = pytest.mark.django_db

JSON = "application/json"


def targets() -> list[tuple[str, str]]:
    alias = make_alias()
    return [
        ("POST", "/v1/domains"),
        ("POST", "/v1/mailboxes"),
        ("POST", "/v1/aliases"),
        ("PATCH", f"/v1/domains/{alias.domain.public_id}"),
        ("PATCH", f"/v1/mailboxes/{alias.mailbox.public_id}"),
        ("PATCH", f"/v1/aliases/{alias.public_id}"),
        ("PUT", f"/v1/aliases/{alias.public_id}"),
    ]


def send_octets(client: Client, method: str, url: str, octets: bytes, content_type: str = JSON) -> Any:
    client.raise_request_exception = False
    # said twice: Django's client forgets it for an empty body
    return client.generic(method, url, octets, content_type=content_type, CONTENT_TYPE=content_type)


@pytest.mark.parametrize(("octets", "code"), [
    (b"{", "parse_error"), (b"name=example.com", "parse_error"), (b'{"name": NaN}', "parse_error"),
    (b'{"name": "\xff"}', "parse_error"), (b'{"name": "\\ud800"}', "parse_error"), (b'{"\\ud800": 1}', "parse_error"),
    (b'{"name": "a", "name": "b"}', "parse_error"), (b'{"active": ' + b"9" * 10_000 + b"}", "parse_error"),
    (b"[" * 200_000, "parse_error"), (b'{"name":' * 100_000, "parse_error"),
    (b"[]", "validation_error"), (b"null", "validation_error"), (b'"a"', "validation_error"),
    (b'{"\\u0000": 1}', "validation_error"), (b'{"": 1}', "validation_error"),
    (b'{"non_field_errors": []}', "validation_error"),
    (b'{"message": "x", "code": "y"}', "validation_error"), (b'{"nonsense": 1e999}', "validation_error"),
    (b'{"nonsense":' + b"[" * 500 + b"]" * 500 + b"}", "parse_error"),
])  # fmt: skip
def test_a_body_that_is_none_is_a_400_everywhere_and_changes_nothing(octets: bytes, code: str) -> None:
    client = make_client()
    everywhere = targets()
    rows = [*Domain.objects.all(), *Mailbox.objects.all(), *Alias.objects.all()]
    before = [shape(row) for row in rows]
    for method, url in everywhere:
        answer = send_octets(client, method, url, octets)
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), (url, answer.content)
        assert answer.json()["code"] == code
    assert [shape(row) for row in rows] == before
    assert len(rows) == Domain.objects.count() + Mailbox.objects.count() + Alias.objects.count()


def test_a_body_that_is_no_object_is_told_so() -> None:
    answer = send_octets(make_client(), "POST", "/v1/domains", b"[]")
    assert answered(answer) == (
        400,
        refused("", "invalid", 'The body is no JSON object. Send one JSON object, such as {"name": "value"}.'),
    )
    answer = send_octets(make_client(), "POST", "/v1/domains", b'{"name": "a", "name": "b"}')
    detail = "A name stands twice in one object of the body: leave one of the two out."
    assert answered(answer) == (400, problem(400, "parse_error", detail))


@pytest.mark.parametrize("content_type", [
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "text/json",
    "application/xml", "application/vnd.api+json", "nonsense", "application/jsonx",
])  # fmt: skip
def test_another_type_is_a_415_that_says_what_to_send(content_type: str) -> None:
    client = make_client()
    detail = "Send the body as application/json, and say so in Content-Type."
    for method, url in targets():
        answer = send_octets(client, method, url, b'{"name": "example.org"}', content_type)
        assert answered(answer) == (415, problem(415, "unsupported_media_type", detail))
    assert not Domain.objects.filter(name="example.org").exists()


@pytest.mark.parametrize("content_type", ["", JSON, "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_read_with_or_without_its_type(content_type: str) -> None:
    answer = send_octets(make_client(), "POST", "/v1/domains", b'{"name": "example.org"}', content_type)
    assert (answer.status_code, answer.json()["name"]) == (201, "example.org")


def test_no_body_is_an_empty_one() -> None:
    client = make_client()
    for method, url in targets():
        for content_type in ("", JSON, "application/x-www-form-urlencoded", "text/plain"):
            answer = send_octets(client, method, url, b"", content_type)
            assert answer.status_code == (200 if method == "PATCH" else 400), (method, url, answer.content)
    assert Domain.objects.get().is_active  # a form without its tick would say no


def test_a_body_of_more_than_a_mebibyte_is_413() -> None:
    client, everywhere = make_client(), targets()
    detail = f"A request body has at most {MAX_BODY_BYTES} octets: send less at once."
    expected = (413, problem(413, "body_too_large", detail))
    too_much = b'{"name": "' + b"x" * MAX_BODY_BYTES + b'"}'
    for method, url in everywhere:
        assert answered(send_octets(client, method, url, too_much)) == expected
    # and one that comes in pieces, without saying how large it is
    environ = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_TYPE": JSON}
    for method, url in everywhere:
        stream = BytesIO(too_much + b" " * 1000)
        assert answered(client.generic(method, url, **environ, **{"wsgi.input": stream})) == expected
        assert stream.tell() == MAX_BODY_BYTES + 1
    small = client.generic("POST", "/v1/domains", **environ, **{"wsgi.input": BytesIO(b'{"name": "example.org"}')})
    assert small.status_code == 201


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from([
    "name", "address", "domain_id", "mailbox_id", "default_mailbox_id", "default_mailbox", "active", "test",
    "time_zone", "retention", "description", "id", "kind", "created_at", "",
])  # fmt: skip
retention = st.fixed_dictionaries({"retention": st.dictionaries(st.sampled_from(["raw_days", "log_days"]), anything)})
plausible = st.fixed_dictionaries({}, optional={
    "name": st.sampled_from(["example.org", "help", "*", "a*b", '"', "a@b", "\u202e", "é" * 70, "x" * 300, "\x7f"]),
    "address": st.sampled_from(["a@example.com", "@", "a@", '"\\"@example.com', "x" * 300 + "@a.b", "é@bücher.test"]),
    "time_zone": st.sampled_from(["UTC", "Europe", "/", "..", "\0", "posix/UTC", "x" * 1000]),
})  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.dictionaries(fields, anything, max_size=5) | plausible | retention)
def test_no_object_is_a_fault_of_ours(body: dict[str, Any], db: None) -> None:
    client = make_client()
    if not Alias.objects.live().exists():
        make_alias()
    alias = Alias.objects.live().earliest("id")
    urls = [("POST", f"/v1/{name}") for name in ("domains", "mailboxes", "aliases")]
    body = {"domain_id": alias.domain.public_id, **body} if "domain_id" not in body else body
    urls += [("PATCH", f"/v1/mailboxes/{alias.mailbox.public_id}"), ("PUT", f"/v1/aliases/{alias.public_id}")]
    for method, url in urls:
        for given_body in (body, {name: value for name, value in body.items() if name != "domain_id"}):
            octets = json.dumps(given_body).encode()
            answer = send_octets(client, method, url, octets)
            assert answer.status_code in (200, 201, 400, 404, 409), (method, url, given_body, answer.content)
