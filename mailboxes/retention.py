"""How long mail is kept: the three clocks of a mailbox, which begin when a mail is accepted.

What a mailbox leaves open is what the installation says (RETENTION_RAW_DAYS, …), and that is for good by default.
Nothing outlasts what it is a part of: the raw goes with the content at the latest, the content with the log.
"""

from dataclasses import dataclass

from django.conf import settings

from emailgistics.common.errors import RefusedError
from mailboxes.models import Mailbox, RetentionClock

Kind = RetentionClock.Kind
WIDEST_FIRST = (Kind.LOG, Kind.CONTENT, Kind.RAW)  # each with all that follows it


@dataclass(frozen=True, slots=True)
class InForce:
    """Days that are in force; None is for good."""

    raw_days: int | None
    content_days: int | None
    log_days: int | None

    def days_of(self, kind: str) -> int | None:
        days: int | None = getattr(self, f"{kind}_days")
        return days


def in_force(mailbox: Mailbox) -> InForce:
    log = mailbox.log_days or settings.RETENTION_LOG_DAYS or None
    content = _least(mailbox.content_days or settings.RETENTION_CONTENT_DAYS or None, log)
    raw = _least(mailbox.raw_days or settings.RETENTION_RAW_DAYS or None, content)
    return InForce(raw, content, log)


def refuse_contradiction(mailbox: Mailbox) -> None:
    """What a mailbox says itself has to come true. Raises RefusedError, which names the numbers and the remedy."""
    holds = in_force(mailbox)
    for kind, within in ((Kind.CONTENT, Kind.LOG), (Kind.RAW, Kind.CONTENT)):
        asked, limit = getattr(mailbox, f"{kind}_days"), holds.days_of(within)
        if asked is not None and limit is not None and asked > limit:
            whose = "" if getattr(mailbox, f"{within}_days") else ", as the installation says"
            raise RefusedError(
                f"{kind}_days is {asked}, but {within}_days is {limit}{whose}, and nothing is kept longer than what it "
                f"is a part of: give {kind}_days at most {limit}, or {within}_days at least {asked}.",
                field="retention",
            )


def _least(days: int | None, limit: int | None) -> int | None:
    return min(filter(None, (days, limit)), default=None)
