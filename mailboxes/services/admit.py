"""Whether a recipient is taken, and what becomes of its mail: where routing leads, what rules say, and what has room.

Many are asked for at once, because a listener has many connections: the number of queries does not grow with them.
What the size of a mail decides is asked again once it is there (`judged_by_size`), what its attachments decide once it
was opened (`services.process`). Whether there is room is not: a mailbox may hold more than its quota by what came while
it was nearly full, at the same moment or without saying its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from emailgistics.common.errors import DomainError
from mailboxes.models import Rule
from mailboxes.services import quota, rules
from mailboxes.services.directory import FoundMailbox
from mailboxes.services.envelope import Envelope, Source
from mailboxes.services.quota import MailboxFullError
from mailboxes.services.route import Question, Route, find_routes
from mailboxes.services.rules import BlockedByRuleError, Case, Judgement, Verdict


@dataclass(frozen=True, slots=True)
class Request:
    """One RCPT TO. size is what the client declared (RFC 1870), None where it declared nothing.

    deciding: the mailboxes whose rules and room decide whether the mail is taken, all of them if None. It is for a
    sender that may know of no other: the others get their copies of what one of these keeps, though they be full.
    """

    address: str
    envelope: Envelope
    size: int | None = None
    deciding: frozenset[UUID] | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A recipient that is taken, and the verdict of each of its route's mailboxes, in their order.

    depends_on_size: a rule about sizes is meant for it, so that the verdicts may be others once the mail is there.
    """

    route: Route
    verdicts: tuple[Verdict, ...]
    depends_on_size: bool = False


def admit(address: str, *, envelope: Envelope, size: int | None = None) -> Admission:
    """Raises what `find_routes` answers, BlockedByRuleError, and MailboxFullError."""
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
    answers = [
        _admission(route, next(judgements), request.deciding) if isinstance(route, Route) else route
        for request, route in zip(requests, found, strict=True)
    ]
    return _with_room(answers, requests)


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


def _admission(route: Route, judgement: Judgement, deciding: frozenset[UUID] | None) -> Admission | DomainError:
    """Refused only if no mailbox takes it: otherwise what one of them would refuse is discarded there, with a row."""
    admission = _with(Admission(route, ()), judgement)
    if deciding is not None:
        admission = _decided(admission, deciding)
    error = _block(admission.verdicts)
    if error is None:
        return admission
    error.explanation = admission.route.explanation
    return error


def _decided(admission: Admission, deciding: frozenset[UUID]) -> Admission:
    """Those that decide come first, so that a resend is known by them; if none of them keeps the mail, nobody gets it.

    The same admission where none of its mailboxes decides.
    """
    judged = list(zip(admission.route.mailbox_ids, admission.verdicts, strict=True))
    heard = [(mailbox_id, verdict) for mailbox_id, verdict in judged if mailbox_id in deciding]
    if not heard:
        return admission
    if any(verdict.keeps for _, verdict in heard):
        heard += [pair for pair in judged if pair not in heard]
    mailbox_ids, verdicts = zip(*heard, strict=True)
    limited = tuple(mailbox for mailbox in admission.route.limited if mailbox.id in deciding)
    return replace(
        admission, route=replace(admission.route, mailbox_ids=mailbox_ids, limited=limited), verdicts=verdicts
    )


def _with_room(
    answers: Sequence[Admission | DomainError], requests: Sequence[Request]
) -> list[Admission | DomainError]:
    """The answers, but an error for those whose mail does not fit. One query, none where no mailbox has a quota.

    One full mailbox of several is enough: otherwise the mail would be missing there, and nobody would be told.
    """
    limited = [_limited(answer) if isinstance(answer, Admission) else [] for answer in answers]
    if not any(limited):
        return list(answers)
    used = quota.used_by({mailbox.id for some in limited for mailbox in some})
    full = [
        quota.full_among(some, used=used, size=request.size) for some, request in zip(limited, requests, strict=True)
    ]
    return [
        _refused_as_full(answer, steps) if isinstance(answer, Admission) and steps else answer
        for answer, steps in zip(answers, full, strict=True)
    ]


def _limited(admission: Admission) -> list[FoundMailbox]:
    """The mailboxes with a quota where the mail would be kept."""
    if not admission.route.limited:
        return []
    verdicts = dict(zip(admission.route.mailbox_ids, admission.verdicts, strict=True))
    return [mailbox for mailbox in admission.route.limited if verdicts[mailbox.id].keeps]


def _refused_as_full(admission: Admission, steps: Sequence[str]) -> MailboxFullError:
    error = MailboxFullError()
    error.explanation = (*admission.route.explanation, *steps)
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
