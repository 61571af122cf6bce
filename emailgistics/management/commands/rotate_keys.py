"""From one pepper or encryption key to the next, and what is left of the one before.

docs/operations/secrets.md says the steps.
"""

import json
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from emailgistics.common import derived_keys, key_uses, sealed, selftest
from emailgistics.common.commands import aligned
from emailgistics.common.key_uses import PEPPERS, RINGS, ring_of

Json = dict[str, Any]
SHOWN_ROWS = 20  # of those that do not open
GONE = {
    selftest.SECRET_KEY: "People are signed out, forms that are open have to be opened again, and domains that are not "
    "verified yet need another DNS record.",
    key_uses.PEPPERS: "API keys made with the lost one are refused as unknown: make new ones, and revoke those.",
    key_uses.ENCRYPTION: "Webhooks whose secret does not open send nothing until it is rotated, and headers have to be "
    "given again; links signed with the lost one open nothing. Two-factor sign-in takes recovery codes alone until it "
    "is reset.",
}


class Command(BaseCommand):
    help = (
        "Show which rows need which number of API_KEY_PEPPERS and ENCRYPTION_KEYS, and rewrite what is encrypted with "
        "the primary key.  Example: manage.py rotate_keys --rewrite"
    )
    requires_system_checks = ()  # it is for when they fail

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--rewrite",
            action="store_true",
            help="encrypt anew, with the primary key, what another one encrypted; may run beside everything, and again",
        )
        what.add_argument(
            "--accept",
            metavar="NAME[:NUMBER]",
            help="for a secret that is lost for good: what is configured now counts, or that nothing is",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["accept"]:
            self._accept(options["accept"])
            return
        try:
            selftest.refuse_wrong_secrets()  # records what is new, so that it is known which were primary
        except ImproperlyConfigured as error:
            if options["rewrite"]:
                raise
            self.stderr.write(f"{error}")
        rewritten = self._rewrite() if options["rewrite"] else {}
        report = {"data": [_of_ring(name) for name in RINGS], **rewritten}
        if options["json"]:
            self.stdout.write(json.dumps(report, indent=2))
        else:
            for line in _for_people(report):
                self.stdout.write(line)
        if rewritten.get("not_opened"):
            raise CommandError("Some rows do not open with any configured key; they are as they were.")

    def _rewrite(self) -> Json:
        kept = derived_keys.keep()
        done = {column: column.rewrite() for column in sealed.columns()}
        not_opened = [f"{column.label} {pk}: {column.of}" for column, each in done.items() for pk in each.not_opened]
        return {"rewritten": kept + sum(each.count for each in done.values()), "not_opened": not_opened}

    def _accept(self, text: str) -> None:
        name, _, number = text.partition(":")
        if name not in GONE or (name == selftest.SECRET_KEY) != (number == "") or not (number or "0").isdecimal():
            raise CommandError(f"--accept takes SECRET_KEY, or {' or '.join(RINGS)} with :<number>.", returncode=2)
        if not selftest.accept(name, int(number or selftest.ONLY)):
            raise CommandError(f"Nothing is known of {text} yet; the next start records what is configured.")
        self.stdout.write(f"{text}: what is configured now counts. {GONE[name]}")


def _of_ring(name: str) -> Json:
    ring = ring_of(name)
    uses = {use.of: use.by_number() for use in key_uses.uses_of(name)}
    numbers = sorted({*ring.keys, *(number for counted in uses.values() for number in counted)})
    entries = [_of_number(number, ring.keys, uses) for number in numbers]
    return {"name": name, "primary": ring.primary, "numbers": entries}


def _of_number(number: int, keys: dict[int, bytes], uses: dict[str, Any]) -> Json:
    needing = {of: counted[number] for of, counted in uses.items() if number in counted}
    until = [each.until for each in needing.values() if each.until is not None]
    return {
        "number": number,
        "is_configured": number in keys,
        "rows": {of: each.rows for of, each in needing.items()},
        "needed_until": max(until).isoformat(timespec="seconds") if until else None,
    }


def _for_people(report: Json) -> Iterator[str]:
    for ring in report["data"]:
        yield f"{ring['name']} (primary: {ring['primary']})"
        rows = [[f"  {entry['number']}", _needed(entry), _remark(entry, ring)] for entry in ring["numbers"]]
        yield from aligned(rows)
    if "rewritten" in report:
        yield f"rewritten: {report['rewritten']}"
        for row in report["not_opened"][:SHOWN_ROWS]:
            yield f"does not open: {row}"


def _needed(entry: Json) -> str:
    needed = ", ".join(f"{rows} {of}" for of, rows in entry["rows"].items()) or "no row needs it"
    return needed + (f" (the last expires {entry['needed_until']})" if entry["needed_until"] else "")


def _remark(entry: Json, ring: Json) -> str:
    if not entry["is_configured"]:
        return "NOT CONFIGURED"
    if entry["number"] == ring["primary"]:
        return "in use for what is new"
    if not entry["rows"]:
        return "may be dropped"
    # a digest cannot be made anew: the key is not there
    return "until these keys are rotated" if ring["name"] == PEPPERS else "--rewrite"
