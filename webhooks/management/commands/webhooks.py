import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from emailgistics.common import access
from emailgistics.common.commands import Json, ResourceCommand, Verbs, read_secret, readable
from emailgistics.common.errors import NotFoundError, RefusedError
from emailgistics.common.ids import decode_id
from emailgistics.common.when import WHEN_HELP, parse_duration, parse_when
from mailboxes.addresses import shown
from mailboxes.management.commands.aliases import find_alias
from mailboxes.management.commands.domains import find_domain
from mailboxes.management.commands.mailboxes import find_mailbox
from webhooks.api.serializers import DeliveryDetailSerializer, ReplayJobSerializer, WebhookSerializer
from webhooks.headers import FIELD, MASK
from webhooks.models import MAX_IN_FLIGHT, Delivery, ReplayJob, Webhook
from webhooks.services import replay_jobs, stop, testing, webhooks
from webhooks.transport import TOTAL_S

OPERATOR = access.OPERATOR.name
TEST_WITHIN = timedelta(seconds=TOTAL_S + 5)  # one attempt, and the time until it is begun
LOOK_EVERY = timedelta(seconds=0.5)
EVENT_HELP = "what it is told of; may be given again"
HEADER_HELP = "sent with every request, such as 'X-Api-Key: …'; may be given again. Its value is not shown any more"


