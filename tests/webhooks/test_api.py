"""Webhooks over HTTP: what is in the answers, and what may be sent."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common.access import Scope
from mailboxes.models import Alias, Mailbox
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import make_alias, make_mailbox
from tests.webhooks.asking import NOT_FOUND, call, one, pointers, post, problem
from tests.webhooks.rows import URL, again, make_own_webhook
from webhooks.models import Webhook
from webhooks.services.webhooks import headers_of, secrets_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

TOKEN = "Bearer a-token-nobody-may-read"
OWN = {"Authorization": TOKEN, "X-Tenant": "support-team"}
MASKED = {"Authorization": "***", "X-Tenant": "***"}
WRITE, CONTENT = Scope.WEBHOOKS_WRITE, Scope.EMAILS_CONTENT


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def alias(mailbox: Mailbox) -> Alias:
    return make_alias(mailbox=mailbox)


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox, headers=OWN)[0]


def test_what_is_made_is_answered_with_its_secret_once(alias: Alias) -> None:
    key, plaintext = make_key(mailboxes=[alias.mailbox], scopes=[WRITE, CONTENT])
    client = client_of(plaintext)
    answer = post(client, {"alias_id": alias.public_id, "url": URL, "headers": OWN, "description": "Tickets"})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    made = answer.json()
    webhook = Webhook.objects.get()
    assert answer["Location"].endswith(f"/v1/webhooks/{webhook.public_id}")
    secret = made.pop("secret")
    assert [secret] == secrets_of(webhook, now=timezone.now())
    assert made == {
        "id": webhook.public_id,
        "created_at": made["created_at"],
        "url": URL,
        "alias_id": alias.public_id,
        "mailbox_id": None,
        "domain_id": None,
        "events": ["email.received", "webhook.disabled"],
        "payload": "full",
        "attachments": "links",
        "max_in_flight": 20,
        "rate_per_minute": None,
        "thinned_at": None,
        "headers": MASKED,
        "description": "Tickets",
        "state": "active",
        "state_reason": "",
        "previous_secret_until": None,
        "health": {"failing_since": None, "failures": 0, "circuit": "closed", "open_until": None},
        "attempts_in_flight": 0,
    }
    assert (webhook.created_by, headers_of(webhook)) == (key, OWN)
    read = one(client, "GET", webhook)
    assert (read.json(), read["Cache-Control"]) == (made, "private, no-cache")
    told = answer.content + read.content + call(client, "GET", "/webhooks").content
    assert told.count(secret.encode()) == 1
    for value in OWN.values():
        assert value.encode() not in told


def test_a_secret_can_be_brought_along(mailbox: Mailbox) -> None:
    mine = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    answer = post(make_client(), {"mailbox_id": mailbox.public_id, "url": URL, "secret": mine})
    assert (answer.status_code, answer.json()["secret"]) == (201, mine)
    refused = post(make_client(), {"mailbox_id": mailbox.public_id, "url": URL, "secret": "whsec_short"})
    assert pointers(refused) == ["/secret"]
    assert b"whsec_short" not in refused.content


def test_a_webhook_has_exactly_one_binding(alias: Alias) -> None:
    client, ids = make_client(), (alias.public_id, alias.mailbox.public_id)
    assert pointers(post(client, {"url": URL})) == [""]
    assert pointers(post(client, {"url": URL, "alias_id": ids[0], "mailbox_id": ids[1]})) == [""]
    nulls = {"url": URL, "alias_id": None, "mailbox_id": ids[1], "domain_id": None}
    assert post(client, nulls).status_code == 201


def test_a_patch_changes_what_it_names(webhook: Webhook) -> None:
    client, before = make_client(), one(make_client(), "GET", webhook).json()
    changed = one(client, "PATCH", webhook, {"description": "new", "headers": {"authorization": "***", "X-New": "n"}})
    assert changed.status_code == 200
    assert changed.json() == before | {"description": "new", "headers": {"authorization": "***", "X-New": "***"}}
    assert headers_of(again(webhook)) == {"authorization": TOKEN, "X-New": "n"}
    # what it shows besides may come back as it was read
    assert one(client, "PATCH", webhook, changed.json()).json() == changed.json()
    assert one(client, "PATCH", webhook, {}).json() == changed.json()


def test_another_receiver_gets_a_secret_of_its_own_and_no_value_that_was_kept(webhook: Webhook) -> None:
    (old,) = secrets_of(webhook, now=timezone.now())
    headers = {"Authorization": "***", "X-Given": "anew"}
    changed = one(make_client(), "PATCH", webhook, {"url": "http://127.0.0.1:10/", "headers": headers})
    assert changed["Cache-Control"] == "no-store"
    told = changed.json()
    assert (told["url"], told["headers"]) == ("http://127.0.0.1:10/", {"X-Given": "***"})
    assert [told["secret"]] == secrets_of(again(webhook), now=timezone.now())
    assert told["secret"] != old
    assert "secret" not in one(make_client(), "GET", webhook).json()
    same = one(make_client(), "PATCH", webhook, {"url": "http://127.0.0.1:10/path"}).json()
    assert (same["url"], same["headers"]) == ("http://127.0.0.1:10/path", {"X-Given": "***"})
    assert "secret" not in same


def test_a_put_takes_all_of_it(webhook: Webhook) -> None:
    client = make_client()
    shown = one(client, "GET", webhook).json()
    assert one(client, "PUT", webhook, shown).json() == shown
    assert headers_of(again(webhook)) == OWN
    whole = {"url": URL, "headers": {"X-Only": "1"}, "payload": "metadata", "description": ""}
    assert one(client, "PUT", webhook, whole).json() == shown | whole | {"headers": {"X-Only": "***"}}
    for name in whole:
        assert pointers(one(client, "PUT", webhook, {key: whole[key] for key in whole if key != name})) == [f"/{name}"]
    other = shown | whole | {"mailbox_id": None, "alias_id": "alias_x", "state": "paused", "secret": "s"}
    refused = one(client, "PUT", webhook, other)
    assert sorted(pointers(refused)) == ["/alias_id", "/mailbox_id", "/secret", "/state"]
    assert "Ask for pause or resume" in refused.json()["detail"]


BAD = [
    {"url": 1}, {"url": ""}, {"url": {}}, {"url": "nonsense"}, {"url": "http://192.0.2.1/"},
    {"url": "https://u:p@example.com/"}, {"url": "http://127.0.0.1:9/\x00"},
    {"url": "https://example.com/" + "x" * 2000},
    {"headers": None}, {"headers": []}, {"headers": "X: 1"}, {"headers": {"X": 1}}, {"headers": {"X": None}},
    {"headers": {"X": ["1"]}}, {"headers": {"X": "a\r\nb"}}, {"headers": {"Host": "x"}},
    {"headers": {"X-Unknown": "***"}},
    {"headers": {"X": "1", "x": "2"}}, {"headers": {f"X-{n}": "1" for n in range(21)}}, {"headers": {"X": "v" * 5000}},
    {"events": []}, {"events": ["email.sent"]}, {"events": "email.received"}, {"events": None},
    {"events": ["email.received", "email.received"]}, {"events": [1]}, {"events": {}},
    {"payload": "some"}, {"payload": None}, {"payload": 1}, {"payload": ["full"]},
    {"attachments": "none"}, {"attachments": None}, {"attachments": True},
    {"max_in_flight": 0}, {"max_in_flight": 21}, {"max_in_flight": None}, {"max_in_flight": "5"},
    {"rate_per_minute": 0}, {"rate_per_minute": 60_001}, {"rate_per_minute": "9"}, {"rate_per_minute": True},
    {"events": ["webhook.test"]}, {"max_in_flight": 1.5},
    {"description": 1}, {"description": None}, {"description": "x" * 501}, {"description": "nul\x00"},
    {"description": []},
    {"nonsense": 1}, {"secret": None}, {"secret": 5}, {"secret": "whsec_é"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", BAD)
def test_a_wrong_value_is_told_by_its_field(wrong: dict[str, Any], mailbox: Mailbox) -> None:
    client, (field,) = make_client(), wrong
    answer = post(client, {"mailbox_id": mailbox.public_id, "url": URL} | wrong)
    assert [pointer.split("/")[1] for pointer in pointers(answer)] == [field]
    assert not Webhook.objects.exists()
    webhook, _ = make_own_webhook(mailbox=mailbox)
    before = Webhook.objects.values().get()
    assert [pointer.split("/")[1] for pointer in pointers(one(client, "PATCH", webhook, wrong))] == [field]
    assert Webhook.objects.values().get() == before


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 100_000])
def test_what_is_no_object_is_a_400(body: bytes, webhook: Webhook) -> None:
    client = make_client()
    for answer in (
        call(client, "POST", "/webhooks", body),
        call(client, "PATCH", f"/webhooks/{webhook.public_id}", body),
        call(client, "POST", f"/webhooks/{webhook.public_id}/rotate-secret", body),
        call(client, "POST", f"/webhooks/{webhook.public_id}/pause", body),
    ):
        assert answer.status_code == 400


def test_a_refused_address_says_what_an_operator_can_do(mailbox: Mailbox, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = []
    answer = post(make_client(), {"mailbox_id": mailbox.public_id, "url": "http://127.0.0.1:6379/"})
    assert pointers(answer) == ["/url"]
    assert "WEBHOOK_ALLOW_NETWORKS" in answer.json()["detail"]


def test_pausing_and_resuming(webhook: Webhook) -> None:
    key, plaintext = make_key(mailboxes=[webhook.mailbox] if webhook.mailbox else [])
    client = client_of(plaintext)
    paused = one(client, "POST", webhook, verb="pause").json()
    assert (paused["state"], paused["state_reason"]) == ("paused", f"paused with the key {key.identifier}")
    assert (one(client, "GET", webhook).json(), again(webhook).state) == (paused, "paused")
    resumed = one(client, "POST", webhook, {}, verb="resume").json()
    assert (resumed["state"], resumed["state_reason"], again(webhook).state) == ("active", "", "active")
    for verb in ("pause", "resume"):
        assert pointers(one(client, "POST", webhook, {"until": "later"}, verb=verb)) == ["/until"]


def test_rotating_answers_the_new_secret_once(webhook: Webhook) -> None:
    client = make_client()
    (first,) = secrets_of(webhook, now=timezone.now())
    rotated = one(client, "POST", webhook, verb="rotate-secret")
    assert rotated["Cache-Control"] == "no-store"
    told = rotated.json()
    assert secrets_of(again(webhook), now=timezone.now()) == [told["secret"], first]
    until = again(webhook).previous_secret_until
    assert until is not None
    assert told["previous_secret_until"] == until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert abs(until - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
    shown = one(client, "GET", webhook).json()
    assert shown == {name: value for name, value in told.items() if name != "secret"}
    at_once = one(client, "POST", webhook, {"overlap_hours": 0}, verb="rotate-secret").json()
    assert at_once["previous_secret_until"] is None
    assert secrets_of(again(webhook), now=timezone.now()) == [at_once["secret"]]
    half = one(client, "POST", webhook, {"overlap_hours": 0.5}, verb="rotate-secret").json()
    assert half["previous_secret_until"] is not None


@pytest.mark.parametrize(
    "hours", [-1, 168.1, 1e400, -1e400, 10**400, "24", None, True, [], {}, "soon"]
)  # fmt: skip
def test_an_overlap_is_a_number_of_hours_up_to_a_week(hours: Any, webhook: Webhook) -> None:
    body = json.dumps({"overlap_hours": hours}).replace("Infinity", "1e400")
    before = Webhook.objects.values().get()
    assert pointers(one(make_client(), "POST", webhook, body, verb="rotate-secret")) == ["/overlap_hours"]
    assert Webhook.objects.values().get() == before


def test_deleting(webhook: Webhook) -> None:
    client = make_client()
    answer = one(client, "DELETE", webhook)
    assert (answer.status_code, answer.content) == (204, b"")
    assert problem(one(client, "DELETE", webhook)) == NOT_FOUND
    assert Webhook.objects.get().deleted_at is not None


def listed(client: Client, query: str = "") -> list[str]:
    answer = call(client, "GET", f"/webhooks{query}")
    assert answer.status_code == 200, answer.content
    return [entry["id"] for entry in answer.json()["data"]]


def test_a_list_is_newest_first_and_is_narrowed_down(alias: Alias) -> None:
    mailbox, domain, elsewhere = alias.mailbox, alias.domain, "http://127.0.0.1:9/ä?b=%20&c"
    by_alias, by_mailbox, by_domain = (
        make_own_webhook(alias=alias)[0].public_id,
        make_own_webhook(mailbox=mailbox, url=elsewhere)[0].public_id,
        make_own_webhook(domain=domain)[0].public_id,
    )
    make_own_webhook(mailbox=make_mailbox(address="sales@example.com"))
    client, everything = make_client(mailboxes=[mailbox]), make_client()
    assert listed(client) == [by_mailbox, by_alias]
    assert listed(everything)[1:] == [by_domain, by_mailbox, by_alias]
    assert listed(client, f"?alias_id={alias.public_id}") == [by_alias]
    assert listed(client, f"?mailbox_id={mailbox.public_id}") == [by_mailbox]
    assert listed(everything, f"?domain_id={domain.public_id}") == [by_domain]
    assert listed(client, f"?domain_id={domain.public_id}") == []  # the domain is seen, its webhook is not
    for query, found in (
        ("http://127.0.0.1:9/hook", [by_alias]), ("http://127.0.0.1:9/%C3%A4?b=%2520%26c", [by_mailbox]),
        ("http://127.0.0.1:9/", []), ("%00", []), ("%25", []), ("", []),
    ):  # fmt: skip
        assert listed(client, f"?url={query}") == found
    assert listed(client, "?limit=1") == [by_mailbox]
    assert listed(client, f"?starting_after={by_mailbox}") == [by_alias]
    hidden = make_alias(address="team@example.com", mailbox=make_mailbox(address="team-box@example.com"))
    ids = (f"alias_id={hidden.public_id}", f"mailbox_id={hidden.mailbox.public_id}")
    for query in (*ids, "domain_id=dom_x", "alias_id="):
        assert problem(call(client, "GET", f"/webhooks?{query}&limit=0")) == NOT_FOUND


def test_a_list_of_many_asks_as_often_as_a_list_of_one(alias: Alias) -> None:
    client = make_client()

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert listed(client)
        return len(asked)

    make_own_webhook(alias=alias, headers=OWN)
    few = queries()
    for _ in range(5):
        make_own_webhook(alias=alias, headers=OWN)
        make_own_webhook(mailbox=alias.mailbox)
    assert queries() == few
    assert few <= 4
