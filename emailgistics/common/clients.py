"""Who a request comes from, and whether it comes too often."""

import threading
import time
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest, HttpResponse
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError

from emailgistics.common.away import Away
from emailgistics.common.logs import get_logger

IPV6_PREFIX = 64  # what one customer is given at least: its addresses count as one
IPV4_PREFIX = 24
MAX_HOPS = 20  # of X-Forwarded-For that are looked at
WINDOW_S = 60

log = get_logger(__name__)
_warned = threading.Event()
_cache = Away(away="cache.away", back="cache.back")
# this process's own counts, for while the shared cache is away; full, it forgets whom it has not seen for longest
_here = LocMemCache(__name__, {"OPTIONS": {"MAX_ENTRIES": 10_000}})

Address = IPv4Address | IPv6Address


def client_address(request: HttpRequest) -> str:
    """The address of the client; empty if the connection has none (a Unix socket).

    X-Forwarded-For is read from its end, each entry only if the one that wrote it is in TRUSTED_PROXIES: what stands
    before the first stranger is what that stranger says.
    """
    peer = _parsed(request.META.get("REMOTE_ADDR", ""))
    if peer is None:
        return ""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if forwarded and not _is_trusted(peer):
        _warn_of_a_stranger(peer)
    for hop in reversed(forwarded.split(",")[-MAX_HOPS:]):
        if not _is_trusted(peer):
            break
        before = _parsed(hop)
        if before is None:
            break
        peer = before
    return str(peer)


def network_of(address: str) -> str:
    """The network that an address is counted under: /24 of IPv4, /64 of IPv6; empty without an address."""
    if not address:
        return ""
    return str(ip_network((address, IPV6_PREFIX if ":" in address else IPV4_PREFIX), strict=False))


def seconds_to_wait(request: HttpRequest, *, group: str, per_minute: int, cost: int = 1, of: str = "") -> int:
    """Counts the request, as cost of them; 0 if it may go on, else after how many seconds its client may come again.

    A cost of 0 counts nothing: it asks whether one more would be let through. What is counted is the client's address,
    or what `of` says in place of it: a person, a key. While the cache is away each process counts for itself.
    """
    whose = of or _client(request)
    usage = None
    if not _cache.is_to_be_asked():
        return _seconds_to_wait_here(whose, group=group, per_minute=per_minute, cost=cost)
    try:
        for _ in range(max(1, cost)):
            rate = (per_minute, WINDOW_S)
            usage = get_usage(request, group=group, key=lambda *_: whose, rate=rate, increment=cost > 0)
    except (RedisError, OSError) as error:
        _cache.note_away(error)
        return _seconds_to_wait_here(whose, group=group, per_minute=per_minute, cost=cost)
    _cache.note_back()
    if usage is None or not _is_over(usage["count"], per_minute=per_minute, cost=cost):
        return 0
    return int(usage["time_left"]) + 1  # the second in which a window of django-ratelimit ends still belongs to it


def too_often(wait_s: int) -> HttpResponse:
    """Where neither a problem nor a page of the console is what the client looks at."""
    text = f"Too many requests from your address: try again in {wait_s} seconds.\n"
    headers = {"Retry-After": str(wait_s)}
    content_type = "text/plain; charset=utf-8"
    return HttpResponse(text, status=HTTPStatus.TOO_MANY_REQUESTS, content_type=content_type, headers=headers)


def _seconds_to_wait_here(whose: str, *, group: str, per_minute: int, cost: int) -> int:
    window, passed_s = divmod(int(time.time()), WINDOW_S)
    key = f"{group}/{whose}/{window}"
    _here.add(key, 0, WINDOW_S)
    try:
        count = _here.incr(key, cost)
    except ValueError:  # forgotten between the two
        count = cost
    return WINDOW_S - passed_s if _is_over(count, per_minute=per_minute, cost=cost) else 0


def _is_over(count: int, *, per_minute: int, cost: int) -> bool:
    return count > per_minute if cost else count >= per_minute


def _client(request: HttpRequest) -> str:
    address = client_address(request)
    if ":" not in address:
        return address or "local"
    return str(ip_network((address, IPV6_PREFIX), strict=False).network_address)


def _parsed(text: str) -> Address | None:
    """Also with a port, which some proxies write; an IPv4 address in IPv6's clothes is one of IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _warn_of_a_stranger(peer: Address) -> None:
    """Once in a process: it is a client that makes something up, or a proxy that somebody forgot to name, behind which
    all clients count as one.
    """
    if not _warned.is_set():
        _warned.set()
        hint = "if that is a proxy of yours, name it in TRUSTED_PROXIES"
        log.warning("clients.forwarded_for_not_believed", network=network_of(str(peer)), hint=hint)


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)
