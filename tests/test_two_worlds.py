"""Two worlds that differ in what others hold and do: a key and its receivers are told the same, to the last byte.

`TWO_WORLDS=200` runs as many random programs instead of a few that are always the same.
"""

import logging
import os
from collections.abc import Iterator
from copy import deepcopy

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emailgistics.common.access import Scope
from tests.worlds import world as worlds
from tests.worlds.standing import undone
from tests.worlds.telling import difference

pytestmark = [pytest.mark.django_db, pytest.mark.long]

ALL, WITHOUT_CONTENT = tuple(Scope), tuple(set(Scope) - {Scope.EMAILS_CONTENT})
IS_SHORT = "TWO_WORLDS" not in os.environ
EXAMPLES = int(os.environ.get("TWO_WORLDS", "2"))
# to make a program short that fails takes longer than a test may
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if "TWO_WORLDS" in os.environ else [])]

# what others do may be done several times between two steps that are told of
name = st.sampled_from(
    [*worlds.STEPS, "call", "call", "call", "call_once", "call_again", "mail", "mail", "look_after", "their_mail"]
)
number = st.integers(0, 9999)
programs = st.lists(st.tuples(name, number, number, number), min_size=5, max_size=30)


def handed_in(time: int) -> list[tuple[object, ...]]:
    """By help@, by both@, by the two of them, and by help@ again; other octets each time that this is done."""
    return [("ask", "POST /v1/emails", one + 136 * time, 0) for one in (9, 2, 17, 9)]


