import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from emailgistics.common.errors import DomainError
from emailgistics.recovery import backup

KEEP = (
    "The secrets are not in it, and without them it is worth nothing: keep SECRET_KEY, API_KEY_PEPPERS and "
    "ENCRYPTION_KEYS ({where}) elsewhere, and {journal} with them."
)


class Command(BaseCommand):
    help = (
        "Write a backup of the database into a new folder, while everything runs: with PostgreSQL by pg_dump, with "
        "SQLite by its online backup.  Example: manage.py backup /backups/2030-01-31"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("folder", nargs="?", type=Path, help="new or empty; made with mode 0700")
        what.add_argument(
            "--print-pg-dump", action="store_true", help="only print the command, for who dumps in another way"
        )
        parser.add_argument("--json", action="store_true", help="print the manifest")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["print_pg_dump"]:
            self._print_pg_dump()
            return
        try:
            manifest = backup.make(options["folder"])
        except DomainError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{error.filename or options['folder']}: {error.strerror}.") from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(manifest), indent=2))
            return
        rows = ", ".join(f"{count} {table}" for table, count in manifest.rows.items())
        self.stdout.write(f"{options['folder'] / manifest.file}: {manifest.octets} octets, {rows}")
        where = str(settings.DATA_DIR / "env") if settings.EMBEDDED else "of the environment"
        self.stdout.write(KEEP.format(where=where, journal=settings.JOURNAL_FILE))

    def _print_pg_dump(self) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("This database is SQLite: manage.py backup FOLDER copies it.")
        command, variables = backup.pg_dump("database.dump")
        if "PGPASSWORD" in variables:
            self.stderr.write("PGPASSWORD has to be set, or a ~/.pgpass.")
        self.stdout.write(shlex.join(command))
