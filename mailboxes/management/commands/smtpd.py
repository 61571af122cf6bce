import asyncio
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mailboxes.smtp.server import Listener, run_until_told


class Command(BaseCommand):
    help = "Receives mail by SMTP until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.SMTP_HOST, help="address to listen on (SMTP_HOST)")
        parser.add_argument("--port", default=settings.SMTP_PORT, type=int, help="port to listen on (SMTP_PORT)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        if not asyncio.run(_serve(host, port)):
            # A call to the database hangs, and Python would wait for its thread. No 250 was said for what it holds.
            sys.stderr.flush()
            os._exit(0)


async def _serve(host: str, port: int) -> bool:
    listener = Listener(host=host, port=port)
    try:
        await listener.start()
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number and number > 0 else error  # asyncio's own text says it twice
        raise CommandError(
            f"cannot listen for SMTP on {host} port {port} ({reason}): free the port or set SMTP_PORT (and SMTP_HOST)."
        ) from error
    return await run_until_told(listener)
