"""The sender's ledger, and what it has to say to those of the receivers and to the database's rows."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from tests.campaign_receiver import Arrival

HELP, ORDERS = "help@example.com", "orders@example.com"


NO_ANSWER, FOR_GOOD = "no answer", 500  # RFC 5321 section 4.2.1: from 500 on a sender gives up, and tells its author


@dataclass(frozen=True, slots=True)
class Accepted:
    """A mail that was answered 250: from then on it is owed to every webhook that matches."""

    message: str
    subject: str
    to: tuple[str, ...]
    at: float


class Ledger:
    """What we hold a 250 for. Several threads write."""

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.refused: Counter[str] = Counter()  # perhaps stored, but no 250: nothing may be claimed. By reply
        self.refused_for_good: list[str] = []
        self._lock = threading.Lock()

    def accept(self, message: str, subject: str, to: tuple[str, ...]) -> None:
        with self._lock:
            self.accepted.append(Accepted(message, subject, to, time.monotonic()))

    def refuse(self, code: int | None = None, answer: bytes = b"") -> None:
        """code: None if there was no answer."""
        with self._lock:
            self.refused[str(code or NO_ANSWER)] += 1
            if code is not None and code >= FOR_GOOD:
                self.refused_for_good.append(f"{code} {answer.decode(errors='replace')}")


@dataclass
class Broken:
    """Broken promises, each with what is needed to look into it. All empty: all kept."""

    refused_for_good: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    stored_twice: list[str] = field(default_factory=list)
    counts_that_do_not_add_up: list[str] = field(default_factory=list)
    not_verified: list[str] = field(default_factory=list)
    duplicates_with_another_id: list[str] = field(default_factory=list)
    duplicates_with_other_octets: list[str] = field(default_factory=list)
    not_one_delivery_for_each_webhook: list[str] = field(default_factory=list)
    not_delivered: list[str] = field(default_factory=list)
    attempt_numbers_with_holes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass
class Comparison:
    owed: int  # deliveries: one for each accepted mail and matching webhook
    delivered: int
    duplicates: int
    broken: Broken


def compare(
    accepted: Iterable[Accepted],
    arrivals: Iterable[Arrival],
    deliveries: Iterable[Mapping[str, Any]],
    webhooks_of: Mapping[str, AbstractSet[str]],
) -> Comparison:
    """webhooks_of: by recipient, the ids of the webhooks that are bound to where it leads."""
    arrivals, deliveries, broken = list(arrivals), list(deliveries), Broken()
    by_delivery = _by_delivery(arrivals, broken)
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in deliveries:
        rows[row["message"]].append(row)
        _look_at(row, broken)
    owed = delivered = 0
    for mail in accepted:
        expected = set().union(*(webhooks_of[to] for to in mail.to))
        owed += len(expected)
        ours = rows[mail.message]
        if Counter(row["webhook"] for row in ours) != Counter(expected):
            broken.not_one_delivery_for_each_webhook.append(f"{mail.message}: {[row['delivery'] for row in ours]}")
        reached = {row["webhook"] for row in ours if (row["webhook"], row["event"]) in by_delivery}
        delivered += len(expected & reached)
        broken.missing += [f"{mail.message} ({mail.subject}) at {webhook}" for webhook in sorted(expected - reached)]
    answered = sum(arrival.is_answered for arrival in arrivals)
    distinct = len({(arrival.webhook, arrival.event) for arrival in arrivals if arrival.is_answered})
    return Comparison(owed=owed, delivered=delivered, duplicates=answered - distinct, broken=broken)


def _by_delivery(arrivals: Iterable[Arrival], broken: Broken) -> set[tuple[str, str]]:
    """(webhook, event) of what arrived, verified, and was answered with yes."""
    octets: dict[str, set[tuple[str, str]]] = defaultdict(set)
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    arrived = set()
    for arrival in arrivals:
        if not arrival.is_verified:
            broken.not_verified.append(f"{arrival.event} at {arrival.webhook}")
            continue
        octets[arrival.event].add((arrival.webhook, arrival.sha256))
        if arrival.subject:  # a mail that could not be opened has none
            ids[arrival.webhook, arrival.subject].add(arrival.event)
        if arrival.is_answered:
            arrived.add((arrival.webhook, arrival.event))
    broken.duplicates_with_other_octets += sorted(
        event for event, seen in octets.items() if len({sha256 for _, sha256 in seen}) > 1
    )
    broken.duplicates_with_another_id += sorted(
        f"{subject} at {webhook}: {sorted(events)}" for (webhook, subject), events in ids.items() if len(events) > 1
    )
    return arrived


def _look_at(row: Mapping[str, Any], broken: Broken) -> None:
    """Also those of mail that we were not told is stored: what is stored is kept."""
    if row["state"] != "delivered":
        broken.not_delivered.append(f"{row['delivery']} is {row['state']}: {row['reason']}")
    if row["numbers"] != list(range(1, row["attempts"] + 1)):
        broken.attempt_numbers_with_holes.append(f"{row['delivery']}: {row['numbers']} of {row['attempts']}")


def unequal(counts: Mapping[str, int], messages: int) -> list[str]:
    """What an installation's own counters say against each other, and against the rows that are there."""
    accepted, stored, resent, discarded = (
        counts.get(f"mail_{what}", 0) for what in ("accepted", "stored", "resent", "discarded")
    )
    found = []
    if accepted != stored + resent + discarded:
        found.append(f"{accepted} accepted, but {stored} stored, {resent} resent and {discarded} discarded")
    if stored != messages:
        found.append(f"{stored} counted as stored, but {messages} are there")
    return found
