"""Which mailbox an envelope recipient leads to, and why. Headers have no say in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Never
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from emailgistics.common.errors import DomainError, NotFoundError, RefusedError
from mailboxes import addresses
from mailboxes.addresses import CATCH_ALL, RESERVED_LOCAL_KEYS, ParsedAddress
from mailboxes.models import ADDRESS_RESTS_FOR, Address, Alias, Domain, Mailbox, Recipient
from mailboxes.services.provision import UnknownDomainError

POSTMASTER = "postmaster"
Kind = Recipient.Kind


class UnknownRecipientError(NotFoundError):
    code = "unknown_recipient"


class AddressDisabledError(RefusedError):
    code = "address_disabled"


class DomainForTestsError(RefusedError):
    """The domain is a test domain, and the mail comes from where such a domain takes none."""

    code = "domain_for_tests"


@dataclass(frozen=True, slots=True)
class Route:
    """Where one recipient leads: to at least one mailbox, the first of which is the alias's own.

    `address` is as the sender gave it; `captures` what the groups of a pattern matched, by name or number;
    `explanation` the decisions in their order.
    """

    address: str
    domain_id: UUID
    mailbox_ids: tuple[UUID, ...]
    alias_id: UUID | None
    kind: Kind
    tag: str
    explanation: tuple[str, ...]
    captures: dict[str, str] = field(default_factory=dict)

    @property
    def mailbox_id(self) -> UUID:
        return self.mailbox_ids[0]


@dataclass(frozen=True, slots=True)
class Question:
    """from_outside: by SMTP, from a client that is not on TEST_NETWORKS."""

    address: str
    from_outside: bool = False


def find_routes(questions: Sequence[Question]) -> list[Route | DomainError]:
    """An answer to each question, in their order; the errors are those that `route` raises."""
    answers: list[Route | DomainError] = []
    for question in questions:
        try:
            answers.append(route(question.address, from_outside=question.from_outside))
        except DomainError as error:
            answers.append(error)
    return answers


def route(address: str, *, from_outside: bool = False) -> Route:
    """Finds the mailbox for `local-part@domain`, or for `postmaster` without a domain (RFC 5321 section 4.5.1).

    First that fits: the exact address, the address without its +tag, a reserved name, the catch-all. A match that is
    disabled or was deleted lately ends the search: its mail is not for the catch-all's eyes. At most three queries.
    Nobody in a test domain gets mail `from_outside`: by SMTP, from a client that is not on TEST_NETWORKS.
    Raises InvalidAddressError, UnknownDomainError, DomainForTestsError, UnknownRecipientError, AddressDisabledError.
    """
    if address.strip().casefold() == POSTMASTER:
        domain = _domain_for_bare_postmaster(from_outside=from_outside)
        steps = (f"{POSTMASTER} without a domain is meant for {domain.name}, the oldest one",)
        return _Search(address, POSTMASTER, domain, steps).result()
    parsed = ParsedAddress.parse(address)
    domain = _hosted(parsed.domain)
    if domain.is_test and from_outside:
        # before anybody is looked for: which addresses it has is nobody's business there
        raise DomainForTestsError(f"{domain.name} is for tests and takes no mail from outside.")
    return _Search(address, parsed.local_part, domain, ()).result()


def _hosted(name: str) -> Domain:
    domain = Domain.objects.live().select_related("default_mailbox__domain").filter(name=name).first()
    if domain is None:
        raise UnknownDomainError(f"{name} is not hosted here.")
    return domain


def _domain_for_bare_postmaster(*, from_outside: bool) -> Domain:
    # the RFC wants it accepted, and one installation serves one organisation: any of its postmasters is the right one
    hosted = Domain.objects.live().filter(is_active=True).select_related("default_mailbox__domain")
    domain = (hosted.filter(is_test=False) if from_outside else hosted).order_by("id").first()
    if domain is None:
        raise UnknownRecipientError("No domain is hosted here, so nobody is its postmaster.")
    return domain


class _Search:
    """One recipient's way through a domain. Every method that finds somebody returns the Route, or raises."""

    def __init__(self, address: str, local_part: str, domain: Domain, steps: tuple[str, ...]) -> None:
        self.address = address
        self.domain = domain
        self.steps = (*steps, f"{domain.name} is hosted, for tests" if domain.is_test else f"{domain.name} is hosted")
        self.written = addresses.join(local_part, domain.name)
        self.key = addresses.local_key(local_part)
        # the tag as it was written: it may be a token in which case counts
        base, self.tag = addresses.split_tag(local_part) or (local_part, "")
        self.base = addresses.local_key(base)

    def result(self) -> Route:
        if not self.domain.is_active:
            raise AddressDisabledError(f"{self.domain.name} is disabled.")
        owners = _owners(self.domain, {self.key, self.base, CATCH_ALL})
        # nobody is called *, so mail to it is mail to an unknown name
        catch_all = owners.pop(CATCH_ALL, None)
        if owner := owners.get(self.key):
            return self._to_owner(owner, Kind.EXACT, tag="")
        if owner := owners.get(self.base):
            self._note(f"{self.written} without its tag is {owner.address}")
            return self._to_owner(owner, Kind.PLUS, tag=self.tag)
        if self.base in RESERVED_LOCAL_KEYS:
            return self._to_default_mailbox()
        # a disabled catch-all is none: the name it would have caught is simply unknown
        if isinstance(catch_all, Alias) and catch_all.is_active and catch_all.deleted_at is None:
            self._note(f"{self.written} is no address of its own")
            return self._to_owner(catch_all, Kind.CATCH_ALL, tag=self.tag)
        return self._unknown()

    def _to_owner(self, owner: Mailbox | Alias, kind: Kind, *, tag: str) -> Route:
        if isinstance(owner, Mailbox):
            return self._to_mailbox(owner, kind, f"{owner.address} is a mailbox", tag=tag)
        if owner.deleted_at is not None:
            self._unknown()
        if not owner.is_active:
            raise AddressDisabledError(f"The alias {owner.address} is disabled.")
        what = "the catch-all" if owner.kind == Alias.Kind.CATCH_ALL else "an alias"
        step = f"{owner.address} is {what} of {owner.mailbox.address}"
        return self._to_mailbox(owner.mailbox, kind, step, tag=tag, alias=owner)

    def _to_default_mailbox(self) -> Route:
        mailbox = self.domain.default_mailbox
        if mailbox is None:
            self._unknown()
        step = f"{self.base} is a reserved name, which the default mailbox {mailbox.address} takes"
        return self._to_mailbox(mailbox, Kind.RESERVED, step, tag=self.tag)

    def _to_mailbox(self, mailbox: Mailbox, kind: Kind, step: str, *, tag: str, alias: Alias | None = None) -> Route:
        if mailbox.deleted_at is not None:
            self._unknown()
        if not mailbox.is_active:
            raise AddressDisabledError(f"The mailbox {mailbox.address} is disabled.")
        self._note(step)
        return Route(
            address=self.address,
            domain_id=self.domain.pk,
            mailbox_ids=(mailbox.pk,),
            alias_id=alias.pk if alias else None,
            kind=kind,
            tag=tag,
            explanation=self.steps,
        )

    def _note(self, step: str) -> None:
        self.steps = (*self.steps, step)

    def _unknown(self) -> Never:
        raise UnknownRecipientError(f"There is no {self.written} here.")


def _owners(domain: Domain, keys: set[str]) -> dict[str, Mailbox | Alias]:
    """Who has these addresses of the domain, lately deleted owners included."""
    rested = timezone.now() - ADDRESS_RESTS_FOR
    free = Q(mailbox__deleted_at__lte=rested) | Q(alias__deleted_at__lte=rested)
    rows = (
        Address.objects.filter(domain=domain, local_key__in=keys)
        .exclude(free)
        .select_related("mailbox", "alias__mailbox__domain")
    )
    owners = {}
    for row in rows:
        owner = row.owner
        owner.domain = domain  # loaded already
        # RFC 5321 section 4.5.1 wants the reserved names answered, so a deleted owner of one does not hold it
        if owner.deleted_at is None or row.local_key not in RESERVED_LOCAL_KEYS:
            owners[row.local_key] = owner
    return owners
