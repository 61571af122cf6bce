"""Aliases: making, changing, and marking them deleted."""

import unicodedata
from collections.abc import Sequence
from contextlib import suppress

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from emailgistics.common.access import NOBODY, Actor, AllowlistRestrictedError
from emailgistics.common.errors import ConflictError, OutOfRangeError, RefusedError, TooLongError
from emailgistics.common.text import within
from mailboxes import addresses
from mailboxes.addresses import CATCH_ALL, ParsedAddress
from mailboxes.models import Alias, AliasCopy, Domain, Mailbox
from mailboxes.patterns import InvalidPatternError, Pattern, is_pattern
from mailboxes.services.provision.addressing import (
    AddressUnavailableError,
    acts_on_whole_domain,
    take_address,
    unavailable,
)
from mailboxes.services.provision.rows import (
    Agree,
    about,
    change,
    end_rules,
    hold,
    hold_domain,
    hold_mailboxes,
    mark_deleted,
)

MAX_DESCRIPTION_LENGTH = 500
CHOICES_NAMED = 20  # in an answer that asks for one of them
MAX_PATTERNS = 1000  # of a domain: each may be tried for a mail to an unknown name
MAX_FURTHER_MAILBOXES = 20  # of an alias: each mail to it is an email in every one
DEFAULT_PRIORITY = 100
MAX_PRIORITY = 32_767  # what the databases' small integers hold


class TooManyPatternsError(ConflictError):
    """The domain has MAX_PATTERNS already."""


@transaction.atomic
def create_alias(
    *,
    address: str,
    mailbox: Mailbox,
    further_mailboxes: Sequence[Mailbox] = (),
    priority: int = DEFAULT_PRIORITY,
    description: str = "",
    is_active: bool = True,
    may_take_reserved: bool = True,
    among: QuerySet[Mailbox] | None = None,
) -> Alias:
    """An address that leads to a mailbox, and to an email of its own in each of the further ones.

    `*@domain` takes whatever no other address of the domain takes; before that, patterns of it are tried (see
    `patterns`), those of low priority first. may_take_reserved is False for those who do not speak for the whole
    domain: whoever has its postmaster can prove to others that it is his; nor do they take others' mail. among are the
    mailboxes that the caller may know of: what a pattern of another one takes is taken. Raises InvalidAddressError,
    InvalidPatternError, UnknownDomainError, AddressUnavailableError, TooManyPatternsError, AllowlistRestrictedError,
    RefusedError.
    """
    with about("name"):
        name, domain_name = split_alias(address)
        kind = _kind_of(name)
        if kind == Alias.Kind.PATTERN:
            Pattern.compile(name)
    if not may_take_reserved and acts_on_whole_domain(name):
        raise AllowlistRestrictedError("This acts on a whole domain, so it needs a key for all mailboxes.")
    _check_alias(description=description, priority=priority, further_mailboxes=further_mailboxes)
    domain = hold_domain(domain_name)
    hold_mailboxes(mailbox, further_mailboxes)
    if not may_take_reserved and addresses.local_key(name) in addresses.RESERVED_LOCAL_KEYS:
        raise unavailable(domain, name)
    if among is not None and _is_taken_by_pattern(domain, name, of_others_than=among):
        raise unavailable(domain, name)
    values = {"name": name, "kind": kind, "mailbox": mailbox, "priority": priority}
    alias = Alias(domain=domain, description=description, is_active=is_active, **values)
    if kind == Alias.Kind.PATTERN:
        _add_pattern(alias)
    else:
        alias.save(force_insert=True)
        take_address(domain, name, alias=alias)
    _set_copies(alias, further_mailboxes)
    return alias


def split_alias(address: str) -> tuple[str, str]:
    """(name, domain) of what is written as an alias's address: a pattern in it is no local part of anybody.

    Raises InvalidAddressError.
    """
    name, at, domain = address.strip().rpartition("@")
    if at and domain and not name.startswith('"') and is_pattern(name):
        return unicodedata.normalize("NFC", name), addresses.domain_key(domain)
    parsed = ParsedAddress.parse(address)
    return parsed.local_part, parsed.domain


def alias_to_share(address: str, *, among: QuerySet[Alias]) -> Alias | None:
    """The alias with that address among those that the caller may know of, which stays as it is until the transaction
    ends, as does that there is none. Raises InvalidAddressError, UnknownDomainError.
    """
    with about("name"):
        name, domain_name = split_alias(address)
    domain = hold_domain(domain_name)
    found = among.filter(named(name), domain=domain).first()
    if found is not None:
        hold(found)
    return found


def named(name: str) -> Q:
    """Of aliases, however its case is written; a pattern is called what it says."""
    return Q(name=name) | Q(address_row__local_key=addresses.local_key(name))


