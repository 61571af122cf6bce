from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from emailgistics.common.commands import Json, ResourceCommand, Verbs
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import shown
from mailboxes.management.commands.aliases import find_alias
from mailboxes.management.commands.domains import find_domain
from mailboxes.management.commands.mailboxes import find_mailbox
from webhooks.api.serializers import WebhookSerializer
from webhooks.models import Webhook
from webhooks.services import webhooks


def find_webhook(text: str) -> Webhook:
    """By id. Raises NotFoundError."""
    pk = decode_id(Webhook.ID_PREFIX, text)
    webhook = Webhook.objects.live().filter(pk=pk).first() if pk else None
    if webhook is None:
        raise NotFoundError(f"There is no webhook {shown(text)}; `manage.py webhooks list` shows their ids.")
    return webhook


class Command(ResourceCommand[Webhook]):
    help = (
        "Endpoints that are told about mail, and their secrets.  "
        "Example: manage.py webhooks create --url https://hooks.example.net/mail --alias help@example.com"
    )
    noun = "webhook"
    handle_help = "its id"
    serializer = WebhookSerializer
    columns: ClassVar = ("id", "state", "url", "alias_id", "mailbox_id", "domain_id")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", required=True, help="https; http only into WEBHOOK_ALLOW_NETWORKS")
        binding = parser.add_mutually_exclusive_group(required=True)
        binding.add_argument("--alias", help="mail to this alias: id or address")
        binding.add_argument("--mailbox", help="mail in this mailbox: id or address")
        binding.add_argument("--domain", help="mail to this domain: id or name")
        parser.add_argument("--payload", choices=Webhook.Payload.values, default=Webhook.Payload.FULL)
        parser.add_argument("--secret", help="whsec_…, to keep a receiver as it is; otherwise a new one is made")
        parser.add_argument("--description", default="", help="for people")

    def create(self, options: Mapping[str, Any]) -> tuple[Webhook, Json]:
        webhook, secret = webhooks.create_webhook(
            url=options["url"],
            alias=find_alias(options["alias"]) if options["alias"] else None,
            mailbox=find_mailbox(options["mailbox"]) if options["mailbox"] else None,
            domain=find_domain(options["domain"]) if options["domain"] else None,
            payload=options["payload"],
            secret=options["secret"],
            description=options["description"],
        )
        return webhook, {"secret": secret}

    def rows(self, options: Mapping[str, Any]) -> Iterable[Webhook]:
        return Webhook.objects.live()

    def find(self, text: str) -> Webhook:
        return find_webhook(text)

    def end(self, row: Webhook) -> None:
        webhooks.delete_webhook(row)

    def add_verbs(self, verbs: Verbs) -> None:
        super().add_verbs(verbs)
        for verb, help_text, run in (
            ("pause", "hold what comes from now on; nothing is dropped", self._pause),
            ("resume", "send again, and what was held first", self._resume),
        ):
            verbs.add(verb, help_text, run).add_argument("which", help=self.handle_help)

    def _pause(self, options: Json) -> None:
        webhook = self.find(options["which"])
        webhooks.pause_webhook(webhook, reason="paused by an operator")
        self.print_one(self.find(options["which"]), options)

    def _resume(self, options: Json) -> None:
        webhook = self.find(options["which"])
        webhooks.resume_webhook(webhook)
        self.print_one(self.find(options["which"]), options)