def find_webhook(text: str) -> Webhook:
    """By id. Raises NotFoundError."""
    pk = decode_id(Webhook.ID_PREFIX, text)
    webhook = Webhook.objects.live().select_related("alias").filter(pk=pk).first() if pk else None
    if webhook is None:
        raise NotFoundError(f"There is no webhook {shown(text)}; `manage.py webhooks list` shows their ids.")
    return webhook


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """`Name: value` each. Raises RefusedError, which quotes no value."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise RefusedError("A header is written 'Name: value'.", field=FIELD)
        if name in headers:
            raise RefusedError(f"The header {shown(name)} is given twice.", field=FIELD)
        headers[name] = value.strip(" \t")
    return headers


def parse_overlap(text: str) -> timedelta:
    """`24h`, `7d` or `0`. Raises RefusedError."""
    overlap = parse_duration("0h" if text == "0" else text)
    if overlap is None:
        raise RefusedError("An overlap is written 24h, 7d or 0.", field="overlap")
    return overlap


class Command(ResourceCommand[Webhook]):
    help = (
        "Endpoints that are told about mail, and their secrets.  "
        "Example: manage.py webhooks create --url https://hooks.example.net/mail --alias help@example.com"
    )
    noun = "webhook"
    makes_secrets = True
    handle_help = "its id"
    serializer = WebhookSerializer
    columns: ClassVar = ("id", "state", "url", "alias_id", "mailbox_id", "domain_id")

    def add_create_arguments(self, parser: CommandParser) -> None:
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--url", help="https; http only into WEBHOOK_ALLOW_NETWORKS")
        where.add_argument("--pull", action="store_true", help="send nothing: its deliveries are pulled")
        binding = parser.add_mutually_exclusive_group(required=True)
        binding.add_argument("--alias", help="mail to this alias: id or address")
        binding.add_argument("--mailbox", help="mail in this mailbox: id or address")
        binding.add_argument("--domain", help="mail to this domain: id or name")
        parser.add_argument("--payload", choices=Webhook.Payload.values, default=Webhook.Payload.FULL)
        parser.add_argument("--attachments", choices=Webhook.Attachments.values, default=Webhook.Attachments.LINKS)
        parser.add_argument(
            "--event", action="append", choices=Webhook.EventType.values, help=f"{EVENT_HELP}. All, unless said"
        )
        parser.add_argument("--max-in-flight", type=int, default=MAX_IN_FLIGHT, help="requests at once")
        parser.add_argument("--rate", type=int, help="requests a minute; no limit, unless said")
        secret = parser.add_mutually_exclusive_group()
        secret.add_argument(
            "--secret-file", type=Path, help="a file with whsec_…, to keep a receiver as it is; else a new one is made"
        )
        secret.add_argument("--secret", help="the same itself, which every user of the machine sees then")
        parser.add_argument("--description", default="", help="for people")
        parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help=HEADER_HELP)

    def create(self, options: Mapping[str, Any]) -> tuple[Webhook, Json]:
        webhook, secret = webhooks.create_webhook(
            url=options["url"] or "",
            alias=find_alias(options["alias"]) if options["alias"] else None,
            mailbox=find_mailbox(options["mailbox"]) if options["mailbox"] else None,
            domain=find_domain(options["domain"]) if options["domain"] else None,
            payload=options["payload"],
            attachments=options["attachments"],
            events=options["event"],
            max_in_flight=options["max_in_flight"],
            rate_per_minute=options["rate"],
            secret=read_secret(options["secret_file"]) if options["secret_file"] else options["secret"],
            description=options["description"],
            headers=parse_headers(options["header"]),
        )
        return webhook, {"secret": secret}

    def rows(self, options: Mapping[str, Any]) -> Iterable[Webhook]:
        return Webhook.objects.live().select_related("alias")

    def find(self, text: str) -> Webhook:
        return find_webhook(text)

    def end(self, row: Webhook) -> None:
        webhooks.delete_webhook(row, by=access.OPERATOR)

    def add_verbs(self, verbs: Verbs) -> None:
        super().add_verbs(verbs)
        update = verbs.add("update", "change one webhook; what is not named stays", self._update)
        update.add_argument("which", help=self.handle_help)
        update.add_argument("--url", help="another scheme, host or port renews the secret and drops kept headers")
        update.add_argument("--payload", choices=Webhook.Payload.values)
        update.add_argument("--attachments", choices=Webhook.Attachments.values)
        update.add_argument(
            "--event", action="append", choices=Webhook.EventType.values, help=f"{EVENT_HELP}. These are all"
        )
        update.add_argument("--max-in-flight", type=int, help="requests at once")
        update.add_argument("--rate", type=int, help="requests a minute; 0 ends the limit")
        update.add_argument("--description", help="for people")
        headers = update.add_mutually_exclusive_group()
        headers.add_argument(
            "--header",
            action="append",
            metavar="'NAME: VALUE'",
            help=f"{HEADER_HELP}. These are all: others go, and 'NAME: {MASK}' keeps one as it is",
        )
        headers.add_argument("--no-headers", action="store_true", help="drop all headers of its own")
        rotate = verbs.add("rotate-secret", "give it a new secret, printed this once", self._rotate)
        rotate.add_argument("which", help=self.handle_help)
        rotate.add_argument("--overlap", default="24h", help="how long the one before signs as well: 24h, 7d, 0")
        for verb, help_text, run in (
            ("pause", "hold what comes from now on; nothing is dropped", self._pause),
            ("resume", "send again, and what was held first; confirms where its alias leads", self._resume),
        ):
            verbs.add(verb, help_text, run).add_argument("which", help=self.handle_help)
        test = verbs.add("test", "send it a test, wait, and say what came of it", self._test)
        test.add_argument("which", help=self.handle_help)
        again = verbs.add("replay", "send a span of time again, and show how far it is", self._replay)
        again.add_argument("which", help=self.handle_help)
        again.add_argument("--since", required=True, help=WHEN_HELP)
        again.add_argument("--until", help=f"{WHEN_HELP}; up to now, unless said")
        again.add_argument("--status", choices=replay_jobs.OF_STATES, default="failed", help="how they had ended")
        again.add_argument("--rate", type=int, default=replay_jobs.RATE_PER_MINUTE, help="deliveries a minute")
        halt = verbs.add("stop-all", "start no attempt for any webhook; nothing is lost", self._stop_all)
        halt.add_argument("--reason", default="", help="for people")
        verbs.add("start-all", "let attempts start again after stop-all", self._start_all)

    def _update(self, options: Json) -> None:
        changes: dict[str, Any] = {
            name: options[name]
            for name in ("url", "payload", "attachments", "max_in_flight", "description")
            if options[name] is not None
        }
        if options["event"]:
            changes["events"] = options["event"]
        if options["rate"] is not None:
            changes["rate_per_minute"] = options["rate"] or None
        if options["no_headers"] or options["header"]:
            given = parse_headers(options["header"] or [])
            changes["headers"] = {name: None if value == MASK else value for name, value in given.items()}
        if not changes:
            raise CommandError("Say what to change; --help shows what there is.", returncode=2)
        webhook = self.find(options["which"])
        secret = webhooks.update_webhook(webhook, **changes)
        self.print_one(webhook, options, **({} if secret is None else {"secret": secret}))

    def _rotate(self, options: Json) -> None:
        overlap = parse_overlap(options["overlap"])
        webhook = self.find(options["which"])
        self.print_one(webhook, options, secret=webhooks.rotate_secret(webhook, overlap=overlap))

    def _pause(self, options: Json) -> None:
        webhook = self.find(options["which"])
        webhooks.pause_webhook(webhook, reason="paused by an operator")
        self.print_one(self.find(options["which"]), options)

    def _resume(self, options: Json) -> None:
        webhook = self.find(options["which"])
        webhooks.resume_webhook(webhook)
        self.print_one(self.find(options["which"]), options)

    def _test(self, options: Json) -> None:
        delivery = testing.send_test(self.find(options["which"]), by=OPERATOR)
        delivery = testing.wait_for_end(delivery, at_most=TEST_WITHIN)
        told = DeliveryDetailSerializer(delivery).data
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2))
        match delivery.state:
            case Delivery.State.DELIVERED:
                if not options["json"]:
                    self.stdout.write(f"{delivery.public_id} arrived: answered {delivery.last_status}.")
            case Delivery.State.PENDING:
                raise CommandError(f"{delivery.public_id} was not tried yet: {told['reason'] or 'no dispatcher runs'}.")
            case _:
                attempt = delivery.attempt_log.last()
                why = (attempt.detail or attempt.error) if attempt else delivery.reason
                raise CommandError(f"{delivery.public_id} is {delivery.state}: {readable(why)}")

    def _replay(self, options: Json) -> None:
        webhook = self.find(options["which"])
        job = replay_jobs.start_replay(
            webhook,
            since=parse_when(options["since"], name="since"),
            until=parse_when(options["until"], name="until") if options["until"] else timezone.now(),
            of_state=options["status"],
            rate_per_minute=options["rate"],
            by=OPERATOR,
        )
        while job.state == ReplayJob.State.RUNNING:
            replay_jobs.work_replays()  # as dispatchers do; whoever comes first
            job.refresh_from_db()
            if not options["json"]:
                done = job.replayed + job.skipped + job.content_expired
                self.stdout.write(f"{job.public_id}: {done} of {job.total}, {job.replayed} sent again")
            if job.state == ReplayJob.State.RUNNING:
                time.sleep(LOOK_EVERY.total_seconds())
        if options["json"]:
            self.stdout.write(json.dumps(ReplayJobSerializer(job).data, indent=2))
        else:
            self.stdout.write(
                f"{job.state}: {job.replayed} sent again, {job.skipped} were on their way, "
                f"{job.content_expired} no longer kept"
            )

    def _stop_all(self, options: Json) -> None:
        stopped = stop.stop_outgoing(by=OPERATOR, reason=options["reason"])
        told = {"stopped": True, "by": stopped.stopped_by, "reason": stopped.reason}
        self._say(options, told, f"Stopped by {readable(stopped.stopped_by)}. {readable(stopped.reason)}".strip())

    def _start_all(self, options: Json) -> None:
        was_stopped = stop.start_outgoing(by=OPERATOR)
        self._say(options, {"stopped": False}, "Started." if was_stopped else "Nothing was stopped.")

    def _say(self, options: Json, told: Json, text: str) -> None:
        self.stdout.write(json.dumps(told, indent=2) if options["json"] else text)
