"""Each kind of mistake as the caller of the API sees it."""

import logging
import re
from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import OperationalError
from django.http import Http404
from django.test import Client
from django.urls import path
from pytest_django import Settings
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from emailgistics.common import errors, problems
from tests.apikeys.factories import make_client

NOT_FOUND = {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "code": "not_found",
    "detail": problems.NOT_FOUND,
    "message": problems.NOT_FOUND,
}


class PersonSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=5)
    addresses = serializers.ListField(child=serializers.EmailField())
    home = serializers.DictField(child=serializers.IntegerField(), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["name"] == "nobody":
            raise serializers.ValidationError("There is nobody.", code="nobody")
        return attrs


class Failing(APIView):
    """Raises what the test has put here."""

    authentication_classes = ()
    permission_classes = ()
    error: Exception

    def get(self, request: Request) -> Response:
        raise self.error

    def post(self, request: Request) -> Response:
        serializer = PersonSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.data)


# the error pages for people link to the console
urlpatterns = [path("v1/failing", Failing.as_view()), path("admin/", admin.site.urls)]


@pytest.fixture(autouse=True)
def _routes(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__


def answer_to(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Failing, "error", error, raising=False)
    return Client(raise_request_exception=False).get("/v1/failing")


class GoneError(errors.NotFoundError):
    code = "unknown_domain"


class TakenError(errors.ConflictError):
    code = "address_unavailable"


@pytest.mark.parametrize("error", [
    errors.NotFoundError("There is no mailbox support@example.com."), GoneError("There is no such domain."),
    Http404("secret"), exceptions.NotFound("secret"),
])  # fmt: skip
def test_whatever_is_not_found_has_one_body(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answer_to(error, monkeypatch)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json() == NOT_FOUND


@pytest.mark.parametrize(("error", "status", "code", "detail"), [
    (TakenError("It is taken."), 409, "address_unavailable", "It is taken."),
    (errors.LimitReachedError("Too many."), 429, "limit_reached", "Too many."),
    (exceptions.PermissionDenied("No."), 403, "permission_denied", "No."),
    (PermissionDenied("secret"), 403, "permission_denied", "You do not have permission to perform this action."),
    (exceptions.NotAcceptable(), 406, "not_acceptable",
     "Answers are application/json: say so in Accept, or leave that header out."),
    (problems.BadRequestError("Too deep.", "page_too_deep"), 400, "page_too_deep", "Too deep."),
])  # fmt: skip
def test_each_kind_has_its_status_and_code(
    error: Exception, status: int, code: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = answer_to(error, monkeypatch).json()
    assert (body["status"], body["code"], body["detail"], body["message"]) == (status, code, detail, detail)
    assert "request_id" not in body


def test_a_refused_field_is_pointed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    body = answer_to(errors.RefusedError("Not like that.", field="a/b~c"), monkeypatch).json()
    assert (body["status"], body["code"]) == (400, "validation_error")
    assert body["errors"] == [{"pointer": "/a~1b~0c", "code": "invalid", "detail": "Not like that."}]
    whole = answer_to(errors.RefusedError("Not at all."), monkeypatch).json()
    assert whole["errors"][0]["pointer"] == ""


def test_a_throttled_caller_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answer_to(exceptions.Throttled(wait=2.1), monkeypatch)
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "rate_limited", "3")


@pytest.mark.parametrize(("body", "expected"), [
    ({}, [("/name", "required"), ("/addresses", "required")]),
    ({"name": "too long", "addresses": []}, [("/name", "max_length")]),
    ({"name": "Ada", "addresses": ["a@b.test", "x", 7]}, [("/addresses/1", "invalid"), ("/addresses/2", "invalid")]),
    ({"name": "Ada", "addresses": [], "home": {"message": "x", "code": 1}}, [("/home/message", "invalid")]),
    ([], [("", "invalid")]),
])  # fmt: skip
def test_every_field_that_is_wrong_is_pointed_at(body: Any, expected: list[tuple[str, str]]) -> None:
    answer = Client().post("/v1/failing", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    found = answer.json()["errors"]
    assert [(entry["pointer"], entry["code"]) for entry in found] == expected
    assert all(entry["detail"] in answer.json()["detail"] for entry in found)


def test_a_field_of_one_item_of_a_list_is_pointed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    error = exceptions.ValidationError([{}, {"name": ["Too long.", "Too odd."]}])
    found = answer_to(error, monkeypatch).json()["errors"]
    assert [(entry["pointer"], entry["detail"]) for entry in found] == [
        ("/1/name", "Too long."),
        ("/1/name", "Too odd."),
    ]


@pytest.mark.parametrize("body", ["", "{", "{'a': 1}", "\xff", '{"a": NaN}'])
def test_broken_json_is_a_problem_of_the_caller(body: str) -> None:
    answer = Client().post("/v1/failing", body.encode("latin-1"), content_type="application/json")
    expected = "validation_error" if not body else "parse_error"
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["code"] == expected


def test_another_type_of_body_is_415_that_says_what_to_send() -> None:
    answer = Client().post("/v1/failing", "name=Ada", content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "application/json" in answer.json()["detail"]


def test_a_method_that_is_not_there_is_405_with_those_that_are() -> None:
    answer = Client().delete("/v1/failing")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_what_nobody_expected_is_logged_with_its_traceback_and_told_without_a_detail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = []
    got_request_exception.connect(lambda **kwargs: told.append(kwargs), weak=False, dispatch_uid="test")
    try:
        answer = answer_to(RuntimeError("relation mailboxes_email at /srv/app"), monkeypatch)
    finally:
        got_request_exception.disconnect(dispatch_uid="test")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (500, "internal_error")
    assert re.fullmatch(r"req_[0-9a-z]{26}", body["request_id"])
    assert answer["X-Request-Id"] == body["request_id"]
    assert "mailboxes_email" not in answer.content.decode()
    assert len(told) == 1
    [record] = [record for record in caplog.records if record.name == "emailgistics.common.problems"]
    assert record.levelno == logging.ERROR
    [handler] = [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]
    written = handler.format(record)
    assert "Traceback (most recent call last)" in written
    assert "RuntimeError: relation mailboxes_email" in written
    assert body["request_id"] in written


@pytest.mark.parametrize(("error", "detail"), [
    (OperationalError("could not connect to 192.0.2.1"), "Try again in a moment."),
    (errors.UnavailableError("The store is away."), "The store is away."),
])  # fmt: skip
def test_a_fault_that_passes_is_503(error: Exception, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answer_to(error, monkeypatch)
    body = answer.json()
    assert (answer.status_code, body["code"], body["detail"]) == (503, "unavailable", detail)
    assert body["request_id"] == answer["X-Request-Id"]


def test_every_answer_has_an_id_of_its_own() -> None:
    ids = {Client().get("/v1/nothing")["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3
    assert "X-Request-Id" not in Client().get("/nothing")
    assert "X-Request-Id" not in Client().get("/v10")


@pytest.mark.parametrize(
    "url", ["/v1/nothing", "/v1/nothing/", "/v1//me", "/v1/me//", "/v1/a%0Ab", "/v1/%2e%2e/admin/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_a_path_that_leads_nowhere_is_the_same_404_for_every_method(url: str, method: str, settings: Settings) -> None:
    settings.ROOT_URLCONF = "emailgistics.urls"
    answer = Client(enforce_csrf_checks=True).generic(method, url)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json() == NOT_FOUND


@pytest.mark.parametrize("url", ["/v1/me/", "/v1/domains/", "/v1/domains/dom_x/", "/v1/webhooks/sample/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "TRACE"])
def test_a_slash_at_the_end_is_told_of(url: str, method: str, settings: Settings) -> None:
    settings.ROOT_URLCONF = "emailgistics.urls"
    answer = Client(enforce_csrf_checks=True).generic(method, url)
    detail = "No path of the API ends with a slash: leave that out."
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json() == NOT_FOUND | {"detail": detail, "message": detail}


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
def test_every_method_that_a_path_has_not_is_405_with_those_that_it_has(method: str, settings: Settings) -> None:
    settings.ROOT_URLCONF = "emailgistics.urls"
    client = make_client()
    for url, allowed in (("/v1/domains", "GET, POST, HEAD, OPTIONS"), ("/v1/routing/explain", "POST, OPTIONS")):
        answer = client.generic(method, url)
        assert (answer.status_code, answer["Content-Type"]) == (405, "application/problem+json"), answer.content
        assert (answer.json()["code"], answer["Allow"]) == ("method_not_allowed", allowed)
        assert (client.options(url).status_code, client.options(url)["Allow"]) == (200, allowed)
    assert client.head("/v1/domains").status_code == 200
    assert client.head("/v1/routing/explain").status_code == 405


def test_what_django_refuses_before_any_view_is_a_problem_too() -> None:
    answer = Client(headers={"Host": "evil.example"}).get("/v1/failing")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["code"] == "bad_request"


def test_more_parameters_than_are_read_are_a_mistake_of_the_caller(settings: Settings) -> None:
    settings.ROOT_URLCONF = "emailgistics.urls"
    for url in ("/v1/me", "/v1/webhooks", "/v1/emails/x"):
        answer = Client().get(f"{url}?{'&'.join(['a=1'] * 1001)}")
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
        assert (answer.json()["code"], answer.json()["detail"]) == (
            "bad_request",
            "A request has at most 1000 parameters: leave some out.",
        )


def test_other_pages_keep_djangos_own_404(settings: Settings) -> None:
    settings.ROOT_URLCONF = "emailgistics.urls"
    answer = Client().get("/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "text/html; charset=utf-8")
