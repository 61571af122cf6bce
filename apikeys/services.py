"""Making keys, ending them, and giving them another plan. Nothing else about a key ever changes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Value
from django.db.models.functions import Now
from django.db.models.lookups import LessThan
from django.utils import timezone

from apikeys.credentials import new_key, parse_key
from apikeys.freeze.rules import REVOKED
from apikeys.models import MAX_REASON_LENGTH, ApiKey, ApiKeyMailbox
from apikeys.plans import parse_own_limits, parse_plan
from emailgistics.common import audit, journal
from emailgistics.common.access import Scope
from emailgistics.common.crypto import peppered_digest
from emailgistics.common.errors import ConflictError, RefusedError
from emailgistics.common.key_form import keys_in
from emailgistics.common.text import within
from emailgistics.common.when import parse_duration
from mailboxes.models import Mailbox

FULL = "full"
MAX_NAME_LENGTH = 200
MAX_NETWORKS = 50
MAPPED_PREFIX = 96  # of ::ffff:0:0/96, in which IPv6 holds the addresses of IPv4
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

ENDED = "This key has ended, and an ended key stays as it is; make a new one."
REVOCATION = ["revoke_at", "revoked_at", "revoked_by", "revoke_reason"]


class KeyEndedError(ConflictError):
    """It was revoked, or has expired."""

    code = "key_ended"


def create_api_key(
    *,
    name: str,
    expires_at: datetime,
    scopes: Iterable[Scope],
    mailboxes: Sequence[Mailbox] | None,
    networks: Iterable[str] = (),
    plan: str = ApiKey.Plan.STANDARD,
    rotated_from: ApiKey | None = None,
    created_by: User | None = None,
    address: str | None = None,
) -> tuple[ApiKey, str]:
    """A key and its plaintext, which exists only in this answer.

    mailboxes is the allowlist; None stands for all mailboxes, also future ones. networks are CIDR, or single addresses;
    none of them: from anywhere. address is from where it is made, for the audit log. Raises RefusedError, with the
    field.
    """
    name = name.strip()
    chosen = sorted(set(scopes))
    _check_name(name)
    _check_expiry(expires_at, now=timezone.now())
    if not chosen:
        raise RefusedError("A key needs at least one scope.", field="scopes")
    plan = parse_plan(plan)
    if mailboxes is not None:
        _check_allowlist(mailboxes)
    from_where = parse_networks(networks)
    fresh = new_key()
    pepper, digest = peppered_digest(fresh.plaintext)
    with transaction.atomic():
        key = ApiKey.objects.create(
            identifier=fresh.identifier,
            digest=digest,
            pepper=pepper,
            name=name,
            scopes=[scope.value for scope in chosen],
            all_mailboxes=mailboxes is None,
            networks=from_where,
            rotated_from=rotated_from,
            expires_at=expires_at,
            rate_plan=plan,
            created_by=created_by,
        )
        distinct = {mailbox.pk: mailbox for mailbox in mailboxes or ()}
        ApiKeyMailbox.objects.bulk_create(ApiKeyMailbox(api_key=key, mailbox=mailbox) for mailbox in distinct.values())
        key.sealed = True
        key.save(update_fields=["sealed"])
        _record_new(key, mailbox_ids=[mailbox.public_id for mailbox in distinct.values()], address=address)
    return key, fresh.plaintext


def revoke_api_key(key: ApiKey, *, by: User | None = None, reason: str = "", address: str | None = None) -> None:
    """Ends the key for good: every request that begins from now on is a 401. Doing it again changes nothing.

    The reason is kept with the key and in the audit log. Raises RefusedError (field reason).
    """
    why = _checked_reason(reason)
    # one whose scheduled end comes in this moment is revoked, which is all that is wanted
    with suppress(KeyEndedError), _told_of_an_end(), transaction.atomic():
        if ApiKey.objects.not_revoked().filter(pk=key.pk).update(revoked_at=Now(), revoked_by=by, revoke_reason=why):
            details = {"reason": why} if why else {}
            audit.record("apikey.revoked", of=key.identifier, person=by, address=address, details=details)
            journal.note("apikey.revoked", of=key.identifier)
    key.refresh_from_db(fields=REVOCATION)


def schedule_revocation(
    key: ApiKey, *, at: datetime | None, by: User | None = None, reason: str = "", address: str | None = None
) -> None:
    """Ends the key for good at an instant ahead, by the database's clock: what is scheduled is done by nobody.

    Until it has come it may be moved, and with None be called off. Raises RefusedError (field revoke_at) for what is
    not ahead (or field reason), KeyEndedError for a key that has ended.
    """
    why = _checked_reason(reason)
    with _told_of_an_end(), transaction.atomic():
        locked = lock_in_force(key)
        if at is None:
            _write_end(locked, revoke_at=None, revoked_by=None, revoke_reason="")
        elif at >= locked.expires_at:
            raise RefusedError("It expires before that: there is nothing to revoke then.", field="revoke_at")
        elif ApiKey.objects.filter(LessThan(Now(), Value(at)), pk=key.pk).exists():
            _write_end(locked, revoke_at=at, revoked_by=by, revoke_reason=why)
        else:
            raise RefusedError("That is not ahead: to end a key now, revoke it.", field="revoke_at")
        what = "apikey.revocation_scheduled" if at else "apikey.revocation_called_off"
        details = {"revoke_at": at.isoformat(), **({"reason": why} if why else {})} if at else {}
        audit.record(what, of=key.identifier, person=by, address=address, details=details)
        journal.note(what, of=key.identifier, **({"revoke_at": at.isoformat()} if at else {}))
    key.refresh_from_db(fields=REVOCATION)


def lock_in_force(key: ApiKey) -> ApiKey:
    """The key as it is now, which nobody else changes until the transaction ends. Raises KeyEndedError."""
    # its own row only: the foreign keys of a row that is locked are left alone
    locked = ApiKey.objects.select_for_update().in_force().filter(pk=key.pk).first()
    if locked is None:
        raise KeyEndedError(ENDED)
    return locked


@contextmanager
def _told_of_an_end() -> Iterator[None]:
    """Around a transaction: a key whose end came meanwhile is one that had ended. Raises KeyEndedError."""
    try:
        yield
    except IntegrityError as error:
        if REVOKED[1] not in str(error):  # what the database says
            raise
        raise KeyEndedError(ENDED) from error


def _write_end(key: ApiKey, **values: Any) -> None:
    ApiKey.objects.filter(pk=key.pk).update(**values)


def change_plan(
    key: ApiKey,
    *,
    plan: str,
    own_limits: Mapping[str, int | None] | None = None,
    by: User | None = None,
    address: str | None = None,
) -> None:
    """Holds from the next call on, also for what was spent before. own_limits are for an enterprise key: minute, hour,
    day; what is not among them is as the plan has it.

    Raises RefusedError, with the field; ConflictError for a key that has ended.
    """
    plan = parse_plan(plan)
    values = {"rate_plan": plan, "own_limits": parse_own_limits(plan, own_limits or {})}
    with transaction.atomic():
        if not ApiKey.objects.in_force().filter(pk=key.pk).update(**values):
            raise ConflictError(f"{key.identifier} has ended; its plan stays as it was.")
        audit.record("apikey.plan_changed", of=key.identifier, person=by, address=address, details=values)
    key.refresh_from_db(fields=[*values])


def _record_new(key: ApiKey, *, mailbox_ids: Sequence[str], address: str | None) -> None:
    details = {
        "scopes": key.scopes,
        "mailboxes": "all" if key.all_mailboxes else mailbox_ids,
        "networks": key.networks,
        "expires_at": key.expires_at.isoformat(),
        "plan": key.rate_plan,
    }
    if key.rotated_from is not None:
        old = key.rotated_from.identifier
        details["rotated_from"] = old
        audit.record(
            "apikey.rotated", of=old, person=key.created_by, address=address, details={"successor": key.identifier}
        )
    audit.record("apikey.created", of=key.identifier, person=key.created_by, address=address, details=details)
    journal.note("apikey.created", of=key.identifier, row=str(key.pk))


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Scopes by name; `full` is all that there are today. Raises RefusedError, with field scopes."""
    scopes: set[Scope] = set()
    for name in names:
        if name == FULL:
            scopes.update(Scope)
        elif name in Scope.values:
            scopes.add(Scope(name))
        else:
            raise RefusedError(
                f"There is no scope {name!r}. There are: {FULL}, {', '.join(Scope.values)}.", field="scopes"
            )
    return frozenset(scopes)


