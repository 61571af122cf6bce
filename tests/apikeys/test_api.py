from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apikeys.services import schedule_revocation
from emailgistics.common.access import Scope
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_key
from tests.factories import in_days, make_mailbox

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("real_limits")
def test_a_key_can_read_about_itself_whatever_its_scopes() -> None:
    mailbox, gone = make_mailbox(), make_mailbox(address="sales@example.com")
    key, plaintext = make_key(
        name="CI", mailboxes=[mailbox, gone], scopes=[Scope.STATISTICS_READ], expires_at=in_days(7), plan="pro"
    )
    provision.delete_mailbox(gone)
    answer = client_of(plaintext).get("/v1/me")
    body = answer.json()
    assert list(body)[:2] == ["id", "created_at"]
    at = datetime.fromisoformat(body.pop("server_time"))
    assert abs(at - datetime.now(UTC)) < timedelta(seconds=10)
    assert body == {
        "id": key.identifier,
        "created_at": instant(key.created_at),
        "name": "CI",
        "expires_at": instant(key.expires_at),
        "revoke_at": None,
        "status": "expires_soon",
        "last_used_at": None,
        "scopes": ["statistics:read"],
        "all_mailboxes": False,
        "mailboxes": [{"id": mailbox.public_id, "address": "support@example.com"}],
        "networks": [],
        "plan": "pro",
        "limits": {"minute": 200, "hour": 2000, "day": 20_000},
    }


def test_a_key_for_all_mailboxes_says_so_and_lists_none() -> None:
    make_mailbox()
    _, plaintext = make_key(mailboxes=None)
    body = client_of(plaintext).get("/v1/me").json()
    assert (body["all_mailboxes"], body["mailboxes"]) == (True, [])


def test_the_number_of_queries_does_not_depend_on_the_allowlist(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    allowed = [make_mailbox(address=f"box{n}@example.com") for n in range(5)]
    for mailboxes in ([allowed[0]], allowed):
        _, plaintext = make_key(mailboxes=mailboxes)
        with django_assert_num_queries(3):
            client_of(plaintext).get("/v1/me")


@pytest.mark.parametrize("path", ["/v1/me/", "/v1/ME", "/v1/me.json", "/v1/me/x"])
def test_there_is_one_spelling_of_a_path(client: Client, path: str) -> None:
    _, plaintext = make_key()
    answer = client_of(plaintext).get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def test_a_key_that_is_to_be_revoked_is_told_when_and_from_where_it_may_come() -> None:
    key, plaintext = make_key(networks=["127.0.0.0/8"])
    schedule_revocation(key, at=in_days(1))
    answer = client_of(plaintext).get("/v1/me")
    assert key.revoke_at
    ends = instant(key.revoke_at)
    assert (answer.json()["revoke_at"], answer["X-API-Key-Expires"], answer.json()["networks"]) == (
        ends, ends, ["127.0.0.0/8"],
    )  # fmt: skip
