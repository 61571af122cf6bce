import json
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from emailgistics.docs import reference
from emailgistics.docs.library import WRITTEN_BASE_URL
from emailgistics.docs.schema import document


class Command(BaseCommand):
    help = (
        "Write the reference of the API, docs/api/*.md, and the table of codes in docs/guide/errors.md.  "
        "Example: manage.py api_reference"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--folder", type=Path, default=settings.BASE_DIR / "docs")

    def handle(self, *args: object, folder: Path, **options: object) -> None:
        made = reference.pages(json.loads(document(WRITTEN_BASE_URL)))
        (folder / "api").mkdir(exist_ok=True)
        for left_over in {path.name for path in (folder / "api").glob("*.md")} - made.keys():
            (folder / "api" / left_over).unlink()
        for name, text in made.items():
            self._write(folder / "api" / name, text)
        errors = folder / "guide" / "errors.md"
        self._write(errors, reference.with_codes(errors.read_text()))

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.stdout.write(str(path))
