import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.operations import roles


class Command(BaseCommand):
    help = (
        "Whether the processes of one kind on this machine live and do their work, for the health check of a "
        "container: exit status 0 if so, 1 if not. Asks neither the broker nor the database.  "
        "Example: manage.py health --role worker"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", required=True, choices=roles.ROLES, help="which kind of process")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        trouble = roles.why_not(options["role"])
        if options["json"]:
            told = {"role": options["role"], "healthy": not trouble, "reason": trouble}
            self.stdout.write(json.dumps(told, indent=2))
        elif not trouble:
            self.stdout.write("ok")
        if trouble:
            raise CommandError(trouble)
