"""The listener and its connections: aiosmtpd's protocol, with what it gets wrong put right.

Taken from aiosmtpd: the reading of command lines, states, timers. Ours: every command that says anything about mail,
because its replies lack enhanced codes, its null sender is no sender, its faults are 500 with the exception's text, and
its DATA reads line by line (several seconds without a yield for a large mail).
"""
# ruff: noqa: N802, N815, ARG002 - smtp_X(arg) is what aiosmtpd calls for command X

import asyncio
import signal
import socket
import weakref
from collections import defaultdict
from typing import AnyStr, Final

from aiosmtpd import smtp as aiosmtpd
from django.conf import settings

from emailgistics.common.errors import DomainError
from emailgistics.common.logs import get_logger
from mailboxes.services.admit import Admission
from mailboxes.services.envelope import Envelope
from mailboxes.smtp import replies, syntax
from mailboxes.smtp.data import DataScanner
from mailboxes.smtp.handler import Handler

log = get_logger(__name__)

MAX_CONNECTIONS = 200
COMMAND_TIMEOUT_S = 300  # RFC 5321 section 4.5.3.2.7: at least five minutes, for a command and for each piece of DATA
STORE_TIMEOUT_S = 600  # section 4.5.3.2.6: as long as the client waits for the answer to the final dot
STOP_WITHIN_S = 10
READ_LAST_REPLY_WITHIN_S = 5
READER_LIMIT = 64 * 1024  # octets at which the reader stops reading ahead (at twice this)
# More than the reader can ever hold (twice its limit and one piece of 256 KiB), so that one read leaves it empty
READ_OCTETS = 1024 * 1024
MAX_COMMAND_OCTETS = 2048  # section 4.5.3.1.4: 512 and what the extensions add; long quoted local parts fit too

BORROWED = ("_create_envelope", "_handler_coroutine", "_reset_timeout", "_timeout_cb", "push")


class OpenTransaction(aiosmtpd.Envelope):
    """What MAIL and RCPT have said so far; mail_from None before MAIL, empty for the null sender."""

    def __init__(self) -> None:
        super().__init__()
        self.admissions: list[Admission] = []
        self.size: int | None = None  # as declared


