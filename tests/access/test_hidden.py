"""404 means 404: what a key may not see is not there for it, in no way that an answer could tell.

Forbidden, unknown, deleted, malformed, of another kind: the same status, headers, octets, queries and cost. In paths,
bodies, filters and cursors of every operation; what is new there fails until operations.py knows whose ids it takes.
"""

from collections.abc import Mapping
from uuid import UUID

import pytest

from emailgistics.common.access import Scope
from emailgistics.common.ids import decode_id, encode_id
from tests.access import world as worlds
from tests.access.asking import Seen, check_that_all_are_the_same
from tests.access.keys import Callers
from tests.access.operations import CURSORS, KIND_OF_REFERENCE, KIND_OF_REFERENCES, OPERATIONS, Operation, each
from tests.access.table import row_of
from tests.access.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.long, pytest.mark.usefixtures("nothing_is_changed")]

WITH_BODY = [operation for operation in OPERATIONS if operation.takes_body]
WITH_ID = [operation for operation in OPERATIONS if operation.kinds]
LISTS = [operation for operation in OPERATIONS if operation.is_list]
# one of each path, for what is about all its methods
PATHS = list({operation.path: operation for operation in OPERATIONS}.values())
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

ALL = tuple(Scope)
WITHOUT_CONTENT = tuple(set(Scope) - {Scope.EMAILS_CONTENT})
FIELDS = '{"active": false, "description": "x", "name": "x", "payload": "full"}'
BODIES = ("{}", '{"nonsense": 1}', "{", "[]", FIELDS)
QUERIES = ({"include": "text"}, {"with": "mail"}, {"limit": "0", "page": "x", "state": "x"})


@each(WITH_ID)
def test_an_id_in_a_path_tells_nothing_about_what_is_there(
    operation: Operation, callers: Callers, world: World
) -> None:
    row = row_of(operation)
    for scopes in (ALL, WITHOUT_CONTENT):
        caller = callers.of(*scopes)
        is_refused = row.acts_on_whole_domain or not set(row.scopes) <= set(scopes)
        for kind, with_id in operation.places(world.visible):
            for method in operation.spoken:
                is_thorough = scopes is ALL and method == operation.method
                seen = check_that_all_are_the_same(
                    world.invisible(kind) if is_thorough else world.some_hidden(kind),
                    lambda id_: caller.ask(method, with_id(id_)),  # noqa: B023 - called at once
                    what=f"{method} {operation.path}",
                    may_be=(403,) if is_refused else (404,),
                )
                assert seen.cost == 1, f"{method} {operation.path} costs {seen.cost}"


@each(WITH_ID)
def test_nor_does_it_whatever_else_is_wrong_or_right(operation: Operation, callers: Callers, world: World) -> None:
    bodies = BODIES if operation.takes_body else ()
    for scopes in (ALL, WITHOUT_CONTENT):
        for kind, with_id in operation.places(world.visible):
            for query, body in [*((query, None) for query in QUERIES), *(({}, body) for body in bodies)]:
                check_that_all_are_the_same(
                    world.some_hidden(kind),
                    lambda id_: callers.of(*scopes).ask(  # noqa: B023 - called at once
                        operation.method,
                        with_id(id_),  # noqa: B023
                        query=query,  # noqa: B023
                        body=body,  # noqa: B023
                    ),
                    what=f"{operation} {query} {body}",
                    # what cannot be read at all is not looked into for what it needs
                    may_be=(400, 403, 404) if body in ("{", "[]") else (403, 404),
                )


@each([operation for operation in PATHS if operation.kinds])
def test_options_and_methods_that_there_are_not_tell_nothing(
    operation: Operation, callers: Callers, world: World
) -> None:
    has = {method for one in OPERATIONS if one.path == operation.path for method in one.spoken}
    for kind, with_id in operation.places(world.visible):
        for method in set(METHODS) - has:
            check_that_all_are_the_same(
                [*world.some_hidden(kind), world.visible[kind]],
                lambda id_: callers.of(*ALL).ask(method, with_id(id_)),  # noqa: B023 - called at once
                what=f"{method} {operation.path}",
                may_be=(200,) if method == "OPTIONS" else (405,),
            )


@each(WITH_ID)
def test_to_a_key_for_all_mailboxes_what_was_deleted_is_what_never_was(
    operation: Operation, callers: Callers, world: World
) -> None:
    caller = callers.of(*ALL, everywhere=True)
    for kind, with_id in operation.places(world.visible):
        check_that_all_are_the_same(
            [worlds.unknown(kind), *world.deleted[kind], *world.malformed(kind)[::5]],
            lambda id_: caller.ask(operation.method, with_id(id_)),  # noqa: B023 - called at once
            what=f"{operation} for all mailboxes",
            may_be=(404,),
        )


