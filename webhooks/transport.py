"""One signed request to a receiver that nobody trusts, and what came of it.

Whatever the receiver does, a call takes at most TOTAL_S and a bounded amount of memory, follows no redirect, speaks
TLS that is verified, and dials only addresses that `webhooks.guard` lets through. Nothing of it is configured by what
libraries read from the environment (HTTPS_PROXY, .netrc, REQUESTS_CA_BUNDLE) but SSL_CERT_FILE and SSL_CERT_DIR, which
are OpenSSL's way of saying where the system's authorities are.
"""

import asyncio
import errno
import inspect
import io
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Self

import aiohttp
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from yarl import URL

from emailgistics.common.logs import get_logger
from webhooks import guard
from webhooks.exchange import Connections, Exchange, Response, exchange_now, stopwatch
from webhooks.headers import NAME
from webhooks.lookups import DNS_TIMEOUT_S, Lookup, Lookups, system_lookup
from webhooks.retry import is_success
from webhooks.tunnel import ProxyError, ReceiverAwayError, TunnelConnector, parse_proxy

log = get_logger(__name__)

TOTAL_S: float = settings.WEBHOOK_TIMEOUT_S  # resolve, connect, send, read
CONNECT_S: float = settings.WEBHOOK_CONNECT_TIMEOUT_S  # TCP and TLS, after the name is resolved
KEEP_ALIVE_S = 15.0
DNS_CACHE_S = 10
MAX_EXCERPT_BYTES = 16 * 1024
MAX_HEADERS_BYTES = 8 * 1024  # kept; what is read is bounded by the three below
MAX_HEADER_LINE_BYTES = 8190
MAX_HEADER_LINES = 100
READ_BUFFER_BYTES = 16 * 1024
SMALL_BODY_BYTES = 64 * 1024
MAX_DETAIL = 300  # webhooks.models.Attempt.detail
CUT = "…"  # at the end of one that was longer
NOT_FOLLOWED = "Redirects are not followed: update the webhook's URL"

# codes of what no receiver can be blamed for
OWN_FAULTS: frozenset[str] = frozenset({"proxy", "egress", "internal"})
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

if "socket_factory" not in inspect.signature(aiohttp.TCPConnector).parameters:
    raise ImportError("this aiohttp has no TCPConnector(socket_factory=…), without which IP literals are not judged")


HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


class InvalidHeaderError(ValueError):
    """A header that is no token, or whose value is not visible ASCII. aiohttp lets some of them through."""


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


