"""Domains, mailboxes and aliases: making, changing, and marking them deleted.

In a change, None leaves a thing as it is. What several of them lock, they lock in this order: domain, mailbox, alias.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import TypedDict, TypeVar
from zoneinfo import available_timezones

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from emailgistics.common.access import AllowlistRestrictedError
from emailgistics.common.errors import ConflictError, NotFoundError, RefusedError
from emailgistics.common.text import within
from mailboxes import addresses
from mailboxes.addresses import CATCH_ALL, ParsedAddress
from mailboxes.models import ADDRESS_RESTS_FOR, Address, Alias, AliasCopy, Domain, Email, Mailbox, Rule
from mailboxes.patterns import InvalidPatternError, Pattern, is_pattern
from mailboxes.services import quota

DEFAULT_MAILBOX = "inbox"
MAX_NAME_LENGTH = 200
MAX_DESCRIPTION_LENGTH = 500
MAX_RETENTION_DAYS = 36_500
MIN_QUOTA_BYTES = 1 << 20  # whoever means to take no mail disables the mailbox
MAX_QUOTA_BYTES = 1 << 50
CHOICES_NAMED = 20  # in an answer that asks for one of them
MAX_PATTERNS = 1000  # of a domain: each may be tried for a mail to an unknown name
MAX_FURTHER_MAILBOXES = 20  # of an alias: each mail to it is an email in every one
DEFAULT_PRIORITY = 100
MAX_PRIORITY = 32_767  # what the databases' small integers hold


class AddressUnavailableError(ConflictError):
    """Taken, reserved or at rest: one answer for all of them."""

    code = "address_unavailable"


class TooManyPatternsError(ConflictError):
    """The domain has MAX_PATTERNS already."""


class UnknownDomainError(NotFoundError):
    code = "unknown_domain"


class NotEmptyError(ConflictError):
    """It still has mail."""

    code = "not_empty"


class Retention(TypedDict, total=False):
    """Days until something is pruned; None keeps it. What is not named stays as it is."""

    raw_days: int | None
    content_days: int | None
    log_days: int | None


class Leave(Enum):
    """For what may be given as None."""

    AS_IT_IS = "as it is"


@transaction.atomic
def create_domain(
    *,
    name: str,
    is_test: bool = False,
    includes_subdomains: bool = False,
    default_local_part: str = DEFAULT_MAILBOX,
) -> Domain:
    """A domain with its default mailbox. Raises InvalidAddressError, ConflictError."""
    with _about("name"):
        key = addresses.domain_key(name)
    with _about("default_mailbox"):
        default_local_part = addresses.parse_local_part(default_local_part)
    try:
        with transaction.atomic():
            domain = Domain.objects.create(name=key, is_test=is_test, includes_subdomains=includes_subdomains)
    except IntegrityError as error:
        raise ConflictError(f"The domain {key} exists already.", field="name") from error
    # only now: whoever was deleting it is done
    rests_until = timezone.now() - ADDRESS_RESTS_FOR
    if Domain.objects.filter(name=key, deleted_at__gt=rests_until).exists():
        raise ConflictError(
            f"The domain {key} was deleted less than {ADDRESS_RESTS_FOR.days} days ago and rests.", field="name"
        )
    with _about("default_mailbox"):
        domain.default_mailbox = _add_mailbox(domain, default_local_part, name="Inbox")
    domain.save(update_fields=["default_mailbox"])
    return domain


@transaction.atomic
def create_mailbox(
    *,
    address: str,
    name: str = "",
    is_active: bool = True,
    time_zone: str = "",
    retention: Retention | None = None,
    quota_bytes: int | None = None,
) -> Mailbox:
    """A mailbox in an existing domain; for the rest see `update_mailbox`.

    Raises InvalidAddressError, UnknownDomainError, AddressUnavailableError, RefusedError.
    """
    with _about("address"):
        parsed = ParsedAddress.parse(address)
    _check_mailbox(name=name, time_zone=time_zone, retention=retention, quota_bytes=quota_bytes)
    domain = _hold_domain(parsed.domain)
    with _about("address"):
        return _add_mailbox(
            domain,
            parsed.local_part,
            name=name,
            is_active=is_active,
            time_zone=time_zone,
            quota_bytes=quota_bytes,
            **(retention or {}),
        )


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
    with _about("name"):
        name, domain_name = split_alias(address)
        kind = _kind_of(name)
        if kind == Alias.Kind.PATTERN:
            Pattern.compile(name)
    if not may_take_reserved and acts_on_whole_domain(name):
        raise AllowlistRestrictedError("This acts on a whole domain, so it needs a key for all mailboxes.")
    _check_alias(description=description, priority=priority, further_mailboxes=further_mailboxes)
    domain = _hold_domain(domain_name)
    _hold_mailboxes(mailbox, further_mailboxes)
    if not may_take_reserved and addresses.local_key(name) in addresses.RESERVED_LOCAL_KEYS:
        raise _unavailable(domain, name)
    if among is not None and _is_taken_by_pattern(domain, name, of_others_than=among):
        raise _unavailable(domain, name)
    values = {"name": name, "kind": kind, "mailbox": mailbox, "priority": priority}
    alias = Alias(domain=domain, description=description, is_active=is_active, **values)
    if kind == Alias.Kind.PATTERN:
        _add_pattern(alias)
    else:
        alias.save(force_insert=True)
        _take_address(domain, name, alias=alias)
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


def acts_on_whole_domain(name: str) -> bool:
    """Whether an alias of that name takes mail that others would get: * and patterns do, help+x a part of help's."""
    bare = name.strip().strip('"').replace("\\", "")  # as what it becomes, however it is written
    return CATCH_ALL in bare or addresses.TAG_SEPARATOR in bare or is_pattern(bare)


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
def update_domain(
    domain: Domain,
    *,
    is_active: bool | None = None,
    is_test: bool | None = None,
    includes_subdomains: bool | None = None,
    default_mailbox: Mailbox | None = None,
) -> Domain:
    """Raises RefusedError for a default mailbox of another domain, NotFoundError for a domain that is gone."""
    if default_mailbox is not None:
        if default_mailbox.domain_id != domain.pk:
            raise RefusedError(
                f"The default mailbox of {domain.name} is one of its own mailboxes.", field="default_mailbox_id"
            )
        _hold(domain)
        _hold_mailbox(default_mailbox, field="default_mailbox_id")
    return _change(
        domain,
        is_active=is_active,
        is_test=is_test,
        includes_subdomains=includes_subdomains,
        default_mailbox=default_mailbox,
    )


