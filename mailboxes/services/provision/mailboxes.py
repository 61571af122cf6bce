"""Mailboxes: making, changing, and marking them deleted."""

from typing import TypedDict

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from emailgistics.common.access import NOBODY, Actor, AllowlistRestrictedError
from emailgistics.common.errors import ConflictError, OutOfRangeError, RefusedError
from emailgistics.common.text import within
from emailgistics.common.zones import is_time_zone
from mailboxes import addresses
from mailboxes.addresses import CATCH_ALL, ParsedAddress
from mailboxes.models import Domain, Email, ErasureJob, Mailbox
from mailboxes.retention import refuse_contradiction
from mailboxes.services import erasure_jobs, quota
from mailboxes.services.provision.addressing import acts_on_whole_domain, take_address
from mailboxes.services.provision.rows import (
    Agree,
    Leave,
    about,
    change,
    end_rules,
    hold,
    hold_domain,
    mark_all_deleted,
    mark_deleted,
    refuse_if_it_has_mail,
)

MAX_NAME_LENGTH = 200
MAX_RETENTION_DAYS = 36_500
MIN_QUOTA_BYTES = 1 << 20  # whoever means to take no mail disables the mailbox
MAX_QUOTA_BYTES = 1 << 50


class Retention(TypedDict, total=False):
    """Days until something is removed; None: as the installation says. What is not named stays as it is."""

    raw_days: int | None
    content_days: int | None
    log_days: int | None


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
    with about("address"):
        parsed = ParsedAddress.parse(address)
    _check_mailbox(name=name, time_zone=time_zone, retention=retention, quota_bytes=quota_bytes)
    domain = hold_domain(parsed.domain)
    with about("address"):
        made = add_mailbox(
            domain,
            parsed.local_part,
            name=name,
            is_active=is_active,
            time_zone=time_zone,
            quota_bytes=quota_bytes,
            **(retention or {}),
        )
    refuse_contradiction(made)
    return made


def update_mailbox(
    mailbox: Mailbox,
    *,
    name: str | None = None,
    is_active: bool | None = None,
    time_zone: str | None = None,
    retention: Retention | None = None,
    quota_bytes: int | Leave | None = Leave.AS_IT_IS,
    may_act_on_whole_domain: bool = True,
    agree: Agree[Mailbox] | None = None,
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
    if limit is None and agree is None and not retention:
        return change(mailbox, nullable, **given)
    with transaction.atomic():
        if agree is not None:
            hold(mailbox, agree)
        changed = change(mailbox, nullable, **given)
        if retention:  # with those that somebody else has given; the row is locked by the change
            refuse_contradiction(Mailbox.objects.get(pk=changed.pk))
        if limit is not None:
            quota.recount(changed)  # the row is locked by the change
        return changed


@transaction.atomic
def delete_mailbox(
    mailbox: Mailbox,
    *,
    with_mail: bool = False,
    may_act_on_whole_domain: bool = True,
    by: Actor = NOBODY,
    agree: Agree[Mailbox] | None = None,
) -> ErasureJob | None:
    """Marks the mailbox and the aliases that lead to it deleted; see `delete_domain` about its mail.

    may_act_on_whole_domain is False for those who may not end an alias that does. Raises AllowlistRestrictedError,
    ConflictError for a default mailbox, NotEmptyError, NotFoundError for a mailbox that is gone.
    """
    hold(mailbox, agree)
    if not may_act_on_whole_domain:
        _refuse_if_it_acts_on_whole_domain(mailbox)
    if Domain.objects.live().filter(default_mailbox=mailbox).exists():
        raise ConflictError(
            f"{mailbox.address} is the default mailbox of its domain, which takes mail for postmaster and abuse: "
            "make another one the default first, or delete the domain."
        )
    if not with_mail:
        refuse_if_it_has_mail(mailbox.address, Email.objects.filter(mailbox=mailbox))
    now = timezone.now()
    mark_all_deleted(mailbox.aliases.live(), at=now, by=by)
    end_rules(Q(mailbox=mailbox) | Q(alias__mailbox=mailbox), at=now)
    mark_deleted(mailbox, at=now, by=by)
    return erasure_jobs.begin(of=mailbox, deleted_at=now, by=by) if with_mail else None


def add_mailbox(domain: Domain, local_part: str, **values: object) -> Mailbox:
    if local_part == CATCH_ALL:
        raise RefusedError("A mailbox needs a name of its own; * is an alias that catches the rest.")
    mailbox = Mailbox.objects.create(domain=domain, local_part=local_part, **values)
    take_address(domain, local_part, mailbox=mailbox)
    return mailbox


def _check_mailbox(*, name: str, time_zone: str, retention: Retention | None, quota_bytes: int | None) -> None:
    """Raises RefusedError."""
    within(name, limit=MAX_NAME_LENGTH, field="name")
    if time_zone and not is_time_zone(time_zone):
        raise RefusedError(
            f"There is no time zone {addresses.shown(time_zone)}; write it like Europe/Berlin.", field="time_zone"
        )
    for what, days in (retention or {}).items():
        if days is not None and not (isinstance(days, int) and 1 <= days <= MAX_RETENTION_DAYS):
            raise OutOfRangeError(f"{what} is a number from 1 to {MAX_RETENTION_DAYS}, or nothing.", field="retention")
    if quota_bytes is not None and not MIN_QUOTA_BYTES <= quota_bytes <= MAX_QUOTA_BYTES:
        raise OutOfRangeError(
            f"A quota is from {MIN_QUOTA_BYTES} to {MAX_QUOTA_BYTES} octets; to have no limit, give none.",
            field="quota_bytes",
        )


def _refuse_if_it_acts_on_whole_domain(mailbox: Mailbox) -> None:
    """With the mailbox, mail to every alias that leads there stops. Raises AllowlistRestrictedError."""
    if any(acts_on_whole_domain(name) for name in mailbox.aliases.live().values_list("name", flat=True)):
        raise AllowlistRestrictedError(
            "An alias that leads here acts on a whole domain, so this needs a key for all mailboxes."
        )
