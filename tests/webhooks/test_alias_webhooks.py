"""An alias and its webhook in one call, and the look-ups by which integrations find what is there."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from emailgistics.common.access import Scope
from mailboxes.models import Alias
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import make_alias, make_domain, make_mailbox
from tests.mailboxes.api_client import BASE, RESTRICTED_BODY, answered, not_found_in, send, shape
from webhooks.models import Webhook
from webhooks.services import webhooks

pytestmark = pytest.mark.django_db

BOTH = [Scope.ALIASES_WRITE, Scope.WEBHOOKS_WRITE]
URL = "https://hooks.example.net/mail"
PATH = "/v1/webhooks/alias"


@pytest.fixture(autouse=True)
def _no_names_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.guard._resolved", lambda *_: [])


def body(**more: Any) -> dict[str, Any]:
    return {"domain_id": make_domain().public_id, "name": "help", "url": URL} | more


def ids(client: Client, url: str) -> list[str]:
    answer = client.get(url)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["data"]]


def counts() -> tuple[int, int]:
    return Alias.objects.count(), Webhook.objects.count()


def test_both_are_made_and_the_secret_is_shown_once() -> None:
    mailbox = make_mailbox()
    client = make_client(scopes=[*BOTH, Scope.EMAILS_CONTENT])
    given = body(mailbox_id=mailbox.public_id, description="Tickets", priority=7, headers={"X-Tenant": "a"})
    answer = send(client, "post", PATH, given)
    alias, webhook = Alias.objects.get(), Webhook.objects.get()
    assert answer.status_code == 201, answer.content
    assert answer["Cache-Control"] == "no-store"
    assert answer["Location"] == f"{BASE}/v1/webhooks/{webhook.public_id}"
    made = answer.json()
    assert made["alias"] == shape(alias)
    secret = made["webhook"].pop("secret")
    assert secret.startswith("whsec_")
    assert made["webhook"] == client.get(f"/v1/webhooks/{webhook.public_id}").json()
    assert (alias.description, webhook.description, alias.priority) == ("Tickets", "Tickets", 7)
    assert (webhook.alias, webhook.payload, webhook.header_names) == (alias, "full", ["X-Tenant"])


@pytest.mark.parametrize(
    "wrong", [{"url": "http://127.0.0.1/"}, {"secret": "whsec_short"}, {"name": "two@"}, {"events": ["x"]}, {"mx": 1}]
)
def test_neither_is_made_if_one_is_wrong(wrong: dict[str, Any]) -> None:
    make_mailbox()
    answer = send(make_client(), "post", PATH, body(**wrong))
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert counts() == (0, 0)


def test_what_is_there_is_taken_as_it_is_by_whoever_says_so() -> None:
    client = make_client()
    make_mailbox()
    first = send(client, "post", PATH, body(first_or_create=True)).json()
    assert send(client, "post", PATH, body()).json()["code"] == "address_unavailable"
    for spelling in (URL, "HTTPS://Hooks.Example.NET:443/mail"):
        again = send(client, "post", PATH, body(name="HELP", url=spelling, description="Other", first_or_create=True))
        assert again.status_code == 200
        same = first["webhook"] | {"secret": None}
        assert again.json()["webhook"] | {"secret": None} == same
        assert "secret" not in again.json()["webhook"]
        assert again.json()["alias"] == first["alias"]
        assert again["Location"] == f"{BASE}/v1/webhooks/{first['webhook']['id']}"
    assert counts() == (1, 1)
    for other in ("https://hooks.example.net/MAIL", "https://hooks.example.net:8443/mail", None):
        answer = send(client, "post", PATH, body(url=other, first_or_create=True))
        assert (answer.status_code, answer.json()["alias"]) == (201, first["alias"])
        assert answer.json()["webhook"]["secret"]
    assert send(client, "post", PATH, body(url=None, first_or_create=True)).status_code == 200
    assert counts() == (1, 4)


def test_a_deleted_webhook_is_none_that_is_there() -> None:
    client = make_client()
    alias = make_alias()
    old, _ = webhooks.create_webhook(alias=alias, url=URL)
    webhooks.delete_webhook(old)
    answer = send(client, "post", PATH, body(first_or_create=True))
    assert (answer.status_code, answer.json()["webhook"]["id"] == old.public_id) == (201, False)


def test_an_alias_that_leads_elsewhere_is_not_the_one_that_is_meant() -> None:
    make_alias()
    other = make_mailbox(address="sales@example.com")
    answer = send(make_client(), "post", PATH, body(mailbox_id=other.public_id, first_or_create=True))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert counts() == (1, 0)


def test_both_scopes_are_needed_and_a_third_for_what_mails_say() -> None:
    make_mailbox()
    for scope in BOTH:
        refused = send(make_client(scopes=[scope]), "post", PATH, body())
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    client = make_client(scopes=BOTH)
    refused = send(client, "post", PATH, body(payload="full"))
    assert refused.json()["required_scopes"] == ["emails:content"]
    assert counts() == (0, 0)
    assert send(client, "post", PATH, body()).json()["webhook"]["payload"] == "metadata"


def test_a_key_with_an_allowlist_stays_within_it() -> None:
    mine, theirs = make_mailbox(), make_mailbox(address="secret@example.org")
    hidden = make_alias(address="sales@example.com", mailbox=make_mailbox(address="box@example.com"))
    client = make_client(mailboxes=[mine])
    for reference in ({"domain_id": theirs.domain.public_id}, {"mailbox_id": theirs.public_id}):
        answer = send(client, "post", PATH, body(**reference, first_or_create=True))
        assert answered(answer) == (404, not_found_in(*reference))
    for name in ("*", "order-*", "help+x"):
        assert answered(send(client, "post", PATH, body(name=name))) == (403, RESTRICTED_BODY)
    taken = send(client, "post", PATH, body(name=hidden.name, first_or_create=True))
    assert (taken.status_code, taken.json()["code"]) == (409, "address_unavailable")
    assert Webhook.objects.count() == 0
    made = send(client, "post", PATH, body(first_or_create=True))
    assert (made.status_code, made.json()["alias"]["mailbox_id"]) == (201, mine.public_id)


@pytest.mark.django_db(transaction=True)
def test_of_several_who_want_the_same_at_once_one_makes_it() -> None:
    make_mailbox()
    _, plaintext = make_key()
    wanted, together = body(first_or_create=True), threading.Barrier(4)
    answers: list[Any] = []

    def run() -> None:
        client = client_of(plaintext)
        together.wait(timeout=20)
        try:
            answers.append(send(client, "post", PATH, wanted))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert sum("secret" in answer.json()["webhook"] for answer in answers) == 1
    assert counts() == (1, 1)


def test_a_webhook_is_found_by_its_url() -> None:
    mailbox, client = make_mailbox(), make_client()
    made = {url: webhooks.create_webhook(mailbox=mailbox, url=url)[0].public_id for url in (URL, "https://a.example")}
    bare = webhooks.create_webhook(mailbox=mailbox)[0].public_id
    for asked in (URL, "HTTPS://HOOKS.example.net/mail", "https://hooks.example.net:443/mail"):
        assert ids(client, f"/v1/webhooks?url={asked}") == [made[URL]]
    for asked in ("https://a.example", "https://a.example/", "https://A.example:443/"):
        assert ids(client, f"/v1/webhooks?url={asked}") == [made["https://a.example"]]
    assert ids(client, "/v1/webhooks?url=") == [bare]
    for asked in (
        "https://hooks.example.net/Mail",
        "https://hooks.example.net/mai_",
        "hooks.example.net",
        "%00",
        "%25",
    ):
        assert ids(client, f"/v1/webhooks?url={asked}") == []


def test_what_is_set_up_is_found_by_its_name() -> None:
    client, mailbox = make_client(), make_mailbox()
    alias = make_alias(mailbox=mailbox)
    other = make_alias(address="help@example.org", mailbox=mailbox)
    pattern = provision.create_alias(address="order-*@example.com", mailbox=mailbox)
    domain = make_domain(name="bücher.example")
    assert ids(client, "/v1/aliases?name=HELP") == [other.public_id, alias.public_id]
    assert ids(client, f"/v1/aliases?name=help&domain_id={alias.domain.public_id}") == [alias.public_id]
    assert ids(client, "/v1/aliases?name=order-*") == [pattern.public_id]
    assert ids(client, "/v1/mailboxes?address=Support@EXAMPLE.com") == [mailbox.public_id]
    assert ids(client, "/v1/domains?name=B%C3%BCcher.Example.") == [domain.public_id]
    for nothing in (
        "aliases?name=hel", "aliases?name=%00", "aliases?name=", "mailboxes?address=support", "mailboxes?address=%00",
        "mailboxes?address=help@example.com", "domains?name=example", "domains?name=%00", "domains?name=[192.0.2.1]",
    ):  # fmt: skip
        assert ids(client, f"/v1/{nothing}") == [], nothing
    narrow = make_client(mailboxes=[make_mailbox(address="mine@example.net")])
    for hidden in ("aliases?name=help", "mailboxes?address=support@example.com", "domains?name=example.com"):
        assert ids(narrow, f"/v1/{hidden}") == []
