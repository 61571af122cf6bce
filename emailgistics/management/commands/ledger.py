import json
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common.commands import aligned, in_short, readable
from emailgistics.operations import ledger
from emailgistics.operations.ledger import Balance

COLUMNS = ("day", "account", "came", "there", "went", "difference")


class Command(BaseCommand):
    help = (
        "What came and went against what is there, by day. Exit status 1 if anything differs.  "
        "Example: manage.py ledger  or  manage.py ledger accept 2030-01-31 --reason 'restored from a backup'"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", nargs="?", choices=["show", "accept"], default="show", help="show, by default")
        parser.add_argument("day", nargs="?", type=_day, help="YYYY-MM-DD, in UTC; by default every day that differs")
        parser.add_argument("--all", action="store_true", help="every day, not only those that differ")
        parser.add_argument("--reason", default="", help="what was found out about the difference; for the audit log")
        parser.add_argument("--json", action="store_true", help="print JSON")

    @in_short()
    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "accept":
            self._accept(options)
            return
        days = [options["day"]] if options["day"] else ledger.days_counted()
        for day in days:
            ledger.check_day(day)
        found = [ledger.mail(), *(balance for day in days for balance in ledger.balances(day))]
        wrong = [balance for balance in found if balance.difference]
        shown = found if options["all"] or options["day"] else [found[0], *(row for row in wrong if row.day)]
        self._print(shown, days=len(days), as_json=options["json"])
        if wrong:
            raise CommandError(f"{len(wrong)} accounts differ.")

    def _accept(self, options: dict[str, Any]) -> None:
        if not options["day"] or not options["reason"].strip():
            raise CommandError("Say which day, and why: ledger accept 2030-01-31 --reason '…'.", returncode=2)
        accepted = ledger.accept(options["day"], reason=options["reason"].strip())
        if options["json"]:
            self.stdout.write(json.dumps({"data": [_json(balance) for balance in accepted]}, indent=2))
            return
        said = ", ".join(f"{balance.account} {balance.difference:+}" for balance in accepted)
        self.stdout.write(f"Accepted for {options['day']}: {said or 'nothing differs'}.")

    def _print(self, balances: list[Balance], *, days: int, as_json: bool) -> None:
        rows = [_json(balance) for balance in balances]
        if as_json:
            self.stdout.write(json.dumps({"days": days, "data": rows}, indent=2))
            return
        table = [[readable(row[name]) for name in COLUMNS] for row in rows]
        for line in aligned([list(COLUMNS), *table]):
            self.stdout.write(line)
        self.stdout.write(f"{days} day{'' if days == 1 else 's'} looked at.")


def _json(balance: Balance) -> dict[str, Any]:
    return {
        "day": balance.day.isoformat() if balance.day else None,
        "account": balance.account,
        "came": balance.came,
        "there": sum(balance.found.values()),
        "went": balance.went,
        "accepted": balance.accepted,
        "difference": balance.difference,
        "by_state": dict(balance.found),
    }


def _day(text: str) -> date:
    return date.fromisoformat(text)
