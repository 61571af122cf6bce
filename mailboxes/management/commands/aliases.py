from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.commands import ChangeableCommand, Verbs
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


class Command(ChangeableCommand[Alias]):
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

    def add_verbs(self, verbs: Verbs) -> None:
        super().add_verbs(verbs)
        move = verbs.add("move", "lead it to another mailbox; what came before stays where it is", self._move)
        move.add_argument("which", help=self.handle_help)
        move.add_argument("--mailbox", required=True, help="where it leads from now on: id or address")

    def add_update_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--description", help="for people")

    def changes(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {} if options["description"] is None else {"description": options["description"]}

    def update(self, row: Alias, **changes: Any) -> Alias:
        return provision.update_alias(row, **changes)

    def rows(self, options: Mapping[str, Any]) -> Iterable[Alias]:
        return Alias.objects.live().select_related("domain")

    def find(self, text: str) -> Alias:
        return find_alias(text)

    def end(self, row: Alias) -> None:
        provision.delete_alias(row)

    def _move(self, options: Mapping[str, Any]) -> None:
        alias = self.find(options["which"])
        self.print_one(self.update(alias, mailbox=find_mailbox(options["mailbox"])), options)
