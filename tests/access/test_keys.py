"""The authorisation matrix: every operation x whatever a key may lack.

Operations come out of the OpenAPI document, so a new one is asked as well, or fails until it has a row in table.py.
A test is one column for one operation; its message says which cell it was.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from apikeys.authentication import widen
from emailgistics.common.access import Scope
from tests.access.asking import Caller, Seen, check_that_all_are_the_same
from tests.access.keys import Callers, Refused
from tests.access.operations import KIND_OF_REFERENCE, OPERATIONS, Operation, each
from tests.access.table import TABLE, Form, row_of
from tests.access.world import World
from tests.worlds.standing import undone

pytestmark = [pytest.mark.django_db, pytest.mark.long, pytest.mark.usefixtures("nothing_is_changed")]

CHALLENGE = 'Bearer realm="Emailgistics API"'
# what a route says of itself, to everybody
OF_A_ROUTE = {"Allow", "Cache-Control", "Vary"}


# --- 401


def asked_with(refused: Refused, method: str, url: str, *, address: str) -> Seen:
    """Each from an address of its own, for who is refused too often may be told to wait."""
    caller = Caller(refused.headers)
    seen = caller.ask(method, url, query=refused.query, body="{}" if method == "POST" else None, REMOTE_ADDR=address)
    kept = ((name, value.replace(address, "*")) for name, value in seen.headers if name not in OF_A_ROUTE)
    return replace(seen, headers=tuple(kept), content=seen.content.replace(address.encode(), b"*"))


@pytest.fixture(scope="module")
def refusals(refused: list[Refused]) -> dict[str, Seen]:
    """What GET /v1/me answers to each key that opens nothing."""
    seen = {one.what: asked_with(one, "GET", "/v1/me", address=f"198.19.100.{n}") for n, one in enumerate(refused, 100)}
    for one in refused:
        answer = seen[one.what]
        assert (answer.status, answer.code) == (401, one.code), one
        assert answer.header("WWW-Authenticate").startswith(CHALLENGE), one
        has_error = 'error="invalid_token"' in answer.header("WWW-Authenticate")
        assert has_error == (one.code != "missing_credentials"), one
        assert len(answer.queries) == one.queries, f"{one} takes {answer.queries}"
    assert len({(answer.content, answer.headers) for answer in seen.values()}) < len(seen)
    return seen


@each(OPERATIONS)
def test_a_key_that_opens_nothing_is_the_same_401_everywhere(
    operation: Operation, refused: list[Refused], refusals: dict[str, Seen], world: World
) -> None:
    url, place = world.url(operation), 100 + OPERATIONS.index(operation)
    one_of_each = {one.code: one for one in refused}.values()
    others = [method for method in ("HEAD", "OPTIONS") if method == "OPTIONS" or operation.method == "GET"]
    asked = [(operation.method, one) for one in refused] + [(method, one) for method in others for one in one_of_each]
    for number, (method, one) in enumerate(asked, 100):
        expected = refusals[one.what]
        if method == "HEAD":
            expected = replace(expected, content=b"")
        seen = asked_with(one, method, url, address=f"198.18.{place}.{number}")
        assert seen == expected, f"{method} {url} with {one}: {seen}"


# --- 403 insufficient_scope: told by route and form, so before anything is looked for


def check_that_it_lacks(seen: Seen, needed: tuple[str, ...], *, what: str) -> None:
    named = " ".join(needed)
    assert seen.status == 403, f"{what} passes without {named}: {seen}"
    assert seen.header("WWW-Authenticate") == f'{CHALLENGE}, error="insufficient_scope", scope="{named}"', what
    assert len(seen.queries) == 1, f"{what} looks for something before it looks at the scope: {seen.queries}"
    if seen.content:
        assert (seen.code, seen.problem["required_scopes"]) == ("insufficient_scope", list(needed)), what


def gives_all(scope: Scope, needed: tuple[str, ...]) -> bool:
    return widen([scope]).issuperset(map(Scope, needed))


@each(OPERATIONS)
def test_each_scope_alone_opens_what_names_it_and_nothing_else(
    operation: Operation, callers: Callers, world: World
) -> None:
    needed, unknown = operation.scopes, world.unknown_url(operation)
    answers = set()
    for scope in Scope:
        for url in {world.url(operation), unknown} if not gives_all(scope, needed) else {unknown}:
            body = "{}" if operation.takes_body else None
            seen = callers.of(scope).ask(operation.method, url, body=body)
            if gives_all(scope, needed):
                assert seen.code != "insufficient_scope", f"{operation} refuses {scope}: {seen}"
            else:
                check_that_it_lacks(seen, needed, what=f"{operation} with {scope}")
                answers.add(seen.of_any_key())
    assert len(answers) <= 1, f"{operation} tells more than which scopes it needs: {answers}"
    if needed:
        row = row_of(operation)
        seen = callers.of(*row.scopes).ask(operation.method, unknown)
        assert seen.code != "insufficient_scope", f"{operation} wants more than {needed}: {seen}"


@each([operation for operation in OPERATIONS if operation.scopes])
def test_without_one_of_its_scopes_it_tells_nothing_about_what_is_there(
    operation: Operation, callers: Callers, world: World
) -> None:
    for missing in operation.scopes:
        for method in operation.spoken:
            caller, answers = callers.without(Scope(missing)), set()
            for url in urls(operation, world):
                for query in ({}, {"mailbox_id": "x", "limit": "0", "include": "text"}):
                    body = '{"mailbox_id": "x", "domain_id": "y", "payload": "full", "name": "*"}'
                    seen = caller.ask(method, url, query=query, body=body)
                    check_that_it_lacks(seen, operation.scopes, what=f"{method} {url} {query}")
                    answers.add(seen)
            assert len(answers) == 1, f"{operation} tells things apart before it looks at the scope: {answers}"


def urls(operation: Operation, world: World) -> list[str]:
    """Of what the key may see, and of what it may not."""
    found = [world.url(operation)]
    for kind, with_id in operation.places(world.visible):
        found += [with_id(id_) for id_ in world.some_hidden(kind)]
    return found


def filled(form: Form, world: World) -> str | None:
    if form.body is None:
        return None
    text = json.dumps(form.body)
    for kind, id_ in world.visible.items():
        text = text.replace(f"<{kind}>", id_)
    return text


@each([operation for operation in OPERATIONS if row_of(operation).scope_forms])
def test_a_form_that_needs_a_further_scope_is_refused_before_anything_is_looked_for(
    operation: Operation, callers: Callers, world: World
) -> None:
    row = row_of(operation)
    for form in row.scope_forms:
        assert form.needs is not None
        everywhere = row.acts_on_whole_domain
        lacks, has = (
            callers.without(form.needs, everywhere=everywhere),
            callers.of(*Scope, everywhere=everywhere),
        )

        def ask(url: str, lacks: Caller = lacks, form: Form = form) -> Seen:
            return lacks.ask(operation.method, url, query=form.query, body=filled(form, world))

        seen = check_that_all_are_the_same(urls(operation, world), ask, what=f"{operation} {form.what}", may_be=(403,))
        check_that_it_lacks(seen, (form.needs,), what=f"{operation} {form.what}")
        unknown = world.unknown_url(operation)
        passed = has.ask(operation.method, unknown, query=form.query, body=filled(form, world))
        assert passed.status in (400, 404), f"{operation} {form.what}: {passed}"


# --- 403 allowlist_restricted: what acts on a whole domain


def check_that_it_is_restricted(seen: Seen, *, what: str) -> None:
    assert (seen.status, seen.code) == (403, "allowlist_restricted"), f"{what}: {seen}"
    assert "required_scopes" not in seen.problem
    assert seen.header("WWW-Authenticate").startswith(f'{CHALLENGE}, error="insufficient_scope"')


def examples(operation: Operation, world: World) -> list[str | None]:
    """Bodies that would do, for what is not a domain; without one of their own, an empty one."""
    if not operation.takes_body:
        return [None]
    given = {name: value for name, value in operation.example.items() if name != "domain_id"}
    references = {name: world.visible[KIND_OF_REFERENCE[name]] for name in given if name in KIND_OF_REFERENCE}
    narrowing = {"mailbox_id": world.visible["mbx"]} if str(operation) == "POST /v1/rules" else {}
    return [json.dumps({**given, **references, **narrowing}), *([] if narrowing else ["{}"])]


@each([operation for operation in OPERATIONS if row_of(operation).is_wide_somehow])
def test_what_acts_on_a_whole_domain_is_for_keys_of_all_mailboxes(
    operation: Operation, callers: Callers, world: World
) -> None:
    row, narrow, wide = row_of(operation), callers.of(*Scope), callers.of(*Scope, everywhere=True)
    bodies = {form.what: filled(form, world) for form in row.whole_domain_forms}
    if row.acts_on_whole_domain:
        bodies |= {f"with {body}": body for body in examples(operation, world)}
    for what, body in bodies.items():

        def ask(url: str, body: str | None = body) -> Seen:
            return narrow.ask(operation.method, url, body=body)

        seen = check_that_all_are_the_same(urls(operation, world), ask, what=f"{operation} {what}", may_be=(403,))
        check_that_it_is_restricted(seen, what=f"{operation} {what}")
        assert len(seen.queries) == 1, f"{operation} {what} looks for something first: {seen.queries}"
        with undone():
            passed = wide.ask(operation.method, world.url(operation), body=body)
        assert passed.status not in (401, 403), f"{operation} {what} is refused to a key for all mailboxes: {passed}"


@each([operation for operation in OPERATIONS if not row_of(operation).acts_on_whole_domain])
def test_nothing_else_is_kept_from_a_key_with_an_allowlist(
    operation: Operation, callers: Callers, world: World
) -> None:
    for body in examples(operation, world):
        with undone():
            seen = callers.of(*Scope).ask(operation.method, world.url(operation), body=body)
        assert seen.status not in (401, 403), f"{operation} with {body}: {seen}"


CHANGES: Mapping[str, list[str | None]] = {
    "PATCH /v1/mailboxes/{id}": ['{"active": false}', '{"active": true}'],
    "DELETE /v1/mailboxes/{id}": [None],
    "PATCH /v1/aliases/{id}": ["{}", '{"active": false}'],
    "PUT /v1/aliases/{id}": ["{}"],
    "DELETE /v1/aliases/{id}": [None],
    "PATCH /v1/rules/{id}": ["{}", '{"active": false}'],
    "DELETE /v1/rules/{id}": [None],
}


@each([operation for operation in OPERATIONS if str(operation) in CHANGES])
def test_what_the_key_sees_and_acts_on_a_whole_domain_it_does_not_change(
    operation: Operation, callers: Callers, world: World
) -> None:
    for id_ in world.wide[operation.kinds[0]]:
        url = operation.url([id_])
        assert callers.of(*Scope).ask("GET", url).status == 200, id_
        for body in CHANGES[str(operation)]:
            what = f"{operation} {id_} {body}"
            check_that_it_is_restricted(callers.of(*Scope).ask(operation.method, url, body=body), what=what)
            with undone():
                passed = callers.of(*Scope, everywhere=True).ask(operation.method, url, body=body)
            assert passed.code != "allowlist_restricted", what
    assert CHANGES.keys() <= TABLE.keys()


def test_the_address_of_a_mailbox_changes_with_no_key(callers: Callers, world: World) -> None:
    for everywhere in (False, True):
        seen = callers.of(*Scope, everywhere=everywhere).ask(
            "PATCH", f"/v1/mailboxes/{world.visible['mbx']}", body={"address": "other@example.com"}
        )
        assert (seen.status, seen.problem["errors"][0]["code"]) == (400, "read_only")