def parse_networks(texts: Iterable[str]) -> list[str]:
    """As CIDR, each once, in order; an address is a network of its own, and IPv4 in IPv6's clothes is IPv4.

    Raises RefusedError, with field networks.
    """
    networks = {_network(text.strip()) for text in texts}
    if len(networks) > MAX_NETWORKS:
        raise RefusedError(f"A key has at most {MAX_NETWORKS} networks.", field="networks")
    return [str(network) for network in sorted(networks, key=lambda one: (one.version, one))]


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text.replace("%", "?"))  # a zone, which Python takes, is a name of one host's own
    except ValueError as error:
        raise RefusedError(
            f"{text[:50]!r} is no network: write 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32.", field="networks"
        ) from error
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < MAPPED_PREFIX:
        return network
    return ip_network((mapped, network.prefixlen - MAPPED_PREFIX))


def parse_expiry(text: str, *, now: datetime, field: str = "expires_at") -> datetime:
    """When a key ends: `12h`, `30d`, a date (at its start in TIME_ZONE) or an instant with its offset.

    Raises RefusedError, with the field, for any other text.
    """
    text = text.strip()
    try:
        if (life := parse_duration(text)) is not None:
            return now + life
        if DATE.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time(), tzinfo=ZoneInfo(settings.TIME_ZONE))
        instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        instant = None
    if instant is None or instant.tzinfo is None:
        raise RefusedError(
            "An end is written 12h, 30d, 2030-01-31 (ends as that day begins) or 2030-01-31T18:00:00Z.",
            field=field,
        )
    return instant


