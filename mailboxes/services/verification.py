"""That a domain belongs to whoever runs this installation: a word of ours in its DNS.

Who asks REQUIRE_DOMAIN_VERIFICATION for it takes no mail for a domain before; see `route`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import salted_hmac

from emailgistics.common.errors import ConflictError, NotFoundError, UnavailableError
from mailboxes.models import Domain

if TYPE_CHECKING:
    from dns.resolver import Resolver

LABEL = "_emailgistics"
WORD = "emailgistics-verification="
DIGITS = 32  # hexadecimal, so 128 bits
WITHIN_S = 10.0  # for all servers together


class RecordNotFoundError(ConflictError):
    """The DNS answers, and the record is not there, or says something else."""

    code = "record_not_found"


class DnsUnavailableError(UnavailableError):
    code = "dns_unavailable"


@dataclass(frozen=True, slots=True)
class TxtRecord:
    name: str
    value: str

    def __str__(self) -> str:
        return f'{self.name}. IN TXT "{self.value}"'


def record_of(domain: Domain) -> TxtRecord:
    """What its owner has to put into its DNS; of no use to another installation, nor to be guessed from another one."""
    digest = salted_hmac("mailboxes.verification", domain.name, algorithm="sha256").hexdigest()
    return TxtRecord(f"{LABEL}.{domain.name}", f"{WORD}{digest[:DIGITS]}")


def verify_domain(domain: Domain) -> Domain:
    """Looks for the record, and notes that it was there. It may be taken away afterwards.

    Raises RecordNotFoundError, DnsUnavailableError, NotFoundError for a domain that is gone.
    """
    record = record_of(domain)
    found = _texts(record.name)
    if record.value not in found:
        others = f"; there is {', '.join(map(repr, found[:3]))}" if found else ""
        raise RecordNotFoundError(f"The DNS does not have this record (yet): {record}{others}")
    now = timezone.now()
    if not Domain.objects.live().filter(pk=domain.pk).update(verified_at=now):
        raise NotFoundError(f"{domain} is deleted.")
    domain.verified_at = now
    return domain


def _texts(name: str) -> list[str]:
    """The TXT records of a name, the strings of each joined. Raises DnsUnavailableError."""
    import dns.exception  # noqa: PLC0415 - a fifth of a second, for processes that hardly ever ask
    import dns.resolver  # noqa: PLC0415

    try:
        answer = _resolver().resolve(f"{name}.", "TXT", lifetime=WITHIN_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError) as error:
        raise DnsUnavailableError(f"The DNS has no answer for {name}; try again in a moment.") from error
    return [b"".join(record.strings).decode("ascii", errors="replace") for record in answer]


def _resolver() -> "Resolver":
    import dns.nameserver  # noqa: PLC0415
    import dns.resolver  # noqa: PLC0415

    servers = settings.DNS_SERVERS
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in servers]
    return resolver