# everything that others can do, about and between everything that reaches the key
A_LONG_DAY: list[tuple[object, ...]] = [
    *[
        ("their_copies", 0, 1),
        ("their_copies", 1, 5),
        ("their_alias", 3, 0),
        ("their_alias", 2, 2),
        ("their_alias", 0, 0),
    ],
    *[("their_webhook", which, how) for which, how in ((0, 1), (1, 5), (2, 2), (3, 3))],
    *[("their_rule", 0, 0), ("their_rule", 3, 1), ("their_rule", 2, 2), ("their_quota", 5, 0)],
    *[
        ("mail", to, bcc, how)
        for to, bcc, how in ((0, 1, 1), (1, 12, 2), (2, 21, 4), (3, 3, 5), (12, 44, 7), (7, 8, 9))
    ],
    *[("look_after", 0), ("their_mail", 0, 1), ("their_mail", 1, 2), ("their_mail", 7, 1), ("look_after", 2)],
    *[("move", 1), ("their_mail", 1, 1), ("their_mail", 3, 2), ("look_after", 0), ("mail", 0, 6, 3), ("move", 0)],
    *[("their_upkeep", which, how) for how in range(8) for which in (0, 5)],
    *[
        ("their_replay", 0, 0),
        ("their_release", 0, 0),
        ("their_call", 0, 1),
        ("their_call", 2, 2),
        ("their_call", 3, 3),
    ],
    *[("mail", 2, 1, 2), ("mail", 2, 2, 4), ("their_pause", 0, 0), ("mail", 3, 0, 1), ("look_after", 4), ("later", 19)],
    *[("their_erasure", 0, 0), ("their_end", 0, 0), ("their_end", 1, 1), ("their_move", 0, 1), ("their_many", 0, 0)],
    ("their_pause", 0, 1),
    ("their_pause", 1, 1),
    ("their_default", 0, 0),
    # the same mail by an alias that is theirs, and by the same one once it is the key's
    *[("move", 1), ("mail", 0, 0, 0), ("their_mail", 3, 4), ("look_after", 0), ("move", 0), ("mail", 7, 0, 4)],
    # what the key sends again is not what others canceled meanwhile
    *[("move", 1), ("their_mail", 1, 2), ("look_after", 0), ("their_cancellation",), ("move", 0)],
    *[("ask", "POST /v1/webhooks/{id}/replay", one, 0) for one in range(4)],
    *[("look_after", 0), ("open_a_link", 0), ("open_a_link", 3), ("later", 7), ("look_after", 0)],
    # mail that the key hands in by aliases of its own, of which others get copies: whatever they, or its own, say to it
    *[("their_copies", 0, 1), ("their_copies", 1, 1), *handed_in(0)],
    *[("ask", "POST /v1/rules", 0, 3), *handed_in(1), ("ask", "PATCH /v1/rules/{id}", 0, 1)],
    *[("ask", "PATCH /v1/mailboxes/{id}", 0, 2), *handed_in(2), ("ask", "PATCH /v1/mailboxes/{id}", 0, 3)],
    *[step for action in range(4) for step in (("their_rule", 4 + action, 0), *handed_in(3 + action))],
    ("look_after", 0),
    # what is asked again is answered again, whatever others have done meanwhile
    *[("call_once", which, one, which) for which in range(40) for one in (0, 1)],
    *[("their_move", 0, 1), ("their_end", 1, 1), ("their_alias", 1, 0), ("their_erasure", 0, 0), ("look_after", 0)],
    *[("call_again", which) for which in range(80)],
    *[("move", 1), *(("call_again", which) for which in range(0, 80, 3)), ("move", 0)],
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Each refusal would be a line of the log."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=[ALL, WITHOUT_CONTENT], ids=["all scopes", "without content"])
def beginning(request: pytest.FixtureRequest) -> worlds.Beginning:
    return worlds.begin(request.param)


def test_what_others_hold_and_do_all_day_changes_nothing_that_a_key_or_its_receivers_are_told(
    beginning: worlds.Beginning,
) -> None:
    with_others, alone = (worlds.run(beginning, A_LONG_DAY, others=others) for others in (True, False))
    assert with_others.in_vain == []
    assert {step for step, *_ in A_LONG_DAY} | {"call"} == worlds.STEPS.keys() | {"ask"}
    assert difference(with_others.told, alone.told) == ""
    assert len(alone.told) > 150


@settings(max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(HealthCheck), derandomize=IS_SHORT)
@given(program=programs)
def test_nor_does_it_in_any_order(beginning: worlds.Beginning, program: list[tuple[object, ...]]) -> None:
    with_others, alone = (worlds.run(beginning, program, others=others) for others in (True, False))
    assert difference(with_others.told, alone.told) == ""


class Wishing(worlds.World):
    """Whose key asks for addresses, and whose installation forgets what came of it."""

    def wish(self, name: str) -> None:
        known = deepcopy(self.names)
        with undone():
            body = {"domain_id": self.names.of("dom")[0], "name": name, "mailbox_id": self.names.of("mbx")[0]}
            self._ask(f"wish {name}", "POST", "/v1/aliases", {}, body, 0)
        self.names = known


def test_that_an_address_is_not_to_be_had_is_all_that_a_key_can_tell_and_not_why() -> None:
    """The one exception: an address cannot lead to two. Taken, at rest and for a pattern of others are one answer."""
    beginning = worlds.begin(ALL)
    program: list[tuple[object, ...]] = [("their_alias", 0, 0), ("their_alias", 1, 0), ("their_alias", 2, 2)]
    program += [("their_end", 0, 1), *(("wish", name) for name in ("theirs0", "theirs1", "order-7", "mine"))]
    with_others, alone = (worlds.run(beginning, program, others=others, of=Wishing) for others in (True, False))
    unlike = [pair for pair in zip(with_others.told, alone.told, strict=True) if pair[0] != pair[1]]
    assert [one[0].split()[:2] for one, _ in unlike] == [["wish", name] for name in ("theirs0", "theirs1", "order-7")]
    refusals = {told.replace(what.split()[1], "NAME") for (what, told), _ in unlike}
    assert len(refusals) == 1
    assert refusals.pop().startswith("(409, ")
    assert all(other[1].startswith("(201, ") for _, other in unlike)
