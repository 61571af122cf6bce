from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.commands import ResourceCommand
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import ParsedAddress, shown
from mailboxes.api.serializers import MailboxSerializer
from mailboxes.models import Mailbox
from mailboxes.services import provision


def find_mailbox(text: str) -> Mailbox:
    """By id or address. Raises NotFoundError, InvalidAddressError."""
    live = Mailbox.objects.live().select_related("domain")
    if pk := decode_id(Mailbox.ID_PREFIX, text):
        found = live.filter(pk=pk)
    else:
        address = ParsedAddress.parse(text)
        found = live.filter(address_row__local_key=address.local_key, address_row__domain__name=address.domain)
    mailbox = found.first()
    if mailbox is None:
        raise NotFoundError(f"There is no mailbox {shown(text)}.")
    return mailbox


class Command(ResourceCommand[Mailbox]):
    help = "Shared mailboxes.  Example: manage.py mailboxes create support@example.com"
    noun = "mailbox"
    handle_help = "its id or its address"
    serializer = MailboxSerializer
    columns: ClassVar = ("id", "address", "name", "active")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="such as support@example.com, in a domain that exists")
        parser.add_argument("--name", default="", help="for people")

    def create(self, options: Mapping[str, Any]) -> tuple[Mailbox, Mapping[str, Any]]:
        return provision.create_mailbox(address=options["address"], name=options["name"]), {}

    def rows(self, options: Mapping[str, Any]) -> Iterable[Mailbox]:
        return Mailbox.objects.live().select_related("domain")

    def find(self, text: str) -> Mailbox:
        return find_mailbox(text)

    def end(self, row: Mailbox) -> None:
        provision.delete_mailbox(row)
