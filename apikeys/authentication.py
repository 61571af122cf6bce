"""Who calls the API: the key in the request, looked up in one query, so that a revoked one ends with the next call.

`ApiKeyAuthentication.authenticate` is the one place that says what is looked at, and in which order.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apikeys import failures
from apikeys.credentials import MalformedKeyError, new_key, parse_key
from apikeys.limits import Verdict, charge
from apikeys.models import ApiKey, is_revoked
from apikeys.plans import granted
from emailgistics.common import footprint
from emailgistics.common.access import Principal, Scope
from emailgistics.common.clients import client_address
from emailgistics.common.crypto import peppered_digest
from emailgistics.common.key_form import KEY_PREFIX
from emailgistics.common.logs import get_logger
from emailgistics.common.prepared import prepared
from emailgistics.common.problems import REALM, RateLimitedError

log = get_logger(__name__)

SCHEME = "bearer"
HEADER = "X-API-KEY"
KEY_COLUMNS = (
    "pk", "digest", "pepper", "scopes", "all_mailboxes", "networks", "rate_plan", "own_limits", "expires_at",
    "revoke_at", "has_expired", "is_revoked",
)  # fmt: skip
BLANK = " \t"  # what RFC 9110 section 5.6.3 lets stand around a value
MISSING = "missing_credentials"
HOW = "Send it as Authorization: Bearer <key>."


class KeyRefusedError(exceptions.AuthenticationFailed):
    """401, with the challenge of RFC 6750 section 3; its error attribute is for requests that had a key.

    How a key ended, or from where it may be used, is told only to those who have all of it.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail, code)
        self.challenge = f'Bearer realm="{REALM}"'
        if code != MISSING:
            self.challenge += f', error="invalid_token", error_description="{detail}"'


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key of which the request has all, whether or not it may still be used."""

    principal: Principal
    networks: Sequence[str]
    plan: str
    own_limits: dict[str, int] | None
    ends_at: datetime
    has_expired: bool
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request that had a whole key shows of itself, let in or not: for who counts."""

    key: FoundKey
    address: str
    used: footprint.Footprint


