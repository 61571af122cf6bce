from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.access import OPERATOR
from emailgistics.common.commands import ChangeableCommand, Verbs
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import local_key, shown
from mailboxes.api.serializers import AliasSerializer
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Alias, Mailbox
from mailboxes.patterns import is_pattern
from mailboxes.services import provision

ALSO = "a further mailbox that gets an email of its own (id or address)"
PRIORITY = "of patterns that fit, the lowest wins"


def find_alias(text: str) -> Alias:
    """By id or address. Raises NotFoundError, InvalidAddressError."""
    live = Alias.objects.live().select_related("domain").with_copies()
    if pk := decode_id(Alias.ID_PREFIX, text):
        found = live.filter(pk=pk)
    else:
        name, domain = provision.split_alias(text)
        if is_pattern(name):
            found = live.filter(kind=Alias.Kind.PATTERN, name=name, domain__name=domain)
        else:
            found = live.filter(address_row__local_key=local_key(name), address_row__domain__name=domain)
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
    columns: ClassVar = ("id", "address", "kind", "priority", "mailbox_id", "active")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "address",
            help="such as help@example.com; 'sales-*@example.com' and '/order-[0-9]+/@example.com' (RE2) are patterns, "
            "'*@example.com' catches what nothing else takes",
        )
        parser.add_argument("--mailbox", required=True, help="where it leads: id or address")
        parser.add_argument("--also", action="append", default=[], metavar="MAILBOX", help=f"{ALSO}; may be repeated")
        parser.add_argument("--priority", type=int, default=provision.DEFAULT_PRIORITY, help=PRIORITY)
        parser.add_argument("--description", default="", help="for people")

    def create(self, options: Mapping[str, Any]) -> tuple[Alias, Mapping[str, Any]]:
        mailbox = find_mailbox(options["mailbox"])
        alias = provision.create_alias(
            address=options["address"],
            mailbox=mailbox,
            further_mailboxes=_mailboxes(options["also"]),
            priority=options["priority"],
            description=options["description"],
        )
        return alias, {}

    def add_verbs(self, verbs: Verbs) -> None:
        super().add_verbs(verbs)
        move = verbs.add("move", "lead it to another mailbox; what came before stays where it is", self._move)
        move.add_argument("which", help=self.handle_help)
        move.add_argument("--mailbox", required=True, help="where it leads from now on: id or address")

    def add_update_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--description", help="for people")
        parser.add_argument("--priority", type=int, help=PRIORITY)
        also = parser.add_mutually_exclusive_group()
        also.add_argument("--also", action="append", metavar="MAILBOX", help=f"{ALSO}, in place of what there is")
        also.add_argument("--only", action="store_true", help="nowhere but to its own mailbox")

    def changes(self, options: Mapping[str, Any]) -> dict[str, Any]:
        changes = {name: options[name] for name in ("description", "priority") if options[name] is not None}
        if options["only"] or options["also"]:
            changes["further_mailboxes"] = _mailboxes(options["also"] or [])
        return changes

    def update(self, row: Alias, **changes: Any) -> Alias:
        return find_alias(provision.update_alias(row, **changes).public_id)

    def rows(self, options: Mapping[str, Any]) -> Iterable[Alias]:
        return Alias.objects.live().select_related("domain").with_copies()

    def find(self, text: str) -> Alias:
        return find_alias(text)

    def end(self, row: Alias) -> None:
        provision.delete_alias(row, by=OPERATOR)

    def _move(self, options: Mapping[str, Any]) -> None:
        alias = self.find(options["which"])
        self.print_one(self.update(alias, mailbox=find_mailbox(options["mailbox"])), options)


def _mailboxes(texts: Iterable[str]) -> list[Mailbox]:
    return [find_mailbox(text) for text in texts]