class Connection(aiosmtpd.SMTP):
    command_size_limit = MAX_COMMAND_OCTETS
    command_size_limits: dict[str, int] = defaultdict(lambda: MAX_COMMAND_OCTETS)
    line_length_limit = READER_LIMIT  # becomes the reader's limit; DATA knows no lines here
    envelope: OpenTransaction
    session: aiosmtpd.Session

    def __init__(
        self,
        handler: Handler,
        *,
        open_connections: "weakref.WeakSet[Connection]",
        hostname: str,
        command_timeout_s: float,
    ) -> None:
        super().__init__(
            handler,
            hostname=hostname,
            ident="ESMTP Emailgistics",
            data_size_limit=settings.MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            timeout=command_timeout_s,
            loop=asyncio.get_running_loop(),
        )
        self._handler = handler
        self._open_connections = open_connections
        self._is_in_data = False
        self._is_leaving = False

    def _create_envelope(self) -> OpenTransaction:
        return OpenTransaction()

    def _forget_transaction(self) -> None:
        self.envelope = self._create_envelope()

    def connection_lost(self, error: Exception | None) -> None:
        self._open_connections.discard(self)
        super().connection_lost(error)

    # --- ending

    def leave(self) -> None:
        """Says 421 now, or after the answer to the DATA in flight."""
        self._is_leaving = True
        if not self._is_in_data:
            self._hang_up(replies.SHUTTING_DOWN)

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def _hang_up(self, reply: str) -> None:
        if self.transport is None:
            return
        self._writer.write(reply.encode() + b"\r\n")
        _close(self.transport)
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def _timeout_cb(self) -> None:
        self._hang_up(replies.IDLE_TOO_LONG)

    # --- answering

    async def push(self, status: AnyStr) -> None:
        # 500 comes from aiosmtpd's command loop only: no enhanced code, and the client's words in it
        if isinstance(status, str) and status.startswith("500 "):
            await super().push(replies.NOT_UNDERSTOOD)
        else:
            await super().push(status)

    async def handle_exception(self, error: Exception) -> str:
        log.error("smtp.fault", error=type(error).__name__, exc_info=error)
        return replies.OUR_FAULT

    async def smtp_HELO(self, hostname: str | None) -> None:
        await self._greet(hostname, extended=False, lines=[f"250 {self.hostname}"])

    async def smtp_EHLO(self, hostname: str | None) -> None:
        lines = replies.greeting_lines(self.hostname, max_message_bytes=settings.MAX_MESSAGE_BYTES)
        await self._greet(hostname, extended=True, lines=lines)

    async def _greet(self, hostname: str | None, *, extended: bool, lines: list[str]) -> None:
        if not hostname:
            await self.push(replies.BAD_ARGUMENT)
            return
        self._forget_transaction()
        self.session.extended_smtp = extended
        self.session.host_name = syntax.cleaned_helo(hostname)
        await self.push("\r\n".join(lines))

    async def smtp_MAIL(self, arg: str | None) -> None:
        await self.push(self._begin_transaction(arg))

    def _begin_transaction(self, arg: str | None) -> str:
        if not self.session.host_name:
            return replies.EHLO_FIRST
        if self.envelope.mail_from is not None:
            return replies.NESTED_MAIL
        try:
            argument = syntax.parse_path(arg, keyword="FROM")
        except syntax.BadArgumentError:
            return replies.BAD_ARGUMENT
        if not syntax.is_storable_sender(argument.path):
            return replies.BAD_SENDER
        if refusal := _refused_parameter(argument.parameters):
            return refusal
        self.envelope.mail_from = argument.path
        self.envelope.size = int(argument.parameters.get("SIZE") or 0) or None
        return replies.SENDER_OK

    async def smtp_RCPT(self, arg: str | None) -> None:
        await self.push(await self._add_recipient(arg))

    async def _add_recipient(self, arg: str | None) -> str:
        if self.envelope.mail_from is None:
            return replies.MAIL_FIRST if self.session.host_name else replies.EHLO_FIRST
        try:
            argument = syntax.parse_path(arg, keyword="TO")
        except syntax.BadArgumentError:
            return replies.BAD_ARGUMENT
        if argument.parameters:
            return replies.UNKNOWN_PARAMETER
        if len(self.envelope.admissions) >= settings.SMTP_MAX_RECIPIENTS:
            return replies.TOO_MANY_RECIPIENTS
        client_ip = syntax.client_ip(self.session.peer)
        try:
            admission = await self._handler.admit(argument.path, envelope=self._envelope(), size=self.envelope.size)
        except DomainError as error:
            log.info("smtp.recipient_refused", code=error.code, client=client_ip)
            return replies.refusal(error)
        self.envelope.admissions.append(admission)
        return replies.RECIPIENT_OK

    async def smtp_DATA(self, arg: str | None) -> None:
        if not self.envelope.admissions:
            await self.push(replies.RCPT_FIRST if self.session.host_name else replies.EHLO_FIRST)
            return
        if arg:
            await self.push(replies.BAD_ARGUMENT)
            return
        transaction = self.envelope
        self._is_in_data = True
        try:
            await self.push(replies.SEND_DATA)
            octets = await self._read_data()
            self._forget_transaction()
            await self.push(await self._store(transaction, octets))
        finally:
            self._is_in_data = False
        if self._is_leaving:
            self._hang_up(replies.SHUTTING_DOWN)

    async def _read_data(self) -> bytes | None:
        """The mail, or None when it was too big; what is pipelined behind it stays in the reader."""
        scanner = DataScanner(limit=settings.MAX_MESSAGE_BYTES)
        while True:
            chunk = await self._reader.read(READ_OCTETS)
            if not chunk:
                raise ConnectionResetError
            self._reset_timeout()
            if scanner.feed(chunk):
                break
        # The reader is empty (see READ_OCTETS) and nothing was awaited since: appending is putting back in front.
        # Without a read-ahead of our own, the command loop and a later TLS handshake find it where they look.
        self._reader.feed_data(scanner.rest)
        return scanner.octets

    async def _store(self, transaction: OpenTransaction, octets: bytes | None) -> str:
        if octets is None:
            return replies.TOO_BIG
        self._reset_timeout(STORE_TIMEOUT_S)
        try:
            receipt = await self._handler.store(
                envelope=self._envelope(transaction), admissions=transaction.admissions, raw=octets
            )
        except DomainError as error:
            return replies.refusal(error)
        finally:
            self._reset_timeout()
        log.info("smtp.accepted", message=receipt.public_id, size=len(octets), recipients=len(transaction.admissions))
        return replies.accepted(receipt)

    def _envelope(self, transaction: OpenTransaction | None = None) -> Envelope:
        return Envelope(
            mail_from=(transaction or self.envelope).mail_from or "",
            client_ip=syntax.client_ip(self.session.peer),
            helo=self.session.host_name or "",
        )

    async def smtp_RSET(self, arg: str | None) -> None:
        self._forget_transaction()
        await self.push(replies.OK)

    async def smtp_NOOP(self, arg: str | None) -> None:
        await self.push(replies.OK)

    async def smtp_QUIT(self, arg: str | None) -> None:
        self._hang_up(replies.BYE)
        await asyncio.sleep(0)  # the cancellation arrives here: nothing pipelined behind QUIT is read

    async def smtp_HELP(self, arg: str | None) -> None:
        await self.push(replies.HELP)

    async def smtp_VRFY(self, arg: str | None) -> None:
        await self.push(replies.NOT_VERIFIED if arg else replies.BAD_ARGUMENT)

    async def smtp_EXPN(self, arg: str | None) -> None:
        await self.push(replies.NOT_OFFERED)

    smtp_AUTH = smtp_STARTTLS = smtp_EXPN


