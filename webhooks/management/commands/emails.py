from collections.abc import Iterable
from typing import ClassVar
from uuid import UUID

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from emailgistics.common.commands import Json, RecordCommand, Verbs
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import shown
from mailboxes.api.serializers import EmailDetailSerializer
from mailboxes.models import Email
from webhooks.management.commands._reparse import Reparsing

NEWEST = 100


def parse_id(text: str) -> UUID:
    """Of an email that need not be there any more. Raises NotFoundError."""
    pk = decode_id(Email.ID_PREFIX, text)
    if pk is None:
        raise NotFoundError(f"There is no email {shown(text)}; `manage.py emails list` shows their ids.")
    return pk


class Command(Reparsing, RecordCommand[Email]):
    help = (
        "Mail that was accepted, the newest first; and opening it again.  "
        "Example: manage.py emails reparse --older-than-version"
    )
    noun = "email"
    handle_help = "its id"
    serializer = EmailDetailSerializer
    columns: ClassVar = ("received_at", "id", "mailbox_id", "status", "mail_from", "subject")

    def add_list_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=NEWEST, help=f"at most so many (default {NEWEST})")

    def add_verbs(self, verbs: Verbs) -> None:
        self.add_reparse(verbs)

    def rows(self, options: Json) -> Iterable[Email]:
        return _rows().prefetch_related("recipients").order_by("-id")[: max(options["limit"], 0)]

    def find(self, text: str) -> Email:
        email = _rows().filter(pk=parse_id(text)).first()
        if email is None:
            raise NotFoundError(f"There is no email {shown(text)}; `manage.py emails list` shows their ids.")
        return email


def _rows() -> QuerySet[Email]:
    large = (f"content__{name}" for name in ("text", "html", "headers"))
    return Email.objects.select_related("message", "content").defer(*large)
