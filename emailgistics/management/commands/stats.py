import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common.errors import DomainError
from emailgistics.reports.api.serializers import StatisticsSerializer
from emailgistics.reports.backfill import backfill
from emailgistics.reports.periods import Interval, parse_when
from emailgistics.reports.statistics import statistics, whose
from mailboxes.management.commands.aliases import find_alias
from mailboxes.management.commands.domains import find_domain
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.services import counted

COLUMNS = ("received", "processed", "delivered", "failed", "held", "retries", "latency_p95_ms")


class Command(BaseCommand):
    help = (
        "How much mail came, and what became of it: as GET /v1/statistics, of everything.  "
        "Example: manage.py stats --interval week --domain example.com"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        when = "a date, as it begins, or 2030-01-31T18:00Z"
        parser.add_argument("--from", dest="since", help=f"where it begins; 30 days before --to by default: {when}")
        parser.add_argument("--to", dest="until", help=f"before which it ends; the end of today by default: {when}")
        parser.add_argument("--interval", choices=[*map(str, Interval)], default=str(Interval.DAY), help="of a row")
        parser.add_argument("--time-zone", help="IANA name; the installation's by default")
        parser.add_argument("--mailbox", help="only mail in it: id or address")
        parser.add_argument("--alias", help="only mail that came by it: id or address")
        parser.add_argument("--domain", help="only mail in its mailboxes: id or name")
        parser.add_argument("--json", action="store_true", help="as the API answers it")
        parser.add_argument(
            "--backfill",
            action="store_true",
            help="first count what happened before a release that counts: once, after upgrading",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["backfill"]:
                self.stderr.write(f"Counted {backfill()} emails of earlier, and their deliveries.")
                counted.fold()
            found = statistics(
                whose(
                    None,
                    mailbox=find_mailbox(options["mailbox"]) if options["mailbox"] else None,
                    alias=find_alias(options["alias"]) if options["alias"] else None,
                    domain=find_domain(options["domain"]) if options["domain"] else None,
                ),
                since=parse_when(options["since"], field="from") if options["since"] else None,
                until=parse_when(options["until"], field="to") if options["until"] else None,
                interval=Interval(options["interval"]),
                time_zone=options["time_zone"],
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        shown = StatisticsSerializer(found).data
        if options["json"]:
            self.stdout.write(json.dumps(shown, indent=2))
            return
        self.stdout.write("  ".join(["from".ljust(24), *COLUMNS]))
        for row in [*shown["data"], {"start": "all", **shown["totals"]}]:
            values = ("-" if row[name] is None else str(row[name]) for name in COLUMNS)
            cells = (value.rjust(len(name)) for name, value in zip(COLUMNS, values, strict=True))
            self.stdout.write("  ".join([row["start"].ljust(24), *cells]))