def _check_name(name: str) -> None:
    if not name:
        raise RefusedError("A key needs a name: say what uses it.", field="name")
    if len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise RefusedError(f"A name is one line of at most {MAX_NAME_LENGTH} characters.", field="name")
    _refuse_keys(name, field="name")


def _checked_reason(reason: str) -> str:
    why = within(reason, limit=MAX_REASON_LENGTH, field="reason")
    _refuse_keys(why, field="reason")
    return why


def _refuse_keys(text: str, *, field: str) -> None:
    """Names and reasons are shown and kept for long."""
    if keys := keys_in(text):
        raise RefusedError(
            f"The {field} has a whole API key in it: write {parse_key(keys[0])} alone, which is no secret.", field=field
        )


def _check_expiry(expires_at: datetime, *, now: datetime) -> None:
    if expires_at <= now:
        raise RefusedError("The expiry is in the past; a key ends in the future.", field="expires_at")
    if expires_at > now + timedelta(days=settings.APIKEY_MAX_DAYS):
        raise RefusedError(
            f"A key lasts at most {settings.APIKEY_MAX_DAYS} days (APIKEY_MAX_DAYS); shorter is safer.",
            field="expires_at",
        )


def _check_allowlist(mailboxes: Sequence[Mailbox]) -> None:
    if not mailboxes:
        raise RefusedError("Name at least one mailbox that the key may open, or choose all of them.", field="mailboxes")
    for mailbox in mailboxes:
        if mailbox.deleted_at is not None:
            raise RefusedError(f"The mailbox {mailbox.address} is deleted; choose another one.", field="mailboxes")
