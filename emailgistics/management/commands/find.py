import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common.admin import WHOLE_KEY
from emailgistics.common.commands import GAP, aligned, in_short, readable
from emailgistics.common.ids import decode_id
from emailgistics.common.models import AuditEntry
from emailgistics.console import search
from emailgistics.console.search import Hit
from emailgistics.reports import stories
from emailgistics.reports.stories import Story
from mailboxes.addresses import shown
from mailboxes.models import Email
from mailboxes.services import erase


class Command(BaseCommand):
    help = (
        "The story of anything that you have in hand: what it is, what happened to it and when. Takes any id (email_…, "
        "msg_…, evt_…, dlv_…, wh_…), an address, a Message-ID, the identifier of a key, a URL, a name or an IP "
        "address, as the search box of the console does.  Example: manage.py find email_…"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", help="an id, an address, a Message-ID, …")
        parser.add_argument("--json", action="store_true", help="print JSON")

    @in_short()
    def handle(self, *args: Any, **options: Any) -> None:
        # of a whole key that somebody pastes, only what is no secret is looked for, and said again
        term = WHOLE_KEY.sub(r"\1", options["what"].strip())
        found = list(_told(term))
        if not found:
            raise CommandError(_nothing(term))
        if options["json"]:
            self.stdout.write(json.dumps({"data": [stories.json_of(story) for story in found]}, indent=2))
            return
        for story in found:
            self._print(story)

    def _print(self, story: Story) -> None:
        self.stdout.write(f"{story.kind} {readable(story.id)}")
        width = max(map(len, story.thing))
        for name, value in story.thing.items():
            if name not in ("id", "attempt_log"):  # the attempts are in its story
                self.stdout.write(f"{GAP}{name:<{width}}{GAP}{readable(value)}")
        for step in stories.json_of(story)["story"]:
            self.stdout.write(f"{GAP}{step['at'] or 'now':<24}{GAP}{readable(step['what'])}")
        for what, rows in story.beside.items():
            self._print_beside(what, rows)
        self.stdout.write("")

    def _print_beside(self, what: str, rows: stories.Rows) -> None:
        columns = [name for name in SHOWN if rows and name in rows[0]]
        if columns:
            self.stdout.write(f"{GAP}{what}:")
            for line in aligned([[readable(row[name]) for name in columns] for row in rows]):
                self.stdout.write(f"{GAP}{GAP}{line}")


# of what stands beside a thing, for people
SHOWN = ("id", "received_at", "state", "status", "url", "address", "type", "from", "subject", "reason")


def _told(term: str) -> Iterator[Story]:
    """Each thing once, the surest first."""
    seen: set[str] = set()
    for hit in search.find(lambda _action: True, term):
        for story in _of_hit(hit, term):
            if story.id not in seen:
                seen.add(story.id)
                yield story


def _of_hit(hit: Hit, term: str) -> Iterator[Story]:
    if hit.row is not None:
        yield from stories.stories_of(hit.row)
    elif hit.rows is not None and hit.rows.model is AuditEntry:
        yield stories.of_audit(hit.rows, term)
    elif hit.rows is not None:
        for row in hit.rows.order_by("-pk")[: search.FEW]:
            yield from stories.stories_of(row)


def _nothing(term: str) -> str:
    if (pk := decode_id(Email.ID_PREFIX, term)) and erase.was_erased(pk):
        return f"{term} was erased: nothing of it is left here."
    if search.is_request_id(term):
        return f"{term} is the id of a request: it is in the log of the web part."
    return f"There is nothing here by {shown(term)}."
