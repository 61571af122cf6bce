"""Who has which address: all that routing asks the database.

For every recipient of every mail, so in SQL as it is: building these queries anew and making models of their rows
would cost many times what they do. What differs between the databases is how they write ids and truths.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from mailboxes import addresses
from mailboxes.addresses import RESERVED_LOCAL_KEYS
from mailboxes.models import Alias
from mailboxes.patterns import is_expression


@dataclass(frozen=True, slots=True)
class FoundMailbox:
    id: UUID
    local_part: str
    domain: str
    is_active: bool
    is_deleted: bool
    quota_bytes: int | None

    @property
    def address(self) -> str:
        return addresses.join(self.local_part, self.domain)

    @property
    def takes(self) -> bool:
        return self.is_active and not self.is_deleted


@dataclass(frozen=True, slots=True)
class FoundAlias:
    id: UUID
    name: str
    domain: str
    kind: str
    priority: int
    is_active: bool
    is_deleted: bool
    has_copies: bool  # it leads to further mailboxes
    mailbox: FoundMailbox

    @property
    def address(self) -> str:
        """As Alias.address."""
        is_pattern = self.kind == Alias.Kind.PATTERN
        return f"{self.name}@{self.domain}" if is_pattern else addresses.join(self.name, self.domain)


@dataclass(frozen=True, slots=True)
class FoundDomain:
    id: UUID
    name: str
    is_active: bool
    is_test: bool
    includes_subdomains: bool
    is_verified: bool
    is_deleted: bool
    has_patterns: bool
    default_mailbox: FoundMailbox | None

    def takes(self, *, from_outside: bool) -> bool:
        return self.is_active and self.is_verified and not self.is_deleted and not (self.is_test and from_outside)


Owner = FoundMailbox | FoundAlias

_MAILBOX = "{0}.id, {0}.local_part, {0}.is_active, {0}.deleted_at IS NOT NULL, {0}.quota_bytes"
_MAILBOX_COLUMNS = 5
_ALIAS = f"""a.id, a.name, a.kind, a.priority, a.is_active, a.deleted_at IS NOT NULL,
       EXISTS (SELECT 1 FROM mailboxes_aliascopy c WHERE c.alias_id = a.id),
       {_MAILBOX.format("am")}, ad.name"""  # noqa: S608 - made of constants of ours, as those below
_ITS_MAILBOX = "mailboxes_mailbox am ON am.id = a.mailbox_id {0} JOIN mailboxes_domain ad ON ad.id = am.domain_id"

_DOMAINS = f"""
SELECT d.id, d.name, d.is_active, d.is_test, d.includes_subdomains, d.verified_at IS NOT NULL,
       d.deleted_at IS NOT NULL,
       EXISTS (SELECT 1 FROM mailboxes_alias a
                WHERE a.domain_id = d.id AND a.kind = '{Alias.Kind.PATTERN}' AND a.deleted_at IS NULL),
       {_MAILBOX.format("m")}
  FROM mailboxes_domain d LEFT JOIN mailboxes_mailbox m ON m.id = d.default_mailbox_id
 WHERE (d.deleted_at IS NULL OR d.deleted_at > %s) AND ({{wanted}})
"""  # noqa: S608
_OLDEST = (
    "(SELECT o.id FROM mailboxes_domain o WHERE o.deleted_at IS NULL AND o.is_active {also} ORDER BY o.id LIMIT 1)"
)
_OWNERS = f"""
SELECT r.domain_id, r.local_key, {_MAILBOX.format("m")}, {_ALIAS}
  FROM mailboxes_address r
  LEFT JOIN mailboxes_mailbox m ON m.id = r.mailbox_id
  LEFT JOIN mailboxes_alias a ON a.id = r.alias_id
  LEFT JOIN {_ITS_MAILBOX.format("LEFT")}
 WHERE (COALESCE(m.deleted_at, a.deleted_at) IS NULL OR COALESCE(m.deleted_at, a.deleted_at) > %s) AND ({{wanted}})
"""  # noqa: S608
_PATTERNS = f"""
SELECT a.domain_id, {_ALIAS}
  FROM mailboxes_alias a JOIN {_ITS_MAILBOX.format("")}
 WHERE a.kind = '{Alias.Kind.PATTERN}' AND a.deleted_at IS NULL AND am.deleted_at IS NULL
   AND a.domain_id IN ({{wanted}}) ORDER BY a.priority, a.id
"""  # noqa: S608
_COPIES = f"""
SELECT c.alias_id, {_MAILBOX.format("m")}, d.name
  FROM mailboxes_aliascopy c
  JOIN mailboxes_mailbox m ON m.id = c.mailbox_id JOIN mailboxes_domain d ON d.id = m.domain_id
 WHERE c.alias_id IN ({{wanted}}) ORDER BY c.id
