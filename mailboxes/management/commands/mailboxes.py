from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.access import OPERATOR
from emailgistics.common.commands import ChangeableCommand
from emailgistics.common.errors import NotFoundError, RefusedError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import ParsedAddress, shown
from mailboxes.api.serializers import MailboxSerializer
from mailboxes.models import Mailbox
from mailboxes.services import provision
from mailboxes.services.provision import Retention

KEEP = "keep"
NO_QUOTA = "none"
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
KEPT = {
    "raw_days": "the raw mail",
    "content_days": "what it says, headers too",
    "log_days": "that there was an email",
}


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


class Command(ChangeableCommand[Mailbox]):
    help = "Shared mailboxes.  Example: manage.py mailboxes create support@example.com"
    noun = "mailbox"
    handle_help = "its id or its address"
    serializer = MailboxSerializer
    columns: ClassVar = ("id", "address", "name", "active")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="such as support@example.com, in a domain that exists")
        self.add_update_arguments(parser)

    def create(self, options: Mapping[str, Any]) -> tuple[Mailbox, Mapping[str, Any]]:
        return provision.create_mailbox(address=options["address"], **self.changes(options)), {}

    def add_update_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", help="for people")
        parser.add_argument("--time-zone", metavar="ZONE", help="such as Europe/Berlin; '' is the installation's")
        for name, what in KEPT.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                metavar="DAYS",
                help=f"how long to keep {what}, also of mail that is there; {KEEP}: as RETENTION_{name.upper()} says",
            )
        parser.add_argument(
            "--quota-bytes",
            metavar="SIZE",
            help=f"of mail that it may hold: 500M, 2G or a number of octets, 1M at least; or {NO_QUOTA}",
        )

    def changes(self, options: Mapping[str, Any]) -> dict[str, Any]:
        changes: dict[str, Any] = {name: options[name] for name in ("name", "time_zone") if options[name] is not None}
        if options["quota_bytes"] is not None:
            changes["quota_bytes"] = quota_of(options["quota_bytes"])
        retention = {name: days_of(options[name], name) for name in KEPT if options[name] is not None}
        return {**changes, "retention": Retention(**retention)} if retention else changes  # type: ignore[typeddict-item]  # its keys

    def update(self, row: Mailbox, **changes: Any) -> Mailbox:
        return provision.update_mailbox(row, **changes)

    def rows(self, options: Mapping[str, Any]) -> Iterable[Mailbox]:
        return Mailbox.objects.live().select_related("domain").with_used_bytes()

    def find(self, text: str) -> Mailbox:
        return find_mailbox(text)

    def add_end_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--with-mail", action="store_true", help="although there is mail in it, and erase that")

    def end_as(self, row: Mailbox, options: Mapping[str, Any]) -> None:
        provision.delete_mailbox(row, with_mail=options["with_mail"], by=OPERATOR)


def days_of(text: str, name: str) -> int | None:
    """Raises RefusedError."""
    if text == KEEP:
        return None
    if not _is_number(text, at_most=provision.MAX_RETENTION_DAYS):
        raise RefusedError(f"{name} is a number from 1 to {provision.MAX_RETENTION_DAYS}, or {KEEP}.", field=name)
    return int(text)


def quota_of(text: str) -> int | None:
    """Raises RefusedError."""
    if text == NO_QUOTA:
        return None
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if unit not in UNITS or not _is_number(number, at_most=provision.MAX_QUOTA_BYTES):
        raise RefusedError(f"A quota is written 500M, 2G, as a number of octets, or {NO_QUOTA}.", field="quota_bytes")
    return int(number) * UNITS[unit]


def _is_number(text: str, *, at_most: int) -> bool:
    """Not of more digits than that: whether it is more, the service says."""
    return text.isascii() and text.isdecimal() and len(text) <= len(str(at_most))
