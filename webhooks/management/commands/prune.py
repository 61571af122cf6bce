import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from emailgistics.common.commands import in_short
from mailboxes.services import retain, tidy
from webhooks.services import retention
from webhooks.services.prune import SLICE, prune_mail


class Command(BaseCommand):
    help = (
        "Removes now what is not kept any longer: mail whose clocks have ended (docs/operations/retention.md), records "
        "of attempts, refusals and the rest. The running parts do the same by themselves, little by little; it may "
        "run beside them, be stopped, and be run again.  Example: manage.py prune --dry-run"
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--until-done", action="store_true", help="until nothing is due any more, as by default")
        how.add_argument("--once", action="store_true", help="as much as a dispatcher does at a time, and no more")
        how.add_argument("--dry-run", action="store_true", help="of mail, say how much is due; nothing is removed")
        parser.add_argument("--json", action="store_true", help="print JSON")

    @in_short()
    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            found = retain.due()
        else:
            done, _ = prune_mail(for_at_most=SLICE if options["once"] else None)
            went = {name: getattr(done, name) for name in ("raws", "contents", "emails")}
            found = {**went, "needed": retain.count_postponed(), "others": _others(once=options["once"])}
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], **found}, indent=2))
            return
        self.stdout.write("Due, unless something needs it still:" if options["dry_run"] else "Removed:")
        for name, text in TEXTS.items():
            if name in found:
                self.stdout.write(f"  {found[name]} {text}")


TEXTS = {
    "raws": "raws of emails",
    "contents": "contents of emails, with their raws",
    "emails": "emails, with all that stood on them",
    "needed": "emails are needed still, and looked at again in a day",
    "others": "other rows: attempts, notices, octets of events, refusals, single counts",
}


def _others(*, once: bool) -> int:
    count = tidy.tidy()
    while some := retention.prune():
        count += some
        if once:
            break
    return count
