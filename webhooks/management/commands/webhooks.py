from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser

from apikeys.services import DURATION
from emailgistics.common.commands import Json, ResourceCommand, Verbs
from emailgistics.common.errors import NotFoundError, RefusedError
from emailgistics.common.ids import decode_id
from mailboxes.addresses import shown
from mailboxes.management.commands.aliases import find_alias
from mailboxes.management.commands.domains import find_domain
from mailboxes.management.commands.mailboxes import find_mailbox
from webhooks.api.serializers import WebhookSerializer
from webhooks.headers import FIELD, MASK
from webhooks.models import Webhook
from webhooks.services import webhooks

HEADER_HELP = "sent with every request, such as 'X-Api-Key: …'; may be given again. Its value is not shown any more"


def find_webhook(text: str) -> Webhook:
    """By id. Raises NotFoundError."""
    pk = decode_id(Webhook.ID_PREFIX, text)
    webhook = Webhook.objects.live().select_related("alias").filter(pk=pk).first() if pk else None
    if webhook is None:
        raise NotFoundError(f"There is no webhook {shown(text)}; `manage.py webhooks list` shows their ids.")
    return webhook


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """`Name: value` each. Raises RefusedError, which quotes no value."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise RefusedError("A header is written 'Name: value'.", field=FIELD)
        if name in headers:
            raise RefusedError(f"The header {shown(name)} is given twice.", field=FIELD)
        headers[name] = value.strip(" \t")
    return headers


def parse_overlap(text: str) -> timedelta:
    """`24h`, `7d` or `0`. Raises RefusedError."""
    match = DURATION.fullmatch("0h" if text == "0" else text)
    if match is None:
        raise RefusedError("An overlap is written 24h, 7d or 0.", field="overlap")
    count = int(match["count"])
    return timedelta(hours=count) if match["unit"] == "h" else timedelta(days=count)


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
        parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help=HEADER_HELP)

    def create(self, options: Mapping[str, Any]) -> tuple[Webhook, Json]:
        webhook, secret = webhooks.create_webhook(
            url=options["url"],
            alias=find_alias(options["alias"]) if options["alias"] else None,
            mailbox=find_mailbox(options["mailbox"]) if options["mailbox"] else None,
            domain=find_domain(options["domain"]) if options["domain"] else None,
            payload=options["payload"],
            secret=options["secret"],
            description=options["description"],
            headers=parse_headers(options["header"]),
        )
        return webhook, {"secret": secret}

    def rows(self, options: Mapping[str, Any]) -> Iterable[Webhook]:
        return Webhook.objects.live().select_related("alias")

    def find(self, text: str) -> Webhook:
        return find_webhook(text)

    def end(self, row: Webhook) -> None:
        webhooks.delete_webhook(row)

    def add_verbs(self, verbs: Verbs) -> None:
        super().add_verbs(verbs)
        update = verbs.add("update", "change one webhook; what is not named stays", self._update)
        update.add_argument("which", help=self.handle_help)
        update.add_argument("--url", help="another scheme, host or port renews the secret and drops kept headers")
        update.add_argument("--payload", choices=Webhook.Payload.values)
        update.add_argument("--description", help="for people")
        headers = update.add_mutually_exclusive_group()
        headers.add_argument(
            "--header",
            action="append",
            metavar="'NAME: VALUE'",
            help=f"{HEADER_HELP}. These are all: others go, and 'NAME: {MASK}' keeps one as it is",
        )
        headers.add_argument("--no-headers", action="store_true", help="drop all headers of its own")
        rotate = verbs.add("rotate-secret", "give it a new secret, printed this once", self._rotate)
        rotate.add_argument("which", help=self.handle_help)
        rotate.add_argument("--overlap", default="24h", help="how long the one before signs as well: 24h, 7d, 0")
        for verb, help_text, run in (
            ("pause", "hold what comes from now on; nothing is dropped", self._pause),
            ("resume", "send again, and what was held first; confirms where its alias leads", self._resume),
        ):
            verbs.add(verb, help_text, run).add_argument("which", help=self.handle_help)

    def _update(self, options: Json) -> None:
        changes: dict[str, Any] = {
            name: options[name] for name in ("url", "payload", "description") if options[name] is not None
        }
        if options["no_headers"] or options["header"]:
            given = parse_headers(options["header"] or [])
            changes["headers"] = {name: None if value == MASK else value for name, value in given.items()}
        if not changes:
            raise CommandError("Say what to change; --help shows what there is.", returncode=2)
        webhook = self.find(options["which"])
        secret = webhooks.update_webhook(webhook, **changes)
        self.print_one(webhook, options, **({} if secret is None else {"secret": secret}))

    def _rotate(self, options: Json) -> None:
        overlap = parse_overlap(options["overlap"])
        webhook = self.find(options["which"])
        self.print_one(webhook, options, secret=webhooks.rotate_secret(webhook, overlap=overlap))

    def _pause(self, options: Json) -> None:
        webhook = self.find(options["which"])
        webhooks.pause_webhook(webhook, reason="paused by an operator")
        self.print_one(self.find(options["which"]), options)

    def _resume(self, options: Json) -> None:
        webhook = self.find(options["which"])
        webhooks.resume_webhook(webhook)
        self.print_one(self.find(options["which"]), options)
