"""Whether a recipient is taken, and what becomes of its mail: where routing leads, and what rules say of it.

Many are asked for at once, because a listener has many connections: the number of queries does not grow with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from emailgistics.common.errors import DomainError
from mailboxes.models import Rule
from mailboxes.services import rules
from mailboxes.services.envelope import Envelope
from mailboxes.services.route import Question, Route, find_routes
from mailboxes.services.rules import BlockedByRuleError, Case, Verdict


@dataclass(frozen=True, slots=True)
class Request:
    """One RCPT TO. size is what the client declared (RFC 1870), None where it declared nothing."""

    address: str
    envelope: Envelope
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A recipient that is taken, and the verdict of each of its route's mailboxes, in their order."""

    route: Route
    verdicts: tuple[Verdict, ...]


def admit(address: str, *, envelope: Envelope, size: int | None = None) -> Admission:
    """Raises what `find_routes` answers, and BlockedByRuleError."""
    (answer,) = admit_all([Request(address, envelope, size)])
    if isinstance(answer, DomainError):
        raise answer
    return answer


def admit_all(requests: Sequence[Request]) -> list[Admission | DomainError]:
    """An answer to each request, in their order: an error of one is nothing to the others."""
    questions = [Question(request.address, from_outside=request.envelope.is_from_outside) for request in requests]
    found = find_routes(questions)
    cases = [
        Case(route, request.envelope, request.size)
        for request, route in zip(requests, found, strict=True)
        if isinstance(route, Route)
    ]
    verdicts = iter(rules.judge(cases))
    return [_admission(route, next(verdicts)) if isinstance(route, Route) else route for route in found]


def _admission(route: Route, verdicts: tuple[Verdict, ...]) -> Admission | DomainError:
    """Refused only if no mailbox takes it: otherwise what one of them would refuse is discarded there, with a row."""
    blocks = [verdict for verdict in verdicts if verdict.action == Rule.Action.BLOCK]
    reasons = tuple(dict.fromkeys(verdict.reason for verdict in verdicts if verdict.reason))
    route = replace(route, explanation=(*route.explanation, *reasons))
    if len(blocks) == len(verdicts) and blocks[0].rule_id is not None:
        error = BlockedByRuleError(blocks[0].reason, rule_id=blocks[0].rule_id)
        error.explanation = route.explanation
        return error
    return Admission(route, verdicts)
