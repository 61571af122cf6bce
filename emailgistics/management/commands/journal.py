import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common import selftest
from emailgistics.common.commands import Json, Verbs
from emailgistics.common.errors import DomainError
from emailgistics.recovery import reapply
from emailgistics.recovery.reapply import Outcome


class Command(BaseCommand):
    help = (
        "After a restore: do again what the journals of all hosts say was revoked, erased or withdrawn since the "
        "backup. As often as you like.  Example: manage.py journal apply /srv/*/journal.jsonl"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        apply = Verbs(parser).add("apply", "do again what they say, and this database does not know", self._apply)
        apply.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the JOURNAL_FILE of a host")
        apply.add_argument("--dry-run", action="store_true", help="only say what would come")

    def handle(self, *args: Any, **options: Any) -> None:
        options["run"](options)

    def _apply(self, options: Json) -> None:
        try:
            selftest.refuse_wrong_secrets()  # what was erased is found by marks, which come from the encryption keys
            outcome = reapply.apply(options["files"], is_rehearsal=options["dry_run"])
        except DomainError as error:
            raise CommandError(error.message) from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from error
        if options["json"]:
            self.stdout.write(json.dumps(json_of(outcome), indent=2))
        else:
            for line in for_people(outcome):
                self.stdout.write(line)
        if left := outcome.what_is_left:
            raise CommandError(left)


def json_of(outcome: Outcome) -> dict[str, Any]:
    return asdict(outcome)


def for_people(outcome: Outcome) -> Iterator[str]:
    yield f"journal: {outcome.read} lines read, {outcome.known} of them known here, {outcome.torn} torn"
    for what, count in sorted(outcome.applied.items()):
        yield f"  {what}: {count}, of which {outcome.changed.get(what, 0)} changed something"
    for what, count in sorted(outcome.unknown.items()):
        yield f"  {what}: {count}, which this release does not know"