def update_mailbox(
    mailbox: Mailbox,
    *,
    name: str | None = None,
    is_active: bool | None = None,
    time_zone: str | None = None,
    retention: Retention | None = None,
    quota_bytes: int | Leave | None = Leave.AS_IT_IS,
    may_act_on_whole_domain: bool = True,
) -> Mailbox:
    """time_zone is an IANA name, or empty for the installation's; quota_bytes is None for no limit.

    A quota holds for mail to come: what is in the mailbox stays, be it more. may_act_on_whole_domain is False for those
    who may not stop or start mail to an alias that does. Raises RefusedError, NotFoundError, AllowlistRestrictedError.
    """
    limit = None if isinstance(quota_bytes, Leave) else quota_bytes
    _check_mailbox(name=name or "", time_zone=time_zone or "", retention=retention, quota_bytes=limit)
    if is_active is not None and not may_act_on_whole_domain:
        _refuse_if_it_acts_on_whole_domain(mailbox)
    given = {"name": name, "is_active": is_active, "time_zone": time_zone}
    # apart: None is a value here, and keeps things
    nullable: dict[str, object] = dict(retention or {})
    if not isinstance(quota_bytes, Leave):
        nullable["quota_bytes"] = quota_bytes
    if limit is None:
        return _change(mailbox, nullable, **given)
    with transaction.atomic():
        changed = _change(mailbox, nullable, **given)
        quota.recount(changed)  # the row is locked by the change
        return changed


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
) -> Alias:
    """Another mailbox moves it: what came before stays where it is, and its webhooks pause until somebody resumes them.

    further_mailboxes take the place of those that there are; with `among`, the mailboxes that the caller may know of,
    only of those, and the others stay. Raises RefusedError for a deleted mailbox, NotFoundError for an alias that is
    gone.
    """
    _check_alias(description=description or "", priority=priority, further_mailboxes=further_mailboxes or ())
    _hold_mailboxes(mailbox, further_mailboxes or ())
    changed = _change(alias, mailbox=mailbox, priority=priority, description=description, is_active=is_active)
    if further_mailboxes is not None:
        _hold(alias)  # of two who replace them one is first
        _set_copies(alias, further_mailboxes, among=among)
    elif mailbox is not None:
        alias.copies.filter(mailbox=mailbox).delete()  # it is the first now
    return changed


