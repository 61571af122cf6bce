import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common.commands import readable
from emailgistics.common.errors import DomainError
from mailboxes.api.serializers import OutlookSerializer
from mailboxes.services.explain import explain


class Command(BaseCommand):
    help = (
        "Says where mail to an address would go, and why; nothing is sent. Exit status: 0 it would be accepted, 1 it "
        "would be refused.  Example: manage.py route help+order-7@example.com --from ada@example.net"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="envelope recipient")
        parser.add_argument("--from", dest="mail_from", default="", help="envelope sender; nothing is the null sender")
        parser.add_argument("--client-ip", help="of the sender's host; without one the mail comes from here")
        parser.add_argument("--size", type=int, help="octets")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("mail_from", "client_ip", "size")
        try:
            outlook = explain(options["address"], **{name: options[name] for name in names})
        except DomainError as error:
            raise CommandError(error.message) from error
        shown = dict(OutlookSerializer(outlook).data)
        if options["json"]:
            self.stdout.write(json.dumps(shown, indent=2))
        else:
            self._print(shown)
            if not options["mail_from"]:
                self.stdout.write("asked for the null sender, which bounces have; --from asks for another")
        if not outlook.is_accepted:
            sys.exit(1)

    def _print(self, shown: dict[str, Any]) -> None:
        self.stdout.write(shown["reply"])
        for mailbox in shown["mailboxes"]:
            verdict = mailbox["verdict"]
            said = f" ({verdict['action']}: {verdict['reason']})" if verdict["reason"] else ""
            self.stdout.write(f"  to {readable(mailbox['address'])}{'  as a copy' if mailbox['copy'] else ''}{said}")
        for name in ("kind", "tag", "captures"):
            if shown[name]:
                self.stdout.write(f"  {name} {readable(shown[name])}")
        self.stdout.write("because")
        for step in shown["explanation"]:
            self.stdout.write(f"  {readable(step)}")
