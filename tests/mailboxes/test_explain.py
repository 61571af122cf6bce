"""The dry run: the service, over HTTP, by command."""

import json
from io import StringIO
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.test import Client

from emailgistics.common.access import Scope
from mailboxes.models import Alias, Email, Mailbox, Message, Refusal
from mailboxes.services import provision
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_mailbox
from tests.mailboxes.api_client import RESTRICTED_BODY, answered, lacks_scope, refused_by_rule, send

pytestmark = pytest.mark.django_db
URL = "/v1/routing/explain"
READ = [Scope.ALIASES_READ]
ALLOWED = {"action": "allow", "rule_id": None, "reason": ""}


def shared_pattern() -> Alias:
    own, other = make_mailbox(), make_mailbox(address="archive@example.org")
    return provision.create_alias(address="order-*@example.com", mailbox=own, further_mailboxes=[other], priority=5)


def expected_of(alias: Alias) -> dict[str, Any]:
    other = alias.copies.get().mailbox
    return {
        "address": "Order-Ab7+x@example.com",
        "accepted": True,
        "reply": "250 2.1.5 Recipient OK",
        "code": None,
        "kind": "pattern",
        "tag": "x",
        "captures": {"1": "Ab7"},
        "domain_id": alias.domain.public_id,
        "alias_id": alias.public_id,
        "mailboxes": [
            {"id": alias.mailbox.public_id, "address": "support@example.com", "copy": False, "verdict": ALLOWED},
            {"id": other.public_id, "address": "archive@example.org", "copy": True, "verdict": ALLOWED},
        ],
        "explanation": [
            "example.com is hosted",
            "Order-Ab7+x@example.com is no address of its own",
            "order-*@example.com fits, with priority 5",
            "order-*@example.com is a pattern of support@example.com",
            "it leads to archive@example.org as well",
        ],
    }


def refusal(address: str, reply: str, code: str, *steps: str) -> dict[str, Any]:
    nothing = {"kind": None, "tag": None, "captures": {}, "domain_id": None, "alias_id": None, "mailboxes": []}
    head = {"address": address, "accepted": False, "reply": reply, "code": code}
    return {**head, **nothing, "explanation": list(steps)}


def ask(client: Client, address: str, **more: Any) -> Any:
    return send(client, "post", URL, {"address": address, **more})


def test_it_says_where_mail_would_go_and_why_and_stores_nothing() -> None:
    alias = shared_pattern()
    answer = ask(make_client(scopes=READ), "Order-Ab7+x@example.com", mail_from="", client_ip="192.0.2.1", size=100)
    assert answered(answer) == (200, expected_of(alias))
    assert answer["Cache-Control"] == "no-store"
    assert not Message.objects.exists()
    assert not Email.objects.exists()
    assert not Refusal.objects.exists()


def test_a_refusal_is_an_answer_that_says_what_ended_the_search() -> None:
    provision.update_alias(make_alias(), is_active=False)
    client = make_client(scopes=READ)
    assert answered(ask(client, "help+x@example.com")) == (200, refusal(
        "help+x@example.com", "550 5.2.1 This address is disabled", "address_disabled",
        "example.com is hosted", "help+x@example.com without its tag is help@example.com",
        "The alias help@example.com is disabled.",
    ))  # fmt: skip
    assert answered(ask(client, "x@example.org")) == (200, refusal(
        "x@example.org", "550 5.7.1 This domain is not hosted here", "unknown_domain",
        "example.org is not hosted here.",
    ))  # fmt: skip
    assert answered(ask(client, "a b@example.com"))[1]["reply"] == "501 5.1.3 Not a recipient address"
    assert ask(client, "x" * 1000).json()["code"] == "invalid_address"
    limit = django_settings.MAX_MESSAGE_BYTES
    assert ask(client, "support@example.com", size=limit).json()["accepted"] is True
    too_large = ask(client, "support@example.com", size=limit + 1).json()
    assert (too_large["accepted"], too_large["reply"][:9]) == (False, "552 5.3.4")


def test_a_test_domain_takes_mail_from_here_and_none_from_outside(settings: Any) -> None:
    provision.create_domain(name="trial.example", is_test=True)
    settings.TEST_NETWORKS = [ip_network("192.0.2.0/24")]
    client = make_client(scopes=READ)
    taken = [ask(client, "inbox@trial.example", client_ip=ip).json()["accepted"] for ip in (None, "192.0.2.9", "::1")]
    assert taken == [True, True, False]


def test_a_domain_that_waits_for_its_verification_says_so(settings: Any) -> None:
    settings.REQUIRE_DOMAIN_VERIFICATION = True
    make_mailbox()
    answer = ask(make_client(scopes=READ), "support@example.com").json()
    assert (answer["code"], answer["reply"][:9]) == ("domain_not_verified", "450 4.7.1")


@pytest.mark.parametrize("body, pointer", [
    ({"address": "a@example.com", "client_ip": "here"}, "/client_ip"),
    ({"address": "a@example.com", "mail_from": "a\nb"}, "/mail_from"),
])  # fmt: skip
def test_what_is_no_envelope_is_refused(body: dict[str, Any], pointer: str) -> None:
    answer = send(make_client(scopes=READ), "post", URL, body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)
    detail = answer.json()["detail"]
    assert answer.json() == refused_by_rule(pointer, "invalid", detail)


@pytest.mark.parametrize("body", [{}, {"address": 7}, {"address": "a@example.com", "size": -1}, {"adress": "x"}])
def test_what_is_no_question_is_refused(body: dict[str, Any]) -> None:
    answer = send(make_client(scopes=READ), "post", URL, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")


def test_it_is_for_keys_that_may_see_all_mailboxes_told_by_the_route_alone() -> None:
    alias = shared_pattern()
    mailboxes = list(Mailbox.objects.all())
    for body in ({"address": "order-1@example.com"}, {"address": "x@unknown.example"}, {"address": 7}, {}):
        answer = send(make_client(mailboxes=mailboxes, scopes=READ), "post", URL, body)
        assert answered(answer) == (403, RESTRICTED_BODY)
    answer = ask(make_client(scopes=[Scope.MAILBOXES_WRITE, Scope.EMAILS_READ]), alias.address)
    assert answered(answer) == (403, lacks_scope("aliases:read"))


def run(*args: str) -> str:
    out = StringIO()
    call_command("route", *args, stdout=out)
    return out.getvalue()


def test_by_command() -> None:
    alias = shared_pattern()
    said = run("Order-Ab7+x@example.com", "--from", "ada@example.net", "--client-ip", "192.0.2.1", "--size", "100")
    for line in ("250 2.1.5 Recipient OK", "  to support@example.com", "  to archive@example.org  as a copy"):
        assert line in said.splitlines()
    assert json.loads(run("Order-Ab7+x@example.com", "--json")) == expected_of(alias)
    for wrong in (("--client-ip", "here"), ("--from", "a\nb")):
        with pytest.raises(CommandError):
            run("order-1@example.com", *wrong)


def test_the_command_ends_with_1_where_mail_would_be_refused() -> None:
    make_mailbox()
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("route", "nobody@example.com", "--json", stdout=out)
    assert ended.value.code == 1
    assert json.loads(out.getvalue()) == refusal(
        "nobody@example.com", "550 5.1.1 No such recipient here", "unknown_recipient",
        "example.com is hosted", "There is no nobody@example.com here.",
    )  # fmt: skip
