import json
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common.commands import ended_in_order, readable
from emailgistics.operations import canary
from emailgistics.operations.canary_ways import LOOPBACK, Listen
from emailgistics.operations.doctor import CHECKS, Finding, State, Wish, examine

MAX_CANARY_S = 120
GAP = 2


class Command(BaseCommand):
    help = (
        "Look at all that the installation needs, and send a canary: a mail through the real port that must come back "
        "through a webhook, signed. Says of each what was seen and what to do. Exit status 0 if nothing failed, 1 "
        "otherwise.  Example: manage.py doctor --json"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-dns", action="store_true", help="look at the DNS of no domain")
        parser.add_argument("--no-canary", action="store_true", help="send no mail")
        for flag, help_text in (
            ("--http", "where `web` is, if not at HTTP_HOST and HTTP_PORT"),
            ("--smtp", "where the listener is, if not at SMTP_HOST and SMTP_PORT"),
            ("--canary-listen", "where this waits for what comes to --canary-url"),
        ):
            parser.add_argument(flag, type=_place, metavar="HOST:PORT", help=help_text)
        parser.add_argument(
            "--canary-url", metavar="URL", default="", help="an address that leads to --canary-listen, for the way back"
        )
        parser.add_argument(
            "--canary-within",
            type=int,
            default=int(canary.WITHIN.total_seconds()),
            metavar="SECONDS",
            help="until it counts as lost (default: %(default)s)",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    @ended_in_order()  # or its canary would stay
    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["canary_url"]) != bool(options["canary_listen"]):
            raise CommandError("--canary-url and --canary-listen go together.", returncode=2)
        if not 1 <= options["canary_within"] <= MAX_CANARY_S:
            raise CommandError(f"--canary-within is from 1 to {MAX_CANARY_S}.", returncode=2)
        wish = Wish(
            with_dns=not options["no_dns"],
            with_canary=not options["no_canary"],
            http=options["http"],
            smtp=options["smtp"],
            canary_url=options["canary_url"],
            canary_listen=options["canary_listen"],
            canary_within=timedelta(seconds=options["canary_within"]),
        )
        found: list[tuple[str, Finding]] = []
        for name, finding in examine(wish):
            found.append((name, finding))
            if not options["json"]:
                self._print(name, finding)
        if options["json"]:
            self.stdout.write(json.dumps({"data": [_json_of(*one) for one in found]}, indent=2))
        if failed := [name for name, finding in found if finding.state == State.FAILED]:
            raise CommandError(f"Failed: {', '.join(failed)}.")

    def _print(self, name: str, finding: Finding) -> None:
        """As soon as it is known: some take seconds."""
        names = max(len(check.name) for check in CHECKS) + GAP
        states = max(map(len, State)) + GAP
        self.stdout.write(f"{name:<{names}}{finding.state:<{states}}{readable(finding.seen)}")
        if finding.to_do:
            self.stdout.write(f"{'':<{names + states}}{readable(finding.to_do)}")
        self.stdout.flush()


def _json_of(name: str, finding: Finding) -> dict[str, str]:
    return {"name": name, "state": finding.state.value, "seen": finding.seen, "to_do": finding.to_do}


def _place(text: str) -> Listen:
    """`HOST:PORT`, or `:PORT` of this host."""
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):  # noqa: PLR2004
        raise ArgumentTypeError(f"{text!r} is not written HOST:PORT")
    return host.strip("[]") or LOOPBACK, int(port)