@dataclass(frozen=True, slots=True)
class Admission:
    """What a request that got past the key knows of it; for the headers of its answer."""

    key: FoundKey
    address: str
    verdict: Verdict


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`, or `X-API-KEY: <key>`. Never the query string: those end up in logs."""

    def authenticate(self, request: Request) -> tuple[None, Principal]:
        """In this order for each request: form and checksum (no query), the key (one query), its standing, networks,
        limits.

        Only what is refused here is counted, and told to wait if that happens too often; see `failures.py`. What
        follows, in this order, is not about the key alone: its scopes (`HasScope`), whether an object is within its
        allowlist (`requests.find`), the body's form, the work.
        """
        http_request = request._request  # noqa: SLF001 - DRF has no public name for it
        address = client_address(http_request)
        key = find_key(request)
        # whether or not it is let in: who counts refusals has to know whose they are
        http_request.presented = Presented(key, address, footprint.begin())  # type: ignore[attr-defined]
        try:
            refuse_unless_it_stands(key)
            refuse_other_networks(key, address)
        except KeyRefusedError as refusal:
            failures.count_refused(http_request, identifier=key.principal.identifier, reason=str(refusal.detail))
            raise
        verdict = charge(key.principal.key_id, granted(key.plan, key.own_limits), cost_of(request))
        http_request.admission = Admission(key, address, verdict)  # type: ignore[attr-defined]
        if not verdict.is_admitted:
            raise limits_reached(verdict)
        return None, key.principal

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return f'Bearer realm="{REALM}"'


def find_key(request: Request) -> FoundKey:
    """The key that the request carries. Raises KeyRefusedError, TooManyFailuresError."""
    try:
        plaintext = credentials(request)
        return lookup(identifier_of(plaintext), plaintext)
    except KeyRefusedError as refusal:
        if refusal.get_codes() != MISSING:
            failures.count_unknown(request._request)  # noqa: SLF001 - as above
        raise


def credentials(request: Request) -> str:
    """The key as the request carries it, unchecked. Raises KeyRefusedError if there is none, or two that differ."""
    scheme, _, token = request.headers.get("Authorization", "").strip(BLANK).partition(" ")
    if scheme.startswith(KEY_PREFIX):
        raise KeyRefusedError("malformed_key", "Put the word Bearer before the key.")
    given = {key.strip(BLANK) for key in [request.headers.get(HEADER)] if key is not None}
    if scheme.lower() == SCHEME:
        given.add(token.strip(BLANK))
    if not given:
        raise KeyRefusedError(MISSING, f"This needs an API key. {HOW}")
    if len(given) > 1:
        raise KeyRefusedError("malformed_key", f"Authorization and {HEADER} hold different keys; send one.")
    return given.pop()


def identifier_of(plaintext: str) -> str:
    """Raises KeyRefusedError."""
    try:
        return parse_key(plaintext)
    except MalformedKeyError as error:
        raise KeyRefusedError("malformed_key", "This is not a whole API key; copy it again.") from error


def lookup(identifier: str, plaintext: str) -> FoundKey:
    """Raises KeyRefusedError if there is no such key."""
    key, mailboxes, domains = _key_query().ask(identifier)
    if key is None or not _is_the_key(plaintext, digest=bytes(key[1]), pepper=key[2]):
        raise KeyRefusedError("invalid_key", "There is no such API key.")
    pk, _, _, scopes, all_mailboxes, networks, plan, own_limits, expires_at, revoke_at, has_expired, revoked = key
    caller = Principal(
        key_id=pk,
        identifier=identifier,
        scopes=_widened(tuple(scopes)),
        all_mailboxes=all_mailboxes,
        mailbox_ids=frozenset(mailboxes),
        domain_ids=frozenset(domains),
    )
    ends_at = min(expires_at, revoke_at or expires_at)
    return FoundKey(caller, networks, plan, own_limits, ends_at, has_expired=has_expired, is_revoked=revoked)


def refuse_unless_it_stands(key: FoundKey) -> None:
    if key.is_revoked:
        raise KeyRefusedError("key_revoked", "This API key was revoked.")
    if key.has_expired:
        raise KeyRefusedError("key_expired", "This API key has expired.")


def refuse_other_networks(key: FoundKey, address: str) -> None:
    if key.networks and not (address and any(ip_address(address) in ip_network(known) for known in key.networks)):
        raise KeyRefusedError("network_not_allowed", f"This API key may not be used from {address or 'here'}.")


def cost_of(request: Request) -> int:
    """What the request spends of its key's limits: 1, unless the view's `request_costs` name, by action, a function of
    the request that says otherwise.
    """
    view = request.parser_context["view"]
    cost = getattr(view, "request_costs", {}).get(getattr(view, "action", None))
    return cost(request._request) if cost else 1  # noqa: SLF001 - DRF has no public name for it


def limits_reached(verdict: Verdict) -> RateLimitedError:
    violated = " and ".join(f"{quota.limit:,} per {quota.window.name}" for quota in verdict.violated)
    seconds = f"{verdict.retry_after} second{'s' * (verdict.retry_after != 1)}"
    return RateLimitedError(
        f"This key has used up its requests, {violated}; send this one again in {seconds}. "
        f"For more of them ask {settings.SUPPORT_CONTACT or 'the administrator of this installation'}.",
        policies=[quota.window.name for quota in verdict.violated],
        retry_after=verdict.retry_after,
    )


def widen(names: Iterable[str]) -> frozenset[Scope]:
    """What scopes let their holder do: write includes read of the same resource. Names we do not know open nothing."""
    scopes = {Scope(name) for name in names if name in Scope.values}
    reads = {scope.value.replace(":write", ":read") for scope in scopes}
    return frozenset(scopes | {Scope(name) for name in reads if name in Scope.values})


def _is_the_key(plaintext: str, *, digest: bytes, pepper: int) -> bool:
    try:
        _, expected = peppered_digest(plaintext, pepper=pepper)
    except KeyError:
        log.error("apikey.pepper_missing", pepper=pepper)  # noqa: TRY400 - all is said
        return False
    return hmac.compare_digest(digest, expected)


class KeyQuery:
    """The query for a key and its allowlist: a row for each mailbox, or one with none.

    Put together once. It is asked for every request, and putting it together takes the ORM several times as long as
    the database takes to answer it.
    """

    def __init__(self) -> None:
        self._any_identifier = new_key().identifier  # stands where that of each request will
        found = (
            # not sealed: its allowlist may be incomplete, so it is no key yet
            ApiKey.objects.filter(identifier=self._any_identifier, sealed=True)
            .annotate(
                # the database's clock: hosts need not agree on the moment
                has_expired=ExpressionWrapper(Q(expires_at__lte=Now()), output_field=BooleanField()),
                is_revoked=ExpressionWrapper(is_revoked(Now()), output_field=BooleanField()),
            )
            .order_by()
            .values_list(
                *KEY_COLUMNS, "allowlist__mailbox", "allowlist__mailbox__domain", "allowlist__mailbox__deleted_at"
            )
        )
        compiler = found.query.get_compiler(DEFAULT_DB_ALIAS)
        self._sql, self._parameters = compiler.as_sql()
        self._converters = compiler.get_converters([column for column, *_ in compiler.select])

    def ask(self, identifier: str) -> tuple[list[Any] | None, list[UUID], list[UUID]]:
        """KEY_COLUMNS of the key, those mailboxes that are not deleted, and the domains that they are in."""
        rows = self._rows([identifier if one == self._any_identifier else one for one in self._parameters])
        if not rows:
            return None, [], []
        key = [self._converted(column, rows[0][column]) for column in range(len(KEY_COLUMNS))]
        mailbox = len(KEY_COLUMNS)
        domain, deleted_at = mailbox + 1, mailbox + 2
        live = [row for row in rows if row[mailbox] is not None and row[deleted_at] is None]
        mailboxes, domains = (
            [self._converted(column, value) for value in dict.fromkeys(row[column] for row in live)]
            for column in (mailbox, domain)
        )
        return key, mailboxes, domains

    def _rows(self, parameters: list[Any]) -> list[tuple[Any, ...]]:
        """It is the first query of a request, so it finds out whether the connection of the last one still stands.

        Django would ask the database that (CONN_HEALTH_CHECKS) before it asks this.
        """
        if connection.connection is None or connection.in_atomic_block:
            return self._asked(parameters)
        connection.health_check_done = True  # type: ignore[attr-defined]  # unknown to the stubs
        try:
            return self._asked(parameters)
        except (OperationalError, InterfaceError):
            connection.close()
            return self._asked(parameters)

    def _asked(self, parameters: list[Any]) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor, prepared():
            cursor.execute(self._sql, parameters)
            return list(cursor.fetchall())

    def _converted(self, column: int, value: Any) -> Any:
        """As the model has it; each database has its own way with JSON, UUIDs and instants."""
        converters, expression = self._converters.get(column, ((), None))
        for convert in converters:
            value = convert(value, expression, connection)
        return value


@cache
def _key_query() -> KeyQuery:
    return KeyQuery()


@lru_cache(maxsize=256)
def _widened(scopes: tuple[str, ...]) -> frozenset[Scope]:
    return widen(scopes)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document tells of keys; each operation lists the scopes that it needs."""

    target_class = "apikeys.authentication.ApiKeyAuthentication"
    name = ["bearer", "apiKeyHeader"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:  # noqa: ARG002
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "emgk_<id>_<secret>", "description": HOW},
            {"type": "apiKey", "in": "header", "name": HEADER, "description": "The same key in a header of its own."},
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, Any]]:
        required = required_scopes(auto_schema.view, auto_schema.view.action) or ()
        return [{name: [scope.value for scope in required]} for name in self.name]


def required_scopes(view: Any, action: str) -> tuple[Scope, ...] | None:
    """What the view says that the action needs; None when it says nothing."""
    required = getattr(view, "required_scopes", {}).get(action)
    return (required,) if isinstance(required, Scope) else required
