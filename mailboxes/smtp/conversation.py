"""How a client and the listener talk: aiosmtpd's protocol, with what it gets wrong put right.

Taken from aiosmtpd: the protocol on a stream, its session, its task. Ours: the loop that reads commands, because its
own quotes the client in replies without enhanced codes, logs every line, answers a fault with 500 and the exception's
text, and ends the task with the client's last octet.
"""
# ruff: noqa: N802, N815, ARG002 - smtp_X(argument) is aiosmtpd's name for command X

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar

from aiosmtpd import smtp as aiosmtpd
from django.conf import settings

from emailgistics.common.logs import get_logger
from mailboxes.smtp import replies, syntax
from mailboxes.smtp.budgets import Reservation, client_key
from mailboxes.smtp.limits import MIB
from mailboxes.smtp.reading import STREAM_LIMIT, Input
from mailboxes.smtp.shared import Shared
from mailboxes.smtp.transcript import Transcript

log = get_logger(__name__)

READ_LAST_REPLY_WITHIN_S = 5
MAX_COMMAND_OCTETS = 2048  # RFC 5321 section 4.5.3.1.4: 512 and what extensions add; long quoted local parts fit too
MAX_SKIPPED_OCTETS = MIB  # of a line that does not end

# aiosmtpd's private names that are used here; Listener.start looks whether they are there
BORROWED = (
    "_create_envelope",
    "_handle_client",
    "_handler_coroutine",
    "_reset_timeout",
    "_timeout_cb",
    "_timeout_handle",
    "_reader",
    "_writer",
)

# Not among them: addresses that are refused, and 503 where a client that sends commands in groups could not know better
BAD_COMMANDS = frozenset(
    {
        replies.NOT_UNDERSTOOD,
        replies.TOO_LONG,
        replies.LMTP_HERE,
        replies.SMTP_HERE,
        replies.BAD_ARGUMENT,
        replies.NOT_OFFERED,
        replies.NESTED_MAIL,
        replies.TLS_IS_ON,
        replies.UNKNOWN_PARAMETER,
    }
)


# They change nothing for the client and could go on for ever. DATA is among them because it may be refused, again and
# again; where it was not, counting begins anew. MAIL and RCPT have limits of their own.
IDLE_COMMANDS = frozenset({"EHLO", "HELO", "LHLO", "RSET", "NOOP", "VRFY", "HELP", "DATA"})


class OpenTransaction(aiosmtpd.Envelope):
    """What MAIL and RCPT have said so far; mail_from None before MAIL, empty for the null sender."""

    def __init__(self) -> None:
        super().__init__()
        self.size: int | None = None  # as declared
        self.is_utf8 = False
        self.reservation: Reservation | None = None