def _refused_parameter(parameters: dict[str, str | None]) -> str | None:
    """The reply to the first MAIL parameter that cannot be honoured: RFC 1870, 6152 and 6531 name the others."""
    for keyword, value in parameters.items():
        match keyword, value:
            case "SIZE", str() if value.isdecimal():
                if int(value) > settings.MAX_MESSAGE_BYTES:
                    return replies.TOO_BIG
            case "BODY", str() if value.upper() in ("7BIT", "8BITMIME"):
                pass
            case "SMTPUTF8", None:
                pass
            case (("SIZE" | "BODY" | "SMTPUTF8"), _):
                return replies.BAD_ARGUMENT
            case _:
                return replies.UNKNOWN_PARAMETER
    return None


def _close(transport: asyncio.BaseTransport) -> None:
    """Closes, and soon for good: `close` alone waits for a client to read what was sent, if it takes a year."""
    transport.close()
    if isinstance(transport, asyncio.WriteTransport):
        asyncio.get_running_loop().call_later(READ_LAST_REPLY_WITHIN_S, transport.abort)


class _Refusal(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(replies.TOO_MANY_CONNECTIONS.encode() + b"\r\n")
        _close(transport)


class Listener:
    """Accepts connections in the running loop, from `start` until `stop`."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        handler: Handler | None = None,
        max_connections: int = MAX_CONNECTIONS,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> None:
        self.host = host
        self.port = port
        self._handler = handler or Handler()
        self._max_connections = max_connections
        self._command_timeout_s = command_timeout_s
        self._hostname: Final = socket.gethostname()  # not getfqdn: that may wait for DNS
        # weak: a connection that fails before it is made never says that it is lost
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens; `port` 0 becomes the port that was free. Raises OSError when it cannot."""
        if missing := [name for name in BORROWED if name not in _attributes_of_aiosmtpd()]:
            raise RuntimeError(f"this version of aiosmtpd has no {', '.join(missing)}; requirements/run.txt pins one")
        self._server = await asyncio.get_running_loop().create_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self) -> asyncio.Protocol:
        if len(self._connections) >= self._max_connections:
            log.warning("smtp.too_many_connections", limit=self._max_connections)
            return _Refusal()
        connection = Connection(
            self._handler,
            open_connections=self._connections,
            hostname=self._hostname,
            command_timeout_s=self._command_timeout_s,
        )
        self._connections.add(connection)
        return connection

    async def stop(self, *, within_s: float = STOP_WITHIN_S) -> bool:
        """No new connections, 421 to the idle, an answer to each DATA in flight. False if a database call hangs."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.leave()
        # ASYNC110 would have an event: there are two things to wait for, once in a process's life
        while (self._connections or self._handler.is_storing) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for connection in tuple(self._connections):
            connection.abort()
        return await self._handler.close(within_s=max(deadline - loop.time(), 0.5))


def _attributes_of_aiosmtpd() -> set[str]:
    return {*dir(aiosmtpd.SMTP), *aiosmtpd.SMTP.__init__.__code__.co_names}


async def run_until_told(listener: Listener) -> bool:
    """Runs a started listener until SIGTERM or SIGINT, then stops it; see `Listener.stop`."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    log.info("smtp.listening", host=listener.host, port=listener.port)
    await told.wait()
    is_clean = await listener.stop()
    log.info("smtp.stopped", clean=is_clean)
    return is_clean
