"""404 means 404: what a key may not see is not there for it, in no way that an answer could tell.

Every route is asked, as the URL configuration and the OpenAPI document have them. What is new there is asked as well,
or fails until tests/allowlist.py is told whose ids it takes.
"""

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from emailgistics.common.access import Scope
from mailboxes.services import provision
from tests import allowlist
from tests.allowlist import CURSORS, KIND_OF_REFERENCE, METHODS, Route, World, call, shown
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_mailbox

pytestmark = [pytest.mark.django_db, pytest.mark.long]

ALL, WITHOUT_CONTENT = tuple(Scope), tuple(set(Scope) - {Scope.EMAILS_CONTENT})
FIELDS = '{"active": false, "description": "x", "name": "x", "payload": "full"}'
BODIES = ("{}", '{"nonsense": 1}', "{", "[]", FIELDS)
QUERIES = ({"include": "text"}, {"with": "mail"}, {"limit": "0", "page": "x", "state": "x"})


@pytest.fixture
def world() -> World:
    return allowlist.make_world()


Ask = Callable[[str], HttpResponse]


def check_that_all_are_the_same(ids: list[str], ask: Ask, *, what: str, may_be: tuple[int, ...]) -> None:
    """The answers and the number of queries; the first id is one that was never given to anything."""
    expected: tuple[object, int] | None = None
    for id_ in ids:
        with CaptureQueriesContext(connection) as queries:
            answer = ask(id_)
        found = (shown(answer), len(queries))
        expected = expected or found
        assert found == expected, f"{what}: {id_!r} is not like {ids[0]!r}"
        assert answer.status_code in may_be, f"{what}: {id_!r} is answered {answer.status_code}"


def paths(world: World) -> Iterator[tuple[Route, str, Callable[[str], str], bool]]:
    """Each route with each of its ids in turn: whose it is, and the path with another in its place."""
    for route in allowlist.routes():
        own = [world.visible[kind] for kind in route.kinds]
        for position, kind in enumerate(route.kinds):

            def with_id(id_: str, route: Route = route, own: list[str] = own, position: int = position) -> str:
                return route.url([*own[:position], quote(id_, safe=""), *own[position + 1 :]])

            yield route, kind, with_id, position == len(own) - 1


@pytest.mark.parametrize("method", METHODS)
def test_an_id_in_a_path_tells_nothing_about_what_is_there(world: World, method: str) -> None:
    before, asked = allowlist.everything(), 0
    for scopes in (ALL, WITHOUT_CONTENT):
        client = make_client(mailboxes=world.allowed, scopes=scopes)
        for route, kind, with_id, _ in paths(world):
            is_thorough = scopes is ALL and route.has(method) and method != "HEAD"
            ids = world.invisible(kind) if is_thorough else world.hidden(kind)
            check_that_all_are_the_same(
                ids,
                lambda id_: call(client, method, with_id(id_)),  # noqa: B023 - called at once
                what=f"{method} {route.path}",
                # what OPTIONS tells is about the route
                may_be=(200,) if method == "OPTIONS" else (404, 403) if route.has(method) else (405,),
            )
            asked += 1
    assert asked >= 20
    assert allowlist.everything() == before


@pytest.mark.parametrize("method", sorted({*METHODS} - {"HEAD", "OPTIONS"}))
def test_nor_does_it_whatever_else_is_wrong_or_right(world: World, method: str) -> None:
    before = allowlist.everything()
    for scopes in (ALL, WITHOUT_CONTENT):
        client = make_client(mailboxes=world.allowed, scopes=scopes)
        for route, kind, with_id, _ in paths(world):
            if not route.has(method):
                continue
            bodies = BODIES if method in ("POST", "PUT", "PATCH") else ()
            for query, body in [*((query, None) for query in QUERIES), *(({}, body) for body in bodies)]:
                check_that_all_are_the_same(
                    world.hidden(kind),
                    lambda id_: call(client, method, with_id(id_), query=query, body=body),  # noqa: B023
                    what=f"{method} {route.path} {query} {body}",
                    # what cannot be read at all is not looked into for what it needs
                    may_be=(400, 403, 404) if body in ("{", "[]") else (403, 404),
                )
    assert allowlist.everything() == before


