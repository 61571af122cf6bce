"""Domains, mailboxes and aliases: who may what, and that a key learns nothing of what it may not see."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from emailgistics.common.access import Scope
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import make_alias, make_domain, make_mailbox
from tests.headers import headers_of
from tests.mailboxes.api_client import (
    NOT_FOUND_BODY,
    RESTRICTED_BODY,
    answered,
    lacks_scope,
    not_found_in,
    problem,
    seen,
    send,
    shape,
    unknown,
)

pytestmark = pytest.mark.django_db

ONE = ("domains", "mailboxes", "aliases")
WHOLE_DOMAIN = {("post", "domains"), ("patch", "domains"), ("delete", "domains"), ("post", "mailboxes")}


@dataclass(frozen=True)
class World:
    """What a key for `mailbox` may see, and one of each that it may not. Some is gone."""

    mailbox: Mailbox
    alias: Alias
    foreign_mailbox: Mailbox
    foreign_alias: Alias
    foreign_domain: Domain
    deleted_mailbox: Mailbox
    deleted_alias: Alias
    deleted_domain: Domain

    def visible(self, name: str) -> Domain | Mailbox | Alias:
        return {"domains": self.mailbox.domain, "mailboxes": self.mailbox, "aliases": self.alias}[name]

    def hidden(self, name: str) -> list[str]:
        """Ids of that kind that are nothing to the key, each for another reason."""
        model, rows = {
            "domains": (Domain, [self.foreign_domain, self.deleted_domain]),
            "mailboxes": (Mailbox, [self.foreign_mailbox, self.deleted_mailbox]),
            "aliases": (Alias, [self.foreign_alias, self.deleted_alias]),
        }[name]
        given: list[str] = [row.public_id for row in rows]  # type: ignore[attr-defined]
        visible = self.visible(name).public_id
        other_kind = (self.mailbox if model is Alias else self.alias).public_id
        malformed = [visible.upper(), visible + "0", "nonsense", f"{model.ID_PREFIX}_", "0"]
        return [*given, unknown(model), other_kind, *malformed]


def make_world() -> tuple[World, Client]:
    """And a key with every scope for what is visible in it, and for mailboxes that are deleted by now."""
    mailbox, deleted = make_mailbox(), make_mailbox(address="gone@example.com")
    abroad = make_mailbox(address="gone@example.org")
    other = make_mailbox(address="sales@example.com")
    world = World(
        mailbox=mailbox,
        alias=make_alias(mailbox=mailbox),
        foreign_mailbox=other,
        foreign_alias=make_alias(address="buy@example.com", mailbox=other),
        foreign_domain=make_domain(name="example.net"),
        deleted_mailbox=deleted,
        deleted_alias=make_alias(address="old@example.com", mailbox=deleted),
        deleted_domain=abroad.domain,
    )
    _, plaintext = make_key(mailboxes=[mailbox, deleted, abroad])
    provision.delete_mailbox(deleted)
    provision.delete_domain(abroad.domain)
    return world, client_of(plaintext)


def body_for(world: World, method: str, name: str) -> Any:
    if method == "post":
        return {
            "domains": {"name": "new.example.com"},
            "mailboxes": {"address": "new@example.com"},
            "aliases": {"domain_id": world.mailbox.domain.public_id, "name": "new"},
        }[name]
    return {"patch": {"active": False}, "put": shape(world.visible(name))}.get(method)


OPERATIONS = [
    (method, name)
    for name in ONE
    for method in ("get", "head", "list", "post", "patch", "put", "delete")
    if method != "put" or name == "aliases"
]


def perform(client: Client, world: World, method: str, name: str, *, public_id: str = "") -> Any:
    url = f"/v1/{name}"
    if method not in ("list", "post"):
        url += f"/{public_id or world.visible(name).public_id}"
    return send(client, "get" if method == "list" else method, url, body_for(world, method, name))


@pytest.mark.parametrize(("method", "name"), OPERATIONS)
def test_three_keys_one_that_may_one_without_the_scope_one_without_the_mailbox(method: str, name: str) -> None:
    world, _ = make_world()
    is_read = method in ("get", "head", "list")
    needed = Scope(f"{name}:{'read' if is_read else 'write'}")
    mailboxes = None if (method, name) in WHOLE_DOMAIN else [world.mailbox]
    before = [shape(world.visible(kind)) for kind in ONE]

    lacking = [scope for scope in Scope if scope != needed and not (is_read and scope == f"{name}:write")]
    lacks = perform(make_client(mailboxes=mailboxes, scopes=lacking), world, method, name)
    expected = (403, None if method == "head" else lacks_scope(needed.value))
    assert answered(lacks) == expected
    assert 'error="insufficient_scope"' in lacks["WWW-Authenticate"]

    foreign = perform(make_client(mailboxes=[world.foreign_mailbox], scopes=[needed]), world, method, name)
    if (method, name) in WHOLE_DOMAIN:
        assert answered(foreign) == (403, RESTRICTED_BODY)
    elif method == "list":
        assert shape(world.visible(name)) not in foreign.json()["data"] or name == "domains"
    elif name == "domains":
        assert foreign.status_code == 200  # both mailboxes are in it
    elif method == "post":
        # it names a visible domain and no mailbox, so its own
        assert (foreign.status_code, foreign.json()["mailbox_id"]) == (201, world.foreign_mailbox.public_id)
        Alias.objects.filter(name="new").update(deleted_at="2020-01-01T00:00:00Z")  # its address has rested
    else:
        assert answered(foreign) == (404, None if method == "head" else NOT_FOUND_BODY)
    assert [shape(world.visible(kind)) for kind in ONE] == before

    may = perform(make_client(mailboxes=mailboxes, scopes=[needed]), world, method, name)
    assert may.status_code == {"post": 201, "delete": 204}.get(method, 200), may.content


# --- what may not be seen cannot be told apart


@pytest.mark.parametrize("method", ["get", "head", "options", "patch", "put", "delete", "post"])
@pytest.mark.parametrize("name", ONE)
def test_ids_in_the_path(name: str, method: str) -> None:
    world, client = make_world()
    body = {"active": True, "description": "x", "nonsense": 1} if method in ("patch", "put", "post") else None
    answers = {seen(client, method, f"/v1/{name}/{id_}", body) for id_ in world.hidden(name)}
    assert len(answers) == 1, answers
    [(status, content, *_)] = answers
    if method == "options":
        assert status == 200
    elif method == "post" or (method == "put" and name != "aliases"):
        assert status == 405
    elif name == "domains" and method in ("patch", "delete"):
        assert status == 403
    else:
        assert (status, json.loads(content or "null")) == (404, None if method == "head" else NOT_FOUND_BODY)


@pytest.mark.parametrize(("name", "reference"), [("aliases", "domain_id"), ("aliases", "mailbox_id")])
@pytest.mark.parametrize("method", ["post", "patch", "put"])
@pytest.mark.parametrize("more", [{}, {"active": "nonsense", "unknown": 1}])
def test_ids_in_the_body(name: str, reference: str, method: str, more: dict[str, Any]) -> None:
    world, client = make_world()
    base = {"domain_id": world.mailbox.domain.public_id, "mailbox_id": world.mailbox.public_id, "name": "new"}
    url = f"/v1/{name}" if method == "post" else f"/v1/{name}/{world.alias.public_id}"
    kind = "domains" if reference == "domain_id" else "mailboxes"
    wrong: list[Any] = [*world.hidden(kind), "", "\0", 7, True, [], {}, [world.visible(kind).public_id]]
    answers = {seen(client, method, url, {**base, reference: id_, **more}) for id_ in wrong}
    assert len(answers) == 1, answers
    assert answers.pop()[0] == 404
    assert Alias.objects.count() == 3


@pytest.mark.parametrize(("name", "parameter"), [
    ("mailboxes", "domain_id"), ("aliases", "domain_id"), ("aliases", "mailbox_id"),
])  # fmt: skip
@pytest.mark.parametrize("more", ["", "&limit=nonsense"])
def test_ids_in_a_filter(name: str, parameter: str, more: str) -> None:
    world, client = make_world()
    kind = {"domain_id": "domains", "mailbox_id": "mailboxes"}.get(parameter, name)
    wrong = [*world.hidden(kind), "", "%00", "%ff"]
    answers = {seen(client, "get", f"/v1/{name}?{parameter}={id_}{more}") for id_ in wrong}
    assert len(answers) == 1, answers
    assert answers.pop()[0] == 404


def test_lists_totals_and_the_ids_in_them_know_only_what_may_be_seen() -> None:
    world, client = make_world()
    hidden = {id_ for name in ONE for id_ in world.hidden(name)[:2]} | {unknown(Domain)}
    default = world.mailbox.domain.default_mailbox
    assert default is not None
    for name in ONE:
        page = client.get(f"/v1/{name}")
        text = page.content.decode()
        assert page.json()["pagination"]["total"] == len(page.json()["data"]) == 1
        assert not any(id_ in text for id_ in [*hidden, default.public_id])


def test_a_key_whose_mailboxes_are_all_gone_sees_nothing_and_may_do_nothing() -> None:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    domain = mailbox.domain
    client = make_client(mailboxes=[mailbox])
    assert client.get("/v1/domains").json()["pagination"]["total"] == 1
    provision.delete_mailbox(mailbox)
    for name, row in (("domains", domain), ("mailboxes", mailbox), ("aliases", alias)):
        assert client.get(f"/v1/{name}").json()["data"] == []
        assert answered(client.get(f"/v1/{name}/{row.public_id}")) == (404, NOT_FOUND_BODY)
    body = {"domain_id": domain.public_id, "name": "new"}
    assert answered(send(client, "post", "/v1/aliases", body)) == (404, not_found_in("domain_id"))


def test_a_mailbox_made_again_under_the_same_address_is_not_the_old_one() -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=[mailbox])
    provision.delete_mailbox(mailbox)
    Mailbox.objects.filter(pk=mailbox.pk).update(deleted_at="2020-01-01T00:00:00Z")
    again = make_mailbox()
    assert client.get("/v1/mailboxes").json()["data"] == []
    assert answered(client.get(f"/v1/mailboxes/{again.public_id}")) == (404, NOT_FOUND_BODY)


# --- what is restricted is decided before anything is looked for


@pytest.mark.parametrize(("method", "name"), sorted(WHOLE_DOMAIN))
def test_what_acts_on_a_whole_domain_is_refused_alike_whatever_is_named(method: str, name: str) -> None:
    world, client = make_world()
    ids = [world.mailbox.domain.public_id, *world.hidden("domains")] if method != "post" else [""]
    bodies: list[Any] = [{}, {"name": "example.com"}, {"address": "support@example.com"}, {"nonsense": []}, None]
    answers = {seen(client, method, f"/v1/{name}{id_ and '/' + id_}", body) for id_ in ids for body in bodies}
    assert len(answers) == 1, answers
    [(status, content, _, queries)] = answers
    assert (status, queries) == (403, 1)  # the key
    assert b"allowlist_restricted" in content


def test_the_scope_is_asked_for_first() -> None:
    world, _ = make_world()
    client = make_client(mailboxes=[world.mailbox], scopes=[Scope.EMAILS_READ])
    assert answered(send(client, "post", "/v1/domains", {})) == (403, lacks_scope("domains:write"))
    assert answered(send(client, "post", "/v1/aliases", {"name": "*"})) == (403, lacks_scope("aliases:write"))


# --- methods


@pytest.mark.parametrize(("url", "allowed"), [
    ("/v1/domains", "GET, POST, HEAD, OPTIONS"), ("/v1/mailboxes", "GET, POST, HEAD, OPTIONS"),
    ("/v1/aliases", "GET, POST, HEAD, OPTIONS"),
    ("/v1/domains/{id}", "GET, PATCH, DELETE, HEAD, OPTIONS"),
    ("/v1/mailboxes/{id}", "GET, PATCH, DELETE, HEAD, OPTIONS"),
    ("/v1/aliases/{id}", "GET, PATCH, DELETE, PUT, HEAD, OPTIONS"),
])  # fmt: skip
def test_a_method_that_is_not_there_is_405_and_options_say_which_are(url: str, allowed: str) -> None:
    world, client = make_world()
    url = url.format(id=world.visible(url.split("/")[2]).public_id)
    named = set(allowed.split(", "))
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "TRACE"} - named:
        answer = send(client, method, url)
        there_is = ", ".join(json.loads(answer.content)["detail"].partition("; there is ")[2].rstrip(".").split(", "))
        assert set(there_is.split(", ")) == named
        detail = f"There is no {method} of this path; there is {there_is}."
        assert answered(answer) == (405, problem(405, "method_not_allowed", detail))
        assert answer["Content-Type"] == "application/problem+json"
        assert set(answer["Allow"].split(", ")) == named
    every_key = [client, make_client(), make_client(mailboxes=[world.foreign_mailbox], scopes=[Scope.STATISTICS_READ])]
    answers = [send(one, "options", url) for one in every_key]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answered(answers[0]) == (200, {"methods": answers[0].json()["methods"]})
    assert set(answers[0].json()["methods"]) == named
    assert send(Client(), "options", url).status_code == 401


@pytest.mark.parametrize("url", ["/v1/{name}", "/v1/{name}/{id}"])
@pytest.mark.parametrize("name", ONE)
def test_head_answers_as_get_does_without_a_body(name: str, url: str) -> None:
    world, client = make_world()
    url = url.format(name=name, id=world.visible(name).public_id)
    get, head = client.get(url), client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert headers_of(head) == headers_of(get)
