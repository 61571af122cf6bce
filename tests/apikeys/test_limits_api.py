"""What a key is told about its limits, and what counts: over HTTP, by a clock that is moved by hand."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from apikeys import limits
from apikeys.credentials import new_key
from apikeys.limits import LocalCounter
from apikeys.services import change_plan, revoke_api_key
from emailgistics.common.access import Scope
from emailgistics.common.requests import MAX_BODY_BYTES
from mailboxes.models import Domain
from tests.apikeys.factories import client_of, make_client, make_key
from tests.apikeys.test_api import instant
from tests.apikeys.test_limits import HOUR, MIDNIGHT, Clock
from tests.factories import RAW, make_mailbox

pytestmark = [pytest.mark.django_db, pytest.mark.on_sqlite]

MIB = 1024 * 1024
DOCUMENT = "/v1/openapi.json"
SUBMIT = "/v1/emails?recipient=support@example.com"
NOON = MIDNIGHT + 12 * HOUR
OF_LIMITS = {
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy",
    "X-API-Key-Id", "X-API-Key-Expires", "Retry-After",
}  # fmt: skip
POLICY = '"minute";q=100;w=60, "hour";q=1000;w=3600, "day";q=10000;w=86400'


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, real_limits: None) -> Clock:
    clock = Clock(NOON)
    monkeypatch.setattr(limits, "counter", LocalCounter(clock))
    return clock


@pytest.fixture
def client() -> Client:
    return make_client()


def told(answer: HttpResponse) -> dict[str, str]:
    return {name: value for name, value in answer.items() if name in OF_LIMITS}


def left(answer: HttpResponse) -> int:
    return int(answer["X-RateLimit-Remaining"])


# --- what is told


def test_every_answer_to_a_key_says_whose_it_is_and_what_is_left(clock: Clock) -> None:
    key, plaintext = make_key()
    clock.now += 1800.5
    answer = client_of(plaintext).get("/v1/me")
    assert told(answer) == {
        "X-RateLimit-Limit": "1000",
        "X-RateLimit-Remaining": "999",
        "X-RateLimit-Reset": str(NOON + HOUR),
        "RateLimit-Policy": POLICY,
        "RateLimit": '"minute";r=99;t=61, "hour";r=999;t=1800, "day";r=9999;t=41400',
        "X-API-Key-Id": key.identifier,
        "X-API-Key-Expires": instant(key.expires_at),
    }


def test_who_asks_too_often_is_told_which_limit_that_was_and_when_to_come_again(clock: Clock, client: Client) -> None:
    clock.now += 0.75
    for _ in range(100):
        assert client.get("/v1/me").status_code == 200
    clock.now += 40
    answer = client.get("/v1/me")
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    detail = (
        "This key has used up its requests, 100 per minute; send this one again in 21 seconds. "
        "For more of them ask the administrator of this installation."
    )
    assert answer.json() == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Too Many Requests",
        "status": 429,
        "code": "rate_limited",
        "detail": detail,
        "message": detail,
        "violated_policies": ["minute"],
        "violated-policies": ["minute"],
    }
    assert told(answer) | {"X-API-Key-Id": "", "X-API-Key-Expires": ""} == {
        "Retry-After": "21",
        "X-RateLimit-Limit": "100",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(NOON + 61),
        "RateLimit-Policy": POLICY,
        "RateLimit": '"minute";r=0;t=21',
        "X-API-Key-Id": "",
        "X-API-Key-Expires": "",
    }
    clock.now += 20
    assert client.get("/v1/me").status_code == 429
    clock.now += 1
    assert client.get("/v1/me").status_code == 200


def test_of_several_limits_the_one_that_comes_back_last_decides(clock: Clock, settings: Settings) -> None:
    settings.SUPPORT_CONTACT = "api@example.com"
    key, plaintext = make_key()
    change_plan(key, plan="enterprise", own_limits={"minute": 2, "hour": 2, "day": 9})
    client = client_of(plaintext)
    answers = [client.get("/v1/me") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    body = answers[-1].json()
    assert body["violated_policies"] == ["minute", "hour"]
    assert "2 per minute and 2 per hour; send this one again in 3600 seconds" in body["detail"]
    assert body["detail"].endswith(" ask api@example.com.")
    shown = told(answers[-1])
    assert (shown["Retry-After"], shown["X-RateLimit-Limit"], shown["X-RateLimit-Reset"]) == (
        "3600",
        "2",
        str(NOON + HOUR),
    )
    assert shown["RateLimit"] == '"minute";r=0;t=61, "hour";r=0;t=3600'
    clock.now += 3600
    assert client.get("/v1/me").status_code == 200


Ask = Callable[[Client], Any]


@pytest.mark.parametrize("status, ask", [
    (200, lambda client: client.get("/v1/me")),
    (200, lambda client: client.head("/v1/domains")),
    (200, lambda client: client.options("/v1/domains")),
    (304, lambda client: client.get(DOCUMENT, headers={"If-None-Match": client.get(DOCUMENT)["ETag"]})),
    (400, lambda client: client.post("/v1/domains", "{", content_type="application/json")),
    (403, lambda client: client.get("/v1/emails")),
    (404, lambda client: client.get("/v1/domains/dom_x")),
    (405, lambda client: client.put("/v1/domains", "{}", content_type="application/json")),
    (415, lambda client: client.post("/v1/domains", "a=1", content_type="application/x-www-form-urlencoded")),
    (500, lambda client: client.get("/v1/domains")),
])  # fmt: skip
def test_whatever_is_answered_to_a_key_costs_one_and_says_so(
    monkeypatch: pytest.MonkeyPatch, status: int, ask: Ask
) -> None:
    client = make_client(scopes=[Scope.DOMAINS_WRITE])
    client.raise_request_exception = False
    before = left(client.get("/v1/me"))
    if status == 304:
        before -= 1  # for the document itself
    if status == 500:
        monkeypatch.setattr(Domain.objects, "visible_to", lambda _: 1 / 0)
    answer = ask(client)
    assert answer.status_code == status
    assert told(answer).keys() == OF_LIMITS - {"Retry-After"}
    assert left(answer) == before - 1


def test_who_has_no_good_key_is_told_of_no_limit_and_spends_nothing(client: Client) -> None:
    key, plaintext = make_key()
    assert left(client_of(plaintext).get("/v1/me")) == 999
    revoke_api_key(key)
    for stranger in (Client(), client_of("emgk_short"), client_of(new_key().plaintext), client_of(plaintext)):
        answer = stranger.get("/v1/me")
        assert (answer.status_code, told(answer)) == (401, {})
    assert left(client.get("/v1/me")) == 999
    assert told(Client().get("/v1/nowhere")) == {}


def test_a_refusal_by_the_limits_comes_before_any_other(clock: Clock) -> None:
    key, plaintext = make_key(scopes=[Scope.DOMAINS_READ])
    change_plan(key, plan="enterprise", own_limits={"minute": 1})
    client = client_of(plaintext)
    assert client.get("/v1/me").status_code == 200
    answers = [
        client.get("/v1/emails"),
        client.get("/v1/domains/dom_x"),
        client.put("/v1/me", "{", content_type="application/json"),
        client.options("/v1/me"),
        client.head("/v1/me"),
    ]
    assert {answer.status_code for answer in answers} == {429}
    # and is as dear: nothing
    clock.now += 61
    assert left(client.get("/v1/me")) == 9998


def test_what_is_not_for_a_key_costs_as_much_as_what_is_not_there() -> None:
    allowed, other = make_mailbox(), make_mailbox(address="other@example.org")
    client = make_client(mailboxes=[allowed])
    ids = ("mbx_01hzzzzzzzzzzzzzzzzzzzzzzz", other.public_id, "x")
    before = left(client.get("/v1/me"))
    answers = [client.get(f"/v1/mailboxes/{id_}") for id_ in ids]
    assert [left(answer) for answer in answers] == [before - 1, before - 2, before - 3]
    assert len({answer.content for answer in answers}) == 1


# --- what it costs


@pytest.mark.parametrize("octets, cost", [(1, 1), (MIB, 1), (MIB + 1, 2), (3 * MIB, 3)])
def test_a_mail_costs_one_for_each_mebibyte_that_is_begun(client: Client, octets: int, cost: int) -> None:
    make_mailbox()
    raw = RAW + b"x" * max(0, octets - len(RAW))
    before = left(client.get("/v1/me"))
    answer = client.post(SUBMIT, raw[:octets], content_type="message/rfc822")
    assert (answer.status_code, before - left(answer)) == (201, cost)


def test_a_mail_that_comes_in_chunks_costs_one(client: Client) -> None:
    chunked = {"Transfer-Encoding": "chunked"}
    before = left(client.get("/v1/me"))
    answer = client.post(SUBMIT, RAW, content_type="message/rfc822", headers=chunked)
    assert (answer.status_code, before - left(answer)) == (411, 1)


def test_a_mail_larger_than_a_limit_is_taken_of_a_key_that_has_done_nothing_else(clock: Clock) -> None:
    make_mailbox()
    key, plaintext = make_key()
    change_plan(key, plan="enterprise", own_limits={"minute": 2, "hour": 100, "day": 100})
    client, raw = client_of(plaintext), RAW + b"x" * 3 * MIB
    assert client.get("/v1/me").status_code == 200
    refused = client.post(SUBMIT, raw, content_type="message/rfc822")
    assert (refused.status_code, refused["Retry-After"]) == (429, "61")
    clock.now += 61
    taken = client.post(SUBMIT, raw, content_type="message/rfc822")
    assert (taken.status_code, taken["RateLimit"][:16]) == (201, '"minute";r=0;t=6')


def test_a_body_that_is_refused_before_it_is_read_costs_nothing(client: Client) -> None:
    before = left(client.get("/v1/me"))
    answer = client.post("/v1/domains", "x" * (MAX_BODY_BYTES + 1), content_type="application/json")
    assert (answer.status_code, told(answer)) == (413, {})
    assert left(client.get("/v1/me")) == before - 1


# --- plans


def test_another_plan_holds_from_the_next_call_on() -> None:
    key, plaintext = make_key()
    client = client_of(plaintext)
    for _ in range(100):
        client.get("/v1/me")
    assert client.get("/v1/me").status_code == 429
    change_plan(key, plan="pro")
    answer = client.get("/v1/me")
    assert (answer.status_code, answer["RateLimit-Policy"][:16], left(answer)) == (200, '"minute";q=200;w', 1899)
    assert (answer.json()["plan"], answer.json()["limits"]["minute"]) == ("pro", 200)
    change_plan(key, plan="standard")
    assert client.get("/v1/me").status_code == 429
