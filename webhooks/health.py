"""How well a webhook takes what it is sent, and what follows from it: the circuit breaker, slow start, the way to being
disabled, and the rate limit.

Pure arithmetic over one row's numbers (`models.WebhookHealth`). All instants are the database's. Nothing here loses a
mail: what may not go out now waits.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple

from webhooks import retry

# the circuit breaker opens at this share of failures among at least so many results in a window
OPENS_AT_SHARE = 0.7
OPENS_FROM_RESULTS = 10
WINDOW = timedelta(minutes=5)
OPEN_FIRST_FOR = timedelta(seconds=30)
OPEN_AT_MOST_FOR = timedelta(minutes=15)

# a webhook is disabled after failing for so long, with so many failures, and no success between them: one mail alone
# does not come to that
DISABLED_AFTER = timedelta(days=5)
DISABLED_FROM_FAILURES = 20
ALERTS_AT_PERCENT = (50, 70, 90)

FIRST_CAP = 1  # requests at once, after a pause or an open circuit; doubles with each success


class Outcome(Enum):
    SUCCESS = "success"
    FAILURE = "failure"


class News(NamedTuple):
    """What the owner should hear: failing (percent of the way), disabled, recovered; opened and closed are for logs."""

    kind: str
    percent: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """The fields of `models.WebhookHealth`, without the rate limit's. All default: nothing is known against it."""

    failing_since: datetime | None = None
    failures: int = 0
    alerted_percent: int = 0
    window_started_at: datetime | None = None
    window_results: int = 0
    window_failures: int = 0
    before_results: int = 0  # of the window before it
    before_failures: int = 0
    open_until: datetime | None = None
    open_for_s: int = 0
    cap: int | None = None

    @property
    def is_spotless(self) -> bool:
        """A success changes nothing."""
        return self == SPOTLESS


SPOTLESS = Health()
NOTHING_COUNTED: dict[str, Any] = {
    "window_started_at": None, "window_results": 0, "window_failures": 0, "before_results": 0, "before_failures": 0
}  # fmt: skip


def outcome_of(status: int | None) -> Outcome:
    """Of an answer's HTTP status; None: there was none."""
    return Outcome.SUCCESS if retry.is_success(status) else Outcome.FAILURE


def after(health: Health, outcome: Outcome, *, now: datetime, at_most: int) -> tuple[Health, list[News]]:
    """The health after one more result. at_most: requests at once that the webhook allows."""
    if outcome is Outcome.SUCCESS:
        return _after_success(health, at_most=at_most, now=now)
    health = replace(health, failing_since=health.failing_since or now, failures=health.failures + 1)
    health, news = _after_failure(health, now=now, at_most=at_most)
    way, more = _on_the_way(health, now=now)
    return way, news + more


def counted(health: Health, *, results: int, failures: int, now: datetime) -> Health:
    """With so many results more in the window, which begins anew when it is over."""
    started = health.window_started_at
    if started is None or now - started >= 2 * WINDOW:
        health = replace(health, **(NOTHING_COUNTED | {"window_started_at": now}))
    elif now - started >= WINDOW:
        health = replace(
            health,
            window_started_at=started + WINDOW,
            window_results=0,
            window_failures=0,
            before_results=health.window_results,
            before_failures=health.window_failures,
        )
    return replace(
        health, window_results=health.window_results + results, window_failures=health.window_failures + failures
    )


def with_successes(health: Health, known: Health) -> Health:
    """A window that is not yet kept begins with the successes that somebody remembers (`known`, of them alone).

    Otherwise the first few failures among thousands of successes would be all that counts.
    """
    if health.window_started_at is not None:
        return health
    return replace(
        health,
        window_started_at=known.window_started_at,
        window_results=known.window_results,
        before_results=known.before_results,
    )


def room(health: Health, *, in_flight: int, now: datetime, at_most: int) -> int:
    """How many requests more may begin now, by what is known of it. Never negative."""
    if health.open_until is not None and now < health.open_until:
        return 0
    if health.open_for_s:  # half open: one probe tells
        return max(0, FIRST_CAP - in_flight)
    return max(0, min(at_most, health.cap or at_most) - in_flight)


def is_limited(health: Health) -> bool:
    """Whether how much may begin depends on what other dispatchers have begun a moment ago."""
    return bool(health.open_for_s) or health.cap is not None


AFTER_A_PAUSE = Health(cap=FIRST_CAP)  # what has piled up does not come all at once, and the past is forgotten


def tokens(held: float | None, *, since: datetime | None, now: datetime, per_minute: int) -> float:
    """In the rate limit's bucket now: it fills steadily and holds what one second brings, at least one."""
    capacity = max(1.0, per_minute / 60)
    if held is None or since is None:
        return capacity
    gained = max(0.0, (now - since).total_seconds()) * per_minute / 60
    return min(capacity, held + gained)


def way_to_disabling(health: Health, *, now: datetime) -> float:
    """0 to 1, as a share of both what it takes: time and failures."""
    if health.failing_since is None:
        return 0.0
    return min(1.0, (now - health.failing_since) / DISABLED_AFTER, health.failures / DISABLED_FROM_FAILURES)


def _after_success(health: Health, *, now: datetime, at_most: int) -> tuple[Health, list[News]]:
    """It is there: the circuit closes, and more may go out at once."""
    news = [News("recovered")] if health.alerted_percent else []
    if health.open_for_s:
        news.append(News("closed"))
        health = replace(health, **NOTHING_COUNTED)
    elif health.window_started_at is not None:
        health = counted(health, results=1, failures=0, now=now)
        if not (health.window_failures or health.before_failures):
            health = replace(health, **NOTHING_COUNTED)
    cap = None if health.cap is None or 2 * health.cap >= at_most else 2 * health.cap
    return replace(
        health, failing_since=None, failures=0, alerted_percent=0, open_until=None, open_for_s=0, cap=cap
    ), news


def _after_failure(health: Health, *, now: datetime, at_most: int) -> tuple[Health, list[News]]:
    if health.open_for_s:
        if health.open_until is not None and now < health.open_until:
            return health, []  # it was begun before the circuit opened, and says nothing new
        wait = min(timedelta(seconds=2 * health.open_for_s), OPEN_AT_MOST_FOR)
        return replace(health, open_until=now + wait, open_for_s=int(wait.total_seconds())), []
    cap = max(FIRST_CAP, (health.cap or at_most) // 2)
    health = replace(counted(health, results=1, failures=1, now=now), cap=cap)
    if not _opens(health, now=now):
        return health, []
    opened = replace(
        health,
        open_until=now + OPEN_FIRST_FOR,
        open_for_s=int(OPEN_FIRST_FOR.total_seconds()),
        cap=FIRST_CAP,
    )
    return opened, [News("opened")]


def _opens(health: Health, *, now: datetime) -> bool:
    """Of the window before, as large a part counts as reaches into the WINDOW up to now."""
    started = health.window_started_at or now
    part = 1 - (now - started) / WINDOW
    results = health.window_results + part * health.before_results
    failures = health.window_failures + part * health.before_failures
    return results >= OPENS_FROM_RESULTS and failures >= OPENS_AT_SHARE * results


def _on_the_way(health: Health, *, now: datetime) -> tuple[Health, list[News]]:
    share = way_to_disabling(health, now=now)
    if share >= 1:
        return replace(health, alerted_percent=100), [News("disabled")]
    passed = [percent for percent in ALERTS_AT_PERCENT if share * 100 >= percent > health.alerted_percent]
    if not passed:
        return health, []
    return replace(health, alerted_percent=passed[-1]), [News("failing", passed[-1])]
