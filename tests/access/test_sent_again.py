"""With an Idempotency-Key every operation opens what it opens without one, and a kept answer opens nothing."""

import json

import pytest

from apikeys.services import revoke_api_key
from emailgistics.common.access import Scope
from mailboxes.models import Mailbox
from mailboxes.services import provision
from tests.access.asking import Caller, Seen, check_that_all_are_the_same
from tests.access.keys import Callers, Refused, bearer
from tests.access.operations import KIND_OF_REFERENCE, KIND_OF_REFERENCES, OPERATIONS, Operation, each
from tests.access.table import row_of
from tests.access.test_keys import examples
from tests.access.world import World, everything
from tests.apikeys.factories import make_key
from tests.worlds.standing import undone

pytestmark = [pytest.mark.django_db, pytest.mark.long, pytest.mark.usefixtures("nothing_is_changed")]

SENT_AGAIN = [
    operation
    for operation in OPERATIONS
    if any(parameter["name"] == "Idempotency-Key" for parameter in operation.described.get("parameters", []))
]
REPLAYED = ("Idempotency-Replayed", "true")


def bodies(operation: Operation, world: World) -> list[str | None]:
    if str(operation) != "POST /v1/aliases/batch":
        return examples(operation, world)
    # its example names nothing that is here
    data = {"domain_id": world.visible["dom"], "name": "new", "mailbox_id": world.visible["mbx"]}
    return [json.dumps({"operations": [{"action": "create", "data": data}]})]


def once(caller: Caller, operation: Operation, url: str, body: str | None = None, *, name: str = "one") -> Seen:
    return caller.ask(operation.method, url, body=body, HTTP_IDEMPOTENCY_KEY=name)


@each(SENT_AGAIN)
def test_a_key_that_opens_nothing_or_lacks_a_scope_is_told_the_same(
    operation: Operation, callers: Callers, refused: list[Refused], world: World
) -> None:
    url = world.url(operation)
    for n, one in enumerate({one.code: one for one in refused}.values()):
        caller, address = Caller(one.headers), f"198.19.200.{n}"
        plain = caller.ask(operation.method, url, query=one.query, REMOTE_ADDR=address)
        keyed = caller.ask(operation.method, url, query=one.query, REMOTE_ADDR=address, HTTP_IDEMPOTENCY_KEY="a b")
        assert keyed == plain, one
    for missing in operation.scopes:
        caller = callers.without(Scope(missing))
        plain = caller.ask(operation.method, url, body="{")
        assert (plain.status, plain.code) == (403, "insufficient_scope")
        assert once(caller, operation, url, "{", name="a b") == plain


@each([operation for operation in SENT_AGAIN if operation.kinds])
def test_an_id_in_a_path_tells_nothing_about_what_is_there(
    operation: Operation, callers: Callers, world: World
) -> None:
    caller = callers.of(*Scope)
    for kind, with_id in operation.places(world.visible):
        check_that_all_are_the_same(
            world.some_hidden(kind),
            lambda id_: once(caller, operation, with_id(id_)),  # noqa: B023 - called at once
            what=f"{operation} once",
            may_be=(403,) if row_of(operation).acts_on_whole_domain else (404,),
        )


@each(SENT_AGAIN)
def test_nor_does_an_id_in_a_body(operation: Operation, callers: Callers, world: World) -> None:
    caller, url = callers.of(*Scope), world.url(operation)
    for name in operation.body_references:
        kind = (KIND_OF_REFERENCE | KIND_OF_REFERENCES)[name]

        def ask(id_: str, name: str = name) -> Seen:
            given = [id_] if name in KIND_OF_REFERENCES else id_
            return caller.ask(operation.method, url, body={name: given}, HTTP_IDEMPOTENCY_KEY="one")

        may_be = (403,) if row_of(operation).acts_on_whole_domain else (403, 404)
        check_that_all_are_the_same(world.some_hidden(kind), ask, what=f"{operation} {name}", may_be=may_be)


@each(SENT_AGAIN)
def test_a_kept_answer_is_for_who_asked_and_for_as_long_as_he_may(operation: Operation, world: World) -> None:
    mailboxes = None if row_of(operation).acts_on_whole_domain else world.allowed
    (key, plaintext), (_, another) = (make_key(mailboxes=mailboxes) for _ in range(2))
    first, second, url = Caller(bearer(plaintext)), Caller(bearer(another)), world.url(operation)
    for body in bodies(operation, world):
        with undone():
            answer = once(first, operation, url, body)
            if answer.status >= 300:  # refused, so nothing is kept
                assert REPLAYED not in once(first, operation, url, body).headers
                continue
            before = everything()
            again = once(first, operation, url, body)
            assert (again.status, again.content) == (answer.status, answer.content)
            assert REPLAYED in again.headers
            assert everything() == before
            assert again.cost == answer.cost
            with undone():
                assert REPLAYED not in once(second, operation, url, body).headers
            mismatch = once(first, operation, url, '{"another": 1}')
            assert (mismatch.status, mismatch.code) == (422, "idempotency_mismatch")
            revoke_api_key(key)
            assert once(first, operation, url, body).code == "key_revoked"


def test_once_its_mailbox_is_gone_a_kept_answer_is_what_never_was(callers: Callers, world: World) -> None:
    caller, answered = callers.of(*Scope), set()
    mailbox = Mailbox.objects.get(local_part="support")
    with undone():
        asked = []
        for operation in SENT_AGAIN:
            url = world.url(operation)
            is_narrow = not row_of(operation).acts_on_whole_domain
            for n, body in enumerate(bodies(operation, world) if is_narrow else []):
                if once(caller, operation, url, body, name=f"{operation.path}{n}").status < 300:
                    asked.append((operation, url, body, f"{operation.path}{n}"))
        provision.update_domain(mailbox.domain, default_mailbox=Mailbox.objects.get(local_part="sales"))
        provision.delete_mailbox(mailbox, with_mail=True)
        for operation, url, body, name in asked:
            seen = once(caller, operation, url, body, name=name)
            assert seen.status == 404, f"{operation}: {seen}"
            answered.add(seen.content)
    assert len(asked) > 10
    assert answered == {caller.ask("GET", "/v1/aliases/x").content}
