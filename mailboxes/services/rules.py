"""What rules say of mail: whether it is taken in, refused, thrown away or kept back.

Which rule decides, when several fit a mail for a mailbox:

1. the narrowest scope in which one fits: the alias that the mail came by, the mailbox, the domain of its recipient,
   everywhere;
2. within it the most particular criterion: sender, sender_domain (the longest), network (the longest prefix),
   attachment (the longest end of a filename, media type, `image/*`, `*/*`), size (the largest);
3. of rules that are alike in all that: allow before block, discard, quarantine; then the oldest.

So an allow rule lets pass what a wider or less particular rule would stop. What is not known yet decides later: sender,
network and the declared size are known at RCPT, the true size after DATA, attachments once the mail was opened. Of a
mail with several attachments each is judged by itself, with the rest of the mail, and the strictest word counts.

Values are looked up by equality: each domain that a sender is in, each network that a client is in. So one query reads
the few rules that may fit, out of any number. Size rules are read whole, as far as their scope is asked about: there
are at most MAX_SIZE_RULES for one scope.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection
from django.db.models import Q

from emailgistics.common.errors import RefusedError
from emailgistics.common.ids import encode_id
from mailboxes.models import Rule
from mailboxes.services import rule_values
from mailboxes.services.envelope import Envelope
from mailboxes.services.route import Route
from mailboxes.services.rule_values import Criterion, Values

MAX_SIZE_RULES = 20  # for one scope; the largest that fits decides, so more of them mean nothing
MAX_REASON_LENGTH = 400  # of Email.quarantine_reason
AT_ONCE = 100  # cases of one query: 129 networks of each client by IPv6

Action = Rule.Action
Criteria = tuple[Criterion, ...]

_CRITERIA = {str(criterion): rank for rank, criterion in enumerate(Criterion)}  # the more particular one first
_ACTIONS = {
    str(action): rank for rank, action in enumerate((Action.ALLOW, Action.BLOCK, Action.DISCARD, Action.QUARANTINE))
}
_DOES = {
    Action.ALLOW: "lets it pass",
    Action.BLOCK: "blocks it",
    Action.DISCARD: "discards it",
    Action.QUARANTINE: "keeps it back",
}
_SCOPES = ("alias", "mailbox", "domain")
_SAID_OF_SCOPE = {
    "alias": "for this alias",
    "mailbox": "for this mailbox",
    "domain": "for this domain",
    "": "everywhere",
}


class BlockedByRuleError(RefusedError):
    """reason names the rule and what it looks for, which not everybody may know; the message does not."""

    code = "blocked_by_rule"

    def __init__(self, reason: str, *, rule_id: UUID) -> None:
        super().__init__("A rule of this installation blocks this mail.")
        self.reason = reason
        self.rule_id = rule_id


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a mail in one mailbox; reason is for people, empty where no rule fits."""

    action: Rule.Action
    rule_id: UUID | None = None
    reason: str = ""
    criterion: Rule.Criterion | None = None

    @property
    def keeps(self) -> bool:
        """Whether there will be an email. What is blocked in one of several mailboxes is thrown away there."""
        return self.action not in (Rule.Action.DISCARD, Rule.Action.BLOCK)


TAKE = Verdict(Rule.Action.ALLOW)


@dataclass(frozen=True, slots=True)
class Case:
    """size is in octets: what the client declared, later what came; None where it declared nothing."""

    route: Route
    envelope: Envelope
    size: int | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict for each of the route's mailboxes, in their order. depends_on_size: a size rule may say otherwise."""

    verdicts: tuple[Verdict, ...]
    depends_on_size: bool = False


