"""Any request that the OpenAPI document allows, and any that it does not: each answer is one that the document has.

Schemathesis makes them, here with a bound on their number; `API_EXAMPLES=1000` asks for more of each operation.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.hypothesis import examples as made
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from emailgistics.common.access import Scope
from emailgistics.docs.schema import document
from emailgistics.docs.texts import ERRORS, FIELD_CODES
from emailgistics.wsgi import application
from tests import environment
from tests.access.operations import KIND_AFTER, KIND_OF_REFERENCE, KIND_OF_REFERENCES, PARAMETER
from tests.access.world import World
from tests.apikeys.factories import make_key
from tests.worlds.standing import empty_dns

# PostgreSQL is the stricter one: of texts, numbers and instants it refuses more
EXAMPLES = int(os.environ.get("API_EXAMPLES", "8" if environment.ON_POSTGRES else "3"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

# what the guide says of each
KNOWN_CODES = {code for _, code, _ in ERRORS}
KNOWN_FIELD_CODES = dict(FIELD_CODES).keys()


@schemathesis.serializer("message/rfc822", "message/global")
def _mail(_: Any, value: Any) -> dict[str, Any]:
    """Whatever is made for it, as octets."""
    return {"data": value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")}


SCHEMA = schemathesis.openapi.from_dict(json.loads(document("http://testserver")))
SCHEMA.app = application
OPERATIONS = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations()}

# what begins a chain of calls: with what is made by chance there is hardly ever a second one
MADE_WITH: Mapping[str, Mapping[str, Any]] = {
    "POST /v1/aliases": {"domain_id": "", "name": "fresh", "mailbox_id": ""},
    "POST /v1/domains": {"name": "fresh.example.org"},
    "POST /v1/mailboxes": {"address": "fresh@example.com"},
    "POST /v1/rules": {"alias_id": "", "action": "block", "criterion": "sender", "value": "spam@example.net"},
    "POST /v1/webhooks": {"alias_id": "", "url": "https://hooks.example.net/fresh"},
}

MADE_OR_ONE = r"^/v1/(aliases|domains|mailboxes|rules|webhooks)(/\{id\}.*)?$"

bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # what is found is shown as it was found: shrinking takes minutes
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def keys(world: World) -> dict[str, dict[str, str]]:
    """The header of a key that may do all, and of one with as many scopes and one mailbox."""
    full, narrow = make_key(scopes=list(Scope)), make_key(scopes=list(Scope), mailboxes=world.allowed[:1])
    return {name: {"Authorization": f"Bearer {key[1]}"} for name, key in (("full", full), ("narrow", narrow))}


@pytest.fixture(autouse=True)
def _the_dns_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it does not is a fault like any other, which is none of the request."""
    monkeypatch.setattr("mailboxes.services.dns_records._look_at", empty_dns)


@pytest.fixture(autouse=True)
def _connection_stays_open() -> Iterator[None]:
    """It is that of the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.django_db
@pytest.mark.parametrize("which", ["full", "narrow"])
@pytest.mark.parametrize("label", sorted(OPERATIONS))
def test_every_answer_is_in_the_document(label: str, which: str, world: World, keys: dict[str, dict[str, str]]) -> None:
    operation, headers = OPERATIONS[label], keys[which]

    @bounded
    @given(case=operation.as_strategy(), own=st.booleans())
    def as_described(case: Case, own: bool) -> None:
        if own:
            with_own_ids(case, world)
        ask(case, headers)

    @bounded
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def otherwise(case: Case) -> None:
        ask(case, headers)

    for strategy in operation.get_strategies_from_examples():
        case = made.generate_one(strategy)
        with_own_ids(case, world)
        ask(case, headers)
    as_described()
    otherwise()


@pytest.mark.django_db
@pytest.mark.parametrize("which", ["full", "narrow"])
def test_calls_that_lead_to_each_other_are_answered_as_described(
    which: str, world: World, keys: dict[str, dict[str, str]]
) -> None:
    followed: Counter[str] = Counter()

    class Calls(SCHEMA.include(path_regex=MADE_OR_ONE).as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.before = transaction.savepoint()

        def teardown(self) -> None:
            transaction.savepoint_rollback(self.before)

        def before_call(self, case: Case) -> None:
            if case.operation.label in MADE_WITH:
                case.body = dict(MADE_WITH[case.operation.label])
            with_own_references(case, world)
            case.headers.pop("If-Match", None)  # by chance it never holds

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": keys[which]}

        def validate_response(self, response: Any, case: Case, **_: Any) -> None:
            case.validate_response(response, checks=CHECKS)
            if "{id}" in case.path and response.status_code < HTTPStatus.BAD_REQUEST:
                followed[case.operation.label] += 1

    Calls.run(settings=settings(bounded, max_examples=3 * EXAMPLES, stateful_step_count=8))
    assert followed, "no id that a call answered was good for another one"


def ask(case: Case, headers: dict[str, str]) -> None:
    before = transaction.savepoint()
    try:
        response = case.call_and_validate(headers=headers, checks=CHECKS)
        if response.status_code >= HTTPStatus.BAD_REQUEST and response.content:
            told = response.json()
            assert told["code"] in KNOWN_CODES, told
            assert {error["code"] for error in told.get("errors", ())} <= KNOWN_FIELD_CODES, told
    finally:
        transaction.savepoint_rollback(before)


def with_own_ids(case: Case, world: World) -> None:
    """Puts ids of things that there are in the place of what stands for ids."""
    words = case.path.split("/")
    for before, word in pairwise(words):
        if (found := PARAMETER.fullmatch(word)) and before in KIND_AFTER:
            case.path_parameters[found[1]] = world.visible[KIND_AFTER[before]]
    with_own_references(case, world)


def with_own_references(case: Case, world: World) -> None:
    for part in (case.query, case.body):
        if isinstance(part, dict):
            for name in part.keys() & KIND_OF_REFERENCE.keys():
                part[name] = world.visible[KIND_OF_REFERENCE[name]]
            for name in part.keys() & KIND_OF_REFERENCES.keys():
                part[name] = [world.visible[KIND_OF_REFERENCES[name]]]
