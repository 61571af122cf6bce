"""Many changes of aliases in one request: each as it would be by itself, or all of them or none."""

import json
from typing import Any
from unittest import mock

import pytest
from django.test import Client

from emailgistics.common.access import Scope
from emailgistics.common.errors import UnavailableError
from emailgistics.common.models import KeptAnswer
from mailboxes.models import Alias, Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_domain, make_mailbox
from tests.mailboxes.api_client import (
    NOT_FOUND_BODY,
    RESTRICTED_BODY,
    answered,
    not_found_in,
    problem,
    refused,
    send,
    shape,
    unavailable,
    unknown,
)

pytestmark = pytest.mark.django_db

URL = "/v1/aliases/batch"


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def client() -> Client:
    return make_client()


def create(mailbox: Mailbox, name: str, **more: Any) -> dict[str, Any]:
    data = {"domain_id": mailbox.domain.public_id, "name": name, "mailbox_id": mailbox.public_id}
    return {"action": "create", "data": data | more}


def update(alias: Alias, **data: Any) -> dict[str, Any]:
    return {"action": "update", "id": alias.public_id, "data": data}


def delete(alias: Alias) -> dict[str, Any]:
    return {"action": "delete", "id": alias.public_id}


def batch(client: Client, *operations: Any, **more: Any) -> Any:
    headers = more.pop("headers", {})
    return send(client, "POST", URL, {"operations": list(operations), **more}, **headers)


def names() -> list[str]:
    return sorted(Alias.objects.live().values_list("name", flat=True))


def taken(name: str) -> dict[str, Any]:
    return problem(409, "address_unavailable", unavailable(f"{name}@example.com"))


# --- each by itself


def test_each_is_done_in_its_order_and_answered_as_by_itself(client: Client, mailbox: Mailbox) -> None:
    help_, old = make_alias(mailbox=mailbox), make_alias(address="old@example.com", mailbox=mailbox)
    answer = batch(client, create(mailbox, "sales", description="Offers"), update(help_, active=False), delete(old))
    sales = Alias.objects.get(name="sales")
    help_.refresh_from_db()
    assert answered(answer) == (
        200,
        {
            "results": [
                {"index": 0, "status": 201, "data": shape(sales, description="Offers")},
                {"index": 1, "status": 200, "data": shape(help_, active=False)},
                {"index": 2, "status": 204, "data": None},
            ],
            "summary": {"total": 3, "succeeded": 3, "failed": 0},
        },
    )
    assert names() == ["help", "sales"]


def test_what_fails_leaves_the_others_alone_and_says_the_very_problem(client: Client, mailbox: Mailbox) -> None:
    operations = [create(mailbox, "help"), create(mailbox, "help"), create(mailbox, "x y"), create(mailbox, "sales")]
    answer = batch(client, *operations)
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [(result["index"], result["status"], "data" in result) for result in results] == [
        (0, 201, True),
        (1, 409, False),
        (2, 400, False),
        (3, 201, True),
    ]
    assert answer.json()["summary"] == {"total": 4, "succeeded": 2, "failed": 2}
    assert results[1]["error"] == taken("help")
    assert results[2]["error"] == send(client, "POST", "/v1/aliases", operations[2]["data"]).json()
    assert names() == ["help", "sales"]


def test_a_later_one_sees_what_an_earlier_one_did(client: Client, mailbox: Mailbox) -> None:
    alias = make_alias(mailbox=mailbox)
    answer = batch(client, delete(alias), update(alias, active=False), create(mailbox, "help"))
    assert [result["status"] for result in answer.json()["results"]] == [204, 404, 409]


def test_all_that_the_single_calls_take_is_taken(client: Client, mailbox: Mailbox) -> None:
    second = make_mailbox(address="second@example.com")
    answer = batch(
        client,
        create(mailbox, "order-*", further_mailbox_ids=[second.public_id], priority=7),
        create(mailbox, "*"),
        create(mailbox, "/bill-([0-9]+)/"),
        {"action": "create", "data": {"domain_id": mailbox.domain.public_id, "name": "to-the-default"}},
    )
    assert answer.status_code == 200, answer.json()
    made = [result["data"] for result in answer.json()["results"]]
    assert [one["kind"] for one in made] == ["pattern", "catch_all", "pattern", "exact"]
    assert made[0] == shape(Alias.objects.get(name="order-*"), priority=7)
    assert made[0]["further_mailbox_ids"] == [second.public_id]
    moved = batch(client, update(Alias.objects.get(name="order-*"), mailbox_id=second.public_id))
    assert moved.json()["results"][0]["data"]["mailbox_id"] == second.public_id
    assert moved.json()["results"][0]["data"]["further_mailbox_ids"] == []


