"""Refused mail over HTTP: for keys that may see all of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from emailgistics.common.access import Scope
from emailgistics.common.ids import first_id_at
from mailboxes.models import Refusal
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db

READ = [Scope.EMAILS_READ]
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def make_refusal(*, at: datetime = NOON, recipient: str = "nobody@example.com", **fields: Any) -> Refusal:
    values: dict[str, Any] = {
        "source": "smtp", "network": "192.0.2.0/24", "client_ip": "192.0.2.1", "helo": "mx.example.net",
        "mail_from": "ada@example.net", "reply": "550 5.1.1 no such address", "code": "unknown_recipient",
        "transcript": [[0, "S", "220 ready"], [5, "C", "HELO x"]],
    }  # fmt: skip
    # several in one moment each have an id of their own
    count = Refusal.objects.count()
    id_ = type(first_id_at(at))(int=first_id_at(at).int + count)
    return Refusal.objects.create(id=id_, at=at, recipient=recipient, **{**values, **fields})


def found(client: Client, **query: Any) -> list[str]:
    answer = client.get("/v1/refusals", query)
    assert answer.status_code == 200, answer.content
    return [one["recipient"] for one in answer.json()["data"]]


def test_a_refusal_is_shown_with_what_the_host_was_told() -> None:
    refusal = make_refusal(size=7, sha256="ab" * 32)
    answer = make_client(scopes=[Scope.EMAILS_READ, Scope.EMAILS_CONTENT]).get("/v1/refusals")
    assert answer["Cache-Control"] == "no-store"
    [one] = answer.json()["data"]
    assert one == {
        "id": refusal.public_id, "created_at": "2026-06-01T12:00:00.000Z", "outcome": "refused", "source": "smtp",
        "network": "192.0.2.0/24", "client_ip": "192.0.2.1", "helo": "mx.example.net", "mail_from": "ada@example.net",
        "recipient": "nobody@example.com", "reply": "550 5.1.1 no such address", "code": "unknown_recipient",
        "rule_id": None, "size": 7, "sha256": "ab" * 32, "transcript": [[0, "S", "220 ready"], [5, "C", "HELO x"]],
    }  # fmt: skip
    [less] = make_client(scopes=READ).get("/v1/refusals").json()["data"]
    assert less == {**one, "sha256": None}  # whoever guesses what the mail says would know by it that he is right


def test_refusals_are_narrowed_down() -> None:
    make_refusal(recipient="first@example.com")
    make_refusal(recipient="Second@Example.com", network="198.51.100.0/24", code="address_disabled")
    make_refusal(recipient="third@example.com", outcome="discarded", code="rule", network="2001:db8::/64")
    make_refusal(recipient="fourth@example.com", at=NOON + timedelta(days=1))
    client = make_client(scopes=READ)
    everything = ["fourth@example.com", "third@example.com", "Second@Example.com", "first@example.com"]
    assert found(client) == everything
    assert found(client, network="198.51.100.7") == found(client, network="198.51.100.0/24") == everything[2:3]
    assert found(client, network="2001:db8::1") == everything[1:2]
    assert found(client, recipient="SECOND@example.com") == everything[2:3]
    assert found(client, code="rule") == found(client, outcome="discarded") == everything[1:2]
    assert found(client, since="2026-06-02") == found(client, since="2026-06-01T12:00:00.001Z") == everything[:1]
    assert found(client, until="2026-06-02", code="unknown_recipient") == everything[3:]
    assert found(client, until="2026-06-01T12:00:00Z") == []
    assert found(client, limit=1, page=2) == everything[1:2]
    cursor = client.get("/v1/refusals", {"limit": 1}).json()["pagination"]["next_cursor"]
    assert found(client, starting_after=cursor) == everything[1:]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "x"), ("network", "192.0.2.0/33"), ("network", "\0"), ("recipient", ""), ("recipient", "\0"),
        ("code", ""), ("outcome", "Refused"), ("since", "x"), ("until", ""), ("since", ["2026-01-01", "2026-01-01"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_name(name: str, value: Any) -> None:
    answer = make_client(scopes=READ).get("/v1/refusals", {name: value})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["pointer"] == f"/{name}"
    json.dumps(error)


def test_they_are_for_keys_of_all_mailboxes_whatever_else_is_asked() -> None:
    cursor = make_refusal().public_id
    client = make_client(mailboxes=[make_mailbox()], scopes=READ)
    answers = set()
    for query in ({}, {"outcome": "x"}, {"starting_after": cursor}, {"starting_after": "x"}, {"limit": "x"}):
        answer = client.get("/v1/refusals", query)
        answers.add((answer.status_code, answer.json()["code"], answer.content))
    assert len(answers) == 1
    assert next(iter(answers))[:2] == (403, "allowlist_restricted")
    assert make_client(scopes=[Scope.ALIASES_READ]).get("/v1/refusals").json()["code"] == "insufficient_scope"
    assert make_client(scopes=READ).get("/v1/refusals", {"starting_after": "x"}).status_code == 400
