"""Whoever may not read what mails say gets no character of it, whatever he makes of webhooks and everything else.

`TWO_WORLDS=200` runs as many random programs instead of a few that are always the same.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emailgistics.common.access import Scope
from tests.worlds import world as worlds
from tests.worlds.mails import WORD, mail
from tests.worlds.standing import undone
from tests.worlds.telling import readings

pytestmark = [pytest.mark.django_db, pytest.mark.long]

KEPT = "https://kept.example.org"  # receivers of webhooks that somebody with emails:content made
ALL_BUT_CONTENT = tuple(set(Scope) - {Scope.EMAILS_CONTENT})
WEBHOOKS_ALONE = (Scope.WEBHOOKS_WRITE,)
DIGEST = re.compile(rb"[0-9a-f]{64}")
IS_SHORT = "TWO_WORLDS" not in os.environ
EXAMPLES = int(os.environ.get("TWO_WORLDS", "3"))
# to make a program short that fails takes longer than a test may
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if "TWO_WORLDS" in os.environ else [])]

name = st.sampled_from([*(step for step in worlds.STEPS if not step.startswith("their_")), "call", "call", "call"])
number = st.integers(0, 9999)
programs = st.lists(st.tuples(name, number, number, number), min_size=5, max_size=40)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Each refusal would be a line of the log."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=[ALL_BUT_CONTENT, WEBHOOKS_ALONE], ids=["all but content", "webhooks:write"])
def beginning(request: pytest.FixtureRequest) -> worlds.Beginning:
    return worlds.begin(request.param, host=KEPT)


@cache
def digests() -> frozenset[bytes]:
    """By which somebody who guesses what a mail says would know that he is right."""
    mails = (mail(number, how) for number in range(400) for how in range(3))
    return frozenset(hashlib.sha256(octets).hexdigest().encode() for octets in mails)


def content_in(world: worlds.World) -> list[tuple[str, bytes]]:
    found = [(what, one) for what, octets in world.seen for read in readings(octets) for one in WORD.findall(read)]
    return found + [(what, one) for what, octets in world.seen for one in DIGEST.findall(octets) if one in digests()]


def ask(operation: str, *forms: int) -> list[tuple[object, ...]]:
    """About each of the webhooks that were there before, with each of these forms (tests/worlds/asking.py)."""
    return [("ask", operation, one, form) for form in forms for one in range(4)]


PATCH = "PATCH /v1/webhooks/{id}"
MAIL: list[tuple[object, ...]] = [("mail", 0, 0, 1), ("mail", 9, 0, 2), ("mail", 7, 0, 4)]
AIMED = [
    # pointed elsewhere as they are, with what waits for them
    *MAIL, ("look_after", 2), *ask(PATCH, 0, 1, 4), *MAIL, ("look_after", 2),
    # and lowered first, which is allowed
    *ask(PATCH, 2, 0), ("later", 19), ("look_after", 0), *ask("POST /v1/webhooks/{id}/replay", 0),
    *ask("POST /v1/webhooks/{id}/resume", 0), ("look_after", 0), *ask("POST /v1/webhooks/{id}/test", 0), ("later", 19),
    ("look_after", 0),
]  # fmt: skip


def test_no_full_webhook_is_aimed_and_what_waits_for_one_that_was_lowered_is_cut_down(
    beginning: worlds.Beginning,
) -> None:
    world = worlds.run(beginning, AIMED, others=False)
    assert content_in(world) == []
    assert any(what.startswith("sent to") for what, _ in world.seen)  # what it is told instead


def test_no_call_gets_a_character_of_what_mails_say(beginning: worlds.Beginning) -> None:
    program = [*MAIL, ("look_after", 2), *worlds.every_call(), *MAIL, ("look_after", 0), ("ask_everything",)]
    assert content_in(worlds.run(beginning, [*program, *worlds.every_end()], others=False)) == []


@settings(max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(HealthCheck), derandomize=IS_SHORT)
@given(program=programs)
def test_nor_do_calls_in_any_order(db: None, program: list[tuple[object, ...]]) -> None:
    with undone():
        beginning = worlds.begin(ALL_BUT_CONTENT, host=KEPT)
        assert content_in(worlds.run(beginning, program, others=False)) == []


def test_a_key_that_may_read_it_gets_all_of_it() -> None:
    """So that the tests here look for what would be found."""
    world = worlds.run(worlds.begin(tuple(Scope)), worlds.every_call(), others=False)
    found = {
        found.lower() for _, octets in world.seen for reading in readings(octets) for found in WORD.findall(reading)
    }
    assert {
        b"zuqtext",
        b"zuqhtml",
        b"zuqplan",
        b"zuqoctets",
        b"zuqname",
        b"zuqvalue",
        b"zuqdiagnostic",
        b"zuqsummary",
    } <= found
