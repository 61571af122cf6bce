"""Which addresses webhooks may be sent to: one judgement for saving, testing and sending.

What counts is the address about to be dialled, not the text of a URL. `check_url` judges when a webhook is saved, for
an early and clear message; `judged_addresses` and `guarded_socket` judge again at every connection, which is what
protects: a name may lead elsewhere by then. The ranges are listed here because `ipaddress.is_global` is true for
several that lead back inside (`::127.0.0.1`, `64:ff9b::7f00:1`, `2002:7f00:1::`, `fec0::1`, multicast).
"""

import errno
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohappyeyeballs import AddrInfoType
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from yarl import URL

from emailgistics.common.errors import RefusedError
from webhooks.lookups import DNS_TIMEOUT_S, Lookup, address_text, in_thread, system_lookup

VARIABLE = "WEBHOOK_ALLOW_NETWORKS"
MAX_URL_LENGTH = 2000  # webhooks.models.Webhook.url
WIDEST_ALLOWED = {4: 8, 6: 7}  # 10.0.0.0/8 and fc00::/7; wider entries are a way to write "everything"

AUTHORITY = re.compile(r"(?i:https?)://(?P<authority>[^/?#]*)")
HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(?P<port>[0-9]{1,5}))?")
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a name that ends in one is read as an IPv4 address by somebody

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Judge = Callable[[str, int], None]


def _networks(table: dict[str, str]) -> tuple[tuple[IPNetwork, str], ...]:
    return tuple((ip_network(network), meaning) for network, meaning in table.items())


# refused whatever an operator lists: nothing that answers there is a receiver
NEVER = _networks(
    {
        "0.0.0.0/8": "an unspecified",
        "169.254.0.0/16": "a link-local",
        "224.0.0.0/4": "a multicast",
        "255.255.255.255/32": "a broadcast",
        "100.100.100.200/32": "a metadata",  # Alibaba
        "168.63.129.16/32": "a metadata",  # Azure
        "192.0.0.192/32": "a metadata",  # Oracle
        "::/128": "an unspecified",
        "fe80::/10": "a link-local",
        "ff00::/8": "a multicast",
        "fd00:ec2::/32": "a metadata",  # Amazon
        "fd20:ce::254/128": "a metadata",  # Google
        "fd00:42::42/128": "a metadata",  # Scaleway
    }
)
# the IANA special-purpose registries (RFC 6890 and its successors), less what is reachable from everywhere
NOT_PUBLIC = _networks(
    {
        "10.0.0.0/8": "a private",
        "100.64.0.0/10": "a carrier's shared",
        "127.0.0.0/8": "a loopback",
        "172.16.0.0/12": "a private",
        "192.0.0.0/24": "a protocol's",
        "192.0.2.0/24": "a documentation",
        "192.88.99.0/24": "a 6to4 relay's",
        "192.168.0.0/16": "a private",
        "198.18.0.0/15": "a benchmarking",
        "198.51.100.0/24": "a documentation",
        "203.0.113.0/24": "a documentation",
        "240.0.0.0/4": "a reserved",
        "::1/128": "a loopback",
        "fc00::/7": "a private",
        "fec0::/10": "a site-local",
        "2001::/23": "a protocol's",  # with Teredo, ORCHID, benchmarking
        "2001:db8::/32": "a documentation",
        "2002::/16": "a 6to4",
        "3fff::/20": "a documentation",
    }
)
GLOBAL_UNICAST = IPv6Network("2000::/3")

MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
TEREDO = IPv6Network("2001::/32")
# compatible, mapped, translated, NAT64, local NAT64 (RFC 8215): an IPv4 address in the last 32 bits
IPV4_AT_THE_END = tuple(
    map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
)
ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))  # RFC 5214 section 6.1
LOOPBACK = IPv6Address("::1")  # in ::/96, but no IPv4 address in disguise