@transaction.atomic
def delete_domain(domain: Domain, *, with_mail: bool = False) -> None:
    """Marks the domain with all its mailboxes deleted, and all aliases of and to them.

    Mail in it stays until its retention ends, but no key sees it any more: with_mail says that this is meant. Raises
    NotEmptyError, NotFoundError for a domain that is gone.
    """
    now = timezone.now()
    # first of all: whoever is making something in it has to be done, or sees that it is gone
    _hold(domain)
    list(_locked(domain.mailboxes.order_by("pk")))
    if not with_mail:
        _refuse_if_it_has_mail(domain.name, Email.objects.filter(mailbox__domain=domain, mailbox__deleted_at=None))
    Alias.objects.live().filter(Q(domain=domain) | Q(mailbox__domain=domain)).update(deleted_at=now)
    domain.mailboxes.live().update(deleted_at=now)
    of_aliases = Q(alias__domain=domain) | Q(alias__mailbox__domain=domain)
    _end_rules(Q(domain=domain) | Q(mailbox__domain=domain) | of_aliases, at=now)
    _change(domain, deleted_at=now)


@transaction.atomic
def delete_mailbox(mailbox: Mailbox, *, with_mail: bool = False, may_act_on_whole_domain: bool = True) -> None:
    """Marks the mailbox and the aliases that lead to it deleted; see `delete_domain` about its mail.

    may_act_on_whole_domain is False for those who may not end an alias that does. Raises AllowlistRestrictedError,
    ConflictError for a default mailbox, NotEmptyError, NotFoundError for a mailbox that is gone.
    """
    _hold(mailbox)
    if not may_act_on_whole_domain:
        _refuse_if_it_acts_on_whole_domain(mailbox)
    if Domain.objects.live().filter(default_mailbox=mailbox).exists():
        raise ConflictError(
            f"{mailbox.address} is the default mailbox of its domain, which takes mail for postmaster and abuse: "
            "make another one the default first, or delete the domain."
        )
    if not with_mail:
        _refuse_if_it_has_mail(mailbox.address, Email.objects.filter(mailbox=mailbox))
    now = timezone.now()
    mailbox.aliases.live().update(deleted_at=now)
    _end_rules(Q(mailbox=mailbox) | Q(alias__mailbox=mailbox), at=now)
    _change(mailbox, deleted_at=now)


@transaction.atomic
def delete_alias(alias: Alias) -> None:
    """Marks the alias deleted: mail to it is refused from now on. Raises NotFoundError for one that is gone."""
    now = timezone.now()
    _change(alias, deleted_at=now)
    _end_rules(Q(alias=alias), at=now)


def _check_mailbox(*, name: str, time_zone: str, retention: Retention | None, quota_bytes: int | None) -> None:
    """Raises RefusedError."""
    within(name, limit=MAX_NAME_LENGTH, field="name")
    if time_zone and time_zone not in _time_zones():
        raise RefusedError(
            f"There is no time zone {addresses.shown(time_zone)}; write it like Europe/Berlin.", field="time_zone"
        )
    for what, days in (retention or {}).items():
        if days is not None and not (isinstance(days, int) and 1 <= days <= MAX_RETENTION_DAYS):
            raise RefusedError(f"{what} is a number from 1 to {MAX_RETENTION_DAYS}, or nothing.", field="retention")
    if quota_bytes is not None and not MIN_QUOTA_BYTES <= quota_bytes <= MAX_QUOTA_BYTES:
        raise RefusedError(
            f"A quota is from {MIN_QUOTA_BYTES} to {MAX_QUOTA_BYTES} octets; to have no limit, give none.",
            field="quota_bytes",
        )