class HangUpError(Exception):
    """The connection ends with this reply."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


class Conversation(aiosmtpd.SMTP):
    line_length_limit = STREAM_LIMIT  # becomes the stream's limit
    session: aiosmtpd.Session
    envelope: OpenTransaction

    protocol_name: ClassVar[str] = "ESMTP"
    hello: ClassVar[str] = "EHLO"
    offered: ClassVar[tuple[str, ...]] = (
        "EHLO",
        "HELO",
        "MAIL",
        "RCPT",
        "DATA",
        "RSET",
        "NOOP",
        "VRFY",
        "HELP",
        "QUIT",
    )
    methods: ClassVar[Mapping[bytes, str]] = {
        verb.encode(): f"smtp_{verb}" for verb in (*offered, "LHLO", "STARTTLS", "EXPN", "AUTH")
    }

    def __init__(self, shared: Shared) -> None:
        super().__init__(
            None,
            hostname=shared.hostname,
            enable_SMTPUTF8=True,
            timeout=shared.limits.command_timeout_s,
            loop=asyncio.get_running_loop(),
        )
        self._shared = shared
        self._limits = shared.limits
        self._transcript = Transcript()
        self._client_ip: str | None = None
        self._key: str | None = None
        self._tls = ""
        self._expires_at = 0.0
        self._bad_commands = 0
        self._idle_commands = 0
        self._is_in_data = self._is_in_handshake = self._is_leaving = self._is_closing = self._is_lost = False
        self._has_said_all = False

    # --- the life of a connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of one that has a place already; it gives it back when it is lost."""
        self._client_ip = syntax.client_ip(transport.get_extra_info("peername"))
        self._key = client_key(self._client_ip, is_loopback_known=self._limits.counts_loopback)
        self._shared.connections.add(self)
        super().connection_made(transport)
        self._input = Input(self._reader)

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._shared.connections.discard(self)
        self._shared.places.give_back(self._key)
        self._forget_transaction()
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        # not aiosmtpd's, which ends the task: who says no more may still want to hear
        self._has_said_all = True
        return asyncio.StreamReaderProtocol.eof_received(self)

    def _create_envelope(self) -> OpenTransaction:
        return OpenTransaction()

    def _forget_transaction(self) -> None:
        if self.envelope.reservation is not None:
            self.envelope.reservation.release()
        self.envelope = self._create_envelope()

    def leave(self) -> None:
        """Says 421 now, or after the answer to the DATA in flight. As often as anybody likes."""
        self._is_leaving = True
        if not self._is_in_data and not self._is_closing:
            self._hang_up(replies.SHUTTING_DOWN)

    def abort(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def _hang_up(self, reply: str) -> None:
        """Whatever the task is doing."""
        if not self._is_in_handshake:  # in which nobody would understand a word
            self._say_last(reply)
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    def _say_last(self, reply: str) -> None:
        if self.transport is not None and not self._is_closing:
            self._writer.write(reply.encode() + b"\r\n")
            self._close()

    def _close(self) -> None:
        # once only: closed twice, a transport of TLS cannot be aborted any more
        if self.transport is not None and not self._is_closing:
            self._is_closing = True
            close(self.transport)

    # --- time

    def _reset_timeout(self, duration: float | None = None) -> None:
        """A timer for each command would be most of what one costs; this one looks what time it is when it runs out."""
        self._expires_at = self.loop.time() + (duration or self._limits.command_timeout_s)
        if self._timeout_handle is not None:
            if self._timeout_handle.when() <= self._expires_at:
                return
            self._timeout_handle.cancel()
        self._timeout_handle = self.loop.call_at(self._expires_at, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self.loop.time() < self._expires_at:
            self._timeout_handle = self.loop.call_at(self._expires_at, self._timeout_cb)
        else:
            self._hang_up(replies.IDLE_TOO_LONG)

    # --- commands and replies

    async def _handle_client(self) -> None:
        """What aiosmtpd makes a task of."""
        try:
            await self._say(replies.greeting(self._shared.hostname, self.protocol_name))
            while True:
                await self._obey(await self._read_command())
        except HangUpError as end:
            self._say_last(end.reply)
        except ConnectionError:
            pass  # the client is gone
        finally:
            self._close()

    async def _read_command(self) -> bytes | None:
        """The next line without its end, None for one that is too long."""
        skipped = 0
        while skipped <= MAX_SKIPPED_OCTETS:
            line = await self._input.read_line(b"\n")
            if line.endswith(b"\n"):
                return None if skipped or len(line) > MAX_COMMAND_OCTETS else line.rstrip(b"\r\n")
            skipped += len(line)
        raise HangUpError(replies.TOO_MANY_BAD_COMMANDS)

    async def _obey(self, line: bytes | None) -> None:
        self._reset_timeout()
        try:
            reply = await self._reply_to(line)
        except (HangUpError, ConnectionError):
            raise
        except Exception as error:
            # 451 whatever it is: the sender keeps the mail and comes again
            log.error("smtp.fault", error=type(error).__name__, exc_info=error)  # noqa: TRY400
            reply = replies.OUR_FAULT
        if reply is None:
            return
        if reply in BAD_COMMANDS:
            self._bad_commands += 1
            if self._bad_commands > self._limits.max_bad_commands:
                raise HangUpError(replies.TOO_MANY_BAD_COMMANDS)
        await self._say(reply)

    async def _reply_to(self, line: bytes | None) -> str | None:
        """None where everything is said already."""
        if line is None:
            self._transcript.client(b"(too long)")
            return replies.TOO_LONG
        verb, _, argument = line.partition(b" ")
        name = self.methods.get(verb.upper())
        if name == "smtp_MAIL":
            self._transcript.begin_transaction()
        self._transcript.client(line, is_command=name is not None)
        if name is None:
            return replies.NOT_UNDERSTOOD
        if verb.upper().decode() in IDLE_COMMANDS:
            self._count_idle_command()
        method: Callable[[str], Awaitable[str | None]] = getattr(self, name)
        # as surrogates, octets that are no UTF-8 can be told from what is
        return await method(argument.strip().decode("utf-8", errors="surrogateescape"))

    def _count_idle_command(self) -> None:
        """Of those since the last mail that was accepted. A connection that brings nothing does not stay for ever."""
        self._idle_commands += 1
        if self._idle_commands > self._limits.max_idle_commands:
            raise HangUpError(replies.TOO_MANY_IDLE_COMMANDS)

    async def _say(self, reply: str) -> None:
        self._transcript.server(reply)
        self._writer.write(reply.encode() + b"\r\n")
        await self._writer.drain()

    async def smtp_EHLO(self, argument: str) -> str:
        extensions = replies.extensions(
            self._shared.hostname,
            max_message_bytes=settings.MAX_MESSAGE_BYTES,
            limits=self._limits,
            with_starttls=self._shared.certificate is not None and not self._tls,
        )
        return self._greet(argument, extensions)

    async def smtp_HELO(self, argument: str) -> str:
        return self._greet(argument, f"250 {self._shared.hostname}")

    async def smtp_LHLO(self, argument: str) -> str:
        return replies.SMTP_HERE

    def _greet(self, name: str, reply: str) -> str:
        if not name:
            return replies.BAD_ARGUMENT
        self._forget_transaction()
        self.session.host_name = syntax.cleaned_helo(name)
        return reply

    async def smtp_RSET(self, argument: str) -> str:
        self._forget_transaction()
        return replies.OK

    async def smtp_NOOP(self, argument: str) -> str:
        return replies.OK

    async def smtp_QUIT(self, argument: str) -> str:
        raise HangUpError(replies.BYE)

    async def smtp_HELP(self, argument: str) -> str:
        return replies.help_on(self.offered)

    async def smtp_VRFY(self, argument: str) -> str:
        return replies.NOT_VERIFIED if argument else replies.BAD_ARGUMENT

    async def smtp_EXPN(self, argument: str) -> str:
        return replies.NOT_OFFERED

    smtp_AUTH = smtp_EXPN

    async def smtp_STARTTLS(self, argument: str) -> str | None:
        if self._shared.certificate is None:
            return replies.NOT_OFFERED
        if self._tls:
            return replies.TLS_IS_ON
        if argument:
            return replies.BAD_ARGUMENT
        if self._has_said_all:  # so there will be no handshake
            raise ConnectionResetError
        context = self._shared.certificate.context()
        await self._forget_what_was_read()
        await self._say(replies.BEGIN_TLS)
        self._is_in_handshake = True
        try:
            await self._writer.start_tls(context, ssl_handshake_timeout=self._limits.handshake_timeout_s)
            self._tls = self._writer.get_extra_info("ssl_object").version()
        except BaseException as error:
            log.info("smtp.tls_failed", error=type(error).__name__, client=self._client_ip)
            # where there was no handshake, the transport says to nobody that it is lost
            self.connection_lost(error if isinstance(error, Exception) else None)
            if isinstance(error, Exception):
                raise ConnectionResetError from error
            raise
        finally:
            self._is_in_handshake = False
        self.transport = self._writer.transport
        # RFC 3207 section 4.2: what was said without TLS counts for nothing
        self._forget_transaction()
        self.session.host_name = None
        self._reset_timeout()
        return None

    async def _forget_what_was_read(self) -> None:
        """What came in clear behind STARTTLS may be somebody else's: it must not be obeyed as if it had come by TLS.

        Nothing more is read until TLS reads it.
        """
        await self._input.forget()
        if isinstance(self.transport, asyncio.ReadTransport):
            self.transport.pause_reading()


def close(transport: asyncio.BaseTransport) -> None:
    """Closes, and soon for good: `close` alone waits for a client to read what was sent, if it takes a year."""
    transport.close()
    if isinstance(transport, asyncio.WriteTransport):
        asyncio.get_running_loop().call_later(READ_LAST_REPLY_WITHIN_S, transport.abort)
