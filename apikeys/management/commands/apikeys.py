from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar

from django.core.management.base import CommandParser
from django.utils import timezone

from apikeys.api.serializers import ApiKeySerializer
from apikeys.credentials import MalformedKeyError, parse_key
from apikeys.models import ApiKey
from apikeys.plans import Limits
from apikeys.services import FULL, change_plan, create_api_key, parse_expiry, parse_scopes, revoke_api_key
from emailgistics.common.access import Scope
from emailgistics.common.commands import Json, ResourceCommand, Verbs, aligned, readable
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
    columns: ClassVar = ("id", "name", "status", "expires_at", "mailboxes", "scopes")

    def add_list_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="also those that have expired or were revoked")

    def add_verbs(self, verbs: Verbs) -> None:
        self.add_create_arguments(verbs.add("create", "make one", self._create))
        revoke = verbs.add(self.end_verb, "end one, for good: its row stays", self._revoke)
        revoke.add_argument("which", help=self.handle_help)
        revoke.add_argument("--reason", default="", metavar="TEXT", help="why, for those who look at it later")
        plan = verbs.add("plan", "give one another plan, from its next call on", self._plan)
        plan.add_argument("which", help=self.handle_help)
        plan.add_argument("--plan", choices=ApiKey.Plan.values, required=True)
        for window in (field.name for field in fields(Limits)):
            plan.add_argument(
                f"--{window}", type=int, metavar="N", help=f"requests a {window} of a key with the plan enterprise"
            )

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
        return ApiKey.objects.all() if options["all"] else ApiKey.objects.in_force()

    def find(self, text: str) -> ApiKey:
        return find_api_key(text)

    def print_one(self, row: ApiKey, options: Json, **once: str) -> None:
        if options["json"]:
            super().print_one(row, options, **once)
            return
        lines = self._for_people(row) | self._end_of(row) | once
        for line in aligned([[name, readable(value)] for name, value in lines.items()]):
            self.stdout.write(line)
        for name in once:
            self.stdout.write(f"\nCopy the {name} now: it is not shown again.")

    def _list(self, options: Json) -> None:
        if options["json"]:
            super()._list(options)
            return
        rows = [self._for_people(row) for row in self.rows(options)]
        for line in aligned([self.columns, *([readable(row[name]) for name in self.columns] for row in rows)]):
            self.stdout.write(line)

    def _revoke(self, options: Json) -> None:
        row = self.find(options["which"])
        revoke_api_key(row, reason=options["reason"])
        if options["json"]:
            super().print_one(row, options)
        else:
            self.stdout.write(f"revoked {row.identifier}")

    def _plan(self, options: Json) -> None:
        row = self.find(options["which"])
        change_plan(row, plan=options["plan"], own_limits={field.name: options[field.name] for field in fields(Limits)})
        self.print_one(row, options)

    def _for_people(self, row: ApiKey) -> dict[str, Any]:
        """The JSON, with the status, and with mailboxes by address."""
        thing = self.json_of(row)
        named = [mailbox["address"] for mailbox in thing.pop("mailboxes")]
        is_for_all = thing.pop("all_mailboxes")
        return thing | {
            "status": row.standing(timezone.now()).label,
            "mailboxes": "all, also future ones" if is_for_all else named or "none any more: all of them were deleted",
        }

    def _end_of(self, row: ApiKey) -> dict[str, Any]:
        if row.revoked_at is None:
            return {}
        by = row.revoked_by.get_username() if row.revoked_by else "a command"
        at = row.revoked_at.isoformat(timespec="seconds")
        return {"revoked": f"{at} by {by}" + (f": {row.revoke_reason}" if row.revoke_reason else "")}
