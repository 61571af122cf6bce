from collections.abc import Iterable
from typing import ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.commands import Json, RecordCommand
from emailgistics.common.errors import NotFoundError, RefusedError
from emailgistics.common.ids import decode_id
from emailgistics.common.when import WHEN_HELP, parse_when
from mailboxes.addresses import shown
from mailboxes.api.filters import parse_network, refusals_with
from mailboxes.api.serializers import RefusalSerializer
from mailboxes.models import Refusal

NEWEST = 100


class Command(RecordCommand[Refusal]):
    help = (
        "Mail that was not taken, or was thrown away as a rule says: the newest first, with the reply that was given. "
        "Of what a network is refused in an hour only the first few are on record.  "
        "Example: manage.py refusals list --recipient help@example.com --since 24h"
    )
    noun = "refusal"
    handle_help = "its id"
    serializer = RefusalSerializer
    columns: ClassVar = ("created_at", "id", "outcome", "code", "client_ip", "mail_from", "recipient", "reply")

    def add_list_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--network", help="only of hosts in this network: a /24, a /64 of IPv6, or an address in it"
        )
        parser.add_argument("--recipient", help="only for this one, as the host named it, but for case")
        parser.add_argument("--code", help="only with this code: unknown_recipient, rule, …")
        parser.add_argument("--outcome", choices=Refusal.Outcome.values, help="only with this outcome")
        parser.add_argument("--since", help=f"only from then on: {WHEN_HELP}")
        parser.add_argument("--until", help="and before then")
        parser.add_argument("--limit", type=int, default=NEWEST, help=f"at most so many (default {NEWEST})")

    def rows(self, options: Json) -> Iterable[Refusal]:
        since, until = (parse_when(options[name], name=name) if options[name] else None for name in ("since", "until"))
        rows = refusals_with(
            network=_network(options["network"]) if options["network"] else None,
            recipient=options["recipient"],
            code=options["code"],
            outcome=options["outcome"],
            since=since,
            until=until,
        )
        return rows.order_by("-pk")[: max(options["limit"], 0)]

    def find(self, text: str) -> Refusal:
        pk = decode_id(Refusal.ID_PREFIX, text)
        refusal = Refusal.objects.filter(pk=pk).first() if pk else None
        if refusal is None:
            raise NotFoundError(f"There is no refusal {shown(text)}; `manage.py refusals list` shows their ids.")
        return refusal


def _network(text: str) -> str:
    """Raises RefusedError."""
    try:
        return parse_network(text)
    except ValueError as error:
        raise RefusedError(str(error), field="network") from error
