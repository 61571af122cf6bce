"""A key for some mailboxes gets no mail of another one, whatever it makes of addresses, webhooks and rules.

`TWO_WORLDS=200` runs as many random programs instead of a few that are always the same.
"""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emailgistics.common.access import Scope
from mailboxes.services import provision
from tests.worlds import world as worlds
from tests.worlds.mails import FOREIGN, deliver, mail
from tests.worlds.others import mailbox_of
from tests.worlds.telling import readings

pytestmark = [pytest.mark.django_db, pytest.mark.long]

IS_SHORT = "TWO_WORLDS" not in os.environ
EXAMPLES = int(os.environ.get("TWO_WORLDS", "4"))
# to make a program short that fails takes longer than a test may
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if "TWO_WORLDS" in os.environ else [])]
# whose they are is settled before the key does anything: sales@'s, by itself, by a pattern, by its alias, reserved, …
SETTLED = (
    "sales@example.com", "order-7@example.com", "order-8@any.example.com", "sales+tag@example.com",
    "sales@any.example.com", "postmaster@example.com", "vault@example.org", "box@example.com", "inbox@example.com",
    "ticket9@example.com", "gone@example.com",
)  # fmt: skip
WANTED = (
    "order-7", "ORDER-8", "order-9", "ticket9", "sales", "Sales", '"sales"', "sales+tag", "sales+", "postmaster",
    "abuse", "*", "order-*", "order-?", "/.*/", "/sales/", "gone", "box", "inbox", "s\u00e4les", "sales@any", "offers",
)  # fmt: skip


class Greedy(worlds.World):
    """Whose key wants more."""

    def letter(self, to: int, how: int) -> None:
        """For others, and for an alias that is theirs just now."""
        self._mails += 1
        to_whom = [SETTLED[to % len(SETTLED)], *(["roaming@example.com"] if self._roams() else [])]
        deliver(mail(self._mails, how, word=FOREIGN.decode()), to_whom, sender="ada")

    def grab(self, which: int, how: int) -> None:
        """An address that leads to others, with and without their mailbox beside the own one."""
        domains = [self._id("dom", 0), *self._beginning.foreign["dom"]]
        body: dict[str, object] = {
            "domain_id": domains[how % len(domains)],
            "name": WANTED[which % len(WANTED)],
            "mailbox_id": (self._id("mbx", 0), self._beginning.foreign["mbx"][0])[how // 2 % 5 == 4],
        }
        if how // 10 % 3 == 2:
            body["further_mailbox_ids"] = self._beginning.foreign["mbx"]
        self._ask("grab", "POST", "/v1/aliases", {}, body, 0)

    def confirm(self, which: int) -> None:
        """What a moved alias's webhooks wait for, and what would send everything again."""
        webhook = self._id("wh", which)
        for what, body in (("resume", None), ("replay", {"since": "2020-01-01T00:00:00Z", "status": "all"})):
            self._ask(what, "POST", f"/v1/webhooks/{webhook}/{what}", {}, body, 0)


name = st.sampled_from([
    *(step for step in worlds.STEPS if not step.startswith("their_")), "call", "letter", "letter", "grab", "grab",
    "move", "confirm", "look_after",
])  # fmt: skip
number = st.integers(0, 9999)
programs = st.lists(st.tuples(name, number, number, number), min_size=5, max_size=40)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Each refusal would be a line of the log."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def beginning() -> worlds.Beginning:
    made = worlds.begin(tuple(Scope))
    sales = mailbox_of("sales@example.com")
    for address in ("order-*@example.com", "/ticket([0-9]+)/@example.com", "*@example.com"):
        provision.create_alias(address=address, mailbox=sales)
    provision.delete_alias(provision.create_alias(address="gone@example.com", mailbox=sales))
    return made


def foreign_in(world: worlds.World) -> list[str]:
    return [what for what, octets in world.seen if any(FOREIGN in reading for reading in readings(octets))]


GRABS = [("grab", which, how) for which in range(len(WANTED)) for how in (0, 1, 8, 20)]
LETTERS = [("letter", to, to) for to in range(len(SETTLED))]
AWAY_AND_BACK = [
    ("move", 1), ("letter", 0, 1), ("letter", 1, 1), ("look_after", 0), ("their_cancellation",), ("move", 0),
    *(("confirm", one) for one in range(4)), ("look_after", 0),
]  # fmt: skip


def test_no_address_that_it_makes_and_no_call_takes_what_is_for_others(beginning: worlds.Beginning) -> None:
    program = [*LETTERS, *GRABS, *LETTERS, *AWAY_AND_BACK, ("look_after", 0), *worlds.every_call(), *AWAY_AND_BACK]
    world = worlds.run(
        beginning, [*program, *GRABS, *LETTERS, ("look_after", 0), *worlds.every_end()], others=True, of=Greedy
    )
    assert foreign_in(world) == []
    assert any(what.startswith("sent to") for what, _ in world.seen)


@settings(max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(HealthCheck), derandomize=IS_SHORT)
@given(program=programs)
def test_nor_do_they_in_any_order(beginning: worlds.Beginning, program: list[tuple[object, ...]]) -> None:
    assert foreign_in(worlds.run(beginning, program, others=True, of=Greedy)) == []
