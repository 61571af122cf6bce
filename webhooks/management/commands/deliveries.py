from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from emailgistics.common.commands import Json, RecordCommand, Verbs, readable
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import shown
from webhooks.api.serializers import DeliveryDetailSerializer, instant
from webhooks.api.waiting import expected, kept_back, with_what_keeps_back
from webhooks.management.commands.webhooks import OPERATOR, find_webhook
from webhooks.models import Delivery
from webhooks.services.replay import ENDED, cancel_delivery, replay_delivery, retry_now

NEWEST = 100
MAX_ANSWER = 200  # characters of what a receiver answered, on one line


class Command(RecordCommand[Delivery]):
    help = (
        "What became of each event for each webhook, the newest first, with every attempt.  "
        "Example: manage.py deliveries list --state pending"
    )
    noun = "delivery"
    handle_help = "its id"
    serializer = DeliveryDetailSerializer
    columns: ClassVar = (
        "created_at", "id", "state", "webhook_id", "event_type", "email_id", "attempts", "last_status", "reason",
    )  # fmt: skip

    def add_list_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--webhook", help="only of this webhook: its id")
        parser.add_argument("--state", choices=Delivery.State.values, help="only in this state")
        parser.add_argument("--limit", type=int, default=NEWEST, help=f"at most so many (default {NEWEST})")

    def add_verbs(self, verbs: Verbs) -> None:
        for verb, help_text, run in (
            ("retry", "try now what waits for its next attempt; send again what has ended", self._retry),
            ("cancel", "try it no more; a request that is under way may still arrive", self._cancel),
        ):
            verbs.add(verb, help_text, run).add_argument("which", help=self.handle_help)

    def rows(self, options: Mapping[str, Any]) -> Iterable[Delivery]:
        found = _rows().prefetch_related("attempt_log")
        if options["webhook"]:
            found = found.filter(webhook=find_webhook(options["webhook"]))
        if options["state"]:
            found = found.filter(state=options["state"])
        return found.order_by("-id")[: max(options["limit"], 0)]

    def find(self, text: str) -> Delivery:
        pk = decode_id(Delivery.ID_PREFIX, text)
        delivery = _rows().filter(pk=pk).first() if pk else None
        if delivery is None:
            raise NotFoundError(f"There is no delivery {shown(text)}; `manage.py deliveries list` shows their ids.")
        return delivery

    def print_thing(self, thing: Json) -> None:
        super().print_thing({name: value for name, value in thing.items() if name != "attempt_log"})
        lines = [line for attempt in thing["attempt_log"] for line in _told(attempt)]
        if lines:
            self.stdout.write("\n" + "\n".join(lines))

    def _retry(self, options: Json) -> None:
        delivery = self.find(options["which"])
        if delivery.state in ENDED:
            replay_delivery(delivery, by=OPERATOR)
        else:
            retry_now(delivery)
        delivery = self.find(options["which"])
        self.print_one(delivery, options)
        if not options["json"] and (why := _why_not_now(delivery)):
            self.stdout.write(f"\nNot sent yet: {readable(why)}.")

    def _cancel(self, options: Json) -> None:
        cancel_delivery(self.find(options["which"]), by=OPERATOR)
        self.print_one(self.find(options["which"]), options)


def _rows() -> QuerySet[Delivery]:
    return with_what_keeps_back(Delivery.objects.all())


def _told(attempt: Json) -> list[str]:
    """One attempt for people: a line, and what was answered in a second one."""
    took = "" if attempt["total_ms"] is None else f" after {attempt['total_ms']} ms"
    peer = f", from {attempt['peer']}" if attempt["peer"] else ""
    outcome = f"{attempt['status'] or attempt['error'] or 'no answer'}{took}{peer}. {attempt['detail']}"
    lines = [readable(f"attempt {attempt['n']} at {attempt['started_at']}: {outcome}".rstrip())]
    if answered := (attempt["response"] or {}).get("body"):
        lines.append(f"    {readable(answered[:MAX_ANSWER])}")
    return lines


def _why_not_now(delivery: Delivery) -> str:
    """What keeps one back that somebody wants to be sent now; empty if nothing does."""
    if delivery.state == Delivery.State.HELD:
        email = delivery.event.email
        return delivery.webhook.obstacle(email.mailbox_id if email else None)
    at, why = expected(delivery).at, kept_back(delivery)
    return f"{why}; not before {instant(at)}" if why and at else why
