from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.commands import ResourceCommand
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import ParsedAddress, shown
from mailboxes.api.serializers import AliasSerializer
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Alias
from mailboxes.services import provision


def find_alias(text: str) -> Alias:
    """By id or address. Raises NotFoundError, InvalidAddressError."""
    live = Alias.objects.live().select_related("domain")
    if pk := decode_id(Alias.ID_PREFIX, text):
        found = live.filter(pk=pk)
    else:
        address = ParsedAddress.parse(text)
        found = live.filter(address_row__local_key=address.local_key, address_row__domain__name=address.domain)
    alias = found.first()
    if alias is None:
        raise NotFoundError(f"There is no alias {shown(text)}.")
    return alias


class Command(ResourceCommand[Alias]):
    help = (
        "Further addresses that lead to a mailbox.  "
        "Example: manage.py aliases create help@example.com --mailbox support@example.com"
    )
    noun = "alias"
    handle_help = "its id or its address"
    serializer = AliasSerializer
    columns: ClassVar = ("id", "address", "kind", "mailbox_id", "active")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="such as help@example.com; *@example.com catches what nothing else takes")
        parser.add_argument("--mailbox", required=True, help="where it leads: id or address")
        parser.add_argument("--description", default="", help="for people")

    def create(self, options: Mapping[str, Any]) -> tuple[Alias, Mapping[str, Any]]:
        mailbox = find_mailbox(options["mailbox"])
        alias = provision.create_alias(address=options["address"], mailbox=mailbox, description=options["description"])
        return alias, {}

    def rows(self, options: Mapping[str, Any]) -> Iterable[Alias]:
        return Alias.objects.live().select_related("domain")

    def find(self, text: str) -> Alias:
        return find_alias(text)

    def end(self, row: Alias) -> None:
        provision.delete_alias(row)
