"""One signed request to a receiver that nobody trusts, and what came of it.

Whatever the receiver does, a call takes at most TOTAL_S and a bounded amount of memory, follows no redirect, speaks
TLS that is verified, and dials only addresses that `webhooks.guard` lets through. Nothing of it is configured by what
libraries read from the environment (HTTPS_PROXY, .netrc, REQUESTS_CA_BUNDLE) but SSL_CERT_FILE and SSL_CERT_DIR, which
are OpenSSL's way of saying where the system's authorities are.
"""

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, Self

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from yarl import URL

from emailgistics.common.logs import get_logger
from webhooks import guard
from webhooks.dialling import ConnectTimeoutError, Dialler, Origin, UnresolvedError
from webhooks.exchange import Exchange
from webhooks.headers import NAME
from webhooks.idle import IdleWires
from webhooks.lookups import BusyError, Lookup, Lookups, system_lookup
from webhooks.retry import is_success
from webhooks.tunnel import ProxyError, ReceiverAwayError, parse_proxy
from webhooks.wire import MAX_EXCERPT_BYTES, ClosedError, FloodError, ProtocolError, Wire

log = get_logger(__name__)

TOTAL_S: float = settings.WEBHOOK_TIMEOUT_S  # resolve, connect, send, read
CONNECT_S: float = settings.WEBHOOK_CONNECT_TIMEOUT_S  # TCP and TLS, after the name is resolved
MAX_HEADERS_BYTES = 8 * 1024  # kept; what is read is bounded in webhooks.wire
MAX_DETAIL = 300  # webhooks.models.Attempt.detail
CUT = "…"  # at the end of one that was longer
NOT_FOLLOWED = "Redirects are not followed: update the webhook's URL"

# codes of what no receiver can be blamed for
OWN_FAULTS: frozenset[str] = frozenset({"proxy", "egress", "internal", "late"})
NO_EGRESS = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
        errno.EPERM,  # a firewall of our own machine
    }
)
NO_LOOKUP = frozenset({socket.EAI_SYSTEM, socket.EAI_MEMORY})

HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


class LateError(Exception):
    """The request may not begin any more."""


class InvalidHeaderError(ValueError):
    """A header that is no token, or whose value is not visible ASCII."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known after one request.

    status: of the HTTP answer as soon as its headers were read, whatever became of its body; then error is "".
    error: a code if there was no answer: timeout, dns, connect, tls, forbidden_address, closed, protocol, invalid_url,
    invalid_headers, or one of OWN_FAULTS. detail: one line for people, without secrets or resolved addresses.
    first_byte_ms and total_ms count from started_at; dns_ms and connect_ms (TCP and TLS, through a proxy also its part)
    are durations, None on a reused connection, dns_ms also for a literal or a name that is still known.
    peer_ip: the receiver's, as it was judged, also where the socket leads to a proxy.
    """

    started_at: datetime
    status: int | None = None
    error: str = ""
    detail: str = ""
    retry_after: str | None = None
    dns_ms: int | None = None
    connect_ms: int | None = None
    first_byte_ms: int | None = None
    total_ms: int | None = None
    peer_ip: str | None = None
    response_headers: bytes = b""
    response_excerpt: bytes = b""

    @classmethod
    def of_fault(cls, error: str, detail: str) -> Self:
        """For a request that was never sent."""
        return cls(started_at=datetime.now(UTC), error=error, detail=one_line(detail))


class Target(NamedTuple):
    """Of a URL: where it leads, and how a request there begins."""

    origin: Origin
    start: str


