"""What is counted of keys' use, in memory: bounded, and two of one thing are made one."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

AT_MOST = 10_000  # entries of each kind that a process keeps

K = TypeVar("K")
V = TypeVar("V")


class LastUse(NamedTuple):
    """Ordered by its instant."""

    at: datetime
    address: str
    agent: str


class Refused(NamedTuple):
    calls: int
    last_at: datetime

    def and_also(self, other: "Refused") -> "Refused":
        return Refused(self.calls + other.calls, max(self.last_at, other.last_at))


class Bounded(dict[K, V], Generic[K, V]):
    """Values by key; two of one key are made one. What does not fit is counted as lost."""

    def __init__(self, combine: Callable[[V, V], V]) -> None:
        super().__init__()
        self._combine = combine
        self.lost = 0

    def add(self, key: K, value: V) -> None:
        if key in self:
            self[key] = self._combine(self[key], value)
        elif len(self) < AT_MOST:
            self[key] = value
        else:
            self.lost += 1


class Counts:
    """What was counted. The day is that of the call, in UTC."""

    def __init__(self) -> None:
        self.calls: Bounded[tuple[UUID, date, str, int], int] = Bounded(int.__add__)  # family, status class
        self.quarters: Bounded[tuple[UUID, int], int] = Bounded(int.__add__)  # of an hour: see series.py
        self.refusals: Bounded[tuple[UUID, date, str, str], Refused] = Bounded(Refused.and_also)  # reason, network
        self.scopes: Bounded[tuple[UUID, str], date] = Bounded(max)
        self.mailboxes: Bounded[tuple[UUID, UUID], date] = Bounded(max)
        self.aliases: Bounded[tuple[UUID, UUID], date] = Bounded(max)
        self.last_uses: Bounded[UUID, LastUse] = Bounded(max)

    def tables(self) -> Iterator[Bounded[Any, Any]]:
        yield from (self.calls, self.quarters, self.refusals)
        yield from (self.scopes, self.mailboxes, self.aliases, self.last_uses)

    def __bool__(self) -> bool:
        return any(self.tables())

    def add_all(self, other: "Counts") -> None:
        for mine, others in zip(self.tables(), other.tables(), strict=True):
            mine.lost += others.lost
            for key, value in others.items():
                mine.add(key, value)
