import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connection

from emailgistics.common import selftest
from mailboxes.smtp.server import Listener, run_until_told
from mailboxes.smtp.tls import Certificate

LOOPBACK = "127.0.0.1"
LMTP_PORT = 24  # IANA's


class Command(BaseCommand):
    help = (
        "Receives mail by SMTP, or by LMTP from a mail server in front, until SIGTERM or Ctrl-C.  "
        "Example: manage.py smtpd --lmtp --socket /run/emailgistics/lmtp"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", help="address to listen on (SMTP_HOST; with --lmtp, loopback)")
        parser.add_argument("--port", type=int, help="port to listen on (SMTP_PORT; with --lmtp, LMTP_PORT or 24)")
        parser.add_argument("--lmtp", action="store_true", help="speak LMTP (RFC 2033)")
        parser.add_argument(
            "--socket", type=Path, metavar="PATH", help="listen on a socket file, which its user and group can open"
        )
        parser.add_argument(
            "--reuse-port",
            action="store_true",
            help="let other smtpd processes of this installation listen on the same port",
        )

    def handle(
        self,
        *args: Any,
        host: str | None,
        port: int | None,
        lmtp: bool,
        socket: Path | None,
        reuse_port: bool,
        **options: Any,
    ) -> None:
        if socket is not None and (host is not None or port is not None or reuse_port):
            raise CommandError("--socket goes with neither --host, --port nor --reuse-port.")
        listener = Listener(
            host=host or (LOOPBACK if lmtp else settings.SMTP_HOST),
            port=port if port is not None else _usual_port(is_lmtp=lmtp),
            path=socket,
            is_lmtp=lmtp,
            reuse_port=reuse_port,
            certificate=_certificate(),
            requires_tls=settings.SMTP_REQUIRE_TLS and not lmtp,
        )
        _refuse_wrong_secrets()
        if not asyncio.run(_serve(listener, protocol="LMTP" if lmtp else "SMTP")):
            # A call to the database hangs, and Python would wait for its thread. No 250 was said for what it holds.
            sys.stderr.flush()
            os._exit(0)


def _refuse_wrong_secrets() -> None:
    """Now; or as soon as the database answers, because meanwhile mail is to be told to come again."""
    try:
        selftest.refuse()
    except OperationalError:
        threading.Thread(target=_stop_for_wrong_secrets, name="selftest", daemon=True).start()
    finally:
        connection.close()


def _stop_for_wrong_secrets() -> None:
    try:
        selftest.wait_and_refuse()
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Wrong setting: {error}\n")
        os.kill(os.getpid(), signal.SIGTERM)  # what it has begun it ends; started again, it says so at once


def _usual_port(*, is_lmtp: bool) -> int:
    return settings.LMTP_PORT or LMTP_PORT if is_lmtp else settings.SMTP_PORT


def _certificate() -> Certificate | None:
    if not settings.SMTP_TLS_CERT:
        return None
    chain, key = Path(settings.SMTP_TLS_CERT), Path(settings.SMTP_TLS_KEY or settings.SMTP_TLS_CERT)
    try:
        return Certificate(chain, key)
    except OSError as error:
        raise CommandError(
            f"SMTP_TLS_CERT and SMTP_TLS_KEY cannot be used: {error.strerror or error}. They are {chain} and {key}: "
            "are both PEM files that this user may read, and does the key belong to the certificate?"
        ) from error


async def _serve(listener: Listener, *, protocol: str) -> bool:
    try:
        await listener.start()
    except RuntimeError as error:  # this Python or this aiosmtpd
        raise CommandError(str(error)) from error
    except (OSError, OverflowError) as error:
        raise CommandError(_cannot_listen(listener, protocol, error)) from error
    return await run_until_told(listener)


def _cannot_listen(listener: Listener, protocol: str, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if listener.path is not None:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"cannot listen for {protocol} on {listener.path} ({reason})."
    reason = os.strerror(number) if number and number > 0 else error  # asyncio's own text says it twice
    return (
        f"cannot listen for {protocol} on {listener.host} port {listener.port} ({reason}): "
        f"free the port or set {protocol}_PORT (and {'SMTP_HOST' if protocol == 'SMTP' else '--host'}). "
        "Several smtpd share a port if all of them have --reuse-port."
    )