def _check_alias(*, description: str, priority: int | None, further_mailboxes: Sequence[Mailbox]) -> None:
    """Raises RefusedError."""
    within(description, limit=MAX_DESCRIPTION_LENGTH, field="description")
    if priority is not None and not 0 <= priority <= MAX_PRIORITY:
        raise RefusedError(f"A priority is a number from 0 to {MAX_PRIORITY}.", field="priority")
    if len(further_mailboxes) > MAX_FURTHER_MAILBOXES:
        raise RefusedError(
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


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())  # it looks through the file system


def _end_rules(of: Q, *, at: datetime) -> None:
    """What is deleted takes its rules with it; who makes one holds what it is for."""
    Rule.objects.filter(of, deleted_at=None).update(deleted_at=at)


def _refuse_if_it_has_mail(what: str, emails: QuerySet[Email]) -> None:
    if emails.exists():
        raise NotEmptyError(
            f"{what} still has mail, which no key could read any more. Disable it instead, or delete it with its mail: "
            "?with=mail in the API, --with-mail in a command."
        )


def _refuse_if_it_acts_on_whole_domain(mailbox: Mailbox) -> None:
    """With the mailbox, mail to every alias that leads there stops. Raises AllowlistRestrictedError."""
    if any(acts_on_whole_domain(name) for name in mailbox.aliases.live().values_list("name", flat=True)):
        raise AllowlistRestrictedError(
            "An alias that leads here acts on a whole domain, so this needs a key for all mailboxes."
        )


Row = TypeVar("Row", Domain, Mailbox, Alias)


def _locked(rows: QuerySet[Row]) -> QuerySet[Row]:
    # no_key: mail that comes in meanwhile refers to these rows, and has not to wait for us
    return rows.select_for_update(no_key=True)


def _hold(row: Row) -> None:
    """Whoever is at it has to be done first; whoever comes later waits until the transaction ends."""
    _locked(type(row).objects.filter(pk=row.pk)).first()


def _hold_domain(name: str) -> Domain:
    """The domain, which stays as it is until the transaction ends. Raises UnknownDomainError."""
    try:
        return _locked(Domain.objects.live()).get(name=name)
    except Domain.DoesNotExist as error:
        raise UnknownDomainError(f"There is no domain {name} here; create it first.", field="domain_id") from error


def _hold_mailboxes(mailbox: Mailbox | None, further: Sequence[Mailbox]) -> None:
    """In the order of their ids, so that nobody waits for somebody who waits for him."""
    fields = {one.pk: (one, "further_mailbox_ids") for one in further}
    if mailbox is not None:
        fields[mailbox.pk] = (mailbox, "mailbox_id")
    for _, (one, field) in sorted(fields.items()):
        _hold_mailbox(one, field=field)


def _hold_mailbox(mailbox: Mailbox, *, field: str) -> None:
    """Locks the mailbox, read again: one that is deleted meanwhile would leave an address that leads nowhere."""
    if _locked(Mailbox.objects.live().filter(pk=mailbox.pk)).first() is None:
        raise RefusedError(f"The mailbox {mailbox.address} is deleted; choose another one.", field=field)


def _change(row: Row, nullable: Mapping[str, object] | None = None, **values: object) -> Row:
    """Writes what is given, and only that: whoever changes something else at the same time loses nothing.

    Raises NotFoundError if the row was deleted meanwhile.
    """
    given = {name: value for name, value in values.items() if value is not None} | dict(nullable or {})
    if given and not type(row).objects.live().filter(pk=row.pk).update(**given):
        raise NotFoundError(f"{row} is deleted.")
    for name, value in given.items():
        setattr(row, name, value)
    return row


def _add_mailbox(domain: Domain, local_part: str, **values: object) -> Mailbox:
    if local_part == CATCH_ALL:
        raise RefusedError("A mailbox needs a name of its own; * is an alias that catches the rest.")
    mailbox = Mailbox.objects.create(domain=domain, local_part=local_part, **values)
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
        raise _unavailable(domain, local_part) from error


def _unavailable(domain: Domain, local_part: str) -> AddressUnavailableError:
    return AddressUnavailableError(f"The address {addresses.join(local_part, domain.name)} is not available.")


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Whatever is refused within is refused because of that field."""
    try:
        yield
    except RefusedError as error:
        error.field = error.field or field
        raise