"""  # noqa: S608


def find_domains(names: set[str], *, postmasters_for: set[bool], rested: datetime) -> dict[str, FoundDomain]:
    """By name, with those deleted after `rested`: mail for the old owner is not for whoever has the domain above.

    postmasters_for asks for the oldest domains that take mail as well: from outside, or not.
    """
    if not (names or postmasters_for):
        return {}
    wanted = [f"d.name IN ({_places(names)})"] if names else []
    wanted += [f"d.id = {_oldest(from_outside=from_outside)}" for from_outside in postmasters_for]
    found: dict[str, FoundDomain] = {}
    for row in _rows(_DOMAINS.format(wanted=" OR ".join(wanted)), [_instant(rested), *names]):
        domain = _domain(row)
        if domain.name not in found or not domain.is_deleted:
            found[domain.name] = domain
    return found


def find_owners(
    keys: dict[UUID, set[str]], *, domains: dict[UUID, str], rested: datetime
) -> dict[tuple[UUID, str], Owner]:
    """Who has these addresses of each domain, by domain and key; with those deleted after `rested`."""
    if not keys:
        return {}
    wanted = " OR ".join(f"(r.domain_id = %s AND r.local_key IN ({_places(some)}))" for some in keys.values())
    values = [value for domain_id, some in keys.items() for value in (_id(domain_id), *some)]
    owners: dict[tuple[UUID, str], Owner] = {}
    for domain_id, key, *row in _rows(_OWNERS.format(wanted=wanted), [_instant(rested), *values]):
        domain = _uuid(domain_id)
        of_mailbox, of_alias = row[:_MAILBOX_COLUMNS], row[_MAILBOX_COLUMNS:]
        owner = _mailbox(of_mailbox, domains[domain]) or _alias(of_alias, domains[domain])
        # RFC 5321 section 4.5.1 wants the reserved names answered, so a deleted owner of one does not hold it
        if owner and not (owner.is_deleted and key in RESERVED_LOCAL_KEYS):
            owners[domain, key] = owner
    return owners


def find_patterns(domains: dict[UUID, str]) -> dict[UUID, list[FoundAlias]]:
    """The patterns of each domain, disabled ones too, in the order in which they are tried."""
    if not domains:
        return {}
    found: dict[UUID, list[FoundAlias]] = {}
    for domain_id, *row in _rows(_PATTERNS.format(wanted=_places(domains)), [_id(one) for one in domains]):
        domain = _uuid(domain_id)
        if alias := _alias(row, domains[domain]):
            found.setdefault(domain, []).append(alias)
    for patterns in found.values():
        patterns.sort(key=lambda alias: (alias.priority, is_expression(alias.name)))  # and by id, as they come
    return found


def find_copies(alias_ids: set[UUID]) -> dict[UUID, list[FoundMailbox]]:
    """The further mailboxes of each alias, disabled and deleted ones too, in the order in which they were added."""
    if not alias_ids:
        return {}
    found: dict[UUID, list[FoundMailbox]] = {}
    for alias_id, *row, domain in _rows(_COPIES.format(wanted=_places(alias_ids)), [_id(one) for one in alias_ids]):
        if mailbox := _mailbox(row, domain):
            found.setdefault(_uuid(alias_id), []).append(mailbox)
    return found


def _oldest(*, from_outside: bool) -> str:
    also = "AND (o.is_test OR o.verified_at IS NOT NULL) " if settings.REQUIRE_DOMAIN_VERIFICATION else ""
    return _OLDEST.format(also=also + ("AND NOT o.is_test" if from_outside else ""))


def _rows(sql: str, values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        yield from cursor.fetchall()


def _places(values: Iterable[object]) -> str:
    return ", ".join("%s" for _ in values)


def _domain(row: Sequence[Any]) -> FoundDomain:
    id_, name, *truths = row[:-_MAILBOX_COLUMNS]
    takes, is_test, includes, is_verified, is_gone, has_patterns = map(bool, truths)
    return FoundDomain(
        id=_uuid(id_),
        name=name,
        is_active=takes,
        is_test=is_test,
        includes_subdomains=includes,
        is_verified=is_verified or is_test or not settings.REQUIRE_DOMAIN_VERIFICATION,
        is_deleted=is_gone,
        has_patterns=has_patterns,
        # the default mailbox is one of the domain's own
        default_mailbox=_mailbox(row[-_MAILBOX_COLUMNS:], name),
    )


def _mailbox(row: Sequence[Any], domain: str) -> FoundMailbox | None:
    id_, local_part, is_active, is_deleted, quota_bytes = row  # what _MAILBOX names
    if id_ is None:
        return None
    return FoundMailbox(_uuid(id_), local_part, domain, bool(is_active), bool(is_deleted), quota_bytes)


def _alias(row: Sequence[Any], domain: str) -> FoundAlias | None:
    id_, name, kind, priority, is_active, is_deleted, has_copies, *of_mailbox, domain_of_mailbox = row
    mailbox = _mailbox(of_mailbox, domain_of_mailbox)
    if id_ is None or mailbox is None:
        return None
    return FoundAlias(
        id=_uuid(id_),
        name=name,
        domain=domain,
        kind=kind,
        priority=priority,
        is_active=bool(is_active),
        is_deleted=bool(is_deleted),
        has_copies=bool(has_copies),
        mailbox=mailbox,
    )


def _id(value: UUID) -> Any:
    return value if connection.features.has_native_uuid_field else value.hex


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else _parsed(value)


@lru_cache(4_096)  # the same few, mail after mail
def _parsed(text: str) -> UUID:
    return UUID(text)


def _instant(value: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(value)