def judge(cases: Sequence[Case]) -> list[Judgement]:
    """Of each case, in their order. Two queries, however many rules there are; one if there are none.

    Of very many cases, one more for each further AT_ONCE.
    """
    if not cases:
        return []
    if not _are_any():
        return [Judgement((TAKE,) * len(case.route.mailbox_ids)) for case in cases]
    judgements: list[Judgement] = []
    for start in range(0, len(cases), AT_ONCE):
        judgements += _judge(cases[start : start + AT_ONCE])
    return judgements


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mail goes: a mailbox, by an alias or not, under a domain."""

    domain_id: UUID
    mailbox_id: UUID
    alias_id: UUID | None

    @property
    def scopes(self) -> tuple[tuple[str, UUID | None], ...]:
        """The narrowest first."""
        wider = (("mailbox", self.mailbox_id), ("domain", self.domain_id), ("", None))
        return (("alias", self.alias_id), *wider) if self.alias_id else wider


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a mail rules look at, as far as it is known."""

    values: Values
    size: int | None

    def fit(self, rule: "Found") -> int | None:
        """How far from the most particular rule of its criterion this one is; None if it does not fit."""
        if rule.criterion != Criterion.SIZE:
            return self.values.get((rule.criterion, rule.value))
        limit = rule_values.size_of(rule.value)
        return -limit if self.size is not None and self.size > limit else None


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that may fit."""

    pk: UUID
    domain_id: UUID | None
    mailbox_id: UUID | None
    alias_id: UUID | None
    action: str
    criterion: str
    value: str

    @property
    def scope(self) -> tuple[str, UUID | None]:
        ids = (self.alias_id, self.mailbox_id, self.domain_id)
        return next(((name, pk) for name, pk in zip(_SCOPES, ids, strict=True) if pk), ("", None))

    @property
    def reason(self) -> str:
        looks_for = self.value or rule_values.NULL_SENDER
        what = f"size over {looks_for}" if self.criterion == Criterion.SIZE else f"{self.criterion} {looks_for}"
        does = _DOES[Action(self.action)]
        said = f"{encode_id(Rule.ID_PREFIX, self.pk)} {_SAID_OF_SCOPE[self.scope[0]]} {does}: {what}"
        return said if len(said) <= MAX_REASON_LENGTH else f"{said[: MAX_REASON_LENGTH - 1]}…"


@dataclass(frozen=True, slots=True)
class Book:
    """The rules that may fit, by scope."""

    by_scope: Mapping[tuple[str, UUID | None], Sequence[Found]] = field(default_factory=dict)

    def verdict(self, place: Place, facts: Facts) -> Verdict:
        for scope in place.scopes:
            fitting = [
                (_CRITERIA[rule.criterion], distance, _ACTIONS[rule.action], rule.pk, rule)
                for rule in self.by_scope.get(scope, ())
                if (distance := facts.fit(rule)) is not None
            ]
            if fitting:
                *_, rule = min(fitting)
                return Verdict(Action(rule.action), rule.pk, rule.reason, Criterion(rule.criterion))
        return TAKE

    def has(self, criterion: Criterion, place: Place) -> bool:
        return any(rule.criterion == criterion for scope in place.scopes for rule in self.by_scope.get(scope, ()))


def look_up(places: Iterable[Place], values: Iterable[tuple[str, str]]) -> Book:
    """The rules for these places that are about one of these values, or about sizes. One query."""
    names = {scope for place in places for scope in place.scopes if scope[1]}
    within = Q(domain=None, mailbox=None, alias=None)
    for name in _SCOPES:
        if ids := [pk for scope, pk in names if scope == name]:
            within |= Q(**{f"{name}__in": ids})
    # not `live()`: nobody asks about places that were deleted
    rows = Rule.objects.filter(within, is_active=True, deleted_at=None).order_by()
    wanted = list(values)
    looked_up = rows.filter(
        criterion__in={criterion for criterion, _ in wanted}, value__in={value for _, value in wanted}
    )
    # two parts of one statement, each with its index; joined by OR, SQLite would read the table
    both = looked_up.union(rows.filter(criterion=Criterion.SIZE), all=True)
    columns = ("pk", "domain_id", "mailbox_id", "alias_id", "action", "criterion", "value")
    by_scope: dict[tuple[str, UUID | None], list[Found]] = {}
    for row in both.values_list(*columns):
        found = Found(*row)
        by_scope.setdefault(found.scope, []).append(found)
    return Book(by_scope)


def _are_any() -> bool:
    # for every mail, so in SQL as it is: most installations have no rules, and the query above costs many times this
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM mailboxes_rule WHERE is_active AND deleted_at IS NULL LIMIT 1")
        return cursor.fetchone() is not None


def places_of(route: Route) -> list[Place]:
    return [Place(route.domain_id, mailbox_id, route.alias_id) for mailbox_id in route.mailbox_ids]


def _judge(cases: Sequence[Case]) -> list[Judgement]:
    facts = [
        Facts(rule_values.values_of_envelope(case.envelope.mail_from, case.envelope.client_ip), case.size)
        for case in cases
    ]
    places = [places_of(case.route) for case in cases]
    book = look_up((place for some in places for place in some), (value for one in facts for value in one.values))
    if not book.by_scope:
        return [Judgement((TAKE,) * len(some)) for some in places]
    return [
        Judgement(
            tuple(book.verdict(place, one) for place in some), any(book.has(Criterion.SIZE, place) for place in some)
        )
        for some, one in zip(places, facts, strict=True)
    ]
