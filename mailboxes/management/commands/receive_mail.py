"""Mail in by a pipe: what Postfix or Exim hands to a command on its standard input.

The exit status is the reply. On 1, 2 and most others these hosts send the mail back to its author, and on death by a
signal Exim does, so whatever is not the author's doing ends with 75, "try again". What is said on stderr begins with an
enhanced status code (RFC 3463): Postfix takes that into its report.
"""

import json
import os
import signal
import sys
import threading
import traceback
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from django.utils import timezone

from emailgistics.common.errors import DomainError, LimitReachedError, NotFoundError, RefusedError, UnavailableError
from mailboxes.addresses import InvalidAddressError, shown
from mailboxes.api.serializers import InstantField
from mailboxes.models import Message
from mailboxes.services import refuse
from mailboxes.services.admit import Admission, admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Receipt, receive_message
from mailboxes.services.route import AddressDisabledError
from mailboxes.smtp import replies, syntax
from mailboxes.smtp.transcript import printable

READ_OCTETS = 1024 * 1024
INTERRUPTIONS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)
# 65 for what is too large as well: the input is at fault for good. Not 73, "cannot create": Exim would try again.
EX_TOO_BIG = os.EX_DATAERR

# the first that fits: the cases, then the kinds
EXIT_STATUSES: tuple[tuple[type[DomainError], int], ...] = (
    (InvalidAddressError, os.EX_DATAERR),
    (AddressDisabledError, os.EX_NOUSER),  # nobody takes mail there, as far as the sender is concerned
    (NotFoundError, os.EX_NOUSER),
    (UnavailableError, os.EX_TEMPFAIL),
    (LimitReachedError, os.EX_TEMPFAIL),
    (RefusedError, os.EX_NOPERM),
)


class NotTakenError(Exception):
    """The mail is not stored. The text is for people, and for the report of the host before us."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


class Interruptions:
    """What SIGTERM and the like do to a process that watches for them: while the mail is read they end it with 75.

    After that they do nothing: a mail that is stored and not said to be would come again. In a thread of its own,
    because Python forgets a signal that arrives just before a read that blocks until that read is over.
    """

    def __init__(self) -> None:
        self._deciding = threading.Lock()
        self._is_reading = True

    def watch(self) -> None:
        for number in INTERRUPTIONS:
            signal.signal(number, signal.SIG_DFL)  # POSIX lets a system drop what is ignored, waited for or not
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
        threading.Thread(target=self._wait, name="interruptions", daemon=True).start()

    def end(self) -> None:
        with self._deciding:
            self._is_reading = False

    def _wait(self) -> None:
        while True:
            number = signal.sigwait(INTERRUPTIONS)
            with self._deciding:
                if self._is_reading:
                    line = f"{_text(replies.OUR_FAULT)} ({signal.Signals(number).name})\n"
                    with suppress(OSError):
                        os.write(2, line.encode())
                    os._exit(os.EX_TEMPFAIL)


class Command(BaseCommand):
    help = (
        "Takes one mail from standard input, as it is, for all the recipients or for none. Exit status: 0 stored, or "
        "thrown away as a rule says, 75 try again (--traceback says why), 67 no such recipient, 77 refused, 65 not an "
        "address, or no mail, or more than MAX_MESSAGE_BYTES.  "
        "Example: manage.py receive_mail --sender=ada@example.net -- help@example.com < mail.eml"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("recipients", nargs="+", metavar="RECIPIENT", help="envelope recipient")
        parser.add_argument("-f", "--sender", default="", help="envelope sender; nothing, or <>, is the null sender")
        parser.add_argument(
            "--client-ip",
            type=_client_ip,
            metavar="ADDRESS",
            help="the host that brought it, as the host before us says; nothing, or unknown, where it does not know",
        )
        parser.add_argument("--helo", default="", help="what that host called itself")
        parser.add_argument(
            "--strip-from-line",
            action="store_true",
            help='take away the first line if it begins with "From ", as mbox has it (pipe\'s F flag)',
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._interruptions = Interruptions()

    def run_from_argv(self, argv: list[str]) -> None:
        """Ends the process."""
        self._interruptions.watch()
        try:
            super().run_from_argv(argv)
        except SystemExit as end:
            wrong_usage = 2
            # options are the operator's: the mail waits until they are right
            _leave(os.EX_TEMPFAIL if end.code == wrong_usage else end.code)
        except BaseException as error:  # noqa: BLE001 - see the module: whatever it is, it must not be 1
            self._say(_our_fault(error))
            _leave(os.EX_TEMPFAIL)
        _leave(os.EX_OK)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            receipt = self._take(options["recipients"], _envelope(options), strips=options["strip_from_line"])
        except NotTakenError as error:
            self._say(str(error))
            sys.exit(error.status)
        except Exception as error:  # noqa: BLE001 - see the module
            if options["traceback"]:
                traceback.print_exc()
            self._say(_our_fault(error))
            sys.exit(os.EX_TEMPFAIL)
        # It is stored, whoever listens or not: without a 0 it would come again.
        with suppress(Exception):
            self.stdout.write(json.dumps(_json_of(receipt)) if options["json"] else f"accepted as {receipt.public_id}")
            self.stdout.flush()

    def _take(self, recipients: Sequence[str], envelope: Envelope, *, strips: bool) -> Receipt:
        if sys.stdin is None:
            raise OSError("standard input is closed")
        raw = _read(sys.stdin.buffer, limit=settings.MAX_MESSAGE_BYTES)
        self._interruptions.end()
        if strips and raw.startswith(b"From "):
            raw = raw.partition(b"\n")[2]
        if not raw:
            raise NotTakenError("5.6.0 There is no mail on standard input", status=os.EX_DATAERR)
        admissions = [_admission(recipient, envelope, size=len(raw)) for recipient in recipients]
        try:
            return receive_message(envelope=envelope, admissions=admissions, raw=raw)
        except DomainError as error:
            raise NotTakenError(_text(replies.refusal(error)), status=_status_of(error)) from error

    def _say(self, line: str) -> None:
        with suppress(Exception):
            self.stderr.write(line)


def _read(stream: IO[bytes], *, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := stream.read(READ_OCTETS):
        size += len(chunk)
        if size > limit:
            raise NotTakenError(f"{_text(replies.TOO_BIG)} ({limit} octets)", status=EX_TOO_BIG)
        chunks.append(chunk)
    return b"".join(chunks)


def _envelope(options: Mapping[str, Any]) -> Envelope:
    return Envelope(
        mail_from=_sender(options["sender"]),
        client_ip=options["client_ip"],
        helo=syntax.cleaned_helo(options["helo"]),
        source=Message.Source.PIPE,
    )


def _client_ip(text: str) -> str | None:
    """Raises ArgumentTypeError: what is no address is the operator's mistake."""
    try:
        return None if text in ("", "unknown") else syntax.client_ip((text,))
    except ValueError as error:
        raise ArgumentTypeError(f"{shown(text)} is no address") from error


