import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common.commands import Json, aligned
from emailgistics.common.errors import DomainError
from emailgistics.common.ids import decode_id, encode_id
from emailgistics.common.when import WHEN_HELP, parse_when
from webhooks.management.commands.webhooks import OPERATOR, find_webhook
from webhooks.models import Delivery, Webhook
from webhooks.services import restored

ALL = "all"
WHICH_HELP = f"of this webhook, this delivery, or {ALL}"


class Command(BaseCommand):
    help = (
        "After a restore: let webhooks go out again, and hold what is older than the restore, as it may have been "
        "delivered before; then release or drop what is held. Without anything: how much is held.  "
        "Example: manage.py resume --since 2030-01-31T18:00:00Z"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--since", help=f"when the restored database was taken into use, as `restore` said: {WHEN_HELP}"
        )
        what.add_argument("--release", metavar="ID", help=f"send what is held after all: {WHICH_HELP}")
        what.add_argument("--drop", metavar="ID", help=f"end what is held, as not sent: {WHICH_HELP}")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._do(options)
        except DomainError as error:
            raise CommandError(error.message) from error

    def _do(self, options: Json) -> None:
        if options["since"]:
            count = restored.resume(since=parse_when(options["since"], name="since"), by=OPERATOR)
            told = f"{count} deliveries are held by it. Webhooks go out."
        elif options["release"]:
            count = restored.release(_rows(options["release"]))
            told = f"{count} released"
        elif options["drop"]:
            count = restored.drop(_rows(options["drop"]), by=OPERATOR)
            told = f"{count} dropped"
        else:
            self._list(options)
            return
        self.stdout.write(json.dumps({"deliveries": count}) if options["json"] else told)

    def _list(self, options: Json) -> None:
        rows = [
            {
                "webhook_id": encode_id(Webhook.ID_PREFIX, one.webhook_id),
                "deliveries": one.count,
                "oldest_at": one.oldest_at.isoformat(),
            }
            for one in restored.waiting()
        ]
        if options["json"]:
            self.stdout.write(json.dumps({"is_stopped": restored.is_stopped(), "data": rows}, indent=2))
            return
        for line in aligned(
            [["webhook_id", "deliveries", "oldest_at"], *([str(v) for v in row.values()] for row in rows)]
        ):
            self.stdout.write(line)
        if restored.is_stopped():
            self.stdout.write("Nothing is sent: say with --since from when on the restored database counts.")


def _rows(text: str) -> Any:  # a QuerySet[Delivery]
    """What is held of that. Raises NotFoundError for a webhook that there is not."""
    if text == ALL:
        return restored.held()
    delivery = decode_id(Delivery.ID_PREFIX, text)
    if delivery is not None:
        return restored.held().filter(pk=delivery)
    return restored.held(find_webhook(text))