class ForbiddenAddressError(OSError):
    """The address may not be dialled. An OSError, so that libraries pass it on as any other failure to connect."""

    def __init__(self, reason: str, *, can_be_allowed: bool = True) -> None:
        super().__init__(errno.EACCES, reason)
        self.reason = reason
        self.can_be_allowed = can_be_allowed


class RefusedUrlError(RefusedError):
    code = "url_refused"

    def __init__(self, message: str) -> None:
        super().__init__(message, field="url")


class JudgedUrl(str):
    """A URL that `check_url` let through: inside a transaction, services take it as it is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry of WEBHOOK_ALLOW_NETWORKS. port None: every port."""

    network: IPNetwork
    port: int | None

    def covers(self, ip: IPAddress, port: int) -> bool:
        return ip in self.network and self.port in (None, port)


@lru_cache(maxsize=8)
def parse_allowed(entries: tuple[str, ...]) -> tuple[Allowed, ...]:
    """Reads `CIDR`, `CIDR:port`, and for IPv6 with a port `[CIDR]:port`. Raises ImproperlyConfigured."""
    return tuple(_parse_entry(entry.strip()) for entry in entries if entry.strip())


def _parse_entry(entry: str) -> Allowed:
    text, port = entry, ""
    if entry.startswith("["):
        text, bracket, port = entry[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ImproperlyConfigured(f"{VARIABLE}: {entry!r}: write an IPv6 network with a port as [fd00::/8]:8080.")
        port = port[1:] if port else ""
    elif entry.count(":") == 1:
        text, _, port = entry.partition(":")
    has_port = entry.endswith(":") or bool(port)
    if has_port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):  # noqa: PLR2004
        raise ImproperlyConfigured(f"{VARIABLE}: {entry!r}: the port is a number from 1 to 65535.")
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{VARIABLE}: {entry!r}: {error}; write 192.168.1.0/24, 127.0.0.1/32:8025, fd00::/8 or [fd00::/8]:8080."
        ) from error
    if network.prefixlen < WIDEST_ALLOWED[network.version]:
        raise ImproperlyConfigured(
            f"{VARIABLE}: {entry!r} would let nearly everything through; list the networks that receive webhooks."
        )
    if isinstance(network, IPv6Network) and (network.subnet_of(MAPPED) or network.subnet_of(NAT64)):
        raise ImproperlyConfigured(f"{VARIABLE}: {entry!r}: list the IPv4 network itself.")
    return Allowed(network=network, port=int(port) if has_port else None)


def judge(ip: str, port: int) -> None:
    """Raises ForbiddenAddressError unless the address is public or listed in WEBHOOK_ALLOW_NETWORKS."""
    address = _parse_ip(ip)
    for part in (address, *_embedded(address)):
        if meaning := _listed(NEVER, part):
            raise ForbiddenAddressError(f"{meaning} address, which is never called", can_be_allowed=False)
    meant = _unwrapped(address)
    if (meaning := _not_public(meant)) and not _is_allowed(meant, port):
        raise ForbiddenAddressError(f"{meaning} address")


def judge_plain(ip: str, port: int) -> None:
    """The judgement for http: without TLS nothing is sent to networks that the operator did not list."""
    judge(ip, port)
    if not is_listed(ip, port):
        raise ForbiddenAddressError("a public address, to which only https is sent")


def is_listed(ip: str, port: int) -> bool:
    """Is the address listed in WEBHOOK_ALLOW_NETWORKS? Raises ForbiddenAddressError for what is no address."""
    return _is_allowed(_unwrapped(_parse_ip(ip)), port)


def is_public(ip: str) -> bool:
    """Whether an address is everybody's to know; one of the operator's networks is not, allowed or not."""
    try:
        address = _parse_ip(ip)
    except ForbiddenAddressError:
        return False
    is_never = any(_listed(NEVER, part) for part in (address, *_embedded(address)))
    return not (is_never or _not_public(_unwrapped(address)))


