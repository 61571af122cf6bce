"""Webhooks over HTTP: who may do what, and that a key learns nothing of what it may not see."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from emailgistics.common.access import Scope
from emailgistics.common.ids import uuid7
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_domain, make_mailbox
from tests.webhooks.asking import LACKS_CONTENT, NOT_FOUND, call, one, post, problem, seen_as
from tests.webhooks.rows import URL, make_own_webhook, move
from webhooks.models import MOVED, Webhook
from webhooks.services import webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

OWN = {"Authorization": "Bearer a-token-nobody-may-read", "X-Tenant": "support-team"}
MASKED = {"Authorization": "***", "X-Tenant": "***"}
READ, WRITE, CONTENT = Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE, Scope.EMAILS_CONTENT
UNKNOWN = Webhook(pk=uuid7()).public_id


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def alias(mailbox: Mailbox) -> Alias:
    return make_alias(mailbox=mailbox)


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox, headers=OWN)[0]


def test_that_of_a_domain_is_for_keys_of_all_mailboxes(mailbox: Mailbox) -> None:
    domain, other = mailbox.domain, make_domain(name="example.org")
    some, everything = make_client(mailboxes=[mailbox]), make_client()
    for given in (domain.public_id, other.public_id, "nonsense", 5, ["x"]):
        # by the form of the body alone, so before anything in it is looked for or found wrong
        answer = post(some, {"domain_id": given, "url": 1, "alias_id": "alias_x"})
        assert problem(answer) == (403, "allowlist_restricted")
    made = post(everything, {"domain_id": domain.public_id, "url": URL})
    assert (made.status_code, made.json()["domain_id"]) == (201, domain.public_id)
    public_id = made.json()["id"]
    assert one(everything, "GET", public_id).status_code == 200
    for method, verb in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "pause"), ("GET", "deliveries")):
        assert problem(one(some, method, public_id, verb=verb)) == NOT_FOUND
    assert call(some, "GET", "/webhooks").json()["data"] == []


@pytest.mark.parametrize("name", ["alias_id", "mailbox_id", "domain_id"])
def test_what_may_not_be_seen_is_a_constant_404_whatever_else_is_wrong(name: str, alias: Alias) -> None:
    foreign = make_alias(address="team@example.org", mailbox=make_mailbox(address="team-box@example.org"))
    gone = make_alias(address="gone@example.com", mailbox=make_mailbox(address="gone-box@example.com"))
    things: dict[str, tuple[Any, Any]] = {
        "alias_id": (foreign, gone),
        "mailbox_id": (foreign.mailbox, gone.mailbox),
        "domain_id": (None, None),
    }
    hidden, deleted = things[name]
    provision.delete_mailbox(gone.mailbox)
    client = make_client() if name == "domain_id" else make_client(mailboxes=[alias.mailbox])
    shown = []
    model = {"alias_id": Alias, "mailbox_id": Mailbox, "domain_id": Domain}[name]
    ids = [model(pk=uuid7()).public_id, "nonsense", "", 7, {"id": "x"}, "wh_\0"]
    ids += [thing.public_id for thing in (hidden, deleted) if thing]
    for given in ids:
        with CaptureQueriesContext(connection) as queries:
            answer = post(client, {name: given, "url": [], "nonsense": 1, "headers": {"Host": "x"}})
        assert problem(answer) == NOT_FOUND
        shown.append((seen_as(answer), len(queries)))
    assert all(entry == shown[0] for entry in shown)


def test_a_key_without_content_has_webhooks_for_metadata_only(mailbox: Mailbox) -> None:
    client, body = make_client(mailboxes=[mailbox], scopes=[WRITE]), {"mailbox_id": mailbox.public_id, "url": URL}
    made = post(client, body)
    assert (made.status_code, made.json()["payload"]) == (201, "metadata")
    assert post(client, body | {"payload": "metadata"}).json()["payload"] == "metadata"
    for wrong in ({}, {"mailbox_id": UNKNOWN}, {"url": 1}):
        refused = post(client, body | wrong | {"payload": "full"})
        assert problem(refused) == LACKS_CONTENT
        assert refused.json()["required_scopes"] == ["emails:content"]
        assert 'scope="emails:content"' in refused["WWW-Authenticate"]
    for method in ("PATCH", "PUT"):
        for webhook in (made.json()["id"], UNKNOWN):
            assert problem(one(client, method, webhook, {"payload": "full"})) == LACKS_CONTENT
    assert set(Webhook.objects.values_list("payload", flat=True)) == {"metadata"}


AIMED = [
    {"url": "http://127.0.0.1:9/other"}, {"url": "http://127.0.0.1:10/"}, {"headers": {}},
    {"headers": {"Authorization": "***", "X-Tenant": "mine"}}, {"headers": {"Authorization": "***"}},
    {"payload": "metadata", "url": "http://127.0.0.1:10/"},
]  # fmt: skip
MAIL = "email.received"


def test_a_key_without_content_does_not_have_a_full_webhook_told_of_mail(mailbox: Mailbox) -> None:
    client = make_client(mailboxes=[mailbox], scopes=[WRITE])
    deaf, _ = make_own_webhook(mailbox=mailbox, events=["webhook.disabled"])
    hearing, _ = make_own_webhook(mailbox=mailbox, events=[MAIL])
    lean, _ = make_own_webhook(mailbox=mailbox, events=["webhook.disabled"], payload="metadata")
    both = {"events": [MAIL, "webhook.disabled"]}
    shown = one(client, "GET", deaf).json()
    for method, body in (("PATCH", both), ("PATCH", {"events": [MAIL]}), ("PUT", shown | both)):
        assert problem(one(client, method, deaf, body)) == LACKS_CONTENT
    assert Webhook.objects.get(pk=deaf.pk).events == ["webhook.disabled"]
    assert one(client, "PATCH", deaf, {"events": ["webhook.disabled"]}).status_code == 200
    for webhook in (hearing, lean):
        assert one(client, "PATCH", webhook, both).json()["events"] == [MAIL, "webhook.disabled"]
    assert one(make_client(scopes=[WRITE, CONTENT]), "PATCH", deaf, both).status_code == 200


@pytest.mark.parametrize("change", [{"url": "http://127.0.0.1:10/"}, {"events": [MAIL]}])
def test_a_webhook_that_was_made_full_meanwhile_is_not_aimed(
    change: dict[str, Any], mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox, payload="metadata", events=["webhook.disabled"])
    real = webhooks.update_webhook

    def update(webhook: Webhook, **changes: Any) -> str | None:
        Webhook.objects.update(payload="full")  # somebody is faster
        return real(webhook, **changes)

    monkeypatch.setattr(webhooks, "update_webhook", update)
    assert problem(one(make_client(scopes=[WRITE]), "PATCH", webhook, change)) == LACKS_CONTENT
    row = Webhook.objects.get()
    assert (row.payload, row.url, row.events) == ("full", URL, ["webhook.disabled"])
    assert one(make_client(scopes=[WRITE, CONTENT]), "PATCH", webhook, change).status_code == 200


def test_a_job_is_for_keys_that_may_see_all_mail_of_it(mailbox: Mailbox) -> None:
    sales = make_mailbox(address="sales@example.com")
    webhook, _ = make_own_webhook(mailbox=mailbox)
    narrow, wide = make_client(mailboxes=[mailbox]), make_client(mailboxes=[mailbox, sales])
    asked = {"since": "2020-01-01T00:00:00Z"}
    own, theirs, all_ = (
        one(key, "POST", webhook, asked, verb="replay").json() for key in (narrow, wide, make_client())
    )

    def seen(client: Client) -> list[bool]:
        answers = [call(client, "GET", f"/jobs/{job['id']}") for job in (own, theirs, all_)]
        assert all(answer.status_code == 200 or problem(answer) == NOT_FOUND for answer in answers)
        return [answer.status_code == 200 for answer in answers]

    assert seen(narrow) == [True, False, False]
    assert seen(wide) == [True, True, False]
    assert seen(make_client()) == [True, True, True]
    assert seen(make_client(mailboxes=[sales])) == [False, False, False]
    for job in (theirs, all_):
        assert problem(call(narrow, "DELETE", f"/jobs/{job['id']}")) == NOT_FOUND
    assert call(narrow, "DELETE", f"/jobs/{own['id']}").status_code == 204


@pytest.mark.parametrize("change", AIMED)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_key_without_content_cannot_aim_a_full_webhook(method: str, change: dict[str, Any], webhook: Webhook) -> None:
    assert webhook.mailbox is not None
    client = make_client(mailboxes=[webhook.mailbox], scopes=[WRITE])
    shown = one(client, "GET", webhook).json() | {"payload": "metadata"}
    body = change if method == "PATCH" else shown | change
    before = Webhook.objects.values().get()
    assert problem(one(client, method, webhook, body)) == LACKS_CONTENT
    assert Webhook.objects.values().get() == before
    assert problem(one(client, method, UNKNOWN, body)) == NOT_FOUND
    may = make_client(mailboxes=[webhook.mailbox], scopes=[WRITE, CONTENT])
    assert one(may, method, webhook, body).status_code == 200


@pytest.mark.parametrize("verb", ["resume", "rotate-secret"])
def test_a_key_without_content_cannot_resume_or_rotate_a_full_webhook(verb: str, webhook: Webhook) -> None:
    assert webhook.mailbox is not None
    client = make_client(mailboxes=[webhook.mailbox], scopes=[WRITE])
    before = Webhook.objects.values().get()
    assert problem(one(client, "POST", webhook, verb=verb)) == LACKS_CONTENT
    assert problem(one(client, "POST", UNKNOWN, verb=verb)) == NOT_FOUND
    assert Webhook.objects.values().get() == before
    assert one(make_client(scopes=[WRITE, CONTENT]), "POST", webhook, verb=verb).status_code == 200
    webhooks.update_webhook(webhook, payload="metadata")
    body = {"overlap_hours": 0} if verb == "rotate-secret" else None
    assert one(client, "POST", webhook, body, verb=verb).status_code == 200


def test_a_key_without_content_can_lower_pause_describe_and_delete_a_full_webhook(webhook: Webhook) -> None:
    assert webhook.mailbox is not None
    client = make_client(mailboxes=[webhook.mailbox], scopes=[WRITE])
    assert one(client, "PATCH", webhook, {"description": "new", "url": URL, "headers": MASKED}).status_code == 200
    assert one(client, "POST", webhook, verb="pause").json()["state"] == "paused"
    lowered = one(client, "PATCH", webhook, {"payload": "metadata"})
    assert (lowered.status_code, lowered.json()["payload"]) == (200, "metadata")
    assert one(client, "PATCH", webhook, {"url": "http://127.0.0.1:10/"}).status_code == 200
    assert one(client, "DELETE", webhook).status_code == 204


ROUTES = [
    ("GET", "", None), ("PATCH", "", {"description": "x"}), ("PUT", "", {}), ("DELETE", "", None),
    ("POST", "pause", None), ("POST", "resume", None), ("POST", "rotate-secret", None), ("GET", "deliveries", None),
    ("POST", "check-signature", None), ("POST", "replay", None), ("GET", "pull", None), ("POST", "ack", None),
]  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_not_for_the_key_is_one_constant_404(route: tuple[str, str, Any], mailbox: Mailbox) -> None:
    other = make_mailbox(address="sales@example.com")
    hidden = [
        make_own_webhook(mailbox=other)[0],
        make_own_webhook(alias=make_alias(address="team@example.com", mailbox=other))[0],
        make_own_webhook(domain=mailbox.domain)[0],
    ]
    dead, _ = make_own_webhook(mailbox=mailbox)
    webhooks.delete_webhook(dead)
    alias = make_alias(mailbox=mailbox)
    orphan, _ = make_own_webhook(alias=alias)
    provision.delete_alias(alias)  # nothing has settled yet
    client = make_client(mailboxes=[mailbox])
    before = list(Webhook.objects.order_by("pk").values())
    method, verb, body = route
    shown = []
    for public_id in [*(hook.public_id for hook in (*hidden, dead, orphan)), UNKNOWN, "wh_", "x", mailbox.public_id]:
        with CaptureQueriesContext(connection) as queries:
            answer = one(client, method, public_id, body, verb=verb)
        shown.append((seen_as(answer), len(queries)))
    assert shown[0][0][0] == 404
    assert all(entry == shown[0] for entry in shown)
    assert list(Webhook.objects.order_by("pk").values()) == before
    assert call(client, "GET", "/webhooks").json()["data"] == []


@pytest.mark.parametrize("thing", ["alias", "mailbox", "domain"])
def test_a_webhook_is_gone_with_what_it_is_bound_to(thing: str, alias: Alias) -> None:
    bound = {"alias": alias, "mailbox": alias.mailbox, "domain": alias.domain}[thing]
    webhook, _ = make_own_webhook(**{thing: bound})
    assert one(make_client(), "GET", webhook).status_code == 200
    if isinstance(bound, Alias):
        provision.delete_alias(bound)
    elif isinstance(bound, Mailbox):
        provision.delete_mailbox(bound)
    else:
        provision.delete_domain(bound)
    assert problem(one(make_client(), "GET", webhook)) == NOT_FOUND
    assert call(make_client(), "GET", "/webhooks").json()["data"] == []


@pytest.mark.parametrize("route", [("GET", "/webhooks"), *((method, verb) for method, verb, _ in ROUTES)])
def test_each_route_wants_its_scope(route: tuple[str, str], webhook: Webhook) -> None:
    method, verb = route
    path = verb if verb.startswith("/") else f"/webhooks/{webhook.public_id}{verb and '/'}{verb}"
    wanted = READ if method == "GET" else WRITE
    also = [CONTENT] if verb in ("pull", "ack") else []
    lacking = make_client(scopes=[scope for scope in Scope if scope not in (READ, WRITE)])
    refused = call(lacking, method, path)
    assert problem(refused) == (403, "insufficient_scope")
    assert refused.json()["required_scopes"] == [*also, wanted]
    if method != "GET":
        assert problem(call(make_client(scopes=[READ, CONTENT]), method, path)) == (403, "insufficient_scope")
    assert problem(call(Client(), method, path)) == (401, "missing_credentials")
    assert call(make_client(scopes=[wanted, CONTENT]), method, path).status_code in (200, 204, 400)


def test_a_moved_alias_shows_at_once_and_resuming_confirms(alias: Alias) -> None:
    other = make_mailbox(address="sales@example.com")
    webhook, _ = make_own_webhook(alias=alias)
    before, after = make_client(mailboxes=[alias.mailbox]), make_client(mailboxes=[other])
    assert one(before, "GET", webhook).json()["state"] == "active"
    move(alias, other)
    assert problem(one(before, "GET", webhook)) == NOT_FOUND
    shown = one(after, "GET", webhook).json()
    assert (shown["state"], shown["state_reason"]) == ("paused", MOVED)
    assert call(after, "GET", "/webhooks").json()["data"] == [shown]
    assert problem(one(before, "POST", webhook, verb="resume")) == NOT_FOUND
    resumed = one(after, "POST", webhook, verb="resume").json()
    assert (resumed["state"], resumed["state_reason"]) == ("active", "")
