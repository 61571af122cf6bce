"""What is not for a key changes no answer, however much of it there is."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from emailgistics.common.access import Scope
from mailboxes.services import provision
from tests.access import world as worlds
from tests.access.asking import Caller, Seen
from tests.access.keys import Callers
from tests.access.operations import OPERATIONS, Operation
from tests.access.world import World
from tests.factories import make_alias, make_mailbox

pytestmark = [pytest.mark.django_db, pytest.mark.long]

ROWS = 1000
WITHOUT_CONTENT = tuple(set(Scope) - {Scope.EMAILS_CONTENT})
ADDRESSES = (
    "sales", "offers", "rests", "boxes", "boxed", "aliased", "postmaster", "abuse", "support", "help", "inbox",
    "caught",
)  # fmt: skip


def snapshot(caller: Caller, world: World) -> dict[str, Seen]:
    """Every answer that there is to GET: details, lists page after page, each filter, each cursor; and what it took."""
    taken: dict[str, Seen] = {}

    def take(operation: Operation, url: str, query: Mapping[str, str]) -> None:
        seen = caller.ask("GET", url, query=query)
        if operation.path == "/v1/me":
            seen = without_the_time(seen)
        taken[f"{url}?{query}"] = seen
        if seen.status == 200 and operation.is_list and (more := json.loads(seen.content)["pagination"]["next_cursor"]):
            take(operation, url, {**query, "starting_after": more})

    for operation in OPERATIONS:
        if operation.method == "GET":
            queries = [{name: world.visible[kind]} for name, kind in operation.filters.items()]
            for query in [{}, *queries, *([{"limit": "1"}, {"page": "2"}] if operation.is_list else [])]:
                take(operation, operation.url([world.visible[kind] for kind in operation.kinds]), query)
    return taken


def without_the_time(seen: Seen) -> Seen:
    return replace(seen, content=json.dumps(json.loads(seen.content) | {"server_time": ""}).encode())


def choices(caller: Caller, world: World) -> Seen:
    """What is offered to who does not say where an alias leads: nowhere else are mailboxes listed in an error."""
    seen = caller.ask("POST", "/v1/aliases", body={"domain_id": world.visible["dom"], "name": "new"})
    assert seen.status == 400
    return seen


def test_a_thousand_rows_that_are_not_for_the_key_change_no_byte_of_any_answer(callers: Callers, world: World) -> None:
    keys = [callers.of(*Scope), callers.of(*WITHOUT_CONTENT)]
    before = [(snapshot(caller, world), choices(caller, world)) for caller in keys]
    rows = sum(map(len, worlds.everything()))
    worlds.grow(world, rows=ROWS)
    assert sum(map(len, worlds.everything())) > rows + 9 * ROWS
    for caller, (taken, offered) in zip(keys, before, strict=True):
        after = snapshot(caller, world)
        assert taken.keys() == after.keys()
        assert [name for name in taken if taken[name] != after[name]] == []
        assert choices(caller, world) == offered
        assert len(taken) > 50


def test_an_address_that_is_not_to_be_had_does_not_say_why(callers: Callers, world: World) -> None:
    """The one bit that is unavoidable: that it is not to be had."""
    make_alias(address="rests@example.com", mailbox=make_mailbox(address="boxes@example.com"))
    provision.delete_mailbox(make_mailbox(address="boxed@example.com"))
    provision.delete_alias(make_alias(address="aliased@example.com", mailbox=world.allowed[0]))
    answers = set()
    for name in ADDRESSES:
        body = {"domain_id": world.visible["dom"], "name": name, "mailbox_id": world.visible["mbx"]}
        seen = callers.of(*Scope).ask("POST", "/v1/aliases", body=body)
        assert seen.code == "address_unavailable", name
        headers = tuple(header for header in seen.headers if header[0] != "Content-Length")
        answers.add((seen.status, seen.content.replace(name.encode(), b"NAME"), headers))
    assert len(answers) == 1
    assert answers.pop()[0] == 409
