"""What rules say of mail: whether it is taken in, refused, thrown away or kept back."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from emailgistics.common.errors import RefusedError
from mailboxes.models import Rule
from mailboxes.services.envelope import Envelope
from mailboxes.services.route import Route


class BlockedByRuleError(RefusedError):
    code = "blocked_by_rule"

    def __init__(self, message: str, *, rule_id: UUID) -> None:
        super().__init__(message)
        self.rule_id = rule_id


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a mail in one mailbox; reason is for people, empty where no rule fits."""

    action: Rule.Action
    rule_id: UUID | None = None
    reason: str = ""


TAKE = Verdict(Rule.Action.ALLOW)


@dataclass(frozen=True, slots=True)
class Case:
    """size is in octets: what the client declared, later what came; None where it declared nothing."""

    route: Route
    envelope: Envelope
    size: int | None


def judge(cases: Sequence[Case]) -> list[tuple[Verdict, ...]]:
    """For each case the verdicts of its route's mailboxes, in their order."""
    return [(TAKE,) * len(case.route.mailbox_ids) for case in cases]
