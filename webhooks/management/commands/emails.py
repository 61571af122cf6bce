import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from emailgistics.common.commands import Json, RecordCommand, Verbs
from emailgistics.common.errors import NotFoundError
from emailgistics.common.ids import decode_id, encode_id
from mailboxes.addresses import shown
from mailboxes.api.serializers import LARGE, EmailDetailSerializer
from mailboxes.api.views.emails import QUARANTINE
from mailboxes.models import Email
from mailboxes.services import quarantine, search
from webhooks.api.serializers import EmailReplaySerializer
from webhooks.management.commands._octets import Octets
from webhooks.management.commands._reparse import Reparsing
from webhooks.management.commands.webhooks import OPERATOR
from webhooks.models import Webhook
from webhooks.services import erase
from webhooks.services.erase import Erased
from webhooks.services.replay import replay_email

NEWEST = 100


def parse_id(text: str) -> UUID:
    """Of an email that need not be there any more. Raises NotFoundError."""
    pk = decode_id(Email.ID_PREFIX, text)
    if pk is None:
        raise NotFoundError(f"There is no email {shown(text)}; `manage.py emails list` shows their ids.")
    return pk


class Command(Reparsing, Octets, RecordCommand[Email]):
    help = (
        "Mail that was accepted, the newest first: its octets, telling its webhooks again, opening it again, letting "
        "go what a rule keeps back, and erasing it for good.  "
        "Example: manage.py emails reparse --older-than-version"
    )
    noun = "email"
    makes_secrets = True
    handle_help = "its id"
    serializer = EmailDetailSerializer
    columns: ClassVar = ("received_at", "id", "mailbox_id", "status", "mail_from", "subject")

    def add_list_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=NEWEST, help=f"at most so many (default {NEWEST})")
        parser.add_argument("--status", choices=Email.Status.values, help="only those that stand there")

    def add_verbs(self, verbs: Verbs) -> None:
        release = verbs.add("release", "let it go that a rule keeps back: webhooks are told of it", self._release)
        release.add_argument("which", help=self.handle_help)
        self.add_octets(verbs)
        replay = verbs.add("replay", "tell all webhooks of it that want it now, also new ones, again", self._replay)
        replay.add_argument("which", help=self.handle_help)
        self.add_reparse(verbs)
        verbs.add(
            "index",
            "once after the release that brought the filters of lists: have them find mail that came before; can be "
            "stopped and run again, and mail goes on meanwhile",
            self._index,
        )
        delete = verbs.add(
            "delete",
            "delete one for good, as DELETE /v1/emails/{id} does: the same as to erase it by its id, but for one that "
            "is not there, which is refused",
            self._delete,
        )
        delete.add_argument("which", help=self.handle_help)
        parser = verbs.add(
            "erase", "leave nothing of them here, nor of their events, deliveries and attempts", self._erase
        )
        parser.add_argument("which", nargs="*", help="their ids")
        parser.add_argument(
            "--address",
            help="all that came so far with this envelope sender, From address or recipient; a +tag makes another "
            "address. What could not be opened is found by its envelope alone",
        )
        parser.add_argument(
            "--mentions",
            action="store_true",
            help="with --address: also mail of others that has it in To, Cc or any other header, in its text, or in "
            "the name of an attachment, and what receivers answered with it; what attachments hold is not looked "
            "into. It reads all mail that there is",
        )

    def rows(self, options: Json) -> Iterable[Email]:
        rows = _rows().prefetch_related("recipients").order_by("-id")
        if options["status"]:
            rows = rows.filter(status=options["status"])
        return rows[: max(options["limit"], 0)]

    def find(self, text: str) -> Email:
        email = _rows().filter(pk=parse_id(text)).first()
        if email is None:
            raise NotFoundError(f"There is no email {shown(text)}; `manage.py emails list` shows their ids.")
        return email

    def _release(self, options: Json) -> None:
        email = self.find(options["which"])
        quarantine.release_email(email, by=OPERATOR)
        self.print_one(self.find(options["which"]), options)

    def _index(self, options: Json) -> None:
        count = sum(search.index_what_is_missing())
        self.stdout.write(json.dumps({"indexed": count}) if options["json"] else f"{count} emails indexed")

    def _replay(self, options: Json) -> None:
        done = replay_email(self.find(options["which"]), by=OPERATOR, webhooks=Webhook.objects.live())
        told = dict(EmailReplaySerializer(done).data)
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2))
        else:
            self.print_thing(told)
            if not any(told.values()):
                self.stdout.write("No webhook that there is wants it: `manage.py webhooks list`.")

    def _delete(self, options: Json) -> None:
        email = self.find(options["which"])
        erased = erase.erase_email(email.pk, by=OPERATOR)
        if options["json"]:
            self.stdout.write(json.dumps(_json_of(erased), indent=2))
        else:
            self.stdout.write(f"deleted {email.public_id}")

    def _erase(self, options: Json) -> None:
        if bool(options["which"]) == bool(options["address"]):
            raise CommandError("Give the ids of emails, or --address.", returncode=2)
        if options["mentions"] and not options["address"]:
            raise CommandError("--mentions goes with --address.", returncode=2)
        if options["which"]:
            self._print_erased(erase.erase_emails([parse_id(text) for text in options["which"]], by=OPERATOR), options)
            return
        done = erase.erase_address(options["address"], by=OPERATOR, with_mentions=options["mentions"])
        self._print_erased(done.emails, options)
        for rule in done.rules:
            self.stderr.write(f"{rule} names the address, and stays: manage.py rules delete {rule}")
        if done.unopened:
            raise CommandError(
                f"{done.unopened} mails wait to be opened, and what their From says is not known before: is a worker "
                "running? Try again in a moment; what is erased stays so."
            )

    def _print_erased(self, erased: Sequence[Erased], options: Json) -> None:
        things = [_json_of(one) for one in erased]
        if options["json"]:
            self.stdout.write(json.dumps({"data": things}, indent=2))
            return
        for thing in things:
            how = "erased" if thing["deliveries"] is not None else "was erased before"
            self.stdout.write(f"{thing['id']} {how}")
        if not things:
            more = ""
            if options["address"] and not options["mentions"]:
                more = " Mail of others that names the address stays; it goes with --mentions."
            self.stdout.write(f"There is nothing to erase.{more}")


def _json_of(erased: Erased) -> dict[str, Any]:
    return {"id": encode_id(Email.ID_PREFIX, erased.email_id), "deliveries": erased.deliveries}


def _rows() -> QuerySet[Email]:
    large = (f"content__{name}" for name in LARGE)
    return Email.objects.select_related("message", "content", *QUARANTINE).defer(*large)
