"""That a domain belongs to whoever runs this installation: a word of ours in its DNS.

Who asks REQUIRE_DOMAIN_VERIFICATION for it takes no mail for a domain before; see `route`.
"""

from dataclasses import dataclass

from django.utils import timezone

from emailgistics.common.errors import ConflictError, NotFoundError, UnavailableError
from mailboxes.models import Domain
from mailboxes.services import dns_records

MAX_NAMED = 3  # of other records under its name


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
    return TxtRecord(f"{dns_records.LABEL}.{domain.name}", dns_records.word_of(domain))


def verify_domain(domain: Domain, *, max_age_s: float = 0) -> Domain:
    """Looks for the record, and notes that it was there. It may be taken away afterwards.

    Raises as `require_record` and `note_verified` do.
    """
    require_record(domain, max_age_s=max_age_s)
    return note_verified(domain)


def look_at(domain: Domain, *, max_age_s: float) -> dns_records.Records:
    """Looks at all its records, and notes that it is verified once its word is there. Not within a transaction.

    Raises DnsBusyError, and NotFoundError for a domain that is gone.
    """
    records = dns_records.records_of(domain, max_age_s=max_age_s)
    if domain.verified_at is None and record_of(domain).value in records.txt.found:
        note_verified(domain)
        return dns_records.records_of(domain)  # what is asked for is less now; the DNS is not asked again
    return records


def require_record(domain: Domain, *, max_age_s: float = 0) -> None:
    """Looks for the record; what was found at most max_age_s ago counts. Not within a transaction.

    Raises RecordNotFoundError, DnsUnavailableError.
    """
    record = record_of(domain)
    txt = dns_records.records_of(domain, max_age_s=max_age_s).txt
    if txt.state == dns_records.State.UNKNOWN:
        raise DnsUnavailableError(f"The DNS has no answer for {record.name}; try again in a moment.")
    if record.value not in txt.found:
        others = f"; there is {', '.join(map(repr, txt.found[:MAX_NAMED]))}" if txt.found else ""
        raise RecordNotFoundError(f"The DNS does not have this record (yet): {record}{others}")


def note_verified(domain: Domain) -> Domain:
    """Raises NotFoundError for a domain that is gone."""
    now = timezone.now()
    if not Domain.objects.live().filter(pk=domain.pk).update(verified_at=now):
        raise NotFoundError(f"{domain} is deleted.")
    domain.verified_at = now
    return domain
