"""The ledger: what came and went, as it was counted when it did, against what is there.

Each account is balanced day by day, by the day in the rows' ids (`common/ledger_days.py`): what came is what is there
and what went. One statement reads all of a day, so it is of one moment, whatever happens meanwhile. What differs was
lost, made twice, or changed by hand, and is an alarm until somebody has looked into it.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import CharField, Count, Model, Q, Sum, Value
from django.db.models.functions import Concat
from django.utils import timezone

from emailgistics.common import audit, tallies
from emailgistics.common.ledger_days import (
    ACCEPTED,
    CAME,
    DELIVERIES,
    EMAILS,
    KINDS,
    MESSAGES,
    WENT,
    day_of,
    ids_of,
    name_of,
)
from emailgistics.common.logs import get_logger
from emailgistics.common.models import LedgerDay, Tally
from mailboxes.models import Email, Message
from webhooks.models import Delivery

log = get_logger(__name__)

# by account: its rows, and by what they are told apart
ROWS: Mapping[str, tuple[type[Model], str]] = {
    MESSAGES: (Message, "state"),
    EMAILS: (Email, "status"),
    DELIVERIES: (Delivery, "state"),
}
MAIL = "mail"  # the account of what was answered 250
BEGAN = "ledger_began"  # the tally that a migration leaves: the first day of which all is counted
RECENT = timedelta(days=1)  # how far back every check looks; of the days before, one at a time


@dataclass(frozen=True, slots=True)
class Balance:
    """Of an account on a day; of all days for MAIL. found is by what the rows are now, besides what went."""

    account: str
    day: date | None
    came: int
    went: int
    accepted: int
    found: Mapping[str, int]

    @property
    def difference(self) -> int:
        """How many more there are than there should be; negative: so many are missing."""
        return sum(self.found.values()) + self.went - self.accepted - self.came


def check(*, now: datetime | None = None) -> list[Balance]:
    """Today, yesterday, and the day before them that was looked at longest ago; returns what differs.

    What it finds is written down, for alarms, metrics and the console. Twice at once is as good as once.
    """
    now = now or timezone.now()
    today = now.astimezone(UTC).date()
    days = {today, today - RECENT}
    earlier = LedgerDay.objects.filter(day__lt=min(days)).order_by("checked_at").values_list("day", flat=True)
    days.update(earlier[:1])
    counted = {*days_counted(), today}  # today always: that somebody looked is to be seen
    return [balance for day in sorted(days & counted) if day >= _began() for balance in check_day(day)]


def check_day(day: date) -> list[Balance]:
    """Balances that day, writes down how it stands, and returns what differs."""
    begun = time.monotonic()
    wrong = [balance for balance in balances(day) if balance.difference]
    differs = {balance.account: balance.difference for balance in wrong}
    took_ms = round((time.monotonic() - begun) * 1000)
    before = LedgerDay.objects.filter(day=day).values_list("differs", flat=True).first()
    LedgerDay.objects.update_or_create(
        day=day,
        defaults={"checked_at": timezone.now(), "is_balanced": not differs, "differs": differs, "took_ms": took_ms},
    )
    if differs and differs != before:
        log.error("ledger.differs", day=day.isoformat(), **differs)
    return wrong


def balances(day: date) -> list[Balance]:
    """Of every account on that day. One statement."""
    first, end = ids_of(day)
    names = [name_of(account, kind, day) for account in ROWS for kind in KINDS]
    parts: list[Any] = [Tally.objects.filter(name__in=names).order_by().values("name").annotate(n=Sum("amount"))]
    for account, (model, field) in ROWS.items():
        rows = model._default_manager.filter(pk__gte=first, pk__lt=end).order_by()  # noqa: SLF001 - of any model
        named = Concat(Value(f"{account} "), field, output_field=CharField())
        parts.append(rows.annotate(name=named).values("name").annotate(n=Count("pk")))
    found = {str(row["name"]): int(row["n"]) for row in parts[0].union(*parts[1:], all=True)}
    return [_balance(account, day, found) for account in ROWS]


def mail() -> Balance:
    """What was answered 250, against what was stored, known again and thrown away as a rule said, of all time."""
    found = tallies.totals(["mail_accepted", "mail_stored", "mail_resent", "mail_discarded"])
    came = found.pop("mail_accepted", 0)
    return Balance(MAIL, None, came=came, went=0, accepted=0, found=found)


def days_counted() -> list[date]:
    """Those of which everything was counted: not the one on which a release began to count that counts."""
    of_day = Q()
    for account in ROWS:
        of_day |= Q(name__startswith=f"{account}_{CAME} ")
    names, began = Tally.objects.filter(of_day).values_list("name", flat=True).distinct(), _began()
    return sorted({day for name in names if (day := day_of(name)) and day >= began})


@transaction.atomic
def accept(day: date, *, reason: str, person: User | None = None) -> list[Balance]:
    """From now on the differences of that day count as looked into; returns what they were. It is an audit row."""
    wrong = [balance for balance in balances(day) if balance.difference]
    tallies.count(**{name_of(balance.account, ACCEPTED, day): balance.difference for balance in wrong})
    if wrong:
        differs = {balance.account: balance.difference for balance in wrong}
        details = {"reason": reason, **differs}
        audit.record("ledger.accepted", of=day.isoformat(), person=person, details=details)
    check_day(day)
    return wrong


def _balance(account: str, day: date, found: Mapping[str, int]) -> Balance:
    came, went, accepted = (found.get(name_of(account, kind, day), 0) for kind in (CAME, WENT, ACCEPTED))
    states = {name.removeprefix(f"{account} "): n for name, n in found.items() if name.startswith(f"{account} ")}
    return Balance(account, day, came=came, went=went, accepted=accepted, found=states)


def _began() -> date:
    name = Tally.objects.filter(name__startswith=f"{BEGAN} ").values_list("name", flat=True).first()
    return (day_of(name) if name else None) or date.min
