import asyncio
import sys
from argparse import ArgumentParser
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apikeys.credentials import parse_webhook_secret
from emailgistics.common.commands import read_secret
from emailgistics.common.errors import RefusedError
from webhooks import sink


class Command(BaseCommand):
    help = (
        "Runs a local receiver that verifies signed webhooks and prints them. "
        "Example: manage.py webhook_sink --port 9000 --secret-file var/hook.secret"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=settings.SINK_PORT)
        known = parser.add_mutually_exclusive_group()
        known.add_argument("--secret-file", type=Path, help="a file that holds the secret to verify with")
        known.add_argument(
            "--secret",
            default=settings.SINK_SECRET,
            help="the secret itself, which every user of the machine sees then; default: SINK_SECRET, SINK_SECRET_FILE",
        )
        parser.add_argument("--record", type=Path, help="append one line of JSON for each request to this file")

    def handle(self, **options: Any) -> None:
        host, port, file = options["host"], options["port"], options["secret_file"]
        secret = read_secret(file) if file else options["secret"]
        try:
            parse_webhook_secret(secret)
        except RefusedError as error:
            raise CommandError(f"--secret-file (or SINK_SECRET) has to hold the secret. {error.message}") from error
        # whatever the terminal's encoding: what cannot be printed is no reason to refuse a webhook
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        receiver = sink.Sink(secret=secret, record=options["record"], say=self._say)
        ready = f"listening on http://{host}:{port}/"
        try:
            asyncio.run(sink.serve(receiver, host=host, port=port, ready=lambda: self._say(ready)))
        except OSError as error:
            why = f"cannot listen on {host}:{port}: {error.strerror}"
            raise CommandError(f"{why}; choose another --port (or SINK_PORT).") from error

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
