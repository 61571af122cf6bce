"""How often a key was used: three windows, looked at and spent in one step, all of them or none.

The minute is rolling: it is kept in slices of a second, and one counts until all of it is over a minute old, so that
no 60 seconds ever hold more than the limit, wherever they begin. Hour and day follow the clock (UTC), so that a client
knows when they begin anew. What is refused costs nothing.

Redis counts for all processes together, by its own clock (limits.lua). Without one, and while it is away, each process
counts for itself, in the same way.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from apikeys.plans import Limits
from emailgistics.common.away import Away

TIMEOUT_S = 0.5
MAX_LOCAL_KEYS = 10_000  # that a process counts for; beyond, the one that came least recently begins anew
SCRIPT = Path(__file__).with_name("limits.lua")

Answer = Sequence[int]  # as limits.lua describes it


@dataclass(frozen=True, slots=True)
class Window:
    """Counts in slices; the current one and as many before it, the oldest of them as a whole."""

    name: str
    seconds: int
    slice_s: int
    slices: int


WINDOWS = (
    Window("minute", 60, slice_s=1, slices=60),
    Window("hour", 3600, slice_s=3600, slices=0),
    Window("day", 86_400, slice_s=86_400, slices=0),
)


@dataclass(frozen=True, slots=True)
class Quota:
    """A window as a request has left it. back_at is when some of it comes back, in seconds since 1970; if the window
    is violated, enough for the request.
    """

    window: Window
    limit: int
    remaining: int
    back_at: int
    is_violated: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """now is in seconds since 1970, by the clock that decides."""

    is_admitted: bool
    now: int
    quotas: tuple[Quota, ...]

    @property
    def violated(self) -> tuple[Quota, ...]:
        return tuple(quota for quota in self.quotas if quota.is_violated)

    @property
    def retry_after(self) -> int:
        """Seconds after which the same request is admitted, unless others come before it; 0 if this one was.

        Rounded up: now has been cut to a whole second, and whatever comes back does so as a second begins.
        """
        return max((quota.back_at - self.now for quota in self.violated), default=0)


def charge(key_id: UUID, limits: Limits, cost: int = 1) -> Verdict:
    """Spends cost, if all windows have it. A cost above a whole limit is lowered to it: it needs the window unused."""
    return counter.charge(key_id, limits, cost)


@dataclass(slots=True)
class Tally:
    """What one key has spent in one window: slices with what was spent in each, oldest first."""

    window: Window
    slices: list[list[int]] = field(default_factory=list)

    def spent(self, now: int) -> int:
        current = now // self.window.slice_s
        # both ways: what a clock has counted that was set back since must not count for ever
        self.slices = [entry for entry in self.slices if abs(current - entry[0]) <= self.window.slices]
        return sum(spent for _, spent in self.slices)

    def back_at(self, now: int, excess: int) -> int:
        """When as much as excess has come back; when anything does, if that is 0 or less."""
        leaving = self.slices[0][0] if self.slices else now // self.window.slice_s
        for leaving, spent in self.slices:  # noqa: B007 - the last one that is looked at
            excess -= spent
            if excess <= 0:
                break
        return (leaving + self.window.slices + 1) * self.window.slice_s

    def add(self, spent: int, now: int) -> None:
        current = now // self.window.slice_s
        if self.slices and self.slices[-1][0] >= current:
            self.slices[-1][1] += spent
        else:
            self.slices.append([current, spent])


class LocalCounter:
    """Of this process; for all its threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tallies: OrderedDict[UUID, tuple[Tally, ...]] = OrderedDict()

    def charge(self, key_id: UUID, limits: Limits, cost: int) -> Verdict:
        with self._lock:
            answer = self._answer(self._tallies_of(key_id), limits, cost, now=int(self._clock()))
        return verdict(limits, cost, answer)

    def _tallies_of(self, key_id: UUID) -> tuple[Tally, ...]:
        if key_id not in self._tallies:
            self._tallies[key_id] = tuple(map(Tally, WINDOWS))
            if len(self._tallies) > MAX_LOCAL_KEYS:
                self._tallies.popitem(last=False)
        self._tallies.move_to_end(key_id)
        return self._tallies[key_id]

    @staticmethod
    def _answer(tallies: Iterable[Tally], limits: Limits, cost: int, *, now: int) -> Answer:
        """limits.lua, in Python."""
        found = []
        for tally in tallies:
            limit, spent = getattr(limits, tally.window.name), tally.spent(now)
            charged = min(cost, limit)
            found.append((tally, charged, spent, spent + charged - limit))
        fits = all(excess <= 0 for *_, excess in found)
        answer = [int(fits), now]
        for tally, charged, spent, excess in found:
            answer += (spent + charged * fits, tally.back_at(now, excess))
            if fits:
                tally.add(charged, now)
        return answer


class SharedCounter:
    """Of all processes, in Redis. While it is away, of this process: asked again every few seconds, by one request."""

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        """Redis has a clock; another one is for tests."""
        self._client = Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            # by default ten times, each with its own wait; the pool looks by itself whether a connection still stands
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._client.register_script(SCRIPT.read_text(encoding="ascii"))
        self._clock = clock
        self._local = LocalCounter()
        self._away = Away(away="limits.redis_away", back="limits.redis_back")

    def charge(self, key_id: UUID, limits: Limits, cost: int) -> Verdict:
        if not self._away.is_to_be_asked():
            return self._local.charge(key_id, limits, cost)
        # one hash slot, should it be a cluster
        keys = [f"emailgistics:limits:{{{key_id.hex}}}:{window.name}" for window in WINDOWS]
        arguments: list[int | str] = [cost, int(self._clock()) if self._clock else ""]
        for window in WINDOWS:
            arguments += (getattr(limits, window.name), window.slice_s, window.slices)
        try:
            answer: Answer = self._script(keys=keys, args=arguments)
        except (RedisError, OSError) as error:
            self._away.note_away(error)
            return self._local.charge(key_id, limits, cost)
        self._away.note_back()
        return verdict(limits, cost, answer)

    def close(self) -> None:
        self._client.close()


def verdict(limits: Limits, cost: int, answer: Answer) -> Verdict:
    fits, now, *rest = answer
    quotas = []
    for window, spent, back_at in zip(WINDOWS, rest[::2], rest[1::2], strict=True):
        limit = getattr(limits, window.name)
        is_violated = not fits and spent + min(cost, limit) > limit
        quotas.append(Quota(window, limit, max(0, limit - spent), back_at, is_violated))
    return Verdict(bool(fits), now, tuple(quotas))


# made as the module is: threads that come first together have to share one
counter: LocalCounter | SharedCounter = (
    SharedCounter(settings.REDIS_CLIENT_URL) if settings.REDIS_URL else LocalCounter()
)