class Transport:
    """Sends requests from one event loop. `async with Transport() as transport: await transport.post(outgoing)`.

    The number of requests at once is the caller's to bound. http and https have sessions of their own, because plain
    http is judged more strictly where the socket is made, and never goes through a proxy.
    """

    JUDGES: ClassVar[Mapping[str, guard.Judge]] = {"https": guard.judge, "http": guard.judge_plain}

    def __init__(
        self, *, total_s: float = TOTAL_S, connect_s: float = CONNECT_S, lookup: Lookup = system_lookup
    ) -> None:
        self._total_s = total_s
        self._connect_s = connect_s
        self._lookup = lookup
        self._tls = tls_context()
        self._proxy = parse_proxy(settings.WEBHOOK_PROXY)
        self._connections = Connections()

    @property
    def opened(self) -> int:
        """Connections that were made, TLS included."""
        return self._connections.opened

    @property
    def reused(self) -> int:
        """Requests for which an open connection was taken."""
        return self._connections.reused

    async def __aenter__(self) -> Self:
        self._lookups = Lookups(self._lookup)
        self._pooled = {scheme: self._session(scheme, keepalive_timeout=KEEP_ALIVE_S) for scheme in self.JUDGES}
        self._fresh = {scheme: self._session(scheme, force_close=True) for scheme in self.JUDGES}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for session in (*self._pooled.values(), *self._fresh.values()):
            await session.close()
        self._lookups.close()

    async def post(self, outgoing: Outgoing) -> Answer:
        """Never raises but CancelledError; ends within total_s."""
        exchange = Exchange()
        token = exchange_now.set(exchange)
        try:
            async with asyncio.timeout(self._total_s):
                await self._exchange(outgoing, exchange)
        except Exception as error:  # noqa: BLE001 - each becomes a code; those without one are logged
            exchange.fail(*self._failure(error, exchange))
        finally:
            exchange_now.reset(token)
            if exchange.wire is not None:
                exchange.wire.end(exchange)
        return answer_of(exchange)

    async def _exchange(self, outgoing: Outgoing, exchange: Exchange) -> None:
        url = guard.parse_url(outgoing.url)
        check_headers(outgoing.headers)
        response = await self._send(url, outgoing, exchange)
        try:
            exchange.status = response.status
            exchange.detail = remark(response, url)
            exchange.retry_after = response.headers.get("Retry-After")
            exchange.response_headers = b"\r\n".join(b"%b: %b" % pair for pair in response.raw_headers)
            async for chunk in response.content.iter_any():
                exchange.excerpt += chunk
                if len(exchange.excerpt) > MAX_EXCERPT_BYTES:
                    break
        finally:
            # read to its end, the connection is in the pool again by now; else it is of no more use
            if not response.content.at_eof():
                response.close()

    async def _send(self, url: URL, outgoing: Outgoing, exchange: Exchange) -> aiohttp.ClientResponse:
        request: dict[str, Any] = {"headers": outgoing.headers, "allow_redirects": False}
        try:
            return await self._pooled[url.scheme].post(url, data=payload(outgoing.body), **request)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not exchange.is_reused or exchange.received_bytes:
                raise
        # An idle connection that the receiver closed as we wrote to it, not one octet came: once more on a new one.
        # aiohttp does so for idempotent methods only. Ours may be repeated: the receiver knows it by its webhook-id.
        exchange.is_reused = False
        return await self._fresh[url.scheme].post(url, data=payload(outgoing.body), **request)

    def _session(self, scheme: str, **connector: Any) -> aiohttp.ClientSession:
        judged_by = self.JUDGES[scheme]
        make_connector: Any = aiohttp.TCPConnector
        if self._proxy is not None and scheme == "https":
            make_connector = partial(TunnelConnector, proxy=self._proxy, lookups=self._lookups)
        return aiohttp.ClientSession(
            connector=make_connector(
                limit=0,
                ssl=self._tls,
                resolver=guard.VettingResolver(self._lookups, judged_by=judged_by),
                socket_factory=partial(guard.guarded_socket, judged_by=judged_by),
                ttl_dns_cache=DNS_CACHE_S,
                **connector,
            ),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # the deadline of the whole is ours, in post
            timeout=aiohttp.ClientTimeout(
                total=None, connect=DNS_TIMEOUT_S + self._connect_s, sock_connect=self._connect_s
            ),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            response_class=Response,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_HEADER_LINE_BYTES,
            max_field_size=MAX_HEADER_LINE_BYTES,
            max_headers=MAX_HEADER_LINES,
            trace_configs=[stopwatch(self._connections)],
        )

    def _failure(self, error: Exception, exchange: Exchange) -> tuple[str, str]:  # noqa: PLR0911 - a table
        """(code, detail) of what ended a request."""
        match error:
            case guard.RefusedUrlError() | aiohttp.InvalidURL():
                return "invalid_url", getattr(error, "message", "The URL cannot be dialled.")
            case InvalidHeaderError():
                return "invalid_headers", str(error)
            case ProxyError():
                return "proxy", str(error)
            case aiohttp.ClientConnectorError():
                return connect_failure(error)
            case aiohttp.ConnectionTimeoutError():
                return "timeout", f"No connection within {self._connect_s:g} s."
            case TimeoutError():
                what = "answer" if exchange.peer_ip else "connection"
                return "timeout", f"No {what} within {self._total_s:g} s."
            case aiohttp.ServerDisconnectedError() if exchange.is_flooded:
                return "protocol", "The receiver sent without end, and no answer."
            case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
                return "closed", "The receiver closed the connection without an answer."
            case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
                why = str(getattr(error, "message", "")).partition("\n")[0]
                return "protocol", f"What the receiver answered is not HTTP as we read it: {why}"
            case _:
                log.error("transport.failed", exc_info=error)
                return "internal", f"A fault of ours: {type(error).__name__}."


