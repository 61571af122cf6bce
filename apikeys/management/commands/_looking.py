"""The verbs `identify` and `scan` of `manage.py apikeys`."""

import json
import sys
from dataclasses import asdict
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apikeys.identification import identify
from apikeys.models import MAX_REASON_LENGTH, ApiKey
from apikeys.scanning import STANDARD_INPUT, Finding, NotRead, Standing, scan, standing_of
from apikeys.services import revoke_api_key
from emailgistics.common.commands import Json, Verbs, aligned, readable

MAX_TEXT = 10_000  # characters that identify reads


class Looking(BaseCommand):
    """For the command `apikeys`."""

    def add_looking(self, verbs: Verbs) -> None:
        one = verbs.add("identify", "say what a text is: a key, and which, a typo, a webhook secret", self._identify)
        one.add_argument("text", help="the text; - reads it from standard input, so that no shell's history has it")
        many = verbs.add(
            "scan",
            "look for keys in files, also in UTF-16, binary files and gzip; exit status 1 if one that is in force is "
            "there, or something cannot be read",
            self._scan,
        )
        many.add_argument("paths", nargs="+", metavar="PATH", help="a file, a folder, or - for standard input")
        many.add_argument("--revoke", action="store_true", help="end each key in force that is found, at once")
        many.add_argument("--reason", default="", metavar="TEXT", help="why, instead of where it was found")

    def _identify(self, options: Json) -> None:
        text = options["text"]
        if text == STANDARD_INPUT:
            text = getpass("Text: ") if sys.stdin.isatty() else sys.stdin.read(MAX_TEXT)
        found = identify(text)
        said = {name: value for name, value in asdict(found).items() if value is not None}
        if options["json"]:
            self.stdout.write(json.dumps(asdict(found), indent=2))
        else:
            for line in aligned([[name, readable(value)] for name, value in said.items()]):
                self.stdout.write(line)
        if not found.is_known:
            raise CommandError("It is no key of this installation.")

    def _scan(self, options: Json) -> None:
        """Says what it finds as it finds it: there may be more than fits into memory."""
        standing_of.cache_clear()
        found = dict.fromkeys(Standing, 0)
        not_read = 0
        if options["json"]:
            self.stdout.write('{"data": [', ending="")
        for path in options["paths"]:
            for one in scan(path):
                if isinstance(one, NotRead):
                    not_read += 1
                    self.stderr.write(f"not read: {readable(one.path)}: {one.reason}")
                    continue
                is_first = not any(found.values())
                found[one.standing] += 1
                ends = options["revoke"] and one.standing is Standing.ACTIVE
                if ends:
                    self._revoke_found(one, options)
                self._say(one, is_first=is_first, is_revoked_now=ends, options=options)
        counts = {standing.value: count for standing, count in found.items()} | {"not_read": not_read}
        if options["json"]:
            self.stdout.write(f"], {json.dumps(counts)[1:]}")
        if found[Standing.ACTIVE] or not_read:
            said = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
            raise CommandError(", ".join(said))

    def _say(self, one: Finding, *, is_first: bool, is_revoked_now: bool, options: Json) -> None:
        if options["json"]:
            said: dict[str, Any] = {"path": one.path, "line": one.line, "id": one.identifier, "status": one.standing}
            said["revoked_now"] = is_revoked_now
            self.stdout.write(("" if is_first else ", ") + json.dumps(said), ending="")
        else:
            now = ", revoked now" if is_revoked_now else ""
            self.stdout.write(f"{readable(one.path)}:{one.line}: {one.identifier} {one.standing}{now}")

    def _revoke_found(self, one: Finding, options: Json) -> None:
        reason = options["reason"] or f"found by a scan in {readable(one.path)}:{one.line}"
        revoke_api_key(ApiKey.objects.get(identifier=one.identifier), reason=reason[:MAX_REASON_LENGTH])
        standing_of.cache_clear()
