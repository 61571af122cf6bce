import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from django.core.management.base import CommandParser
from django.utils import timezone

from apikeys.api.serializers import ApiKeySerializer
from apikeys.credentials import MalformedKeyError, parse_key
from apikeys.management.commands._looking import Looking
from apikeys.models import KEPT_FOR, ApiKey
from apikeys.plans import Limits
from apikeys.purge import purge
from apikeys.rotation import OldEnds, Same, rotate_api_key, successors_in_force
from apikeys.services import (
    FULL,
    change_plan,
    create_api_key,
    parse_expiry,
    parse_scopes,
    revoke_api_key,
    schedule_revocation,
)
from apikeys.words import in_short, instant, listed
from emailgistics.common.access import Scope
from emailgistics.common.commands import Json, ResourceCommand, Verbs, aligned, readable
from emailgistics.common.errors import NotFoundError
from mailboxes.addresses import shown
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Mailbox

NEVER = "never"
EXPIRES_HELP = "12h, 30d, 2030-01-31 (as it begins) or 2030-01-31T18:00Z"
MAILBOX_HELP = "a mailbox it may open, by id or address; repeats"
NETWORK_HELP = "from where it may be used, as 192.0.2.0/24, unless from anywhere; repeats"


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


class Command(Looking, ResourceCommand[ApiKey]):
    help = (
        "Keys of the REST API.  "
        "Example: manage.py apikeys create --name CI --expires 30d --mailbox support@example.com --scope emails:read"
    )
    noun = "API key"
    makes_secrets = True
    handle_help = "its identifier: emgk_ and ten characters"
    end_verb = "revoke"
    serializer = ApiKeySerializer
    columns: ClassVar = (
        "id",
        "name",
        "status",
        "expires_at",
        "revoked",
        "last_used",
        "networks",
        "mailboxes",
        "scopes",
    )

    def add_list_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--all", action="store_true", help="also those that have expired or were revoked")

    def add_verbs(self, verbs: Verbs) -> None:
        self.add_create_arguments(verbs.add("create", "make one", self._create))
        self.add_rotate_arguments(verbs.add("rotate", "make one in the place of another", self._rotate))
        revoke = verbs.add(self.end_verb, "end one, for good: its row stays", self._revoke)
        revoke.add_argument("which", help=self.handle_help)
        revoke.add_argument("--reason", default="", metavar="TEXT", help="why, for those who look at it later")
        revoke.add_argument(
            "--at", metavar="WHEN", help=f"not now but then: 12h, 30d, a date or an instant; {NEVER} calls it off"
        )
        verbs.add("purge", f"remove those that ended {KEPT_FOR.days} days ago", self._purge)
        self.add_looking(verbs)
        self.add_plan_arguments(verbs.add("set-plan", "give one another plan, from its next call on", self._plan))

    def add_rotate_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("which", help=self.handle_help)
        parser.add_argument("--expires", required=True, metavar="WHEN", help=EXPIRES_HELP)
        parser.add_argument(
            "--old-ends", required=True, choices=OldEnds.values, help="when the one that is replaced ends"
        )
        parser.add_argument("--name", help="as the old one's, unless given; so with all that follows")
        allowlist = parser.add_mutually_exclusive_group()
        allowlist.add_argument("--mailbox", action="append", metavar="MAILBOX", help=MAILBOX_HELP)
        allowlist.add_argument("--all-mailboxes", action="store_true", help="all mailboxes, also future ones")
        parser.add_argument("--scope", action="append", metavar="SCOPE", help="repeats")
        networks = parser.add_mutually_exclusive_group()
        networks.add_argument("--network", action="append", metavar="CIDR", help=NETWORK_HELP)
        networks.add_argument("--all-networks", action="store_true", help="from anywhere")

    def add_plan_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("which", help=self.handle_help)
        parser.add_argument("--plan", choices=ApiKey.Plan.values, required=True)
        for window in (field.name for field in fields(Limits)):
            parser.add_argument(
                f"--{window}", type=int, metavar="N", help=f"requests a {window} of a key with the plan enterprise"
            )

    def add_create_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="what uses it")
        parser.add_argument("--expires", required=True, metavar="WHEN", help=EXPIRES_HELP)
        allowlist = parser.add_mutually_exclusive_group(required=True)
        allowlist.add_argument("--mailbox", action="append", metavar="MAILBOX", help=MAILBOX_HELP)
        allowlist.add_argument("--all-mailboxes", action="store_true", help="all mailboxes, also future ones")
        parser.add_argument(
            "--scope",
            action="append",
            metavar="SCOPE",
            help=f"{FULL} (all of today's, unless scopes are given), {', '.join(Scope.values)}; repeats",
        )
        parser.add_argument("--network", action="append", default=[], metavar="CIDR", help=NETWORK_HELP)
        parser.add_argument("--plan", choices=ApiKey.Plan.values, default=ApiKey.Plan.STANDARD.value)

    def create(self, options: Mapping[str, Any]) -> tuple[ApiKey, Mapping[str, Any]]:
        key, plaintext = create_api_key(
            name=options["name"],
            expires_at=parse_expiry(options["expires"], now=timezone.now()),
            scopes=parse_scopes(options["scope"] or [FULL]),
            mailboxes=None if options["all_mailboxes"] else [find_mailbox(text) for text in options["mailbox"]],
            networks=options["network"],
            plan=options["plan"],
        )
        return key, {"key": plaintext}

    def _rotate(self, options: Json) -> None:
        mailboxes: list[Mailbox] | Same | None = Same.AS_BEFORE
        if options["all_mailboxes"]:
            mailboxes = None
        elif options["mailbox"]:
            mailboxes = [find_mailbox(text) for text in options["mailbox"]]
        old = self.find(options["which"])
        new, plaintext = rotate_api_key(
            old,
            name=options["name"],
            expires_at=parse_expiry(options["expires"], now=timezone.now()),
            scopes=parse_scopes(options["scope"]) if options["scope"] else None,
            mailboxes=mailboxes,
            networks=[] if options["all_networks"] else options["network"],
            old_ends=options["old_ends"],
        )
        self.print_one(new, options, key=plaintext)
        if not options["json"]:
            self.stdout.write(f"The old one, {old.identifier}, {self._end_in_words(old)}.")
        if len(successors := successors_in_force(old)) > 1:
            named = listed([successor.identifier for successor in successors])
            self.stderr.write(f"{len(successors)} keys in its place are in force: {named}. Revoke what nothing uses.")

    def _end_in_words(self, row: ApiKey) -> str:
        if row.revoked_at:
            return "is revoked"
        if row.revoke_at:
            return f"ends {instant(row.revoke_at)}"
        return f"stays until it expires, {instant(row.expires_at)}"

    def _purge(self, options: Json) -> None:
        outcome = purge()
        if options["json"]:
            self.stdout.write(json.dumps({"purged": outcome.purged, "kept": outcome.kept}, indent=2))
            return
        for identifier in outcome.purged:
            self.stdout.write(f"purged {identifier}")
        for identifier in outcome.kept:
            self.stdout.write(f"kept {identifier}: something that is still there was made with it")
        if not outcome.purged and not outcome.kept:
            self.stdout.write(f"No key ended {KEPT_FOR.days} days ago or earlier.")

    def rows(self, options: Mapping[str, Any]) -> Iterable[ApiKey]:
        return ApiKey.objects.all() if options["all"] else ApiKey.objects.in_force()

    def find(self, text: str) -> ApiKey:
        key = find_api_key(text)
        if text != key.identifier:
            self.stderr.write(
                f"That was a whole key, which this shell's history has now, and which others could see meanwhile: its "
                f"identifier, {key.identifier}, is enough. Rotate or revoke it."
            )
        return key

    def print_one(self, row: ApiKey, options: Json, **once: str) -> None:
        if options["json"]:
            super().print_one(row, options, **once)
            return
        replaced = row.rotated_from and row.rotated_from.identifier
        lines = self._for_people(row) | self._last_use_of(row) | self._end_of(row) | {"replaces": replaced} | once
        for line in aligned([[name, readable(value)] for name, value in lines.items()]):
            self.stdout.write(line)
        for name in once:
            self.stdout.write(f"\nCopy the {name} now: it is not shown again.")

    def _list(self, options: Json) -> None:
        if options["json"]:
            super()._list(options)
            return
        rows = [{**self._for_people(row), "scopes": _scopes_in_short(row.scopes)} for row in self.rows(options)]
        for line in aligned([self.columns, *([readable(row[name]) for name in self.columns] for row in rows)]):
            self.stdout.write(line)

    def _revoke(self, options: Json) -> None:
        row = self.find(options["which"])
        if options["at"] is None:
            before = row.revoked_since(timezone.now())
            revoke_api_key(row, reason=options["reason"])
            done = f"revoked {row.identifier}" + (f" before, at {instant(before)}" if before else "")
        elif options["at"] == NEVER:
            schedule_revocation(row, at=None)
            done = f"{row.identifier} is no longer to be revoked; it {self._end_in_words(row)}"
        else:
            at = parse_expiry(options["at"], now=timezone.now(), field="revoke_at")
            schedule_revocation(row, at=at, reason=options["reason"])
            done = f"{row.identifier} {self._end_in_words(row)}"
        if options["json"]:
            super().print_one(row, options)
        else:
            self.stdout.write(done)

    def _plan(self, options: Json) -> None:
        row = self.find(options["which"])
        change_plan(row, plan=options["plan"], own_limits={field.name: options[field.name] for field in fields(Limits)})
        self.print_one(row, options)

    def _for_people(self, row: ApiKey) -> dict[str, Any]:
        """The JSON, with the status, what happened to it, and mailboxes by address."""
        thing = self.json_of(row)
        named = [mailbox["address"] for mailbox in thing.pop("mailboxes")]
        is_for_all = thing.pop("all_mailboxes")
        for name in ("revoke_at", "last_used_at", "server_time"):  # told otherwise, or no news to who looks at a clock
            del thing[name]
        now = timezone.now()
        since = row.revoked_since(now)
        return thing | {
            "status": str(row.standing(now).label),
            "created_at": instant(row.created_at),
            "expires_at": instant(row.expires_at),
            "revoked": instant(since) if since else f"from {instant(row.revoke_at)} on" if row.revoke_at else None,
            "last_used": instant(row.last_used_at) if row.last_used_at else "never",
            "networks": row.networks or "any",
            "mailboxes": "all, also future ones" if is_for_all else named or "none any more: all of them were deleted",
        }

    def _last_use_of(self, row: ApiKey) -> dict[str, Any]:
        if row.last_used_at is None:
            return {"last_used": "never"}
        at = instant(row.last_used_at)
        where = f" from {row.last_used_address}" if row.last_used_address else ""
        return {"last_used": f"{at}{where}" + (f" with {row.last_used_agent}" if row.last_used_agent else "")}

    def _end_of(self, row: ApiKey) -> dict[str, Any]:
        """Who revoked it, and why."""
        shown = self._for_people(row)["revoked"]
        if shown is None:
            return {}
        by = row.revoked_by.get_username() if row.revoked_by else "a command"
        return {"revoked": f"{shown} by {by}" + (f": {row.revoke_reason}" if row.revoke_reason else "")}


def _scopes_in_short(scopes: Sequence[str]) -> str:
    return FULL if set(scopes) >= set(Scope.values) else in_short(scopes, named=2)
