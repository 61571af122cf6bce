from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.commands import RecordCommand
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import shown
from webhooks.api.serializers import DeliveryDetailSerializer
from webhooks.management.commands.webhooks import find_webhook
from webhooks.models import Delivery

NEWEST = 100


class Command(RecordCommand[Delivery]):
    help = (
        "What became of each event for each webhook, the newest first, with every attempt.  "
        "Example: manage.py deliveries list --state pending"
    )
    noun = "delivery"
    handle_help = "its id"
    serializer = DeliveryDetailSerializer
    columns: ClassVar = ("id", "webhook_id", "state", "attempts", "last_status", "last_error", "reason")

    def add_list_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--webhook", help="only of this webhook: its id")
        parser.add_argument("--state", choices=Delivery.State.values, help="only in this state")
        parser.add_argument("--limit", type=int, default=NEWEST, help=f"at most so many (default {NEWEST})")

    def rows(self, options: Mapping[str, Any]) -> Iterable[Delivery]:
        found = Delivery.objects.select_related("event").prefetch_related("attempt_log")
        if options["webhook"]:
            found = found.filter(webhook=find_webhook(options["webhook"]))
        if options["state"]:
            found = found.filter(state=options["state"])
        return found.order_by("-id")[: max(options["limit"], 0)]

    def find(self, text: str) -> Delivery:
        pk = decode_id(Delivery.ID_PREFIX, text)
        delivery = Delivery.objects.select_related("event").filter(pk=pk).first() if pk else None
        if delivery is None:
            raise NotFoundError(f"There is no delivery {shown(text)}; `manage.py deliveries list` shows their ids.")
        return delivery