def test_what_the_key_may_see_is_there(world: World) -> None:
    """So that the tests here compare refusals of what could have been an answer."""
    client = make_client(mailboxes=world.allowed)
    for route, kind, with_id, is_last in paths(world):
        if is_last and "GET" in route.methods:
            assert call(client, "GET", with_id(world.visible[kind])).status_code == 200, route.path
    everywhere = make_client()
    for route, kind, with_id, _ in paths(world):
        if len(route.kinds) == 1 and "GET" in route.methods:
            answers = {id_: call(everywhere, "GET", with_id(id_)).status_code for id_ in world.foreign[kind]}
            assert set(answers.values()) == {200}, (route.path, answers)


def test_an_id_in_a_body_tells_nothing_before_anything_else_is_looked_at(world: World) -> None:
    client = make_client(mailboxes=world.allowed)
    document, before, asked = allowlist.schema(), allowlist.everything(), set()
    for route in allowlist.routes():
        url = route.url([world.visible[kind] for kind in route.kinds])
        for method in {"POST", "PUT", "PATCH"}.intersection(route.methods):
            documented = allowlist.body_references(route, method, document)
            for name in KIND_OF_REFERENCE:
                kind, is_documented = KIND_OF_REFERENCE[name], name in documented
                for others in ({}, {"name": "x", "url": "https://hooks.example.net/"}, {"name": 5, "nonsense": []}):

                    def ask(id_: str, others: dict[str, object] = others, name: str = name) -> HttpResponse:
                        return call(client, method, url, body=json.dumps({**others, name: id_}))  # noqa: B023

                    check_that_all_are_the_same(
                        ["", *(world.invisible if is_documented and not others else world.hidden)(kind)],
                        ask,
                        what=f"{method} {route.path} {name} {others}",
                        may_be=(404, 403) if is_documented else (400, 403, 404),
                    )
                    if not is_documented:
                        break
                if is_documented:
                    asked.add((method, route.path, name))
                    refused = call(client, method, url, body=json.dumps({name: "x"}))
                    for value in (5, True, [], {}, ["x"], 1.5):
                        assert shown(call(client, method, url, body=json.dumps({name: value}))) == shown(refused)
    assert {("POST", "/v1/aliases", "domain_id"), ("POST", "/v1/aliases", "mailbox_id")} <= asked
    assert {("POST", "/v1/rules", name) for name in ("alias_id", "mailbox_id", "domain_id")} <= asked
    assert {("POST", "/v1/webhooks", name) for name in ("alias_id", "mailbox_id", "domain_id")} <= asked
    assert allowlist.everything() == before


def test_an_id_in_a_filter_or_a_cursor_tells_nothing(world: World) -> None:
    client = make_client(mailboxes=world.allowed)
    document, asked = allowlist.schema(), set()
    for route in allowlist.routes():
        if not allowlist.is_list(route, document):
            continue
        url = route.url([world.visible[kind] for kind in route.kinds])
        documented = allowlist.query_references(route, document)
        kinds = KIND_OF_REFERENCE | dict.fromkeys(CURSORS, allowlist.kind_of_list(route))
        for name, kind in kinds.items():
            is_documented = name in (*documented, *CURSORS)
            for method, others in (("GET", {}), ("HEAD", {}), ("GET", {"limit": "0", "page": "x", "state": "x"})):
                is_thorough = is_documented and (method, others) == ("GET", {})
                check_that_all_are_the_same(
                    ["", *(world.invisible if is_thorough else world.hidden)(kind)],
                    lambda id_: call(client, method, url, query={**others, name: id_}),  # noqa: B023
                    what=f"{method} {route.path}?{name}= {others}",
                    may_be=(404,) if is_documented else (200, 400),
                )
            asked.add((route.path, name))
            if name in documented:
                assert call(client, "GET", url, query={name: world.visible[kind]}).status_code == 200
    assert {("/v1/emails", "alias_id"), ("/v1/emails", "starting_after"), ("/v1/aliases", "domain_id")} <= asked


