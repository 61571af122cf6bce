"""DMARC (RFC 7489): does what SPF or DKIM vouch for belong to the domain that people see in From?

What the policy asks for is reported and not done, so `pct` changes nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailboxes.authentication.dns import Lookups
from mailboxes.authentication.message import Mail
from mailboxes.authentication.names import NotANameError, a_labels, organisation
from mailboxes.authentication.results import Dkim, Dmarc, NoPassError, PermanentError, Result, Spf
from mailboxes.mime.budget import Budget
from mailboxes.mime.people import read_addresses
from mailboxes.mime.words import unfold

MAX_DOMAINS = 4  # of one From field
MAX_RECORD_OCTETS = 16 << 10
POLICIES = ("none", "quarantine", "reject")  # mildest first
_VERSION = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_URI = re.compile(r"[a-z][-a-z0-9+.]*:[^\s,!]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Record:
    policy: str
    subdomain_policy: str
    is_dkim_strict: bool
    is_spf_strict: bool
    pct: int


@dataclass(frozen=True, slots=True)
class Published:
    """What counts for a domain: its own record, or that of its organisational domain."""

    record: Record
    policy: str


def check(*, mail: Mail, spf: Spf, dkim: Sequence[Dkim], lookups: Lookups) -> tuple[Dmarc, tuple[Dkim, ...]]:
    """The result, and the signatures with what `aligned` is. From with several domains: the worst of theirs."""
    try:
        domains = from_domains(mail)
    except NoPassError as error:
        return Dmarc(error.result, reason=str(error)), tuple(dkim)
    if not domains:
        return Dmarc(Result.NONE, reason="there is no domain in From"), tuple(dkim)
    found = [_of_domain(domain, spf, dkim, lookups) for domain in domains]
    worst = max(range(len(found)), key=lambda number: _badness(found[number][0]))
    return found[worst]


def from_domains(mail: Mail) -> list[str]:
    """Those in the From field, once each (section 6.6.1). Raises PermanentError."""
    fields = mail.named(b"from")
    if len(fields) > 1:
        raise PermanentError("there are several From fields")
    if mail.is_cut:
        raise PermanentError("the header is too large")
    budget = Budget()
    people = read_addresses(unfold(fields[0].value, budget), budget) if fields else ()
    names = dict.fromkeys(person.address.rpartition("@")[2] for person in people if "@" in person.address)
    domains = list(dict.fromkeys(filter(None, map(_name, names))))
    if len(domains) > MAX_DOMAINS:
        raise PermanentError(f"there are more than {MAX_DOMAINS} domains in From")
    return domains


def _of_domain(domain: str, spf: Spf, dkim: Sequence[Dkim], lookups: Lookups) -> tuple[Dmarc, tuple[Dkim, ...]]:
    try:
        published = discover(domain, lookups)
    except NoPassError as error:
        return Dmarc(error.result, domain=domain, reason=str(error)), _with_alignment(dkim, domain, is_strict=False)
    if published is None:
        said = Dmarc(Result.NONE, domain=domain, reason="the domain publishes no DMARC record")
        return said, _with_alignment(dkim, domain, is_strict=False)
    record = published.record
    signatures = _with_alignment(dkim, domain, is_strict=record.is_dkim_strict)
    aligned = [("dkim", one.result) for one in signatures if one.aligned]
    if spf.domain and is_aligned(spf.domain, domain, is_strict=record.is_spf_strict):
        aligned.append(("spf", spf.result))
    by = tuple(dict.fromkeys(name for name, result in aligned if result == Result.PASS))
    said = Dmarc(Result.PASS, published.policy, by, domain, record.pct)
    if by:
        return said, signatures
    if any(result == Result.TEMPERROR for _, result in aligned):
        reason = "what might be aligned could not be checked"
        return replace(said, result=Result.TEMPERROR, reason=reason), signatures
    return replace(said, result=Result.FAIL, reason="nothing that passed is aligned with From"), signatures


def is_aligned(one: str, other: str, *, is_strict: bool) -> bool:
    """Section 3.1."""
    return one == other if is_strict else organisation(one) == organisation(other)


def discover(domain: str, lookups: Lookups) -> Published | None:
    """Section 6.6.3. Raises TemporaryError and PermanentError."""
    for owner in dict.fromkeys((domain, organisation(domain))):
        found = [text for text in lookups.txt(f"_dmarc.{owner}") if _VERSION.match(text)]
        if len(found) > 1:
            return None
        if found:
            record = parse(found[0])
            return Published(record, record.policy if owner == domain else record.subdomain_policy)
    return None


def parse(octets: bytes) -> Record:
    """Section 6.3; what is wrong beside the policies counts for nothing. Raises PermanentError."""
    if len(octets) > MAX_RECORD_OCTETS:
        raise PermanentError("the DMARC record is too long")
    tags: dict[str, str] = {}
    for piece in octets.decode("utf-8", errors="replace").split(";"):
        name, equals, value = piece.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    policy, subdomain_policy = tags.get("p", "").lower(), tags.get("sp", tags.get("p", "")).lower()
    if policy not in POLICIES or subdomain_policy not in POLICIES:
        # section 6.6.3, 6: who asks for reports, and mistyped the rest, wants nothing to be done
        if not any(_URI.match(uri.strip()) for uri in tags.get("rua", "").split(",")):
            raise PermanentError("the DMARC record has no policy")
        policy = subdomain_policy = POLICIES[0]
    pct = tags.get("pct", "100")
    return Record(
        policy=policy,
        subdomain_policy=subdomain_policy,
        is_dkim_strict=tags.get("adkim", "r").lower() == "s",
        is_spf_strict=tags.get("aspf", "r").lower() == "s",
        pct=int(pct) if re.fullmatch(r"[0-9]{1,3}", pct) and int(pct) <= 100 else 100,  # noqa: PLR2004 - per cent
    )


def _with_alignment(dkim: Sequence[Dkim], domain: str, *, is_strict: bool) -> tuple[Dkim, ...]:
    return tuple(
        replace(one, aligned=bool(one.domain) and is_aligned(one.domain or "", domain, is_strict=is_strict))
        for one in dkim
    )


def _badness(said: Dmarc) -> tuple[int, int]:
    order = [Result.PASS, Result.NONE, Result.PERMERROR, Result.TEMPERROR, Result.FAIL]
    return order.index(said.result), POLICIES.index(said.policy) if said.policy else -1


def _name(text: str) -> str:
    try:
        return a_labels(text)
    except NotANameError:
        return ""
