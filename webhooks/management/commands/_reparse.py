"""The verb `reparse` of `manage.py emails`."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet

from emailgistics.common.commands import Json, Verbs
from emailgistics.common.errors import ConflictError, NotFoundError, RefusedError
from emailgistics.common.ids import decode_id
from emailgistics.common.when import WHEN_HELP, parse_when
from mailboxes import mime
from mailboxes.addresses import shown
from mailboxes.models import Email, Message
from mailboxes.services import reparse
from mailboxes.services.reparse import EmailReport, Outcome

FILTERS = ("parked", "since", "until", "older_than_version")
SAID = {
    Outcome.UNCHANGED: "unchanged",
    Outcome.CHANGED: "changed",
    Outcome.REPAIRED: "repaired",
    Outcome.FAILED: "failed",
    Outcome.RAW_GONE: "without a raw",
    Outcome.CONTENT_GONE: "without content",
}


class Reparsing(BaseCommand):
    """For the command `emails`."""

    def add_reparse(self, verbs: Verbs) -> None:
        parser = verbs.add(
            "reparse",
            "have workers open stored mail again with the parser of today, and say what is read otherwise now; "
            "webhooks that want email.reparsed hear of that",
            self._reparse,
        )
        parser.add_argument("which", nargs="*", help="ids of emails (email_…) or messages (msg_…, the id in the 250)")
        parser.add_argument("--parked", action="store_true", help="only what could not be opened")
        parser.add_argument("--since", help=f"only what came from then on: {WHEN_HELP}")
        parser.add_argument("--until", help="and before then")
        parser.add_argument(
            "--older-than-version",
            type=int,
            nargs="?",
            const=mime.VERSION,
            metavar="N",
            help=f"only what an older parser opened; without N, than today's, which is {mime.VERSION}",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would change; change and tell nothing"
        )
        parser.add_argument(
            "--rate",
            type=int,
            default=reparse.RATE_PER_MINUTE,
            help=f"messages a minute, at most (default {reparse.RATE_PER_MINUTE}); new mail goes first anyhow",
        )

    def _reparse(self, options: Json) -> None:
        messages = _chosen(options)
        if not 1 <= options["rate"] <= reparse.MAX_RATE_PER_MINUTE:
            raise RefusedError(f"--rate is from 1 to {reparse.MAX_RATE_PER_MINUTE}.", field="rate")
        done = reparse.reparse(messages, is_dry_run=options["dry_run"], rate_per_minute=options["rate"])
        counts = self._print_reports(done, options)
        if counts[Outcome.FAILED]:
            raise CommandError(f"{counts[Outcome.FAILED]} could not be opened; they stay as they were.")

    def _print_reports(self, done: Iterable[EmailReport], options: Json) -> Counter[str]:
        """What is unchanged is only counted: there may be millions."""
        counts: Counter[str] = Counter(dict.fromkeys(Outcome.values, 0))
        told: list[EmailReport] = []
        for report in done:
            counts[report["outcome"]] += 1
            if report["outcome"] == Outcome.UNCHANGED:
                continue
            if options["json"]:
                told.append(report)
            else:
                why = ", ".join(report["changed"]) or report["reason"]
                self.stdout.write(f"{report['id']} {SAID[Outcome(report['outcome'])]}{': ' if why else ''}{why}")
        if options["json"]:
            whole: dict[str, Any] = {"data": told, "counts": counts, "dry_run": options["dry_run"]}
            self.stdout.write(json.dumps(whole, indent=2))
        else:
            said = ", ".join(f"{counts[outcome]} {words}" for outcome, words in SAID.items() if counts[outcome])
            self.stdout.write(f"{'Nothing was written. ' if options['dry_run'] else ''}Emails: {said or 'none'}")
        return counts


def _chosen(options: Json) -> QuerySet[Message]:
    """Raises CommandError, or a DomainError."""
    has_filter = any(options[name] is not None and options[name] is not False for name in FILTERS)
    if bool(options["which"]) == has_filter:
        raise CommandError("Give ids, or say which: --parked, --since, --until, --older-than-version.", returncode=2)
    if options["which"]:
        return reparse.chosen(message_ids={_message_of(text) for text in options["which"]})
    return reparse.chosen(
        is_parked=options["parked"],
        since=parse_when(options["since"], name="since") if options["since"] else None,
        until=parse_when(options["until"], name="until") if options["until"] else None,
        older_than_version=options["older_than_version"],
    )


def _message_of(text: str) -> UUID:
    """An email stands for its message, in all mailboxes. Raises NotFoundError, ConflictError for what waits."""
    found = None
    if email_id := decode_id(Email.ID_PREFIX, text):
        found = Message.objects.filter(emails=email_id).first()
    elif message_id := decode_id(Message.ID_PREFIX, text):
        found = Message.objects.filter(pk=message_id).first()
    if found is None:
        raise NotFoundError(f"There is no email or message {shown(text)}.")
    if found.state == Message.State.WAITING:
        raise ConflictError(f"{shown(text)} waits to be opened for the first time; that needs no reparse.")
    return found.pk