def connect_failure(error: aiohttp.ClientConnectorError) -> tuple[str, str]:  # noqa: PLR0911 - a table
    """(code, detail), in words of ours: those of the libraries hold the address."""
    reason = error.os_error
    match error:
        case aiohttp.ClientConnectorError(os_error=guard.ForbiddenAddressError() as forbidden):
            return "forbidden_address", forbidden_detail(forbidden)
        case aiohttp.ClientConnectorError(os_error=ReceiverAwayError() as away):
            return "connect", f"No connection to {error.host}: {away}."
        case aiohttp.ClientConnectorDNSError(os_error=socket.gaierror()) if reason.errno in NO_LOOKUP:
            return "egress", "A fault of ours: names cannot be looked up."
        case aiohttp.ClientConnectorDNSError():
            return "dns", f"{error.host} could not be resolved: {reason.strerror}."
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "unknown reason"
            return "tls", f"The certificate of {error.host} is not valid: {why}."
        case aiohttp.ClientSSLError():
            return "tls", f"No TLS connection to {error.host}: {getattr(reason, 'reason', '') or 'handshake failed'}."
        case _ if reason.errno in NO_EGRESS:
            return "egress", f"A fault of ours: {os.strerror(reason.errno)}."
        case _:
            why = os.strerror(reason.errno) if reason.errno else "no address of it answers"
            return "connect", f"No connection to {error.host}: {why}."


def payload(body: bytes) -> bytes | io.BytesIO:
    """A small body is written in one piece; a large one in several, without copies of it."""
    return body if len(body) <= SMALL_BODY_BYTES else io.BytesIO(body)


def answer_of(exchange: Exchange) -> Answer:
    return Answer(
        started_at=exchange.started_at,
        status=exchange.status,
        error=exchange.error,
        detail=one_line(exchange.detail),
        retry_after=exchange.retry_after,
        dns_ms=exchange.dns_ms,
        connect_ms=exchange.connect_ms,
        first_byte_ms=exchange.first_byte_ms,
        total_ms=exchange.ms(exchange.clock),
        peer_ip=exchange.peer_ip,
        response_headers=exchange.response_headers[:MAX_HEADERS_BYTES],
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
        if not (NAME.fullmatch(name) and HEADER_VALUE.fullmatch(value)):
            raise InvalidHeaderError(f"The header {name!r} cannot be sent.")


def forbidden_detail(error: guard.ForbiddenAddressError) -> str:
    if error.can_be_allowed:
        return f"The URL leads to a private address; an operator can allow private networks with {guard.VARIABLE}."
    return f"The URL leads to {error.reason}."


def remark(response: aiohttp.ClientResponse, url: URL) -> str:
    """What a person has to know about an answer; nothing about a success."""
    if is_success(response.status):
        return ""
    answered = f"The receiver answered {response.status}"
    location = response.headers.get("Location")
    if not (300 <= response.status < 400 and location):  # noqa: PLR2004
        return f"{answered}."
    try:
        # no more of it: the rest is the receiver's answer, which may repeat what the mail says
        origin = url.join(URL(location)).origin()
    except ValueError:
        return f"{answered}. {NOT_FOLLOWED}."
    return f"{answered}. {NOT_FOLLOWED}; it leads to {origin}"


def one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable if len(printable) <= MAX_DETAIL else f"{printable[: MAX_DETAIL - 1]}{CUT}"
