from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from emailgistics.docs import commands


class Command(BaseCommand):
    help = (
        "Write the page of all commands, docs/operations/commands.md, from what they take.  "
        "Example: manage.py command_reference"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, default=settings.BASE_DIR / "docs/operations/commands.md")

    def handle(self, *args: object, file: Path, **options: object) -> None:
        file.write_text(commands.text())
        self.stdout.write(str(file))
