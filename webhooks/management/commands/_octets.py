"""The verbs `raw` and `export` of `manage.py emails`: the octets of mail, out of the database."""

import json
import os
import sys
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError

from emailgistics.common import openings
from emailgistics.common.commands import Json, Verbs, ended_in_order
from emailgistics.common.errors import UnavailableError
from emailgistics.common.openings import What
from emailgistics.common.when import WHEN_HELP, parse_when
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Email
from mailboxes.raw import CorruptRawError, raw_of
from mailboxes.services.export import Exported, export_mbox


class Octets(BaseCommand):
    """For the command `emails`."""

    def find(self, text: str) -> Email:
        raise NotImplementedError

    def add_octets(self, verbs: Verbs) -> None:
        raw = verbs.add("raw", "its octets as they were accepted; that it was opened is in the audit log", self._raw)
        raw.add_argument("which", help="its id")
        raw.add_argument("--output", type=Path, metavar="FILE", help="a new file, instead of the standard output")
        export = verbs.add(
            "export",
            "many of them as one mbox file (RFC 4155, mboxrd), the oldest first; the audit log says so",
            self._export,
        )
        export.add_argument("--output", type=Path, metavar="FILE", required=True, help="there once it is whole")
        export.add_argument("--mailbox", help="only mail in it: id or address; all there is, unless said")
        export.add_argument("--since", help=f"only what came from then on: {WHEN_HELP}")
        export.add_argument("--until", help="and before then")

    def _raw(self, options: Json) -> None:
        output: Path | None = options["output"]
        if output is None and options["json"]:
            raise CommandError("--json is for what is written to a file: give --output as well.", returncode=2)
        if output is None and sys.stdout.isatty():
            raise CommandError("What mail says may steer a terminal: give --output, or a pipe.", returncode=2)
        email = self.find(options["which"])
        try:
            octets = raw_of(email)
        except CorruptRawError as error:
            raise CommandError(str(error)) from error
        openings.note_opened_by_command(What.RAW, of=email.public_id)
        if output is None:
            sys.stdout.flush()
            sys.stdout.buffer.write(octets)
            sys.stdout.buffer.flush()
            return
        _write_private(output, octets)
        told = {"id": email.public_id, "output": str(output), "size": len(octets), "sha256": email.message.sha256}
        self.stdout.write(json.dumps(told, indent=2) if options["json"] else f"{output}: {len(octets)} octets")

    @ended_in_order()
    def _export(self, options: Json) -> None:
        since, until = (parse_when(options[name], name=name) if options[name] else None for name in ("since", "until"))
        done = export_mbox(
            options["output"],
            mailbox=find_mailbox(options["mailbox"]) if options["mailbox"] else None,
            since=since,
            until=until,
            progress=self._tell_progress,
        )
        if options["json"]:
            told = {"output": str(options["output"]), "emails": done.emails, "octets": done.octets}
            self.stdout.write(json.dumps({**told, "raw_gone": done.gone, "corrupt": done.corrupt}, indent=2))
        else:
            self.stdout.write(f"{options['output']}: {_counted(done)}")
        if done.corrupt:
            raise CommandError(f"The stored octets of these are not the accepted ones: {', '.join(done.corrupt)}")

    def _tell_progress(self, done: Exported) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{_counted(done)}", ending="")


def _counted(done: Exported) -> str:
    gone = f"; of {done.gone} the raw is not kept any longer" if done.gone else ""
    return f"{done.emails} emails, {done.octets} octets{gone}"


def _write_private(path: Path, octets: bytes) -> None:
    """A new file that only its owner reads. Raises UnavailableError."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(octets)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {error.strerror}.") from error
