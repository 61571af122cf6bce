import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common.errors import DomainError
from emailgistics.management.commands.journal import for_people, json_of
from emailgistics.recovery import restore
from emailgistics.recovery.restore import Restored


class Command(BaseCommand):
    help = (
        "Put a backup into the database of the settings, which has to be empty, and apply journals. Stop all parts "
        "first; nothing is sent before `manage.py resume`.  "
        "Example: manage.py restore /backups/2030-01-31 --journal /srv/journal.jsonl"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="that `manage.py backup` has written")
        parser.add_argument(
            "--journal", type=Path, action="append", default=[], help="the JOURNAL_FILE of a host; of every one of them"
        )
        parser.add_argument(
            "--secrets-are-lost",
            action="store_true",
            help="although not all of it opens with what is configured; `rotate_keys --accept` comes next",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = restore.restore(
                options["folder"], journals=options["journal"], secrets_are_lost=options["secrets_are_lost"]
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        if options["json"]:
            self.stdout.write(json.dumps(_json(done), indent=2))
        else:
            self._tell(done, options["journal"])
        if left := done.journal.what_is_left:
            raise CommandError(f"The backup is in place, but not all of the journal: {left}")

    def _tell(self, done: Restored, journals: list[Path]) -> None:
        rows = ", ".join(f"{count} {table}" for table, count in done.manifest.rows.items())
        self.stdout.write(f"The backup of {done.manifest.taken_at} is in place, with {rows}.")
        for line in for_people(done.journal):
            self.stdout.write(line)
        if not journals:
            self.stdout.write("No journal was given: manage.py journal apply FILE… before anything is started.")
        self.stdout.write(f"Nothing is sent until: manage.py resume --since {done.at.isoformat()}")


def _json(done: Restored) -> dict[str, Any]:
    manifest = done.manifest
    return {
        "taken_at": manifest.taken_at,
        "restored_at": done.at.isoformat(),
        "rows": manifest.rows,
        "journal": json_of(done.journal),
    }