class Transport:
    """Sends requests from one event loop. `async with Transport() as transport: await transport.post(outgoing)`.

    The number of requests at once is the caller's to bound.
    """

    def __init__(
        self, *, total_s: float = TOTAL_S, connect_s: float = CONNECT_S, lookup: Lookup = system_lookup
    ) -> None:
        self._total_s = total_s
        self._connect_s = connect_s
        self._lookup = lookup
        self._tls = tls_context()
        self._proxy = parse_proxy(settings.WEBHOOK_PROXY)
        self._idle = IdleWires()
        self.opened = 0  # connections that were made, TLS included
        self.reused = 0  # requests for which an open connection was taken

    async def __aenter__(self) -> Self:
        self._lookups = Lookups(self._lookup)
        self._dialler = Dialler(lookups=self._lookups, tls=self._tls, proxy=self._proxy, connect_s=self._connect_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._idle.abort_all()
        self._lookups.close()
        await asyncio.sleep(0)  # the loop closes what was aborted

    async def post(self, outgoing: Outgoing, *, may_begin: Callable[[], bool] = lambda: True) -> Answer:
        """Never raises but CancelledError; ends within total_s.

        may_begin is asked just before a request is written, on whatever connection: looking up and dialling take their
        time, and a process that was stopped meanwhile may have lost the delivery to another.
        """
        exchange = Exchange()
        try:
            async with asyncio.timeout(self._total_s):
                await self._exchange(outgoing, exchange, may_begin)
        except Exception as error:  # noqa: BLE001 - each becomes a code; those without one are logged
            exchange.fail(*self._failure(error, exchange, outgoing.url))
        return answer_of(exchange)

    async def _exchange(self, outgoing: Outgoing, exchange: Exchange, may_begin: Callable[[], bool]) -> None:
        target = target_of(outgoing.url)
        head = head_of(target, outgoing)

        async def carry(wire: Wire) -> None:
            if not may_begin():
                wire.abort()
                raise LateError
            try:
                may_stay = await wire.carry(head, outgoing.body, exchange)
            finally:
                exchange.detail = remark(exchange, outgoing.url)
            if may_stay:
                self._idle.keep(target.origin, wire)

        if wire := self._idle.take(target.origin):
            self.reused += 1
            exchange.is_reused = True
            try:
                return await carry(wire)
            except ClosedError:
                if exchange.received_bytes:
                    raise
            # An idle connection that the receiver closed as we wrote to it, not one octet came: once more on a new one.
            # Clients do so for idempotent methods only. Ours may be repeated: the receiver knows it by its webhook-id.
            exchange.is_reused = False
        wire = await self._dialler.dial(target.origin, exchange, on_lost=self._idle.forget)
        self.opened += 1
        return await carry(wire)

    def _failure(self, error: Exception, exchange: Exchange, url: str) -> tuple[str, str]:  # noqa: C901, PLR0911 - a table
        """(code, detail) of what ended a request, in words of ours: those of the libraries hold the address."""
        match error:
            case guard.RefusedUrlError():
                return "invalid_url", error.message
            case InvalidHeaderError():
                return "invalid_headers", str(error)
            case ProxyError():
                return "proxy", str(error)
            case LateError():
                return "late", "A fault of ours: it was not sent in time, and is somebody else's to send by now."
            case ConnectTimeoutError():
                return "timeout", f"No connection within {self._connect_s:g} s."
            case TimeoutError():
                what = "answer" if exchange.peer_ip else "connection"
                return "timeout", f"No {what} within {self._total_s:g} s."
            case FloodError():
                return "protocol", "The receiver sent without end, and no answer."
            case ClosedError():
                return "closed", "The receiver closed the connection without an answer."
            case ProtocolError():
                return "protocol", f"What the receiver answered is not HTTP as we read it: {error}"
            case UnresolvedError() | OSError():
                return connect_failure(error, guard.parse_url(url).raw_host or "")
            case _:
                log.error("transport.failed", exc_info=error)
                return "internal", f"A fault of ours: {type(error).__name__}."


def connect_failure(error: UnresolvedError | OSError, host: str) -> tuple[str, str]:  # noqa: PLR0911 - a table
    """(code, detail) of a connection that did not come about."""
    match error:
        case UnresolvedError(reason=BusyError() as busy):
            return "egress", f"A fault of ours: {busy.strerror}."
        case UnresolvedError(reason=socket.gaierror(errno=number)) if number in NO_LOOKUP:
            return "egress", "A fault of ours: names cannot be looked up."
        case UnresolvedError(reason=reason):
            return "dns", f"{host} could not be resolved: {reason.strerror}."
        case guard.ForbiddenAddressError():
            return "forbidden_address", forbidden_detail(error)
        case ReceiverAwayError():
            return "connect", f"No connection to {host}: {error}."
        case ssl.SSLCertVerificationError():
            return "tls", f"The certificate of {host} is not valid: {error.verify_message or 'unknown reason'}."
        case ssl.SSLError():
            return "tls", f"No TLS connection to {host}: {error.reason or 'handshake failed'}."
        case OSError(errno=number) if number in NO_EGRESS:
            return "egress", f"A fault of ours: {os.strerror(number)}."
        case OSError(errno=number):
            return (
                "connect",
                f"No connection to {host}: {os.strerror(number) if number else 'no address of it answers'}.",
            )
        case _:
            raise TypeError(error)


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """Raises guard.RefusedUrlError."""
    parsed = guard.parse_url(url)
    start = f"POST {parsed.raw_path_qs} HTTP/1.1\r\nHost: {parsed.host_port_subcomponent}\r\n"
    return Target(Origin(parsed.scheme, parsed.raw_host or "", parsed.port or 0), start)


def head_of(target: Target, outgoing: Outgoing) -> bytes:
    """All that stands before the body (RFC 9112 section 3). Raises InvalidHeaderError."""
    check_headers(outgoing.headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in outgoing.headers.items())
    return f"{target.start}{lines}Content-Length: {len(outgoing.body)}\r\n\r\n".encode("ascii")


def answer_of(exchange: Exchange) -> Answer:
    return Answer(
        started_at=exchange.started_at,
        status=exchange.status,
        error=exchange.error,
        detail=one_line(exchange.detail),
        retry_after=exchange.header(b"retry-after"),
        dns_ms=exchange.dns_ms,
        connect_ms=exchange.connect_ms,
        first_byte_ms=exchange.first_byte_ms,
        total_ms=exchange.ms(exchange.clock),
        peer_ip=exchange.peer_ip,
        response_headers=b"\r\n".join(b"%b: %b" % pair for pair in exchange.headers)[:MAX_HEADERS_BYTES],
        response_excerpt=bytes(exchange.excerpt[:MAX_EXCERPT_BYTES]),
    )


def tls_context() -> ssl.SSLContext:
    """The system's authorities and those in WEBHOOK_CA_BUNDLE. Raises ImproperlyConfigured."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if settings.WEBHOOK_CA_BUNDLE:
        try:
            context.load_verify_locations(cafile=settings.WEBHOOK_CA_BUNDLE)
        except (OSError, ssl.SSLError) as error:
            raise ImproperlyConfigured(
                f"WEBHOOK_CA_BUNDLE: {settings.WEBHOOK_CA_BUNDLE} is not a readable file of PEM certificates: {error}"
            ) from error
    return context


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises InvalidHeaderError, which names the header and not its value."""
    for name, value in headers.items():
        if not (is_token(name) and HEADER_VALUE.fullmatch(value)):
            raise InvalidHeaderError(f"The header {name!r} cannot be sent.")


@lru_cache(maxsize=1024)
def is_token(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def forbidden_detail(error: guard.ForbiddenAddressError) -> str:
    if error.can_be_allowed:
        return f"The URL leads to a private address; an operator can allow private networks with {guard.VARIABLE}."
    return f"The URL leads to {error.reason}."


def remark(exchange: Exchange, url: str) -> str:
    """What a person has to know about an answer; nothing about a success."""
    status = exchange.status
    if status is None or is_success(status):
        return ""
    answered = f"The receiver answered {status}"
    if not 300 <= status < 400:  # noqa: PLR2004
        return f"{answered}."
    location = exchange.header(b"location")
    if not location:
        return f"{answered}. {NOT_FOLLOWED}."
    try:
        # no more of it: the rest is the receiver's answer, which may repeat what the mail says
        origin = guard.parse_url(url).join(URL(location)).origin()
    except ValueError:
        return f"{answered}. {NOT_FOLLOWED}."
    return f"{answered}. {NOT_FOLLOWED}; it leads to {origin}"


def one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= MAX_DETAIL else f"{printable[: MAX_DETAIL - 1]}{CUT}"