def test_the_id_may_stand_in_data(client: Client, mailbox: Mailbox) -> None:
    alias, old = make_alias(mailbox=mailbox), make_alias(address="old@example.com", mailbox=mailbox)
    answer = batch(
        client,
        {"action": "update", "data": {"id": alias.public_id, "description": "Said"}},
        {"action": "update", "id": alias.public_id, "data": {"id": alias.public_id, "active": False}},
        {"action": "delete", "data": {"id": old.public_id}},
        {"action": "delete", "data": {"id": 5}},
    )
    assert [result["status"] for result in answer.json()["results"]] == [200, 200, 204, 404]
    alias.refresh_from_db()
    assert (alias.description, alias.is_active) == ("Said", False)


def test_what_is_sent_with_a_delete_besides_is_refused(client: Client, mailbox: Mailbox) -> None:
    alias = make_alias(mailbox=mailbox)
    answer = batch(client, delete(alias) | {"data": {"active": False}})
    assert answer.json()["results"][0]["error"] == refused(
        "/active", "invalid", "Nothing is sent with this; leave it out."
    )
    assert names() == ["help"]


# --- all or none


def test_atomic_is_all_of_them(client: Client, mailbox: Mailbox) -> None:
    answer = batch(client, create(mailbox, "a"), create(mailbox, "b"), atomic=True)
    assert (answer.status_code, answer.json()["summary"]["succeeded"], names()) == (200, 2, ["a", "b"])


def test_or_none_and_says_which_one_failed_and_why(client: Client, mailbox: Mailbox) -> None:
    make_alias(mailbox=mailbox)
    operations = (create(mailbox, "a"), create(mailbox, "help"), create(mailbox, "b"))
    answer = batch(client, *operations, atomic=True)
    detail = f"The operation 1 failed, so nothing was done: {unavailable('help@example.com')}"
    assert answered(answer) == (422, problem(422, "batch_failed", detail, index=1, error=taken("help")))
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert names() == ["help"]


# --- its form


@pytest.mark.parametrize(
    "operation, pointer, code",
    [
        ("x", "", "invalid"),
        ({}, "/action", "required"),
        ({"action": "replace"}, "/action", "invalid_choice"),
        ({"action": "update"}, "/id", "required"),
        ({"action": "delete", "data": {}}, "/id", "required"),
        ({"action": "delete", "id": None}, "/id", "null"),
        ({"action": "delete", "id": "alias_1", "data": {"id": "alias_2"}}, "/id", "invalid"),
        ({"action": "create", "id": "alias_1"}, "/id", "unknown_field"),
        ({"action": "create", "data": []}, "/data", "not_a_dict"),
        ({"action": "create", "data": None}, "/data", "null"),
        ({"action": "create", "date": {}}, "/date", "unknown_field"),
    ],
)
def test_a_mistake_in_the_form_of_one_is_told_of_and_none_is_done(
    client: Client, mailbox: Mailbox, operation: Any, pointer: str, code: str
) -> None:
    answer = batch(client, create(mailbox, "help"), operation)
    assert answer.status_code == 400, answer.json()
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == (f"/operations/1{pointer}", code)
    assert names() == []


@pytest.mark.parametrize(
    "body, pointer",
    [
        ({}, "/operations"),
        ({"operations": []}, "/operations"),
        ({"operations": {}}, "/operations"),
        ({"operations": None}, "/operations"),
        ({"operations": [{"action": "delete", "id": "x"}], "atomic": "true"}, "/atomic"),
        ({"operations": [{"action": "delete", "id": "x"}], "atomic": None}, "/atomic"),
        ({"operations": [{"action": "delete", "id": "x"}], "continue": True}, "/continue"),
    ],
)
def test_so_is_one_in_the_form_of_the_whole(client: Client, body: Any, pointer: str) -> None:
    answer = send(client, "POST", URL, body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)


def test_a_hundred_will_do_and_one_more_is_too_many(client: Client, mailbox: Mailbox) -> None:
    operations = [create(mailbox, f"n{n}") for n in range(101)]
    answer = batch(client, *operations)
    assert (answer.status_code, answer.json()["code"], names()) == (422, "batch_too_large", [])
    assert batch(client, *operations[:100]).json()["summary"] == {"total": 100, "succeeded": 100, "failed": 0}


def test_a_fault_of_ours_undoes_all_of_it(client: Client, mailbox: Mailbox) -> None:
    real = provision.create_alias
    for error, status in ((RuntimeError("broken"), 500), (UnavailableError("Later."), 503)):
        with mock.patch.object(provision, "create_alias", side_effect=[real, error]) as creating:
            creating.side_effect = lambda **values: (
                real(**values) if values["address"].startswith("a@") else _raise(error)  # noqa: B023 - called at once
            )
            assert batch(client, create(mailbox, "a"), create(mailbox, "b")).status_code == status
        assert names() == []


