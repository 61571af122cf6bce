"""The listener: accepts connections, as many as there are places for, and stops without losing what it has begun."""

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path
from typing import Final

from aiosmtpd import smtp as aiosmtpd
from django.conf import settings
from django.utils import timezone

from emailgistics.common.logs import get_logger
from mailboxes.services.envelope import Envelope
from mailboxes.services.refuse import Refused
from mailboxes.smtp import reading, replies, syntax
from mailboxes.smtp.budgets import MessageRate, OctetBudget, Places, client_key
from mailboxes.smtp.connection import Connection
from mailboxes.smtp.conversation import BORROWED, Conversation, close
from mailboxes.smtp.disk import Disk
from mailboxes.smtp.handler import Handler
from mailboxes.smtp.limits import Limits
from mailboxes.smtp.lmtp import LmtpConnection
from mailboxes.smtp.refusals import RefusalWriter
from mailboxes.smtp.shared import Mailroom, Shared
from mailboxes.smtp.tls import Certificate

log = get_logger(__name__)

STOP_WITHIN_S = 10
SHARE_OF_OCTETS = 4  # of the octets in flight, one client gets a fourth
SOCKET_UMASK = 0o117  # a socket in the file system: for its user and group


class Listener:
    """Takes mail in the running loop, from `start` until `stop`: by SMTP or LMTP, on a port or a socket file."""

    def __init__(
        self,
        *,
        host: str = "",
        port: int = 0,
        path: Path | None = None,
        is_lmtp: bool = False,
        reuse_port: bool = False,
        handler: Handler | None = None,
        mailroom: Mailroom | None = None,
        limits: Limits | None = None,
        certificate: Certificate | None = None,
        requires_tls: bool = False,
        disk: Disk | None = None,
        refusals: RefusalWriter | None = None,
        reader: str | None = None,
    ) -> None:
        """`path` is of a socket file, and counts instead of host and port; `reader` is SMTP_READER's.

        `mailroom` stands between the connections and the handler; it is the handler itself unless told.
        """
        self.host = host
        self.port = port
        self.path = path
        self._reuse_port = reuse_port
        self._protocol = LmtpConnection if is_lmtp else Connection
        self._handler = handler or Handler()
        self._mailroom = mailroom or self._handler
        self._limits = limits or Limits.from_settings()
        self._certificate = certificate
        self._requires_tls = requires_tls
        self._disk = disk or Disk(
            settings.DATA_DIR if settings.EMBEDDED else None, keep_free=settings.MIN_FREE_DISK_BYTES
        )
        self._refusals = refusals or RefusalWriter()
        self._reader = reader or settings.SMTP_READER
        self._connections: set[Conversation] = set()
        self.shared: Shared | None = None  # once it has started
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens; `port` 0 becomes the port that was free. Raises OSError when it cannot."""
        if missing := [name for name in BORROWED if name not in _attributes_of_aiosmtpd()]:
            raise RuntimeError(f"this version of aiosmtpd has no {', '.join(missing)}; requirements/run.txt pins one")
        limits = self._limits
        self.shared = shared = Shared(
            mailroom=self._mailroom,
            hostname=socket.gethostname(),  # not getfqdn: that may wait for DNS
            limits=limits,
            places=Places(at_most=limits.max_connections, per_client=limits.max_connections_per_client),
            octets=OctetBudget(
                at_most=limits.max_octets_in_flight,
                # but one mail of the largest kind always
                per_client=max(limits.max_octets_in_flight // SHARE_OF_OCTETS, settings.MAX_MESSAGE_BYTES),
            ),
            rate=MessageRate(per_minute=limits.messages_per_minute),
            disk=self._disk,
            certificate=self._certificate,
            requires_tls=self._requires_tls,
            refusals=self._refusals,
            reader=await reading.chosen(self._reader),
            connections=self._connections,
        )
        loop = asyncio.get_running_loop()

        def at_the_door() -> asyncio.Protocol:
            return _Door(shared, self._protocol)

        if self.path is None:
            self._server = await loop.create_server(
                at_the_door, self.host, self.port, reuse_port=self._reuse_port or None
            )
            self.port = self._server.sockets[0].getsockname()[1]
        else:
            self._server = await loop.create_unix_server(at_the_door, sock=_socket_file(self.path))

    async def stop(self, *, within_s: float = STOP_WITHIN_S) -> bool:
        """No new connections, 421 to the idle, an answer to each DATA in flight. False if a database call hangs."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        if self._server is not None:
            self._server.close()
            if self.path is not None:
                self.path.unlink(missing_ok=True)
        # ASYNC110 would have an event: there are two things to wait for, once in a process's life
        while (self._connections or self._handler.is_storing) and loop.time() < deadline:
            for connection in tuple(self._connections):  # also those that came in the last moment
                connection.leave()
            await asyncio.sleep(0.02)
        for connection in tuple(self._connections):
            connection.abort()
        left_s = max(deadline - loop.time(), 0.5)
        are_written = asyncio.to_thread(self._refusals.stop, within_s=left_s)
        return all(await asyncio.gather(self._handler.close(within_s=left_s), are_written))


class _Door(asyncio.Protocol):
    """Has a client in if there is a place, before anything else is made for it."""

    def __init__(self, shared: Shared, protocol: type[Connection]) -> None:
        self._shared = shared
        self._protocol: Final = protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        client_ip = syntax.client_ip(transport.get_extra_info("peername"))
        key = client_key(client_ip, is_loopback_known=self._shared.limits.counts_loopback)
        if not self._shared.places.take(key):
            self._turn_away(transport, client_ip)
            return
        connection = self._protocol(self._shared)
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def _turn_away(self, transport: asyncio.BaseTransport, client_ip: str | None) -> None:
        log.warning("smtp.too_many_connections", client=client_ip)
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(replies.TOO_MANY_CONNECTIONS.encode() + b"\r\n")
        close(transport)
        self._shared.refusals.add(
            Refused(
                at=timezone.now(),
                envelope=Envelope(mail_from="", client_ip=client_ip, source=self._protocol.source),
                reply=replies.TOO_MANY_CONNECTIONS,
                code="too_many_connections",
                is_only_counted=True,
            )
        )


def _attributes_of_aiosmtpd() -> set[str]:
    names = {*dir(aiosmtpd.SMTP)}
    for method in (aiosmtpd.SMTP.__init__, aiosmtpd.SMTP._cb_client_connected):  # noqa: SLF001 - what it sets
        names.update(method.__code__.co_names)
    return names


def _socket_file(path: Path) -> socket.socket:
    """For its user and group only, from its first moment. One that nobody answers on any more is replaced.

    Raises OSError, FileExistsError among them where there is something else.
    """
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise FileExistsError(17, "there is a file that is no socket", str(path))
        with socket.socket(socket.AF_UNIX) as attempt:
            if attempt.connect_ex(str(path)) == 0:
                raise FileExistsError(17, "another process listens there", str(path))
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(SOCKET_UMASK)
    try:
        listening.bind(str(path))
    except BaseException:
        listening.close()
        raise
    finally:
        os.umask(mask)
    return listening


async def run_until_told(listener: Listener) -> bool:
    """Runs a started listener until the first SIGTERM or SIGINT, then stops it: see `Listener.stop`."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    where = {"path": str(listener.path)} if listener.path else {"host": listener.host, "port": listener.port}
    log.info("smtp.listening", **where)
    await told.wait()
    is_clean = await listener.stop()
    log.info("smtp.stopped", clean=is_clean)
    return is_clean
