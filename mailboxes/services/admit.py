"""Whether a recipient is taken, and what becomes of its mail: where routing leads, and what rules say of it.

Many are asked for at once, because a listener has many connections: the number of queries does not grow with them.
What the size of a mail decides is asked again once it is there (`judged_by_size`), what its attachments decide once it
was opened (`services.process`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from emailgistics.common.errors import DomainError
from mailboxes.models import Rule
from mailboxes.services import rules
from mailboxes.services.envelope import Envelope, Source
from mailboxes.services.route import Question, Route, find_routes
from mailboxes.services.rules import BlockedByRuleError, Case, Judgement, Verdict


@dataclass(frozen=True, slots=True)
class Request:
    """One RCPT TO. size is what the client declared (RFC 1870), None where it declared nothing."""

    address: str
    envelope: Envelope
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A recipient that is taken, and the verdict of each of its route's mailboxes, in their order.

    depends_on_size: a rule about sizes is meant for it, so that the verdicts may be others once the mail is there.
    """

    route: Route
    verdicts: tuple[Verdict, ...]
    depends_on_size: bool = False


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
    judgements = iter(rules.judge(cases))
    return [_admission(route, next(judgements)) if isinstance(route, Route) else route for route in found]


def judged_by_size(admissions: Sequence[Admission], *, envelope: Envelope, size: int) -> list[Admission | DomainError]:
    """The admissions as the true size has them, in octets, in their order; no query where no rule is about sizes.

    What is blocked only now was told 250 at RCPT. By SMTP one answer is for all recipients, so either everything is
    blocked, and the error is in place of each, or what is blocked is kept back instead. Otherwise each recipient has an
    answer of its own: an error, if none of its mailboxes takes it.
    """
    sized = [admission for admission in admissions if admission.depends_on_size]
    judgements = iter(rules.judge([Case(admission.route, envelope, size) for admission in sized]))
    judged = [
        _with(admission, next(judgements)) if admission.depends_on_size else admission for admission in admissions
    ]
    blocked = [_block(verdicts.verdicts) for verdicts in judged]
    if envelope.source == Source.SMTP and not all(blocked):
        blocked = [None] * len(blocked)
    return [
        error or _keeping_back(after, before) for error, after, before in zip(blocked, judged, admissions, strict=True)
    ]


def _admission(route: Route, judgement: Judgement) -> Admission | DomainError:
    """Refused only if no mailbox takes it: otherwise what one of them would refuse is discarded there, with a row."""
    admission = _with(Admission(route, ()), judgement)
    error = _block(admission.verdicts)
    if error is None:
        return admission
    error.explanation = admission.route.explanation
    return error


def _with(admission: Admission, judgement: Judgement) -> Admission:
    if not any(verdict.reason for verdict in (*admission.verdicts, *judgement.verdicts)):  # as nearly always
        return Admission(admission.route, judgement.verdicts, judgement.depends_on_size)
    before = {verdict.reason for verdict in admission.verdicts}
    steps = [step for step in admission.route.explanation if step not in before]
    reasons = dict.fromkeys(verdict.reason for verdict in judgement.verdicts if verdict.reason)
    route = replace(admission.route, explanation=(*steps, *reasons))
    return Admission(route, judgement.verdicts, judgement.depends_on_size)


def _block(verdicts: Sequence[Verdict]) -> BlockedByRuleError | None:
    """The error, if all of them block."""
    first = verdicts[0]
    if first.rule_id is None or any(verdict.action != Rule.Action.BLOCK for verdict in verdicts):
        return None
    return BlockedByRuleError(first.reason, rule_id=first.rule_id)


def _keeping_back(after: Admission, before: Admission) -> Admission:
    """With what is blocked only now quarantined."""
    verdicts = tuple(
        replace(now, action=Rule.Action.QUARANTINE) if now.action == Rule.Action.BLOCK != then.action else now
        for now, then in zip(after.verdicts, before.verdicts, strict=True)
    )
    return replace(after, verdicts=verdicts)
