"""The way out through the operator's proxy, WEBHOOK_PROXY: CONNECT to a judged address, and TLS with the receiver.

The proxy is told an IP literal. Told a name it would look that up itself, and nobody would judge what it finds. Its own
address is the operator's choice and not judged; whatever is dialled there hears CONNECT and a judged address first.
A proxy that is down is told apart from a receiver that is.
"""

import asyncio
import base64
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from webhooks import guard
from webhooks.lookups import Lookups

VARIABLE = "WEBHOOK_PROXY"
MAX_REPLY_BYTES = 8 * 1024
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r\n)")
# the proxy works and the receiver does not answer it: as if we had dialled in vain ourselves
RECEIVER_AWAY = frozenset({502, 503, 504})


class ProxyError(Exception):
    """The proxy did not do its part, which says nothing about the receiver. No OSError: no other address helps."""


class ReceiverAwayError(OSError):
    """What the proxy says of a receiver that it cannot reach."""


@dataclass(frozen=True, slots=True)
class Proxy:
    host: str
    port: int
    authorization: str = field(default="", repr=False)


def parse_proxy(text: str) -> Proxy | None:
    """Reads http://host:port or http://user:password@host:port; None if empty.

    Raises ImproperlyConfigured, which does not repeat the value: there may be a password in it.
    """
    if not text:
        return None
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not (host and port and parts.scheme == "http" and parts.path in ("", "/")) or parts.query or parts.fragment:
        raise ImproperlyConfigured(
            f"{VARIABLE}: write it like http://proxy.example.com:3128 or http://user:password@proxy.example.com:3128."
        )
    if parts.username is None:
        return Proxy(host, port)
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(host, port, f"Basic {base64.b64encode(credentials).decode()}")


async def open_tunnel(proxy: Proxy, ip: str, port: int, *, lookups: Lookups, connect_s: float | None) -> socket.socket:
    """A socket at whose other end the receiver is. Raises ProxyError, ReceiverAwayError, TimeoutError (of CONNECT)."""
    try:
        async with asyncio.timeout(connect_s):
            literal = guard.literal(proxy.host)
            opened = await _dial(proxy, [literal] if literal else await lookups.addresses(proxy.host, proxy.port))
    except TimeoutError:
        raise ProxyError(f"{VARIABLE}: the proxy does not accept connections in time.") from None
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ProxyError(f"{VARIABLE}: no connection to the proxy: {why}.") from None
    try:
        async with asyncio.timeout(connect_s):
            _judge_reply(await _connect(opened, proxy, f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"))
    except BaseException:
        opened.close()
        raise
    return opened


async def _dial(proxy: Proxy, ips: Sequence[str]) -> socket.socket:
    error = OSError(None, "its name has no address")
    for ip in ips:
        dialling = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
        try:
            dialling.setblocking(False)
            await asyncio.get_running_loop().sock_connect(dialling, (ip, proxy.port))
        except BaseException as failure:
            dialling.close()
            if not isinstance(failure, OSError):
                raise
            error = failure
        else:
            return dialling
    raise error


async def _connect(opened: socket.socket, proxy: Proxy, target: str) -> bytes:
    """RFC 9110 section 9.3.6. Raises ProxyError."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    loop = asyncio.get_running_loop()
    reply = b""
    try:
        await loop.sock_sendall(opened, "\r\n".join([*lines, "", ""]).encode())
        while b"\r\n\r\n" not in reply and len(reply) < MAX_REPLY_BYTES:
            if not (octets := await loop.sock_recv(opened, MAX_REPLY_BYTES)):
                break
            reply += octets
    except OSError as error:
        raise ProxyError(f"{VARIABLE}: the proxy broke off: {os.strerror(error.errno or 0)}.") from None
    return reply


def _judge_reply(reply: bytes) -> None:
    """Returns if the tunnel is open and nothing of the receiver has come yet: with TLS we speak first."""
    line = STATUS_LINE.match(reply)
    _head, end, more = reply.partition(b"\r\n\r\n")
    if line is None or not end:
        raise ProxyError(f"{VARIABLE}: what answers there is no proxy.")
    status = int(line[1])
    if status in RECEIVER_AWAY:
        raise ReceiverAwayError(f"the proxy answered {status}")
    if not 200 <= status < 300:  # noqa: PLR2004
        raise ProxyError(f"{VARIABLE}: the proxy refused with {status}.")
    if more:
        raise ProxyError(f"{VARIABLE}: the proxy sent more than its answer.")