def snapshot(client: Client, world: World) -> dict[str, tuple[object, int]]:
    """Every answer that there is to GET, page after page."""
    document, taken = allowlist.schema(), {}

    def take(url: str, query: dict[str, str]) -> None:
        name = f"{url}?{query}"
        with CaptureQueriesContext(connection) as queries:
            answer = call(client, "GET", url, query=query)
        status, content, headers = shown(answer)
        if url == "/v1/me":
            content = json.dumps(json.loads(content) | {"server_time": ""}).encode()
            headers.pop("Content-Length", None)
        taken[name] = ((status, content, headers), len(queries))
        if (
            status == 200
            and allowlist.is_list(route, document)
            and (more := answer.json()["pagination"]["next_cursor"])
        ):
            take(url, query | {"starting_after": more})

    for route in allowlist.routes():
        if "GET" not in route.methods:
            continue
        url = route.url([world.visible[kind] for kind in route.kinds])
        take(url, {})
        if allowlist.is_list(route, document):
            references = [*allowlist.query_references(route, document), *CURSORS]
            kinds = KIND_OF_REFERENCE | dict.fromkeys(CURSORS, allowlist.kind_of_list(route))
            for query in [{"limit": "1"}, {"page": "2"}, *({name: world.visible[kinds[name]]} for name in references)]:
                take(url, query)
    return taken


def test_a_hundred_rows_that_are_not_for_the_key_change_no_byte_of_any_answer(world: World) -> None:
    further = make_mailbox(address="further@example.com")
    for scopes in (ALL, WITHOUT_CONTENT):
        client = make_client(mailboxes=[*world.allowed, further], scopes=scopes)
        (domain,) = [world.visible["dom"]]
        without_mailbox = {"domain_id": domain, "name": "new"}
        before = snapshot(client, world)
        choices = shown(call(client, "POST", "/v1/aliases", body=json.dumps(without_mailbox)))
        allowlist.grow(world, rows=100 if scopes is ALL else 0)
        after = snapshot(client, world)
        assert before.keys() == after.keys()
        assert [name for name in before if before[name] != after[name]] == []
        assert shown(call(client, "POST", "/v1/aliases", body=json.dumps(without_mailbox))) == choices
        assert choices[0] == 400
    assert len(before) >= 20


def test_an_address_that_is_not_to_be_had_does_not_say_why(world: World) -> None:
    """The one bit that is unavoidable: that it is not to be had."""
    client = make_client(mailboxes=world.allowed)
    make_alias(address="rests@example.com", mailbox=make_mailbox(address="boxes@example.com"))
    provision.delete_mailbox(make_mailbox(address="boxed@example.com"))
    provision.delete_alias(make_alias(address="aliased@example.com", mailbox=world.allowed[0]))
    answers = set()
    for name in (
        "sales",
        "offers",
        "rests",
        "boxes",
        "boxed",
        "aliased",
        "postmaster",
        "abuse",
        "support",
        "help",
        "inbox",
    ):
        body = {"domain_id": world.visible["dom"], "name": name, "mailbox_id": world.visible["mbx"]}
        status, content, headers = shown(call(client, "POST", "/v1/aliases", body=json.dumps(body)))
        assert json.loads(content)["code"] == "address_unavailable", name
        headers.pop("Content-Length", None)
        answers.add((status, content.replace(name.encode(), b"NAME"), tuple(sorted(headers.items()))))
    assert len(answers) == 1
    assert answers.pop()[0] == 409


# --- scopes: told by the route and the form of the request, so before anything is looked for


def scopes_without(*required: Scope) -> set[Scope]:
    """As many as there are that do not give what is required."""
    giving = {Scope(scope.value.replace(":read", ":write")) for scope in required if scope.value.endswith(":read")}
    return set(Scope) - giving - set(required)