def _parse_ip(ip: str) -> IPAddress:
    try:
        address = ip_address(ip)
    except ValueError:
        raise ForbiddenAddressError("not an IP address", can_be_allowed=False) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ForbiddenAddressError("a link-local address, which is never called", can_be_allowed=False)
    return address


def _unwrapped(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv4-mapped or NAT64 address stands for; every other is itself."""
    if isinstance(address, IPv6Address) and (address in MAPPED or address in NAT64):
        return IPv4Address(address.packed[12:])
    return address


def _embedded(address: IPAddress) -> Iterator[IPv4Address]:
    """The IPv4 addresses to which a tunnel or translator may turn an IPv6 address."""
    if isinstance(address, IPv4Address) or address == LOOPBACK:
        return
    octets = address.packed
    if address in SIX_TO_FOUR:
        yield IPv4Address(octets[2:6])
    if address in TEREDO:  # RFC 4380 section 4: the server, and the client with its bits inverted
        yield IPv4Address(octets[4:8])
        yield IPv4Address(bytes(octet ^ 0xFF for octet in octets[12:]))
    if octets[8:12] in ISATAP or any(address in network for network in IPV4_AT_THE_END):
        yield IPv4Address(octets[12:])


def _not_public(address: IPAddress) -> str | None:
    if meaning := _listed(NOT_PUBLIC, address):
        return meaning
    if isinstance(address, IPv6Address):
        if address not in GLOBAL_UNICAST:
            return "a reserved"
        if address.packed[8:12] in ISATAP:
            return "an ISATAP"
    return None


def _listed(table: Iterable[tuple[IPNetwork, str]], address: IPAddress) -> str | None:
    return next((meaning for network, meaning in table if address in network), None)


def _is_allowed(address: IPAddress, port: int) -> bool:
    # read at every call, parsed once
    allowed = parse_allowed(tuple(settings.WEBHOOK_ALLOW_NETWORKS))
    return any(entry.covers(address, port) for entry in allowed)


@lru_cache(maxsize=1024)
def parse_url(url: str) -> URL:
    """Reads a webhook's URL as the transport will, so that what is judged is dialled. Raises RefusedUrlError."""
    if len(url) > MAX_URL_LENGTH:
        raise RefusedUrlError(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if any(not character.isprintable() or character in " \\" for character in url):
        raise RefusedUrlError("The URL has a space, a backslash or a control character in it.")
    authority = AUTHORITY.match(url)
    if authority is None:
        raise RefusedUrlError("The URL does not begin with https://.")
    if "@" in authority["authority"]:
        raise RefusedUrlError("The URL has a user name or password in it; the signature tells who we are.")
    if "#" in url:
        raise RefusedUrlError("The URL has a fragment (#…) in it, which is never sent.")
    written = HOST_AND_PORT.fullmatch(authority["authority"])
    if written is None or (written["port"] and not 1 <= int(written["port"]) <= 65535):  # noqa: PLR2004
        raise RefusedUrlError("The URL's host or port is malformed; write it like https://hooks.example.com/path.")
    try:
        parsed = URL(url)
        host = parsed.raw_host or ""
    except (ValueError, UnicodeError):
        raise RefusedUrlError("The URL is malformed; write it like https://hooks.example.com/path.") from None
    _check_host(host)
    return parsed


def _check_host(host: str) -> None:
    """The host as it will be dialled: an A-label name or a literal without brackets. Raises RefusedUrlError."""
    if literal(host):
        return
    labels = host.removesuffix(".").split(".")
    if ":" in host or NUMBER.fullmatch(labels[-1]):
        raise RefusedUrlError("The URL's host is an IP address in an unusual spelling; write it like 192.0.2.1.")
    if len(host) > 254 or not all(map(LABEL.fullmatch, labels)):  # noqa: PLR2004 - RFC 1035 section 2.3.4
        raise RefusedUrlError("The URL's host is not a name or an IP address.")


def is_same_origin(url: str, other: str) -> bool:
    """Whether both lead to one receiver: scheme, host and port, as they are dialled.

    A URL that cannot be read leads nowhere, so not to the same.
    """
    try:
        one, two = parse_url(url), parse_url(other)
    except RefusedUrlError:
        return False
    return (one.scheme, one.raw_host, one.port) == (two.scheme, two.raw_host, two.port)


def literal(host: str) -> str | None:
    with suppress(ValueError):
        return str(ip_address(host))
    return None


def check_url(url: str, *, lookup: Lookup | None = None) -> JudgedUrl:
    """The URL, if webhooks may be sent to it, as far as can be known now; else raises RefusedUrlError.

    A name is looked up, for at most DNS_TIMEOUT_S, and never inside a transaction; a JudgedUrl is not looked up again.
    One that does not resolve is accepted with https, for its records may come later and the socket judges again. What
    a name resolves to is not told.
    """
    if isinstance(url, JudgedUrl):
        return url
    parsed = parse_url(url)
    host, port = parsed.raw_host or "", parsed.port or 0
    written = literal(host)
    ips = [written] if written else _resolved(host, port, lookup or system_lookup)
    for ip in ips:
        try:
            judge(ip, port)
        except ForbiddenAddressError as error:
            raise RefusedUrlError(_remedy(error, host=host, written=written, port=port)) from None
    if parsed.scheme == "http" and not (ips and all(is_listed(ip, port) for ip in ips)):
        raise RefusedUrlError(f"The URL has to begin with https://; http is only for networks listed in {VARIABLE}.")
    return JudgedUrl(url)


def _resolved(host: str, port: int, lookup: Lookup) -> list[str]:
    if _is_in_transaction():
        # it may hold SQLite's only write lock, and mail would wait for a name server
        raise transaction.TransactionManagementError("Names are looked up outside transactions: check_url comes first.")
    try:
        return in_thread(lookup, host, port).result(timeout=DNS_TIMEOUT_S)
    except (OSError, UnicodeError):
        return []


def _is_in_transaction() -> bool:
    """Those that a TestCase wraps around its tests do not count, as with atomic(durable=True)."""
    return any(not block._from_testcase for block in connection.atomic_blocks)  # type: ignore[attr-defined]  # noqa: SLF001


def _remedy(error: ForbiddenAddressError, *, host: str, written: str | None, port: int) -> str:
    if written is None:  # no more than this: whoever saves a URL need not be one who may know our network
        return f"{host} resolves to a private address; an operator can allow private networks with {VARIABLE}."
    address = _unwrapped(ip_address(written))
    if not error.can_be_allowed:
        return f"{address} is {error.reason}."
    network = f"{address}/{address.max_prefixlen}"
    entry = f"{network}:{port}" if address.version == 4 else f"[{network}]:{port}"  # noqa: PLR2004
    return f"{address} is {error.reason}; an operator can allow it with {VARIABLE}={entry}."


def judged_addresses(ips: Sequence[str], port: int, *, judged_by: Judge = judge) -> list[AddrInfoType]:
    """What may be dialled, in this order; raises ForbiddenAddressError.

    One forbidden address among several refuses them all: which of them is dialled is chance.
    """
    for ip in ips:
        judged_by(ip, port)
    return [_addr_info(ip, port) for ip in ips]


def _addr_info(ip: str, port: int) -> AddrInfoType:
    if ":" in ip:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port)


def guarded_socket(info: AddrInfoType, *, judged_by: Judge = judge) -> socket.socket:
    """A socket for start_connection(socket_factory=…), which asks for one just before it dials exactly this address.

    The last judgement, whoever made the list of addresses and however. Raises ForbiddenAddressError.
    """
    family, kind, protocol, _, sockaddr = info
    judged_by(address_text(sockaddr), int(sockaddr[1]))
    return socket.socket(family=family, type=kind, proto=protocol)
