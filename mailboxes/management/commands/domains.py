import argparse
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.access import OPERATOR
from emailgistics.common.commands import ChangeableCommand, Verbs
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes import addresses
from mailboxes.api.serializers import DomainSerializer
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Domain
from mailboxes.services import provision, verification

SUBDOMAINS = "mail to support@any.example.com is mail to support@example.com"


def find_domain(text: str) -> Domain:
    """By id or name. Raises NotFoundError, InvalidAddressError."""
    live = Domain.objects.live()
    pk = decode_id(Domain.ID_PREFIX, text)
    domain = (live.filter(pk=pk) if pk else live.filter(name=addresses.domain_key(text))).first()
    if domain is None:
        raise NotFoundError(f"There is no domain {addresses.shown(text)}.")
    return domain


class Command(ChangeableCommand[Domain]):
    help = "Domains that mail is taken for.  Example: manage.py domains create example.com"
    noun = "domain"
    handle_help = "its id or its name"
    serializer = DomainSerializer
    columns: ClassVar = ("id", "name", "active", "test")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="such as example.com")
        parser.add_argument("--test", action="store_true", help="for trying things out; marked as such everywhere")
        parser.add_argument("--subdomains", action="store_true", help=SUBDOMAINS)
        parser.add_argument(
            "--default-mailbox",
            default=provision.DEFAULT_MAILBOX,
            metavar="LOCAL-PART",
            help="the mailbox for what belongs nowhere else (%(default)s)",
        )

    def create(self, options: Mapping[str, Any]) -> tuple[Domain, Mapping[str, Any]]:
        domain = provision.create_domain(
            name=options["name"],
            is_test=options["test"],
            includes_subdomains=options["subdomains"],
            default_local_part=options["default_mailbox"],
        )
        return domain, {}

    def add_update_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--test", action=argparse.BooleanOptionalAction, help="for trying things out; marked as such everywhere"
        )
        parser.add_argument("--subdomains", action=argparse.BooleanOptionalAction, help=SUBDOMAINS)
        parser.add_argument("--default-mailbox", metavar="MAILBOX", help="another of its own: id or address")

    def changes(self, options: Mapping[str, Any]) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if options["test"] is not None:
            changes["is_test"] = options["test"]
        if options["subdomains"] is not None:
            changes["includes_subdomains"] = options["subdomains"]
        if options["default_mailbox"] is not None:
            changes["default_mailbox"] = find_mailbox(options["default_mailbox"])
        return changes

    def add_verbs(self, verbs: Verbs) -> None:
        super().add_verbs(verbs)
        verify = verbs.add("verify", "look for its record in the DNS, and note that it is there", self._verify)
        verify.add_argument("which", help=self.handle_help)

    def update(self, row: Domain, **changes: Any) -> Domain:
        return provision.update_domain(row, **changes)

    def rows(self, options: Mapping[str, Any]) -> Iterable[Domain]:
        return Domain.objects.live()

    def find(self, text: str) -> Domain:
        return find_domain(text)

    def add_end_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--with-mail", action="store_true", help="although there is mail in its mailboxes, and erase that"
        )

    def end_as(self, row: Domain, options: Mapping[str, Any]) -> None:
        provision.delete_domain(row, with_mail=options["with_mail"], by=OPERATOR)

    def _show(self, options: Mapping[str, Any]) -> None:
        domain = self.find(options["which"])
        self.print_one(domain, options)
        # not in the JSON: that is the API's
        if not options["json"] and not domain.is_test and domain.verified_at is None:
            self.stdout.write(
                f"\nTo verify it, put this into its DNS, and run `manage.py domains verify {domain.name}`:"
            )
            self.stdout.write(str(verification.record_of(domain)))

    def _verify(self, options: Mapping[str, Any]) -> None:
        self.print_one(verification.verify_domain(self.find(options["which"])), options)