def test_a_key_without_the_scope_gets_a_403_that_names_it_whatever_is_there(world: World) -> None:
    asked = 0
    for route in allowlist.routes():
        for method in [*route.methods, *(["HEAD"] if "GET" in route.methods else [])]:
            required = route.required(method)
            if not required:
                continue
            named = " ".join(required)
            client = make_client(mailboxes=world.allowed, scopes=scopes_without(*required))
            ids = [world.visible[kind] for kind in route.kinds]
            urls = {route.url(ids)}
            for position, kind in enumerate(route.kinds):
                others = [quote(id_, safe="") for id_ in world.hidden(kind)]
                urls |= {route.url([*ids[:position], other, *ids[position + 1 :]]) for other in others}
            answers = set()
            for url in urls:
                for query in ({}, {"mailbox_id": "x", "limit": "0", "include": "text"}):
                    with CaptureQueriesContext(connection) as queries:
                        answer = call(client, method, url, query=query, body='{"mailbox_id": "x", "domain_id": "y"}')
                    answers.add((*map(str, shown(answer)), len(queries)))
                    assert answer.status_code == 403, f"{method} {url} passes without {named}"
                    challenge = f'Bearer realm="Emailgistics API", error="insufficient_scope", scope="{named}"'
                    assert answer["WWW-Authenticate"] == challenge
                    if method != "HEAD":
                        assert answer.json()["code"] == "insufficient_scope"
                        assert answer.json()["required_scopes"] == list(required)
            assert len(answers) == 1, f"{method} {route.path} tells things apart before it looks at the scope"
            assert next(iter(answers))[-1] == 1
            asked += 1
    assert asked >= 20


# what the first word of a path does not say
SCOPE_OF: dict[tuple[str, str], tuple[Scope, ...] | Scope | None] = {
    ("GET", "/v1/emails/<str:id>/attachments"): Scope.EMAILS_CONTENT,
    ("GET", "/v1/emails/<str:id>/attachments/<str:attachment_id>"): Scope.EMAILS_CONTENT,
    ("GET", "/v1/emails/<str:id>/raw"): Scope.EMAILS_CONTENT,
    ("GET", "/v1/rules"): Scope.ALIASES_READ,
    ("POST", "/v1/rules"): Scope.ALIASES_WRITE,
    ("GET", "/v1/rules/<str:id>"): Scope.ALIASES_READ,
    ("PATCH", "/v1/rules/<str:id>"): Scope.ALIASES_WRITE,
    ("DELETE", "/v1/rules/<str:id>"): Scope.ALIASES_WRITE,
    ("GET", "/v1/deliveries/<str:id>"): Scope.WEBHOOKS_READ,
    ("POST", "/v1/deliveries/<str:id>/replay"): Scope.WEBHOOKS_WRITE,
    ("POST", "/v1/deliveries/<str:id>/cancel"): Scope.WEBHOOKS_WRITE,
    ("GET", "/v1/jobs/<str:id>"): Scope.WEBHOOKS_READ,
    ("DELETE", "/v1/jobs/<str:id>"): Scope.WEBHOOKS_WRITE,
    ("GET", "/v1/emails/<str:id>/deliveries"): (Scope.EMAILS_READ, Scope.WEBHOOKS_READ),
    ("GET", "/v1/webhooks/<str:id>/pull"): (Scope.EMAILS_CONTENT, Scope.WEBHOOKS_READ),
    ("POST", "/v1/webhooks/<str:id>/ack"): (Scope.EMAILS_CONTENT, Scope.WEBHOOKS_WRITE),
    ("POST", "/v1/emails"): Scope.EMAILS_SUBMIT,
    ("POST", "/v1/emails/<str:id>/revoke-links"): (Scope.EMAILS_CONTENT, Scope.EMAILS_WRITE),
    ("POST", "/v1/routing/explain"): Scope.ALIASES_READ,
    ("GET", "/v1/me"): None,
    ("GET", "/v1/openapi.json"): None,
    ("GET", "/v1/schemas/<str:name>"): None,
}


def test_each_scope_alone_opens_what_is_documented_and_nothing_else(world: World) -> None:
    clients = {scope: make_client(mailboxes=world.allowed, scopes=[scope]) for scope in Scope}
    for route in allowlist.routes():
        url = route.url([f"{kind}_{'0' * 26}" for kind in route.kinds])
        for method in route.methods:
            verb = "read" if method == "GET" else "write"
            default = f"{route.path.split('/')[2]}:{verb}"
            needed = SCOPE_OF[method, route.path] if (method, route.path) in SCOPE_OF else Scope(default)
            all_needed = needed if isinstance(needed, tuple) else (needed,) if needed else ()
            enough = {scope for scope in Scope if all(scope not in scopes_without(one) for one in all_needed)}
            refused = {
                scope
                for scope, client in clients.items()
                if (answer := call(client, method, url, body="{}")).status_code == 403
                and answer.json()["code"] == "insufficient_scope"
            }
            assert refused == set(Scope) - enough, f"{method} {route.path}"
