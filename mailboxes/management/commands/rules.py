from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.commands import ChangeableCommand
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import shown
from mailboxes.api.serializers import RuleSerializer
from mailboxes.management.commands.aliases import find_alias
from mailboxes.management.commands.domains import find_domain
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Rule
from mailboxes.services import rule_book

VALUE = (
    "sender: an address, or <> for the null sender; sender_domain: a domain, with its sub-domains; network: in CIDR, "
    "or one address; attachment: a media type such as image/*, or the end of a filename such as .exe; size: larger "
    "than so many octets"
)


class Command(ChangeableCommand[Rule]):
    help = (
        "Which mail is let pass, blocked, discarded or kept back. Of rules that fit, the narrowest scope decides: "
        "alias, mailbox, domain, everywhere; within it the first of sender, sender_domain, network, attachment, size; "
        "then allow before block, discard, quarantine.  "
        "Example: manage.py rules create block sender_domain example.net --mailbox support@example.com"
    )
    noun = "rule"
    handle_help = "its id"
    enable_help = "let it hold again"
    disable_help = "let it do nothing for now"
    serializer = RuleSerializer
    columns: ClassVar = ("id", "action", "criterion", "value", "domain_id", "mailbox_id", "alias_id", "active")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=Rule.Action.values)
        parser.add_argument("criterion", choices=Rule.Criterion.values)
        parser.add_argument("value", help=VALUE)
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument("--domain", help="only for mail to its addresses: id or name")
        scope.add_argument("--mailbox", help="only for mail that reaches it: id or address")
        scope.add_argument("--alias", help="only for mail that comes by it: id or address")
        parser.add_argument("--description", default="", help="for people")

    def create(self, options: Mapping[str, Any]) -> tuple[Rule, Mapping[str, Any]]:
        rule = rule_book.create_rule(
            action=options["action"],
            criterion=options["criterion"],
            value=options["value"],
            domain=find_domain(options["domain"]) if options["domain"] else None,
            mailbox=find_mailbox(options["mailbox"]) if options["mailbox"] else None,
            alias=find_alias(options["alias"]) if options["alias"] else None,
            description=options["description"],
        )
        return rule, {}

    def add_update_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--action", choices=Rule.Action.values)
        parser.add_argument("--criterion", choices=Rule.Criterion.values)
        parser.add_argument("--value", help=VALUE)
        parser.add_argument("--description", help="for people")

    def changes(self, options: Mapping[str, Any]) -> dict[str, Any]:
        names = ("action", "criterion", "value", "description")
        return {name: options[name] for name in names if options[name] is not None}

    def update(self, row: Rule, **changes: Any) -> Rule:
        return rule_book.update_rule(row, **changes)

    def rows(self, options: Mapping[str, Any]) -> Iterable[Rule]:
        return Rule.objects.live()

    def find(self, text: str) -> Rule:
        pk = decode_id(Rule.ID_PREFIX, text)
        rule = Rule.objects.live().filter(pk=pk).first() if pk else None
        if rule is None:
            raise NotFoundError(f"There is no rule {shown(text)}; `manage.py rules list` shows their ids.")
        return rule

    def end(self, row: Rule) -> None:
        rule_book.delete_rule(row)
