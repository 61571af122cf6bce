from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandParser
from django.utils import timezone

from apikeys.api.serializers import ApiKeySerializer
from apikeys.credentials import MalformedKeyError, parse_key
from apikeys.models import ApiKey
from apikeys.services import FULL, create_api_key, parse_expiry, parse_scopes, revoke_api_key
from emailgistics.common.access import Scope
from emailgistics.common.commands import ResourceCommand
from emailgistics.common.errors import NotFoundError
from mailboxes.addresses import shown
from mailboxes.management.commands.mailboxes import find_mailbox


def find_api_key(text: str) -> ApiKey:
    """By identifier, revoked ones too; a whole key is taken by its identifier. Raises NotFoundError."""
    try:
        identifier = parse_key(text)
    except MalformedKeyError:
        identifier = text
    key = ApiKey.objects.filter(identifier=identifier).first()
    if key is None:
        raise NotFoundError(f"There is no API key {shown(identifier)}; keys are known as emgk_ and ten characters.")
    return key


class Command(ResourceCommand[ApiKey]):
    help = (
        "Keys of the REST API.  "
        "Example: manage.py apikeys create --name CI --expires 30d --mailbox support@example.com --scope emails:read"
    )
    noun = "API key"
    handle_help = "its identifier: emgk_ and ten characters"
    end_verb = "revoke"
    serializer = ApiKeySerializer
    columns: ClassVar = ("id", "name", "expires_at", "all_mailboxes", "scopes")

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="what uses it")
        parser.add_argument(
            "--expires", required=True, metavar="WHEN", help="12h, 30d, 2030-01-31 (as it begins) or 2030-01-31T18:00Z"
        )
        allowlist = parser.add_mutually_exclusive_group(required=True)
        allowlist.add_argument(
            "--mailbox", action="append", metavar="MAILBOX", help="a mailbox it may open, by id or address; repeats"
        )
        allowlist.add_argument("--all-mailboxes", action="store_true", help="all mailboxes, also future ones")
        parser.add_argument(
            "--scope",
            action="append",
            metavar="SCOPE",
            help=f"{FULL} (all of today's, unless scopes are given), {', '.join(Scope.values)}; repeats",
        )
        parser.add_argument("--plan", choices=ApiKey.Plan.values, default=ApiKey.Plan.STANDARD.value)

    def create(self, options: Mapping[str, Any]) -> tuple[ApiKey, Mapping[str, Any]]:
        key, plaintext = create_api_key(
            name=options["name"],
            expires_at=parse_expiry(options["expires"], now=timezone.now()),
            scopes=parse_scopes(options["scope"] or [FULL]),
            mailboxes=None if options["all_mailboxes"] else [find_mailbox(text) for text in options["mailbox"]],
            plan=options["plan"],
        )
        return key, {"key": plaintext}

    def rows(self, options: Mapping[str, Any]) -> Iterable[ApiKey]:
        return ApiKey.objects.not_revoked()

    def find(self, text: str) -> ApiKey:
        return find_api_key(text)

    def print_one(self, row: ApiKey, options: Mapping[str, Any], **once: str) -> None:
        super().print_one(row, options, **once)
        if row.revoked_at and not options["json"]:
            self.stdout.write(f"\nRevoked at {row.revoked_at.isoformat(timespec='seconds')}: it opens nothing.")

    def end(self, row: ApiKey) -> None:
        revoke_api_key(row)
