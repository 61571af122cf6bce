"""Domains: making, changing, and marking them deleted."""

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from emailgistics.common.access import NOBODY, Actor
from emailgistics.common.errors import ConflictError, RefusedError
from mailboxes import addresses
from mailboxes.models import ADDRESS_RESTS_FOR, Alias, Domain, Email, ErasureJob, Mailbox
from mailboxes.services import erasure_jobs
from mailboxes.services.provision.mailboxes import add_mailbox
from mailboxes.services.provision.rows import (
    Agree,
    about,
    change,
    end_rules,
    hold,
    hold_mailbox,
    locked,
    mark_all_deleted,
    mark_deleted,
    refuse_if_it_has_mail,
)

DEFAULT_MAILBOX = "inbox"


@transaction.atomic
def create_domain(
    *,
    name: str,
    is_test: bool = False,
    includes_subdomains: bool = False,
    default_local_part: str = DEFAULT_MAILBOX,
) -> Domain:
    """A domain with its default mailbox. Raises InvalidAddressError, ConflictError."""
    with about("name"):
        key = addresses.domain_key(name)
        if key.rpartition(".")[2].isdecimal():
            # no top-level domain is a number (RFC 3696 section 2), so that 192.0.2.1 is never taken for a name
            raise RefusedError(f"{key} is no name of a domain: its last part is a number. Give one like example.com.")
    with about("default_mailbox"):
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
    with about("default_mailbox"):
        domain.default_mailbox = add_mailbox(domain, default_local_part, name="Inbox")
    domain.save(update_fields=["default_mailbox"])
    return domain


@transaction.atomic
def update_domain(
    domain: Domain,
    *,
    is_active: bool | None = None,
    is_test: bool | None = None,
    includes_subdomains: bool | None = None,
    default_mailbox: Mailbox | None = None,
    agree: Agree[Domain] | None = None,
) -> Domain:
    """Raises RefusedError for a default mailbox of another domain, NotFoundError for a domain that is gone."""
    if agree is not None:
        hold(domain, agree)
    if default_mailbox is not None:
        if default_mailbox.domain_id != domain.pk:
            raise RefusedError(
                f"The default mailbox of {domain.name} is one of its own mailboxes.", field="default_mailbox_id"
            )
        hold(domain)
        hold_mailbox(default_mailbox, field="default_mailbox_id")
    return change(
        domain,
        is_active=is_active,
        is_test=is_test,
        includes_subdomains=includes_subdomains,
        default_mailbox=default_mailbox,
    )


@transaction.atomic
def delete_domain(
    domain: Domain, *, with_mail: bool = False, by: Actor = NOBODY, agree: Agree[Domain] | None = None
) -> ErasureJob | None:
    """Marks the domain with all its mailboxes deleted, and all aliases of and to them.

    No key sees mail in it any more: with_mail says that this is meant, and returns the job that erases it. What comes
    in this moment stays until its retention ends. Raises NotEmptyError, NotFoundError for a domain that is gone.
    """
    now = timezone.now()
    # first of all: whoever is making something in it has to be done, or sees that it is gone
    hold(domain, agree)
    list(locked(domain.mailboxes.order_by("pk")))
    if not with_mail:
        refuse_if_it_has_mail(domain.name, Email.objects.filter(mailbox__domain=domain, mailbox__deleted_at=None))
    mark_all_deleted(Alias.objects.live().filter(Q(domain=domain) | Q(mailbox__domain=domain)), at=now, by=by)
    mark_all_deleted(domain.mailboxes.live(), at=now, by=by)
    of_aliases = Q(alias__domain=domain) | Q(alias__mailbox__domain=domain)
    end_rules(Q(domain=domain) | Q(mailbox__domain=domain) | of_aliases, at=now)
    mark_deleted(domain, at=now, by=by)
    return erasure_jobs.begin(of=domain, deleted_at=now, by=by) if with_mail else None
