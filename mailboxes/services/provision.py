"""Domains, mailboxes and aliases: making them, and marking them deleted."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from emailgistics.common.errors import ConflictError, NotFoundError, RefusedError
from emailgistics.common.text import within
from mailboxes import addresses
from mailboxes.addresses import CATCH_ALL, ParsedAddress
from mailboxes.models import ADDRESS_RESTS_FOR, Address, Alias, Domain, Mailbox

DEFAULT_MAILBOX = "inbox"


class AddressUnavailableError(ConflictError):
    """Taken, reserved or at rest: one answer for all of them."""

    code = "address_unavailable"


class UnknownDomainError(NotFoundError):
    code = "unknown_domain"


@transaction.atomic
def create_domain(*, name: str, is_test: bool = False, default_local_part: str = DEFAULT_MAILBOX) -> Domain:
    """A domain with its default mailbox. Raises InvalidAddressError, ConflictError."""
    key = addresses.domain_key(name)
    default_local_part = addresses.parse_local_part(default_local_part)
    rests_until = timezone.now() - ADDRESS_RESTS_FOR
    if Domain.objects.filter(name=key, deleted_at__gt=rests_until).exists():
        raise ConflictError(
            f"The domain {key} was deleted less than {ADDRESS_RESTS_FOR.days} days ago and rests.", field="name"
        )
    try:
        with transaction.atomic():
            domain = Domain.objects.create(name=key, is_test=is_test)
    except IntegrityError as error:
        raise ConflictError(f"The domain {key} exists already.", field="name") from error
    domain.default_mailbox = _add_mailbox(domain, local_part=default_local_part, name="Inbox")
    domain.save(update_fields=["default_mailbox"])
    return domain


@transaction.atomic
def create_mailbox(*, address: str, name: str = "") -> Mailbox:
    """A mailbox in an existing domain. Raises InvalidAddressError, UnknownDomainError, AddressUnavailableError."""
    parsed = ParsedAddress.parse(address)
    return _add_mailbox(_live_domain(parsed.domain), local_part=parsed.local_part, name=name)


@transaction.atomic
def create_alias(*, address: str, mailbox: Mailbox, description: str = "") -> Alias:
    """An address that leads to a mailbox; `*@domain` takes whatever no other address of the domain takes.

    Raises InvalidAddressError, UnknownDomainError, AddressUnavailableError.
    """
    parsed = ParsedAddress.parse(address)
    domain = _live_domain(parsed.domain)
    # read again and locked: a mailbox that is deleted meanwhile would leave an address that leads nowhere
    if Mailbox.objects.live().select_for_update().filter(pk=mailbox.pk).first() is None:
        raise RefusedError(f"The mailbox {mailbox.address} is deleted; choose another one.", field="mailbox_id")
    is_catch_all = parsed.local_part == CATCH_ALL
    alias = Alias.objects.create(
        domain=domain,
        name=parsed.local_part,
        mailbox=mailbox,
        description=within(description, limit=500, field="description"),
        kind=Alias.Kind.CATCH_ALL if is_catch_all else Alias.Kind.EXACT,
    )
    _take_address(domain, parsed.local_part, alias=alias)
    return alias


@transaction.atomic
def delete_domain(domain: Domain) -> None:
    """Marks the domain with all its mailboxes deleted, and all aliases of and to them. What they received stays."""
    now = timezone.now()
    # first of all: whoever is making something in it has to be done, or sees that it is gone
    list(Domain.objects.select_for_update().filter(pk=domain.pk))
    list(Mailbox.objects.select_for_update().filter(domain=domain).order_by("pk"))
    Alias.objects.live().filter(Q(domain=domain) | Q(mailbox__domain=domain)).update(deleted_at=now)
    domain.mailboxes.live().update(deleted_at=now)
    Domain.objects.live().filter(pk=domain.pk).update(deleted_at=now)


@transaction.atomic
def delete_mailbox(mailbox: Mailbox) -> None:
    """Marks the mailbox and the aliases that lead to it deleted. Raises ConflictError for a default mailbox."""
    if Domain.objects.live().filter(default_mailbox=mailbox).exists():
        raise ConflictError(
            f"{mailbox.address} is the default mailbox of its domain, which takes mail for postmaster and abuse: "
            "it can only be deleted together with the domain."
        )
    now = timezone.now()
    list(Mailbox.objects.select_for_update().filter(pk=mailbox.pk))
    mailbox.aliases.live().update(deleted_at=now)
    Mailbox.objects.live().filter(pk=mailbox.pk).update(deleted_at=now)


def delete_alias(alias: Alias) -> None:
    """Marks the alias deleted: mail to it is refused from now on."""
    Alias.objects.live().filter(pk=alias.pk).update(deleted_at=timezone.now())


def _live_domain(name: str) -> Domain:
    try:
        return Domain.objects.live().select_for_update().get(name=name)
    except Domain.DoesNotExist as error:
        raise UnknownDomainError(f"There is no domain {name} here; create it first.", field="domain_id") from error


def _add_mailbox(domain: Domain, *, local_part: str, name: str) -> Mailbox:
    if local_part == CATCH_ALL:
        raise RefusedError("A mailbox needs a name of its own; * is an alias that catches the rest.", field="address")
    mailbox = Mailbox.objects.create(domain=domain, local_part=local_part, name=within(name, limit=200, field="name"))
    _take_address(domain, local_part, mailbox=mailbox)
    return mailbox


def _take_address(
    domain: Domain, local_part: str, *, mailbox: Mailbox | None = None, alias: Alias | None = None
) -> None:
    """Gives the address to its new owner; the unique constraint decides between two who want it at once."""
    key = addresses.local_key(local_part)
    # the catch-all need not rest: what it takes was never meant for one owner
    rested = timezone.now() - (timedelta(0) if local_part == CATCH_ALL else ADDRESS_RESTS_FOR)
    rows = Address.objects.filter(domain=domain, local_key=key)
    rows.filter(mailbox__deleted_at__lte=rested).delete()
    rows.filter(alias__deleted_at__lte=rested).delete()
    try:
        with transaction.atomic():
            Address.objects.create(domain=domain, local_key=key, mailbox=mailbox, alias=alias)
    except IntegrityError as error:
        raise AddressUnavailableError(
            f"The address {addresses.join(local_part, domain.name)} is not available.", field="address"
        ) from error
