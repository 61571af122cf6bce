"""How much a key may do: its plan times RATE_LIMIT_MINUTE, _HOUR and _DAY, or numbers of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TypeGuard

from django.conf import settings

from apikeys.models import ApiKey
from emailgistics.common.errors import RefusedError

FACTORS = {ApiKey.Plan.STANDARD: 1, ApiKey.Plan.PRO: 2, ApiKey.Plan.ENTERPRISE: 10}
MAX_LIMIT = 10**9  # sums of it are exact wherever they are made: Python, JSON, Lua


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests that one key may make."""

    minute: int
    hour: int
    day: int


def granted(plan: str, own_limits: Mapping[str, int] | None) -> Limits:
    """own_limits is as it is stored, which SQL may have done: what is no limit in it is as the plan has it."""
    factor = FACTORS[ApiKey.Plan(plan)]
    limits = Limits(
        factor * settings.RATE_LIMIT_MINUTE, factor * settings.RATE_LIMIT_HOUR, factor * settings.RATE_LIMIT_DAY
    )
    if own_limits is None:
        return limits
    windows = asdict(limits)
    return Limits(
        **{window: own if is_limit(own := own_limits.get(window)) else limit for window, limit in windows.items()}
    )


def is_limit(value: object) -> TypeGuard[int]:
    return type(value) is int and 1 <= value <= MAX_LIMIT


def limits_of(key: ApiKey) -> Limits:
    return granted(key.rate_plan, key.own_limits)


def parse_plan(text: str) -> str:
    """Raises RefusedError, with field plan."""
    if text not in ApiKey.Plan.values:
        raise RefusedError(f"plan is one of {', '.join(ApiKey.Plan.values)}.", field="plan")
    return text


def parse_own_limits(plan: str, given: Mapping[str, int | None]) -> dict[str, int] | None:
    """Numbers of a key's own as they are stored; a window that is not named has that of the plan. None: none is named.

    Raises RefusedError, with the field.
    """
    named = {window: limit for window, limit in given.items() if limit is not None}
    if not named:
        return None
    if plan != ApiKey.Plan.ENTERPRISE:
        raise RefusedError("Only a key of the plan enterprise has limits of its own.", field="plan")
    windows = asdict(granted(plan, None))
    for window, limit in named.items():
        if window not in windows:
            raise RefusedError(f"There is no limit a {window}; there are {', '.join(windows)}.", field="own_limits")
        if not is_limit(limit):
            raise RefusedError(f"A limit is a whole number from 1 to {MAX_LIMIT:,}.", field=window)
    own = windows | named
    if not own["minute"] <= own["hour"] <= own["day"]:
        raise RefusedError(
            f"{own['minute']:,} a minute, {own['hour']:,} an hour and {own['day']:,} a day: of these, a longer time "
            "must not have less than a shorter one.",
            field="own_limits",
        )
    return own
