"""What holds for every request under /v1, whatever answers it."""

import json
import re
from io import BytesIO
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from emailgistics.common.errors import NotFoundError
from emailgistics.common.requests import MAX_BODY_BYTES, ApiRequestMiddleware, find_in_query
from mailboxes.models import Mailbox
from tests.factories import make_mailbox

TOO_LARGE = {
    "type": "about:blank",
    "title": "Request Entity Too Large",
    "status": 413,
    "code": "body_too_large",
    "detail": "A request body has at most 1048576 octets: send less at once.",
    "message": "A request body has at most 1048576 octets: send less at once.",
}


class Unread(BytesIO):
    """A body that nobody may touch."""

    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")


def passed_on(path: str = "/v1/things", **environ: Any) -> tuple[HttpResponse, HttpRequest | None]:
    """The answer, and the request as the next one sees it, if it does."""
    seen: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse("seen")

    request = RequestFactory().generic("POST", path, **environ)
    return ApiRequestMiddleware(view)(request), (seen[0] if seen else None)


@pytest.mark.parametrize("length", [MAX_BODY_BYTES + 1, 10**12, "9" * 19, "9" * 5000])
def test_a_body_that_says_to_be_too_large_is_refused_unread(length: Any) -> None:
    answer, seen = passed_on(CONTENT_LENGTH=str(length), **{"wsgi.input": Unread()})
    assert seen is None
    assert (answer.status_code, answer["Content-Type"]) == (413, "application/problem+json")
    assert json.loads(answer.content) == TOO_LARGE
    assert re.fullmatch(r"req_[0-9a-z]{26}", answer["X-Request-Id"])


@pytest.mark.parametrize("length", ["", "0", "1", str(MAX_BODY_BYTES), "-1", "x", "1e9", "٣"])
def test_other_bodies_pass(length: str) -> None:
    answer, seen = passed_on(CONTENT_LENGTH=length)
    assert (answer.status_code, seen is not None) == (200, True)


def test_other_pages_have_bounds_of_their_own() -> None:
    answer, seen = passed_on("/admin/", CONTENT_LENGTH=str(MAX_BODY_BYTES + 1))
    assert (answer.status_code, seen is not None) == (200, True)
    assert "X-Request-Id" not in answer


@pytest.mark.parametrize(("given", "becomes"), [
    ("", "application/json"), ("text/plain", "text/plain"), ("application/json; charset=utf-8",) * 2,
])  # fmt: skip
def test_a_body_without_a_type_is_json(given: str, becomes: str) -> None:
    _, seen = passed_on(CONTENT_TYPE=given)
    assert seen is not None
    assert seen.META["CONTENT_TYPE"] == becomes


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "gzip, chunked"])
def test_a_body_without_a_length_is_read_up_to_one_octet_too_much(coding: str) -> None:
    body = BytesIO(b"x" * (MAX_BODY_BYTES + 100))
    _, seen = passed_on(CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING=coding, **{"wsgi.input": body})
    assert seen is not None
    assert Request(seen).stream is not None
    assert len(seen.read()) == MAX_BODY_BYTES + 1
    assert body.tell() == MAX_BODY_BYTES + 1


def test_a_length_says_more_than_a_coding() -> None:
    body = BytesIO(b"x" * 100)
    headers = {"CONTENT_LENGTH": "10", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": body}
    _, seen = passed_on(**headers)
    assert seen is not None
    assert seen.read() == b"x" * 10


@pytest.mark.django_db
def test_a_filter_names_a_row_that_may_be_seen() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    rows = Mailbox.objects.filter(pk=mailbox.pk)

    def named(**query: str) -> Mailbox | None:
        return find_in_query(rows, Request(APIRequestFactory().get("/", query)), "mailbox_id")

    assert named() is None
    assert named(mailbox_id=mailbox.public_id) == mailbox
    for given in (other.public_id, "nonsense", "", "\0"):
        with pytest.raises(NotFoundError):
            named(mailbox_id=given)
