"""What a newcomer needs to see the first mail arrive: an administrator, and one sample of everything."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from apikeys.services import create_api_key, parse_scopes
from emailgistics.common import env
from emailgistics.sending import in_python
from mailboxes.models import Domain
from mailboxes.services.provision import create_alias, create_domain, create_mailbox
from webhooks.models import Webhook
from webhooks.services.webhooks import create_webhook

ADMINISTRATOR = "admin"
PASSWORD = "EMAILGISTICS_ADMIN_PASSWORD"  # noqa: S105 - the variable's name
DOMAIN, MAILBOX, ALIAS = "example.com", "support@example.com", "help@example.com"
KEY_LASTS = timedelta(days=30)
FIRST_RUN = "first-run.txt"
ALLOWANCE = "SINK_ALLOWANCE"  # what `up` last added to WEBHOOK_ALLOW_NETWORKS, so that it can take it back


@dataclass(frozen=True, slots=True)
class Samples:
    password: str
    api_key: str
    webhook_secret: str


class Command(BaseCommand):
    help = (
        "Make a first administrator and a sample domain, mailbox, alias, webhook and API key, and write what they are "
        "to DATA_DIR/first-run.txt. Does nothing where there is a user or a domain.  Example: manage.py quickstart"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON: whether anything was made, and the file")

    def handle(self, *args: object, **options: object) -> None:
        if not settings.EMBEDDED:
            raise CommandError(
                "quickstart makes samples, and there are none with a server database: "
                "make an administrator with `manage.py createsuperuser`, then a domain, a mailbox and a key."
            )
        allow_receiver()
        path = settings.DATA_DIR / FIRST_RUN
        with transaction.atomic():
            if get_user_model().objects.exists() or Domain.objects.exists():
                self._say(f"There are users or domains already: nothing made. {_where(path)}", path, False, options)
                return
            if not settings.QUICKSTART_SAMPLES:
                text = describe_empty(make_administrator())
                env.replace_private(path, text)
                self._tell(text, path, options)
                return
            samples = make_samples()
            # before the commit: what this says exists nowhere else in the clear, and a run that is cut short
            # leaves a file that the next one writes over
            text = describe(samples)
            env.replace_private(path, text)
            env.set_generated(settings.DATA_DIR, "SINK_SECRET", samples.webhook_secret)
            settings.SINK_SECRET = samples.webhook_secret  # in this process, too
        self._tell(text, path, options)

    def _tell(self, text: str, path: Path, options: Mapping[str, object]) -> None:
        where = f"What to try first, and with which secrets: {path}"
        self._say(text if self.stdout.isatty() else where, path, True, options)

    def _say(self, text: str, path: Path, is_made: bool, options: Mapping[str, object]) -> None:
        told = {"made": is_made, "file": str(path) if path.exists() else None}
        self.stdout.write(json.dumps(told, indent=2) if options["json"] else text)


def make_administrator() -> str:
    """The password, as it may be shown."""
    given = str(env.Environment()(PASSWORD, default=""))
    password = given or secrets.token_urlsafe(15)
    get_user_model().objects.create_superuser(username=ADMINISTRATOR, email="", password=password)
    return f"as given in {PASSWORD}" if given else password


def make_samples() -> Samples:
    """Raises DomainError. Call it in a transaction, in an installation that has nothing yet."""
    password = make_administrator()
    create_domain(name=DOMAIN)
    alias = create_alias(address=ALIAS, mailbox=create_mailbox(address=MAILBOX, name="Support"))
    _, webhook_secret = create_webhook(url=receiver_url(), alias=alias, description="The built-in receiver")
    _, api_key = create_api_key(
        name="Sample", expires_at=timezone.now() + KEY_LASTS, scopes=parse_scopes(["full"]), mailboxes=None
    )
    return Samples(password=password, api_key=api_key, webhook_secret=webhook_secret)


def allow_receiver() -> None:
    """Lets webhooks reach the built-in receiver: in this process and, by DATA_DIR/env, in later ones.

    What somebody else gave or wrote there stays; only the port of an earlier start goes.
    """
    recorded = env.generated(settings.DATA_DIR)
    ours, before = f"127.0.0.1/32:{settings.SINK_PORT}", recorded.get(ALLOWANCE)

    def with_ours(networks: list[str]) -> list[str]:
        return [*(network for network in networks if network not in (ours, before)), ours]

    settings.WEBHOOK_ALLOW_NETWORKS = with_ours(settings.WEBHOOK_ALLOW_NETWORKS)
    written = [network.strip() for network in recorded.get("WEBHOOK_ALLOW_NETWORKS", "").split(",") if network.strip()]
    if ours != before or ours not in written:
        env.set_generated(settings.DATA_DIR, "WEBHOOK_ALLOW_NETWORKS", ",".join(with_ours(written)))
        env.set_generated(settings.DATA_DIR, ALLOWANCE, ours)
    if before and before != ours:
        # the sample webhook goes where the receiver went
        old_url = f"http://127.0.0.1:{before.rpartition(':')[2]}/"
        Webhook.objects.live().filter(url=old_url).update(url=receiver_url())


def receiver_url() -> str:
    return f"http://127.0.0.1:{settings.SINK_PORT}/"


def describe(samples: Samples) -> str:
    return f"""\
Emailgistics: what to try first. This file holds secrets that are shown nowhere again; delete it when you have them.

Web console     {settings.BASE_URL}/
  user          {ADMINISTRATOR}
  password      {samples.password}
API explorer    {settings.BASE_URL}/docs, once you are signed in

Sample alias    {ALIAS}, which leads to {MAILBOX}
Sample webhook  {receiver_url()} (the built-in receiver), for mail to {ALIAS}
  secret        {samples.webhook_secret}
Sample API key  {samples.api_key}
                all mailboxes, every scope, ends in {KEY_LASTS.days} days

1. Send a mail:

{in_python(ALIAS)}

2. See it arrive, signed and verified: {receiver_url()} in a browser, or

tail -f {settings.DATA_DIR / "received.jsonl"}

3. Read it back: the log, and with an id out of it what that email says:

curl -H 'Authorization: Bearer {samples.api_key}' {settings.BASE_URL}/v1/emails
curl -H 'Authorization: Bearer {samples.api_key}' '{settings.BASE_URL}/v1/emails/<id>?include=text,html,headers'
"""


def describe_empty(password: str) -> str:
    return f"""\
Emailgistics: an installation with nothing in it. This file holds a password; delete it when you have it.

Web console     {settings.BASE_URL}/
  user          {ADMINISTRATOR}
  password      {password}

Sign in: the first steps are on the dashboard, from a domain to the first mail at your receiver.
"""


def _where(path: Path) -> str:
    return f"What was made first is in {path}." if path.exists() else ""