@each([operation for operation in WITH_ID if operation.method == "GET"])
def test_what_the_key_may_see_is_there(operation: Operation, callers: Callers, world: World) -> None:
    """So that the tests here compare refusals of what could have been an answer."""
    assert callers.of(*ALL).ask("GET", world.url(operation)).status == 200
    if len(operation.kinds) == 1:
        (kind,) = operation.kinds
        for id_ in world.foreign[kind]:
            assert callers.of(*ALL, everywhere=True).ask("GET", operation.url([id_])).status == 200, id_


@each(WITH_BODY)
def test_an_id_in_a_body_tells_nothing_before_anything_else_is_looked_at(
    operation: Operation, callers: Callers, world: World
) -> None:
    caller, url = callers.of(*ALL), world.url(operation)
    if not operation.fields and not operation.body_references and "json" not in str(operation.described):
        return  # a mail, which has no fields
    may_be = (403,) if row_of(operation).acts_on_whole_domain else (404, 403)
    for name, kind in (KIND_OF_REFERENCE | KIND_OF_REFERENCES).items():
        is_documented = name in operation.body_references

        def ask(id_: object, others: Mapping[str, object], name: str = name, kind: str = kind) -> Seen:
            many = [world.visible[kind], id_] if others else [id_]
            given = {**others, name: many if name in KIND_OF_REFERENCES else id_}
            return caller.ask(operation.method, url, body=given)

        for others in ({}, {"name": "x", "url": "https://hooks.example.net/"}, {"name": 5, "nonsense": []}):
            if not is_documented:
                ids = world.some_hidden(kind)
            else:
                ids = world.hidden(kind) if others else world.invisible(kind)
            what = f"{operation} with {name} among {others}"
            is_told = not is_documented or (name == "ids" and others)
            seen = check_that_all_are_the_same(
                ["", *ids],
                lambda id_: ask(id_, others),  # noqa: B023 - called at once
                what=what,
                may_be=(400, 403, 404) if is_told else may_be,
            )
            if not is_documented:
                break
            if not others and name in KIND_OF_REFERENCE:
                no_texts: list[object] = [5, True, [], {}, ["x"], 1.5]
                for value in no_texts:
                    assert ask(value, others) == seen, f"{what}: {value!r} is not like an id that is none"


@each(LISTS)
def test_an_id_in_a_filter_tells_nothing(operation: Operation, callers: Callers, world: World) -> None:
    caller, url = callers.of(*ALL), world.url(operation)
    is_refused = row_of(operation).acts_on_whole_domain
    for name, kind in (KIND_OF_REFERENCE | operation.filters).items():
        if name in CURSORS:
            continue  # no reference: see below
        is_documented = name in operation.filters
        for method, others in (("GET", {}), ("HEAD", {}), ("GET", {"limit": "0", "page": "x", "state": "x"})):
            is_thorough = is_documented and (method, others) == ("GET", {})
            ids = world.invisible(kind) if is_thorough else world.some_hidden(kind)
            is_told = not is_documented or bool(others)  # "state" is a parameter of some lists only
            check_that_all_are_the_same(
                [*ids, ""],
                lambda id_: caller.ask(method, url, query={**others, name: id_}),  # noqa: B023 - called at once
                what=f"{method} {operation.path}?{name}= {others}",
                may_be=(403,) if is_refused else (200, 400, 404) if is_told else (404,),
            )
        if is_documented and not is_refused:
            assert caller.ask("GET", url, query={name: world.visible[kind]}).status == 200, name


@each(LISTS)
def test_an_id_in_a_cursor_is_a_place_and_tells_nothing(operation: Operation, callers: Callers, world: World) -> None:
    """Of each that is hidden as much as of its neighbour, which nothing ever had."""
    caller, url = callers.of(*ALL), world.url(operation)
    is_refused = row_of(operation).acts_on_whole_domain
    for name in CURSORS:
        kind = operation.filters[name]
        hidden = [*world.foreign[kind], *world.deleted[kind]]
        for method in ("GET", "HEAD"):
            for id_ in hidden:
                place = decode_id(kind, id_)
                assert place is not None
                check_that_all_are_the_same(
                    [id_, encode_id(kind, UUID(int=place.int + 1))],
                    lambda id_: caller.ask(method, url, query={name: id_}),  # noqa: B023 - called at once
                    what=f"{method} {operation.path}?{name}=",
                    may_be=(403,) if is_refused else (200,),
                )
        check_that_all_are_the_same(
            ["", *world.malformed(kind)],
            lambda id_: caller.ask("GET", url, query={name: id_}),  # noqa: B023 - called at once
            what=f"GET {operation.path}?{name}=",
            may_be=(403,) if is_refused else (400,),
        )
