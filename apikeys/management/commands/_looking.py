"""The verbs `identify` and `scan` of `manage.py apikeys`."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand

from apikeys.identification import identify
from apikeys.models import MAX_REASON_LENGTH, ApiKey
from apikeys.scanning import STANDARD_INPUT, Finding, NotRead, Standing, scan, standing_of
from apikeys.services import revoke_api_key
from emailgistics.common.commands import Json, Verbs, aligned, readable
from emailgistics.common.logs import masked

MAX_TEXT = 10_000  # characters that identify reads


NOT_SO = 1  # exit status: no key of ours, a key that stays in force, something that was not read


class Looking(BaseCommand):
    """For the command `apikeys`."""

    def add_looking(self, verbs: Verbs) -> None:
        one = verbs.add("identify", "say what a text is: a key, and which, a typo, a webhook secret", self._identify)
        one.add_argument("text", help="the text; - reads it from standard input, so that no shell's history has it")
        many = verbs.add(
            "scan",
            "look for keys in files, also in UTF-16, binary files and gzip; exit status 1 if one stays in force, or "
            "something cannot be read",
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
            sys.exit(NOT_SO)  # all is said

    def _scan(self, options: Json) -> None:
        """Says what it finds as it finds it: there may be more than fits into memory."""
        standing_of.cache_clear()
        found = dict.fromkeys(Standing, 0)
        not_read = revoked_now = 0
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
                    revoked_now += 1
                self._say(one, is_first=is_first, is_revoked_now=ends, options=options)
        counts = {standing.value: count for standing, count in found.items()} | {"not_read": not_read}
        left = found[Standing.ACTIVE] - revoked_now
        if options["json"]:
            self.stdout.write(f"], {json.dumps(counts)[1:]}")
        else:
            self.stdout.write(_outcome(counts, revoked_now=revoked_now))
        if left or not_read:
            sys.exit(NOT_SO)

    def _say(self, one: Finding, *, is_first: bool, is_revoked_now: bool, options: Json) -> None:
        if options["json"]:
            said: dict[str, Any] = {"path": one.path, "line": one.line, "id": one.identifier, "status": one.standing}
            said["revoked_now"] = is_revoked_now
            self.stdout.write(("" if is_first else ", ") + json.dumps(said), ending="")
        else:
            now = ", revoked now" if is_revoked_now else ""
            self.stdout.write(f"{readable(one.path)}:{one.line}: {one.identifier} {one.standing}{now}")

    def _revoke_found(self, one: Finding, options: Json) -> None:
        reason = options["reason"] or f"found by a scan in {masked(readable(one.path))}:{one.line}"
        revoke_api_key(ApiKey.objects.get(identifier=one.identifier), reason=reason[:MAX_REASON_LENGTH])
        standing_of.cache_clear()


def _outcome(counts: Mapping[str, int], *, revoked_now: int) -> str:
    """`2 active, 1 revoked; 2 revoked now: none of them stays in force`"""
    said = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    ended = f"; {revoked_now} revoked now, and none stays in force" if revoked_now else ""
    return (", ".join(said) or "no keys") + ended
