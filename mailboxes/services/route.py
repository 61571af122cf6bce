"""Which mailboxes an envelope recipient leads to, and why. Headers have no say in it.

Many are looked for at once, because a listener has many connections: the number of queries does not grow with them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.utils import timezone

from emailgistics.common.errors import DomainError, NotFoundError, RefusedError, UnavailableError
from mailboxes import addresses
from mailboxes.addresses import CATCH_ALL, RESERVED_LOCAL_KEYS, ParsedAddress
from mailboxes.models import ADDRESS_RESTS_FOR, Recipient
from mailboxes.patterns import InvalidPatternError, Pattern
from mailboxes.services import directory
from mailboxes.services.directory import FoundAlias, FoundDomain, FoundMailbox, Owner
from mailboxes.services.provision import UnknownDomainError

POSTMASTER = "postmaster"
SUBDOMAIN = "subdomain"  # of Route.captures
AT_ONCE = 200  # questions in one round of queries: each name has up to 126 domains above it, and a query has an end
MAX_PASSED_OVER_NOTED = 5  # of disabled patterns: what is noted is kept with the email
Kind = Recipient.Kind


class UnknownRecipientError(NotFoundError):
    code = "unknown_recipient"


class AddressDisabledError(RefusedError):
    code = "address_disabled"


class DomainForTestsError(RefusedError):
    """The domain is a test domain, and the mail comes from where such a domain takes none."""

    code = "domain_for_tests"


class DomainNotVerifiedError(UnavailableError):
    """Nobody has shown yet that the domain is his (`services.verification`): its mail may come again later."""

    code = "domain_not_verified"


@dataclass(frozen=True, slots=True)
class Route:
    """Where one recipient leads: to at least one mailbox, the alias's own before its further ones.

    `address` is as the sender gave it; `captures` what the groups of a pattern matched, by name or number, and in
    `subdomain` what stood before the domain; `explanation` the decisions in their order. `own_mailbox_id` is the
    mailbox that the alias belongs to, None without an alias: it is not among `mailbox_ids` while it is disabled.
    `limited` are those of the mailboxes that have a quota.
    """

    address: str
    domain_id: UUID
    mailbox_ids: tuple[UUID, ...]
    alias_id: UUID | None
    kind: Kind
    tag: str
    explanation: tuple[str, ...]
    captures: dict[str, str] = field(default_factory=dict)
    own_mailbox_id: UUID | None = None
    limited: tuple[FoundMailbox, ...] = ()

    @property
    def mailbox_id(self) -> UUID:
        return self.mailbox_ids[0]

    def is_copy(self, mailbox_id: UUID) -> bool:
        """Whether that is a further mailbox of the alias."""
        return self.own_mailbox_id is not None and mailbox_id != self.own_mailbox_id


@dataclass(frozen=True, slots=True)
class Question:
    """from_outside: by SMTP, from a client that is not on TEST_NETWORKS."""

    address: str
    from_outside: bool = False


def route(address: str, *, from_outside: bool = False) -> Route:
    """Finds the mailboxes for `local-part@domain`, or for `postmaster` without a domain (RFC 5321 section 4.5.1).

    The domain is the one of that name, or else the nearest above it that includes its sub-domains. First in it that
    fits: the exact address, the address without its +tag, a reserved name, a pattern (by priority, wildcards first),
    the catch-all. A match that is disabled or was deleted lately ends the search: its mail is not for others' eyes.
    Nobody in a test domain gets mail `from_outside`.

    Raises InvalidAddressError, UnknownDomainError, DomainForTestsError, DomainNotVerifiedError, UnknownRecipientError,
    AddressDisabledError, each with its explanation.
    """
    (answer,) = find_routes([Question(address, from_outside)])
    if isinstance(answer, DomainError):
        raise answer
    return answer


def find_routes(questions: Sequence[Question]) -> list[Route | DomainError]:
    """An answer to each question, in their order; the errors are those that `route` raises.

    However many they are (up to AT_ONCE), there are two queries: for domains and for addresses. One more if there are
    patterns to try, and one more if an alias leads to several mailboxes.
    """
    answers: list[Route | DomainError] = []
    for start in range(0, len(questions), AT_ONCE):
        searches = [_Search(question) for question in questions[start : start + AT_ONCE]]
        _run(searches)
        answers += [search.answer for search in searches if search.answer is not None]
    return answers


def _run(searches: Sequence["_Search"]) -> None:
    """Leaves each with its answer."""
    rested = timezone.now() - ADDRESS_RESTS_FOR
    _step(searches, _Search.read)
    domains = directory.find_domains(
        {name for search in _open(searches) for name in search.names},
        postmasters_for={search.question.from_outside for search in _open(searches) if not search.names},
        rested=rested,
    )
    _step(searches, lambda search: search.enter(domains))
    keys: dict[UUID, set[str]] = {}
    for search in _open(searches):
        keys.setdefault(search.domain.id, {CATCH_ALL}).update((search.key, search.base_key))
    names = {search.domain.id: search.domain.name for search in _open(searches)}
    owners = directory.find_owners(keys, domains=names, rested=rested)
    _step(searches, lambda search: search.look_among(owners))
    patterns = directory.find_patterns(
        {search.domain.id: search.domain.name for search in _open(searches) if search.wants_patterns}
    )
    _step(searches, lambda search: search.try_patterns(patterns.get(search.domain.id, ())))
    copies = directory.find_copies(
        {search.alias.id for search in _open(searches) if search.alias and search.alias.has_copies}
    )
    _step(searches, lambda search: search.finish(copies))


def _open(searches: Iterable["_Search"]) -> list["_Search"]:
    return [search for search in searches if search.answer is None]


def _step(searches: Sequence["_Search"], step: "Callable[[_Search], None]") -> None:
    for search in _open(searches):
        try:
            step(search)
        except DomainError as error:
            error.explanation = (*search.steps, error.message)
            search.answer = error


class _Search:
    """One recipient's way. Each method takes it a step further, or raises the error that ends it."""

    domain: FoundDomain

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answer: Route | DomainError | None = None
        self.steps: tuple[str, ...] = ()
        self.names: tuple[str, ...] = ()  # of domains: the one in the address, and those above it
        self.alias: FoundAlias | None = None
        self._mailbox: FoundMailbox | None = None
        self._catch_all: FoundAlias | None = None
        self._kind = Kind.EXACT
        self._captures: dict[str, str] = {}

    def read(self) -> None:
        if self.question.address.strip().casefold() == POSTMASTER:
            self._split(POSTMASTER)
            return
        parsed = ParsedAddress.parse(self.question.address)
        labels = parsed.domain.split(".")
        self.names = tuple(".".join(labels[start:]) for start in range(len(labels) - 1))
        self._split(parsed.local_part)

    def _split(self, local_part: str) -> None:
        self._local_part = local_part
        self.key = addresses.local_key(local_part)
        # the tag as it was written: it may be a token in which case counts
        self._base, self._tag = addresses.split_tag(local_part) or (local_part, "")
        self.base_key = addresses.local_key(self._base)

    # --- the domain

    def enter(self, domains: Mapping[str, FoundDomain]) -> None:
        self.domain = self._hosted(domains) if self.names else self._for_bare_postmaster(domains)
        domain = self.domain
        self._written = addresses.join(self._local_part, domain.name)
        if domain.is_test and self.question.from_outside:
            # before anybody is looked for: which addresses it has is nobody's business there
            raise DomainForTestsError(f"{domain.name} is for tests and takes no mail from outside.")
        self._note(f"{domain.name} is hosted, for tests" if domain.is_test else f"{domain.name} is hosted")
        if not domain.is_active:
            raise AddressDisabledError(f"{domain.name} is disabled.")
        if not domain.is_verified:
            raise DomainNotVerifiedError(f"{domain.name} is not verified yet.")

    def _hosted(self, domains: Mapping[str, FoundDomain]) -> FoundDomain:
        name, *above = self.names
        domain = domains.get(name)
        if domain is None:
            including = (domains[one] for one in above if one in domains and domains[one].includes_subdomains)
            domain = next(including, None)
            if domain is not None and not domain.is_deleted:
                self._note(f"{name} is a sub-domain of {domain.name}, which takes the mail of its sub-domains")
                self._captures[SUBDOMAIN] = name.removesuffix(f".{domain.name}")
        if domain is None or domain.is_deleted:
            raise UnknownDomainError(f"{name} is not hosted here.")
        return domain

    def _for_bare_postmaster(self, domains: Mapping[str, FoundDomain]) -> FoundDomain:
        # the RFC wants it accepted, and one installation serves one organisation: any of its postmasters is right
        taking = [one for one in domains.values() if one.takes(from_outside=self.question.from_outside)]
        if not taking:
            raise UnknownRecipientError("No domain is hosted here, so nobody is its postmaster.")
        domain = min(taking, key=lambda one: one.id)
        self._note(f"{POSTMASTER} without a domain is meant for {domain.name}, the oldest one")
        return domain

    # --- somebody in it

    @property
    def wants_patterns(self) -> bool:
        return self._is_lost and self.domain.has_patterns

    @property
    def _is_lost(self) -> bool:
        """Nobody was found so far."""
        return self._mailbox is None and self.alias is None

    def look_among(self, owners: Mapping[tuple[UUID, str], Owner]) -> None:
        # nobody is called *, so mail to it is mail to an unknown name
        rest = owners.get((self.domain.id, CATCH_ALL))
        named = {key: owners.get((self.domain.id, key)) for key in (self.key, self.base_key) if key != CATCH_ALL}
        if owner := named.get(self.key):
            self._take(owner, Kind.EXACT)
        elif owner := named.get(self.base_key):
            self._note(f"{self._written} without its tag is {owner.address}")
            self._take(owner, Kind.PLUS)
        elif self.base_key in RESERVED_LOCAL_KEYS:
            self._take_reserved()
        else:
            self._catch_all = rest if isinstance(rest, FoundAlias) else None

    def _take(self, owner: Owner, kind: Kind) -> None:
        self._kind = kind
        if owner.is_deleted:
            raise self._unknown()
        if isinstance(owner, FoundMailbox):
            self._mailbox = owner
            self._note(f"{owner.address} is a mailbox")
            return
        self.alias = owner
        if not owner.is_active:
            raise AddressDisabledError(f"The alias {owner.address} is disabled.")

    def _take_reserved(self) -> None:
        mailbox = self.domain.default_mailbox
        if mailbox is None or mailbox.is_deleted:
            raise self._unknown()
        self._kind, self._mailbox = Kind.RESERVED, mailbox
        self._note(f"{self.base_key} is a reserved name, which the default mailbox {mailbox.address} takes")

    def try_patterns(self, patterns: Sequence[FoundAlias]) -> None:
        """The patterns of the domain, in the order in which they are tried; then its catch-all."""
        if not self._is_lost:
            return
        passed_over = 0
        for pattern in patterns:
            if (captures := self._fit(pattern)) is None:
                continue
            if not pattern.is_active:
                passed_over += 1
                if passed_over <= MAX_PASSED_OVER_NOTED:
                    self._note(f"{pattern.address} fits, but it is disabled and passed over")
                continue
            self._note(f"{self._written} is no address of its own")
            self._note(f"{pattern.address} fits, with priority {pattern.priority}")
            self.alias, self._kind = pattern, Kind.PATTERN
            self._captures = captures | self._captures
            return
        if patterns:
            self._note(f"no pattern of {self.domain.name} that is active fits, of {len(patterns)}")
        # a disabled catch-all is none: the name it would have caught is simply unknown
        rest = self._catch_all
        if rest is None or not rest.is_active or rest.is_deleted:
            raise self._unknown()
        self._note(f"{self._written} is no address of its own")
        self.alias, self._kind = rest, Kind.CATCH_ALL

    def _fit(self, pattern: FoundAlias) -> dict[str, str] | None:
        """A tag is none of the pattern's business, unless it fits with the tag only."""
        try:
            compiled = Pattern.compile(pattern.name)
        except InvalidPatternError:
            return None  # what it was made with took it
        captures = compiled.captures(self._base)
        is_tagged = self._base != self._local_part
        return compiled.captures(self._local_part) if captures is None and is_tagged else captures

    # --- where that leads

    def finish(self, copies: Mapping[UUID, Sequence[FoundMailbox]]) -> None:
        own = self.alias.mailbox if self.alias else self._mailbox
        if own is None or own.is_deleted:
            raise self._unknown()  # whoever deletes a mailbox deletes its aliases
        further = copies.get(self.alias.id, ()) if self.alias else ()
        taking = [own] if own.is_active else []
        if not own.is_active and not any(mailbox.takes for mailbox in further):
            raise AddressDisabledError(f"The mailbox {own.address} is disabled.")
        if self.alias:
            self._note_alias(self.alias)
        for mailbox in further:
            self._note_further(mailbox)
            if mailbox.takes:
                taking.append(mailbox)
        self.answer = Route(
            address=self.question.address,
            domain_id=self.domain.id,
            mailbox_ids=tuple(dict.fromkeys(mailbox.id for mailbox in taking)),
            alias_id=self.alias.id if self.alias else None,
            kind=self._kind,
            tag="" if self._kind == Kind.EXACT else self._tag,
            explanation=self.steps,
            captures=self._captures,
            own_mailbox_id=own.id if self.alias else None,
            limited=tuple(mailbox for mailbox in taking if mailbox.quota_bytes is not None),
        )

    def _note_alias(self, alias: FoundAlias) -> None:
        what = {Kind.CATCH_ALL: "the catch-all", Kind.PATTERN: "a pattern"}.get(self._kind, "an alias")
        disabled = "" if alias.mailbox.is_active else ", which is disabled and gets nothing"
        self._note(f"{alias.address} is {what} of {alias.mailbox.address}{disabled}")

    def _note_further(self, mailbox: FoundMailbox) -> None:
        if mailbox.is_deleted:
            self._note(f"its further mailbox {mailbox.address} was deleted and gets nothing")
        elif mailbox.is_active:
            self._note(f"it leads to {mailbox.address} as well")
        else:
            self._note(f"its further mailbox {mailbox.address} is disabled and gets nothing")

    def _note(self, step: str) -> None:
        self.steps = (*self.steps, step)

    def _unknown(self) -> UnknownRecipientError:
        return UnknownRecipientError(f"There is no {self._written} here.")
