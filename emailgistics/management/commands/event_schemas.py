from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from emailgistics.docs.schema import event_schema
from webhooks.samples import EVENTS


class Command(BaseCommand):
    help = "Write the JSON Schemas of events, as /v1/schemas serves them.  Example: manage.py event_schemas"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--folder", type=Path, default=settings.BASE_DIR / "docs" / "schemas")

    def handle(self, *args: object, folder: Path, **options: object) -> None:
        for event_type in EVENTS:
            path = folder / f"{event_type}.json"
            path.write_bytes(event_schema(event_type) or b"")
            self.stdout.write(str(path))
