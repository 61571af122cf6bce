from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from emailgistics.console import roles_page


class Command(BaseCommand):
    help = "Write the page of who may do what in the console, docs/console-roles.md.  Example: manage.py role_table"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, default=settings.BASE_DIR / "docs/console-roles.md")

    def handle(self, *args: object, file: Path, **options: object) -> None:
        import_module("emailgistics.urls")  # it registers the pages
        file.write_text(roles_page.text())
        self.stdout.write(str(file))
