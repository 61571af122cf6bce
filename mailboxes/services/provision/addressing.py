"""Who has an address: the unique row of it decides, and what is reserved or rests is nobody's."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from emailgistics.common.errors import ConflictError
from mailboxes import addresses
from mailboxes.addresses import CATCH_ALL
from mailboxes.models import ADDRESS_RESTS_FOR, Address, Alias, Domain, Mailbox
from mailboxes.patterns import is_pattern


class AddressUnavailableError(ConflictError):
    """Taken, reserved or at rest: one answer for all of them."""

    code = "address_unavailable"


def acts_on_whole_domain(name: str) -> bool:
    """Whether an alias of that name takes mail that others would get: * and patterns do, help+x a part of help's."""
    bare = name.strip().strip('"').replace("\\", "")  # as what it becomes, however it is written
    return CATCH_ALL in bare or addresses.TAG_SEPARATOR in bare or is_pattern(bare)


def take_address(
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
        raise unavailable(domain, local_part) from error


def unavailable(domain: Domain, local_part: str) -> AddressUnavailableError:
    """The same for all three: which of them it is would tell of what the caller may not see."""
    address = addresses.join(local_part, domain.name)
    return AddressUnavailableError(
        f"The address {address} is not available. It is taken, reserved, or was deleted within the last "
        f"{ADDRESS_RESTS_FOR.days} days. Choose another name, or come back when that time is over."
    )
