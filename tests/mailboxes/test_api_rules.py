"""Rules over HTTP and by command: shapes, refusals, who may."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from emailgistics.common.access import Scope
from mailboxes.models import Alias, Rule
from mailboxes.services import provision, rule_book
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_mailbox
from tests.mailboxes.api_client import send

pytestmark = pytest.mark.django_db

BLOCK = {"action": "block", "criterion": "sender", "value": "Spam@Example.net"}


@pytest.fixture
def alias() -> Alias:
    return make_alias()


def test_a_rule_is_made_read_changed_and_deleted(alias: Alias) -> None:
    client = make_client(scopes=[Scope.ALIASES_WRITE])
    made = send(client, "POST", "/v1/rules", {**BLOCK, "mailbox_id": alias.mailbox.public_id})
    rule = Rule.objects.get()
    assert made.status_code == 201
    assert made["Location"].endswith(f"/v1/rules/{rule.public_id}")
    assert made.json() == {
        "id": rule.public_id,
        "created_at": made.json()["created_at"],
        "domain_id": None,
        "mailbox_id": alias.mailbox.public_id,
        "alias_id": None,
        "action": "block",
        "criterion": "sender",
        "value": "spam@example.net",
        "description": "",
        "active": True,
    }
    url = f"/v1/rules/{rule.public_id}"
    assert client.get(url).json() == made.json()
    changed = send(client, "PATCH", url, {**made.json(), "action": "quarantine", "active": False})
    assert changed.json() == made.json() | {"action": "quarantine", "active": False}
    assert client.get("/v1/rules").json()["data"] == [changed.json()]
    assert send(client, "DELETE", url).status_code == 204
    assert client.get(url).status_code == 404
    assert send(client, "DELETE", url).status_code == 404
    assert client.get("/v1/rules").json()["data"] == []


@pytest.mark.parametrize(
    "body, pointer, told",
    [
        ({**BLOCK, "value": "*@example.net"}, "/value", "sender_domain with the value example.net"),
        ({**BLOCK, "criterion": "network"}, "/value", "write it like 192.0.2.0/24"),
        ({**BLOCK, "action": "reject"}, "/action", "block, discard"),
        ({**BLOCK, "criterion": "subject"}, "/criterion", "sender, sender_domain"),
        ({**BLOCK, "value": 5}, "/value", "in quotes"),
        ({**BLOCK, "description": "x" * 501}, "/description", "500"),
        ({"action": "block", "criterion": "sender"}, "/value", "required"),
        ({**BLOCK, "scope": "all"}, "/scope", "There is no field of this name"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(body: dict[str, Any], pointer: str, told: str) -> None:
    answer = send(make_client(), "POST", "/v1/rules", body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer
    assert told in error["detail"]
    assert not Rule.objects.exists()


def test_a_rule_is_for_one_thing_and_stays_with_it(alias: Alias) -> None:
    client = make_client()
    both = {**BLOCK, "alias_id": alias.public_id, "mailbox_id": alias.mailbox.public_id}
    assert "one domain, one mailbox, one alias" in send(client, "POST", "/v1/rules", both).json()["detail"]
    rule = rule_book.create_rule(**BLOCK, alias=alias)
    answer = send(client, "PATCH", f"/v1/rules/{rule.public_id}", {"mailbox_id": alias.mailbox.public_id})
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/mailbox_id", "read_only")


def test_a_key_with_an_allowlist_makes_rules_for_what_is_its_own_only(alias: Alias) -> None:
    sales = make_mailbox(address="sales@example.com")
    wide = provision.create_alias(address="*@example.com", mailbox=alias.mailbox)
    client = make_client(mailboxes=[alias.mailbox])
    statuses = [
        send(client, "POST", "/v1/rules", {**BLOCK, **scope}).status_code
        for scope in (
            {"mailbox_id": alias.mailbox.public_id}, {"alias_id": alias.public_id}, {"mailbox_id": sales.public_id},
            {}, {"mailbox_id": None}, {"domain_id": alias.domain.public_id}, {"alias_id": wide.public_id},
        )
    ]  # fmt: skip
    assert statuses == [201, 201, 404, 403, 403, 403, 403]
    assert len(client.get("/v1/rules").json()["data"]) == Rule.objects.count() == 2
    of_wide = rule_book.create_rule(**BLOCK, alias=wide)
    rule_book.create_rule(**BLOCK)
    rule_book.create_rule(**BLOCK, domain=alias.domain)
    rule_book.create_rule(**BLOCK, mailbox=sales)
    assert len(client.get("/v1/rules").json()["data"]) == 3
    for method, body in (("PATCH", {"active": False}), ("DELETE", None)):
        answer = send(client, method, f"/v1/rules/{of_wide.public_id}", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "allowlist_restricted")
    assert len(make_client().get("/v1/rules").json()["data"]) == 6


def test_a_list_is_narrowed_down_to_what_the_rules_are_for(alias: Alias) -> None:
    client = make_client()
    of = {
        "alias_id": rule_book.create_rule(**BLOCK, alias=alias),
        "mailbox_id": rule_book.create_rule(**BLOCK, mailbox=alias.mailbox),
        "domain_id": rule_book.create_rule(**BLOCK, domain=alias.domain),
    }
    owners = {"alias_id": alias, "mailbox_id": alias.mailbox, "domain_id": alias.domain}
    for name, rule in of.items():
        (shown,) = client.get(f"/v1/rules?{name}={owners[name].public_id}").json()["data"]
        assert shown["id"] == rule.public_id


# --- commands


def run(*args: str) -> str:
    out = StringIO()
    call_command("rules", *args, stdout=out)
    return out.getvalue()


def test_commands_make_list_change_and_delete_rules(alias: Alias) -> None:
    made = json.loads(
        run("create", "block", "sender_domain", "Example.NET", "--mailbox", "support@example.com", "--json")
    )
    rule = Rule.objects.get()
    assert made == make_client().get(f"/v1/rules/{rule.public_id}").json()
    assert (made["value"], made["mailbox_id"]) == ("example.net", alias.mailbox.public_id)
    assert rule.public_id in run("list")
    assert json.loads(run("show", rule.public_id, "--json")) == made
    run("update", rule.public_id, "--action", "discard", "--description", "Enough")
    run("disable", rule.public_id)
    rule.refresh_from_db()
    assert (rule.action, rule.description, rule.is_active) == ("discard", "Enough", False)
    run("delete", rule.public_id)
    assert json.loads(run("list", "--json")) == {"data": []}
    run("create", "quarantine", "sender", "<>", "--alias", alias.address)
    run("create", "quarantine", "attachment", ".exe", "--domain", "example.com")
    run("create", "quarantine", "size", "1000")
    assert Rule.objects.live().count() == 3


def test_a_command_says_what_is_wrong() -> None:
    with pytest.raises(CommandError, match="no rule"):
        run("show", "rule_x")
    with pytest.raises(CommandError, match="sender_domain"):
        run("create", "block", "sender", "*@example.net")
    with pytest.raises(CommandError, match="invalid choice"):
        run("create", "reject", "sender", "a@example.net")