def mailbox_for_alias(domain: Domain, *, among: QuerySet[Mailbox]) -> Mailbox:
    """Where an alias of the domain leads if nobody says: the only mailbox in it, else the domain's default one.

    `among` are the mailboxes that may be known of. Raises RefusedError that names the choices.
    """
    there = list(among.filter(domain=domain).select_related("domain").order_by("pk")[: CHOICES_NAMED + 1])
    if len(there) == 1:
        return there[0]
    if domain.default_mailbox_id and (default := among.filter(pk=domain.default_mailbox_id).first()):
        return default
    choices = ", ".join(f"{mailbox.public_id} ({mailbox.address})" for mailbox in there[:CHOICES_NAMED])
    more = ", or a further one" if len(there) > CHOICES_NAMED else ""
    raise RefusedError(
        f"Say which mailbox it leads to: {choices}{more}." if there else f"Make a mailbox in {domain.name} first.",
        field="mailbox_id",
    )


@transaction.atomic
def update_alias(
    alias: Alias,
    *,
    mailbox: Mailbox | None = None,
    further_mailboxes: Sequence[Mailbox] | None = None,
    among: QuerySet[Mailbox] | None = None,
    priority: int | None = None,
    description: str | None = None,
    is_active: bool | None = None,
    agree: Agree[Alias] | None = None,
) -> Alias:
    """Another mailbox moves it: what came before stays where it is, and its webhooks pause until somebody resumes them.

    further_mailboxes take the place of those that there are; with `among`, the mailboxes that the caller may know of,
    only of those, and the others stay. Raises RefusedError for a deleted mailbox, NotFoundError for an alias that is
    gone.
    """
    _check_alias(description=description or "", priority=priority, further_mailboxes=further_mailboxes or ())
    hold_mailboxes(mailbox, further_mailboxes or ())
    if agree is not None:
        hold(alias, agree)
    changed = change(alias, mailbox=mailbox, priority=priority, description=description, is_active=is_active)
    if further_mailboxes is not None:
        hold(alias)  # of two who replace them one is first
        _set_copies(alias, further_mailboxes, among=among)
    elif mailbox is not None:
        alias.copies.filter(mailbox=mailbox).delete()  # it is the first now
    return changed


@transaction.atomic
def delete_alias(alias: Alias, *, by: Actor = NOBODY, agree: Agree[Alias] | None = None) -> None:
    """Marks the alias deleted: mail to it is refused from now on. Raises NotFoundError for one that is gone."""
    if agree is not None:
        hold(alias, agree)
    now = timezone.now()
    mark_deleted(alias, at=now, by=by)
    end_rules(Q(alias=alias), at=now)


def _check_alias(*, description: str, priority: int | None, further_mailboxes: Sequence[Mailbox]) -> None:
    """Raises RefusedError."""
    within(description, limit=MAX_DESCRIPTION_LENGTH, field="description")
    if priority is not None and not 0 <= priority <= MAX_PRIORITY:
        raise OutOfRangeError(f"A priority is a number from 0 to {MAX_PRIORITY}.", field="priority")
    if len(further_mailboxes) > MAX_FURTHER_MAILBOXES:
        raise TooLongError(
            f"An alias leads to at most {MAX_FURTHER_MAILBOXES} further mailboxes.", field="further_mailbox_ids"
        )


def _kind_of(name: str) -> Alias.Kind:
    if name == CATCH_ALL:
        return Alias.Kind.CATCH_ALL
    return Alias.Kind.PATTERN if is_pattern(name) else Alias.Kind.EXACT


def _add_pattern(alias: Alias) -> None:
    """The domain is held, so nobody else adds one meanwhile."""
    patterns = Alias.objects.live().filter(domain=alias.domain, kind=Alias.Kind.PATTERN)
    if patterns.count() >= MAX_PATTERNS:
        raise TooManyPatternsError(f"{alias.domain.name} has {MAX_PATTERNS} patterns: delete one first.", field="name")
    try:
        with transaction.atomic():
            alias.save(force_insert=True)
    except IntegrityError as error:
        raise AddressUnavailableError(f"There is a pattern {alias.address} already.") from error


def _is_taken_by_pattern(domain: Domain, name: str, *, of_others_than: QuerySet[Mailbox]) -> bool:
    """Whether mail to that name is for one of theirs now, or would be if its pattern were not disabled."""
    patterns = Alias.objects.live().filter(domain=domain, kind=Alias.Kind.PATTERN)
    names = patterns.exclude(mailbox__in=of_others_than).values_list("name", flat=True)
    for pattern in names:
        with suppress(InvalidPatternError):  # what it was made with took it; mail passes it over as well
            if Pattern.compile(pattern).captures(name) is not None:
                return True
    return False


def _set_copies(alias: Alias, mailboxes: Sequence[Mailbox], *, among: QuerySet[Mailbox] | None = None) -> None:
    """Those of the alias that are in among, or all; its own mailbox is none of them."""
    wanted = list(dict.fromkeys(mailbox.pk for mailbox in mailboxes if mailbox.pk != alias.mailbox_id))
    replaced = alias.copies.all() if among is None else alias.copies.filter(mailbox__in=among)
    replaced.exclude(mailbox__in=wanted).delete()
    alias.copies.filter(mailbox=alias.mailbox_id).delete()
    there = set(alias.copies.values_list("mailbox", flat=True))
    AliasCopy.objects.bulk_create(AliasCopy(alias=alias, mailbox_id=pk) for pk in wanted if pk not in there)