def _raise(error: Exception) -> Any:
    raise error


# --- who may


def test_without_the_scope_none_is_looked_at(mailbox: Mailbox) -> None:
    answer = batch(make_client(scopes=[Scope.ALIASES_READ]), create(mailbox, "a"), {"action": "nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert names() == []


def test_what_the_key_may_not_see_is_the_same_as_what_there_is_not(mailbox: Mailbox) -> None:
    sales = make_mailbox(address="sales@example.com")
    foreign, gone = make_alias(address="offers@example.com", mailbox=sales), make_alias(mailbox=mailbox)
    provision.delete_alias(gone)
    elsewhere = make_domain(name="example.org")
    client = make_client(mailboxes=[mailbox])
    for is_atomic in (False, True):
        answers = set()
        ids: list[object] = [unknown(Alias), foreign.public_id, gone.public_id, mailbox.public_id]
        ids += ["alias_\x00", "", 5, []]
        for id_ in ids:
            for action in ("update", "delete"):
                answer = batch(client, {"action": action, "id": id_}, atomic=is_atomic)
                answers.add(answer.content)
        assert len(answers) == 1, answers
    assert json.loads(answers.pop())["error"] == NOT_FOUND_BODY
    for name, id_ in (("mailbox_id", sales.public_id), ("domain_id", elsewhere.public_id), ("domain_id", 5)):
        answer = batch(client, create(mailbox, "new", **{name: id_}))
        assert answer.json()["results"] == [{"index": 0, "status": 404, "error": not_found_in(name)}]
    assert names() == ["offers"]


def test_what_acts_on_a_whole_domain_is_for_keys_of_all_mailboxes(mailbox: Mailbox) -> None:
    catch_all = make_alias(address="*@example.com", mailbox=mailbox)
    client = make_client(mailboxes=[mailbox])
    answer = batch(
        client,
        *(create(mailbox, name, mailbox_id="x") for name in ("*", "sales-*", "help+x")),
        update(catch_all, active=False),
        delete(catch_all),
        create(mailbox, "plain"),
    )
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [403] * 5 + [201]
    assert all(result["error"] == RESTRICTED_BODY for result in results[:5])
    assert names() == ["*", "plain"]


# --- what it costs


@pytest.mark.parametrize("count, cost", [(0, 1), (1, 1), (10, 1), (11, 2), (95, 10), (100, 10), (101, 10)])
def test_it_costs_one_request_for_each_ten_that_are_begun(client: Client, count: int, cost: int) -> None:
    def left() -> int:
        return int(client.get("/v1/me").headers["X-RateLimit-Remaining"])

    before = left()
    batch(client, *({"action": "delete", "id": "x"} for _ in range(count)))
    assert before - left() == cost + 1


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"operations": 5}', "\xff", "[" * 100_000, '{"operations": ' + "9" * 9999]
)
def test_what_cannot_be_read_costs_one(client: Client, body: str) -> None:
    before = int(client.get("/v1/me").headers["X-RateLimit-Remaining"])
    answer = client.post(URL, body.encode("latin-1"), content_type="application/json")
    assert answer.status_code == 400
    assert before - int(answer.headers["X-RateLimit-Remaining"]) == 1


# --- sent again


@pytest.mark.parametrize("is_atomic", [False, True])
def test_a_hundred_of_which_some_fail_are_done_once(client: Client, mailbox: Mailbox, is_atomic: bool) -> None:
    help_ = make_alias(mailbox=mailbox)
    operations = [create(mailbox, f"n{n}") for n in range(97)]
    operations += [delete(help_), update(Alias(), active=False), create(mailbox, "n0")]
    if is_atomic:
        operations[-2:] = []
    answers = [batch(client, *operations, atomic=is_atomic, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]
    assert (answers[0].status_code, answers[0].content) == (answers[1].status_code, answers[1].content)
    assert answers[0].status_code == (200 if is_atomic else 207)
    assert answers[0].json()["summary"]["failed"] == (0 if is_atomic else 2)
    assert len(names()) == 97
    assert Alias.objects.count() == 98


def test_all_or_none_of_which_one_failed_may_be_corrected_with_the_same_idempotency_key(
    client: Client, mailbox: Mailbox
) -> None:
    headers = {"Idempotency-Key": "one"}
    failed = batch(client, create(mailbox, "a"), create(mailbox, "a"), atomic=True, headers=headers)
    assert (failed.status_code, KeptAnswer.objects.count(), names()) == (422, 0, [])
    corrected = batch(client, create(mailbox, "a"), create(mailbox, "b"), atomic=True, headers=headers)
    assert (corrected.status_code, names()) == (200, ["a", "b"])
