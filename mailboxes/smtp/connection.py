"""What a client's connection does about mail: MAIL, RCPT, DATA (RFC 5321 section 3.3)."""
# ruff: noqa: N802 - smtp_X(argument) is aiosmtpd's name for command X

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from django.conf import settings
from django.utils import timezone

from emailgistics.common.errors import DomainError, NotFoundError
from emailgistics.common.logs import get_logger
from mailboxes.addresses import InvalidAddressError
from mailboxes.models import Message
from mailboxes.services.admit import Admission
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Receipt
from mailboxes.services.refuse import Refused
from mailboxes.smtp import replies, syntax
from mailboxes.smtp.conversation import Conversation, HangUpError, OpenTransaction
from mailboxes.smtp.data import DataScanner
from mailboxes.smtp.handler import Mail, Outcome
from mailboxes.smtp.limits import MIB, Limits
from mailboxes.smtp.shared import Shared
from mailboxes.smtp.transcript import printable

log = get_logger(__name__)

DRAINED_OCTETS = 8 * MIB  # and twice the largest mail: so much is read of what is not kept, then the connection ends


class Transaction(OpenTransaction):
    def __init__(self) -> None:
        super().__init__()
        self.admissions: list[Admission] = []


class Connection(Conversation):
    source: ClassVar = Message.Source.SMTP
    envelope: Transaction

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._messages = 0
        self._unknown_recipients = 0

    def _create_envelope(self) -> Transaction:
        return Transaction()

    def _envelope(self) -> Envelope:
        return Envelope(
            mail_from=self.envelope.mail_from or "",
            client_ip=self._client_ip,
            helo=self.session.host_name or "",
            tls=self._tls,
            source=self.source,
        )

    # --- MAIL

    async def smtp_MAIL(self, argument: str) -> str:
        self._messages += 1  # whatever becomes of it: see replies.extensions
        if self._messages > self._limits.max_messages:
            raise HangUpError(replies.TOO_MANY_MESSAGES)
        if not self.session.host_name:
            return replies.greet_first(self.hello)
        if self.envelope.mail_from is not None:
            return replies.NESTED_MAIL
        try:
            path = syntax.parse_path(argument, keyword="FROM")
        except syntax.BadArgumentError:
            return replies.BAD_ARGUMENT
        if not syntax.is_storable_sender(path.path):
            return replies.BAD_SENDER
        self.envelope.mail_from = path.path  # what follows is on record with it
        reply = ""
        try:
            reply = self._begin_transaction(path)
            return reply
        finally:
            if reply != replies.SENDER_OK:
                self._forget_transaction()

    def _begin_transaction(self, path: syntax.PathArgument) -> str:
        if self._shared.requires_tls and not self._tls:
            return self._refuse(replies.TLS_FIRST, "tls_required")
        if problem := refused_parameter(path.parameters):
            return self._refuse(problem, "too_big") if problem == replies.TOO_BIG else problem
        if not path.path.isascii() and "SMTPUTF8" not in path.parameters:
            return self._refuse(replies.NOT_ASCII, "not_ascii")
        self.envelope.size = int(path.parameters.get("SIZE") or 0) or None
        self.envelope.is_utf8 = "SMTPUTF8" in path.parameters
        return self._find_room(self.envelope.size or 0) or replies.SENDER_OK

    def _find_room(self, size: int) -> str | None:
        """The refusal if there is none, or if the client has had its share.

        It only looks: what SIZE says is reserved at DATA, before the 354, once there is somebody to take the mail.
        Reserved here, it would be held by who sends nothing but MAIL.
        """
        if not self._shared.disk.has_room(size):
            return self._no_room("smtp.disk_low")
        if size > self._limits.unreserved_octets and not self._shared.octets.has_room(self._key, size):
            return self._no_room("smtp.no_octets_left")
        if wait_s := self._shared.rate.count(self._key, now=self.loop.time()):
            return self._refuse(replies.too_often(wait_s), "rate_limited")
        return None

    def _no_room(self, event: str) -> str:
        log.warning(event, client=self._client_ip, octets_in_flight=self._shared.octets.taken)
        return self._refuse(replies.NO_ROOM, "no_room", size=self.envelope.size)

    # --- RCPT

    async def smtp_RCPT(self, argument: str) -> str:
        if self.envelope.mail_from is None:
            return replies.MAIL_FIRST if self.session.host_name else replies.greet_first(self.hello)
        try:
            path = syntax.parse_path(argument, keyword="TO")
        except syntax.BadArgumentError:
            return replies.BAD_ARGUMENT
        if path.parameters:
            return replies.UNKNOWN_PARAMETER
        return await self._add_recipient(path.path)

    async def _add_recipient(self, address: str) -> str:
        transaction = self.envelope
        if len(transaction.admissions) >= self._limits.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        if not address.isascii() and address.isprintable() and not transaction.is_utf8:
            return self._refuse(replies.NOT_ASCII, "not_ascii", recipient=address)
        try:
            admission = await self._shared.mailroom.admit(address, envelope=self._envelope(), size=transaction.size)
        except DomainError as error:
            return self._refuse_recipient(address, error)
        transaction.admissions.append(admission)
        return replies.RECIPIENT_OK

    def _refuse_recipient(self, recipient: str, error: DomainError) -> str:
        log.info("smtp.recipient_refused", code=error.code, client=self._client_ip)
        if isinstance(error, (NotFoundError, InvalidAddressError)):
            self._unknown_recipients += 1
            if self._unknown_recipients > self._limits.max_unknown_recipients:
                raise HangUpError(self._refuse(replies.TOO_MANY_UNKNOWN, "too_many_unknown", recipient=recipient))
        return self._refuse(replies.refusal(error), error.code, recipient=recipient, error=error)

    # --- DATA

    async def smtp_DATA(self, argument: str) -> str | None:
        if not self.envelope.admissions:
            return replies.RCPT_FIRST if self.session.host_name else replies.greet_first(self.hello)
        if argument:
            return replies.BAD_ARGUMENT
        if not self._reserve_declared():
            self._put_on_record(replies.NO_ROOM, "no_room", size=self.envelope.size)
            return replies.NO_ROOM  # by LMTP too: RFC 2033 has a reply for each recipient after the final dot only
        self._is_in_data = True
        try:
            await self._say(replies.SEND_DATA)
            answer = await self._take_mail()
            self._forget_transaction()
            await self._say(answer)
        finally:
            self._is_in_data = False
        if self._is_leaving:
            raise HangUpError(replies.SHUTTING_DOWN)
        return None

    def _reserve_declared(self) -> bool:
        """Whether there is room for as much as SIZE says; more than that is asked for as it comes."""
        self.envelope.reservation = self._shared.octets.reservation(self._key)
        size = self.envelope.size or 0
        return size <= self._limits.unreserved_octets or self._reserve(size)

    def _reserve(self, size: int) -> bool:
        reservation = self.envelope.reservation
        if reservation is None or reservation.grow_to(size):  # None: the connection is lost by now
            return True
        log.warning("smtp.no_octets_left", client=self._client_ip, octets_in_flight=self._shared.octets.taken)
        return False

    async def _take_mail(self) -> str:
        """The answer to the final dot."""
        scanner = DataScanner(limit=settings.MAX_MESSAGE_BYTES)
        try:
            has_room = await self._read_data(scanner)
        except (HangUpError, ConnectionError):
            raise
        except Exception as error:
            # in the middle of a mail, whose rest must not be read as commands
            log.error("smtp.fault", error=type(error).__name__, exc_info=error)  # noqa: TRY400
            raise HangUpError(replies.FAULT_IN_DATA) from error
        if not has_room:
            return self._refuse_all(replies.NO_ROOM, "no_room", size=scanner.size)
        if not scanner.is_kept:
            return self._refuse_all(replies.TOO_BIG, "too_big", size=scanner.size)
        if not self._shared.disk.has_room(scanner.size):
            log.warning("smtp.disk_low")
            return self._refuse_all(replies.NO_ROOM, "no_room", size=scanner.size)
        if not self._reserve(scanner.size):
            return self._refuse_all(replies.NO_ROOM, "no_room", size=scanner.size)
        self._reset_timeout(self._limits.store_timeout_s)
        try:
            return await self._store(scanner)
        finally:
            self._reset_timeout()

    async def _read_data(self, scanner: DataScanner) -> bool:
        """Reads until the mail has ended; what is pipelined behind it is put back. False: no room for it."""
        reader = self._shared.reader(self._input)
        has_room = True
        pace: _Pace | None = None
        try:
            while True:
                chunk = await reader.read()
                has_ended = scanner.feed(chunk)
                if has_ended:
                    self._input.put_back(scanner.rest)
                if has_room and not self._reserve_more(scanner):
                    has_room = False
                    scanner.drop()
                if has_ended:
                    return has_room
                pace = pace or _Pace(self._limits, self._too_slow)  # most mails come whole
                pace.count(len(chunk))
                self._drain_only_so_much(pace.octets, has_room=has_room)
                self._reset_timeout()
        finally:
            if pace is not None:
                pace.end()

    def _reserve_more(self, scanner: DataScanner) -> bool:
        """Of what comes, in steps of 1 MiB and from the second on: see `Limits.unreserved_octets`."""
        if not scanner.is_kept or scanner.size <= self._limits.unreserved_octets:
            return True
        if self.envelope.reservation is not None and scanner.size <= self.envelope.reservation.octets:
            return True
        return self._reserve(-(-scanner.size // MIB) * MIB)

    def _drain_only_so_much(self, octets: int, *, has_room: bool) -> None:
        if octets <= 2 * settings.MAX_MESSAGE_BYTES + DRAINED_OCTETS:
            return
        if has_room:
            self._refuse_all(replies.TOO_BIG, "too_big", size=octets)
            raise HangUpError(replies.TOO_BIG)
        self._refuse_all(replies.NO_ROOM, "no_room", size=octets)
        raise HangUpError(replies.NO_ROOM)

    def _too_slow(self) -> None:
        log.info("smtp.too_slow", client=self._client_ip)
        self._refuse_all(replies.TOO_SLOW, "too_slow", size=None)
        self._hang_up(replies.TOO_SLOW)

    async def _store(self, scanner: DataScanner) -> str:
        size = scanner.size
        call = self._shared.mailroom.store(
            Mail(
                envelope=self._envelope(),
                admissions=self.envelope.admissions,
                raw=scanner.take() or b"",
                transcript=self._transcript.lines(),
            )
        )
        # the mail is in memory until it is stored, also when its client does not wait for that
        reservation, self.envelope.reservation = self.envelope.reservation, None
        storing = asyncio.ensure_future(call)
        if reservation is not None:
            storing.add_done_callback(lambda _: reservation.release())
        try:
            outcome = await asyncio.shield(storing)
        except DomainError as error:
            return self._refuse_all(replies.refusal(error), error.code, size=size, error=error)
        return self._answer(outcome, size=size)

    def _answer(self, outcome: Outcome, *, size: int) -> str:
        """By SMTP one for all; by LMTP as many lines as recipients were taken."""
        if isinstance(outcome, Receipt):
            self._has_accepted(outcome, size=size)
            return self._for_each(replies.accepted(outcome))
        if receipt := next((each for each in outcome if isinstance(each, Receipt)), None):
            self._has_accepted(receipt, size=size)
            return replies.accepted(receipt)
        return self._answer_each(outcome, size=size)[0]

    def _answer_each(self, outcomes: Sequence[Receipt | DomainError], *, size: int) -> list[str]:
        return [
            replies.accepted(outcome)
            if isinstance(outcome, Receipt)
            else self._refuse(
                replies.refusal(outcome), outcome.code, recipient=admission.route.address, size=size, error=outcome
            )
            for admission, outcome in zip(self.envelope.admissions, outcomes, strict=True)
        ]

    def _has_accepted(self, receipt: Receipt, *, size: int) -> None:
        self._bad_commands = self._idle_commands = 0
        recipients = len(self.envelope.admissions)
        log.info("smtp.accepted", message=receipt.public_id, size=size, recipients=recipients)

    def _for_each(self, reply: str) -> str:
        """The answer to the final dot where one reply holds for all recipients."""
        return reply

    # --- refusals on record

    def _refuse_all(self, reply: str, code: str, *, size: int | None, error: DomainError | None = None) -> str:
        self._put_on_record(reply, code, size=size, error=error)
        return self._for_each(reply)

    def _put_on_record(self, reply: str, code: str, *, size: int | None, error: DomainError | None = None) -> None:
        """For each recipient that was accepted."""
        for admission in self.envelope.admissions:
            self._refuse(reply, code, recipient=admission.route.address, size=size, error=error)

    def _refuse(
        self, reply: str, code: str, *, recipient: str = "", size: int | None = None, error: DomainError | None = None
    ) -> str:
        self._shared.refusals.add(
            Refused(
                at=timezone.now(),
                envelope=self._envelope(),
                recipient=printable(recipient),
                reply=reply,
                code=code,
                size=size,
                rule_id=getattr(error, "rule_id", None),  # of BlockedByRuleError
                transcript=self._transcript.lines(),
            )
        )
        return reply


class _Pace:
    """Watches how fast a mail comes: not below the least rate over a window, and whole before its deadline."""

    def __init__(self, limits: Limits, too_slow: Callable[[], None]) -> None:
        self.octets = 0
        self._limits = limits
        self._too_slow = too_slow
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + limits.data_timeout_s
        self._octets_before = 0
        self._timer = self._next()

    def count(self, octets: int) -> None:
        self.octets += octets

    def end(self) -> None:
        self._timer.cancel()

    def _next(self) -> asyncio.TimerHandle:
        at = min(self._loop.time() + self._limits.rate_window_s, self._deadline)
        return self._loop.call_at(at, self._look, at)

    def _look(self, at: float) -> None:
        came = self.octets - self._octets_before
        if at >= self._deadline or came < self._limits.min_octets_per_s * self._limits.rate_window_s:
            self._too_slow()
        else:
            self._octets_before = self.octets
            self._timer = self._next()


def refused_parameter(parameters: dict[str, str | None]) -> str | None:
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
