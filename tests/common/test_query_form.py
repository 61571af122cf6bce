"""What is told of a request by its form alone: each time with a remedy, and with the name of what is wrong."""

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from emailgistics.common.access import Scope
from emailgistics.common.ids import encode_id, uuid7
from emailgistics.docs.texts import FIELD_CODES
from mailboxes.models import Email, Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_mailbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return make_client(mailboxes=[make_mailbox()], scopes=list(Scope))  # and inbox@, which it may not see


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, body["code"]) == (status, code), body
    for error in body.get("errors", ()):
        assert error["code"] in dict(FIELD_CODES), error
    return body


@pytest.mark.parametrize(
    "url",
    ["/v1/emails?page=1&page=2", "/v1/aliases?limit=5&limit=6", "/v1/webhooks?url=a&url=b", "/v1/me?x=1&x=2",
     "/v1/webhooks/sample?event=email.received&event=email.received", "/v1/statistics?interval=day&interval=hour"],
)  # fmt: skip
def test_a_parameter_that_is_there_twice_is_refused_not_the_last_one_taken(client: Client, url: str) -> None:
    [error] = problem(client.get(url), 400, "validation_error")["errors"]
    assert error["code"] == "repeated"
    assert error["pointer"] == "/" + url.partition("?")[2].partition("=")[0]


def test_recipients_of_a_mail_may_be_several(client: Client) -> None:
    mail = b"Subject: x\r\n\r\nx"
    url = "/v1/emails?recipient=support@example.com&recipient=nobody@example.com"
    answer = client.post(url, mail, content_type="message/rfc822")
    [error] = problem(answer, 404, "not_found")["errors"]
    assert error["pointer"] == "/recipient"
    twice = f"{url}&mail_from=a@example.net&mail_from=b@example.net"
    [error] = problem(client.post(twice, mail, content_type="message/rfc822"), 400, "validation_error")["errors"]
    assert (error["pointer"], error["code"]) == ("/mail_from", "repeated")


@pytest.mark.parametrize("octets", ["%ff", "x%c3", "%ed%a0%80", "a+%e2%82"])
@pytest.mark.parametrize("name", ["q", "from", "subject", "message_id"])
def test_octets_that_are_no_utf_8_are_not_read_as_something_else(client: Client, name: str, octets: str) -> None:
    [error] = problem(client.get(f"/v1/emails?{name}={octets}"), 400, "validation_error")["errors"]
    assert (error["pointer"], error["code"]) == (f"/{name}", "invalid")
    assert "%C3%BC" in error["detail"]
    assert client.get(f"/v1/emails?{name}=%C3%BC%40example.net").status_code == 200


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("get", "/v1/emails?mailbox_id={id}", None), ("get", "/v1/statistics?alias_id={id}", None),
        ("post", "/v1/aliases", {"domain_id": "{id}", "name": "x"}),
        ("post", "/v1/rules", {"mailbox_id": "{id}", "action": "block", "criterion": "sender", "value": "a@b.example"}),
        ("post", "/v1/webhooks", {"alias_id": "{id}", "url": "https://hooks.example.net/"}),
    ],
)  # fmt: skip
def test_an_id_that_leads_nowhere_is_named_and_the_same_whether_it_is_hidden_or_unknown(
    client: Client, method: str, url: str, body: dict[str, str] | None
) -> None:
    name = next(iter(body)) if body else url.partition("?")[2].partition("=")[0]
    other = make_mailbox(address="other@example.org")
    hidden = {
        "mailbox_id": other,
        "domain_id": other.domain,
        "alias_id": make_alias(address="a@example.org", mailbox=other),
    }
    answers = set()
    for id_ in (hidden[name].public_id, encode_id(hidden[name].ID_PREFIX, uuid7()), "nonsense"):
        sent = {field: text.format(id=id_) for field, text in (body or {}).items()}
        answer = getattr(client, method)(url.format(id=id_), *([sent] if body else []), content_type="application/json")
        answers.add((answer.status_code, answer.content))
    assert len(answers) == 1, answers
    [error] = problem(answer, 404, "not_found")["errors"]
    assert (error["pointer"], error["code"]) == (f"/{name}", "not_found")


def test_an_id_in_the_path_has_the_constant_answer(client: Client) -> None:
    assert "errors" not in problem(client.get("/v1/aliases/alias_x"), 404, "not_found")


def test_what_a_framework_says_comes_with_what_to_do(client: Client, settings: Settings) -> None:
    said = problem(client.put("/v1/aliases", {}, content_type="application/json"), 405, "method_not_allowed")["detail"]
    assert "There is no PUT" in said
    assert "GET, POST" in said
    said = problem(client.get("/v1/me", headers={"accept": "text/csv"}), 406, "not_acceptable")["detail"]
    assert "application/json" in said
    said = problem(client.post("/v1/aliases", b"x", content_type="text/csv"), 415, "unsupported_media_type")["detail"]
    assert "application/json" in said
    said = problem(client.post("/v1/aliases", b'{"a": }', content_type="application/json"), 400, "parse_error")[
        "detail"
    ]
    assert "line 1 column 7" in said
    assert '{"name": "value"}' in said
    said = problem(client.get("/v1/me", headers={"host": "nobody.example"}), 400, "bad_request")["detail"]
    assert settings.BASE_URL in said
    for path in ("/v1", "/v1/"):
        said = problem(client.get(path), 404, "not_found")["detail"]
        assert f"{settings.BASE_URL}/docs" in said


def test_choices_and_times_are_shown_to_who_has_missed_them(client: Client) -> None:
    alias = make_alias(address="a@example.com", mailbox=Mailbox.objects.get(local_part="support"))
    said = {"alias_id": alias.public_id, "action": "x", "criterion": "y", "value": ""}
    bad = client.post("/v1/rules", said, content_type="application/json")
    errors = {error["pointer"]: error for error in problem(bad, 400, "validation_error")["errors"]}
    assert errors["/action"]["code"] == errors["/criterion"]["code"] == "invalid_choice"
    assert "block" in errors["/action"]["detail"]
    assert "sender_domain" in errors["/criterion"]["detail"]
    [error] = problem(client.get("/v1/emails?status=x"), 400, "validation_error")["errors"]
    assert error["code"] == "invalid_choice"
    assert all(status in error["detail"] for status in Email.Status.values)
    span = client.get("/v1/statistics?from=2026-06-02&to=2026-06-01")
    [error] = problem(span, 400, "validation_error")["errors"]
    assert (error["pointer"], error["code"]) == ("/from", "out_of_range")
    assert "make from earlier" in error["detail"]


def test_a_header_that_is_wrong_is_named(client: Client) -> None:
    answer = client.post("/v1/aliases", {}, content_type="application/json", headers={"idempotency-key": "a b"})
    assert "Idempotency-Key: This is 1 to 255" in problem(answer, 400, "validation_error")["detail"]
    alias = make_alias(address="a@example.com", mailbox=Mailbox.objects.get(local_part="support"))
    url = f"/v1/aliases/{alias.public_id}"
    answer = client.patch(url, {}, content_type="application/json", headers={"if-match": "x"})
    assert "If-Match is * or tags" in problem(answer, 400, "malformed_tag")["detail"]