def _sender(text: str) -> str:
    """As in MAIL FROM, with or without the angle brackets."""
    path = syntax.bare_path(text, keyword="FROM")
    if path is None or not syntax.is_storable_sender(path):
        raise NotTakenError(f"{_text(replies.BAD_SENDER)}: {shown(text)}", status=os.EX_DATAERR)
    return path


def _admission(text: str, envelope: Envelope, *, size: int) -> Admission:
    """As in RCPT TO. A pipe is the operator's own, so test domains take mail from it."""
    path = syntax.bare_path(text, keyword="TO")
    try:
        if path is None:
            raise InvalidAddressError(text)
        return admit(path, envelope=envelope, size=size)
    except DomainError as error:
        reply = replies.refusal(error)
        _put_on_record(text, envelope, error, reply=reply, size=size)
        raise NotTakenError(f"{_text(reply)}: {shown(text)}", status=_status_of(error)) from error


def _put_on_record(text: str, envelope: Envelope, error: DomainError, *, reply: str, size: int) -> None:
    """As what the listener refuses. Whether that succeeds changes nothing for the sender."""
    with suppress(Exception):
        refuse.record(
            [
                refuse.Refused(
                    at=timezone.now(),
                    envelope=envelope,
                    reply=reply,
                    code=error.code,
                    recipient=printable(text),
                    size=size,
                    rule_id=getattr(error, "rule_id", None),
                )
            ]
        )


def _status_of(error: DomainError) -> int:
    return next((status for kind, status in EXIT_STATUSES if isinstance(error, kind)), os.EX_TEMPFAIL)


def _text(reply: str) -> str:
    """A reply of SMTP without its code: what is left begins with the enhanced one."""
    return reply.partition(" ")[2]


def _our_fault(error: BaseException) -> str:
    # its name and no more: the host before us may show this to the mail's author
    return f"{_text(replies.OUR_FAULT)} ({type(error).__name__})"


def _json_of(receipt: Receipt) -> dict[str, Any]:
    message = Message.objects.filter(pk=receipt.message_id).first() if receipt.message_id else None
    if message is None:
        return {"id": receipt.public_id}
    return {
        "id": message.public_id,
        "received_at": InstantField().to_representation(message.received_at),
        "size": message.size,
        "sha256": message.sha256,
    }


def _leave(status: Any) -> None:
    """Ends the process here. The thread that nudges the workers may be at it, and must not spoil the exit status.

    What it did not get to do, the next sweep does.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    with suppress(Exception):
        connections.close_all()
    os._exit(status if isinstance(status, int) else os.EX_OK if status is None else os.EX_TEMPFAIL)
