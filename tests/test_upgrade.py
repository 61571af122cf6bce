"""The upgrade, rehearsed: from the tables of the release before, with rows of every kind in them, to those of this one.

The rows are made by this release and taken back to that one's tables, as far as those hold them.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import tombstones
from emailgistics.common.models import AuditEntry
from emailgistics.common.selftest import refuse
from mailboxes.models import Email
from mailboxes.services import process, rule_book
from tests.apikeys.factories import client_of, make_key
from tests.factories import RAW, make_alias, make_delivery, make_email, make_mailbox, make_message, make_webhook
from tests.webhooks import answers
from webhooks.models import Delivery, Webhook
from webhooks.services import erase
from webhooks.services.dispatch import run_until_idle
from webhooks.services.webhooks import headers_of, rotate_secret, secrets_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

# where each app's tables stood
RELEASE_BEFORE = {
    "console": None,
    "webhooks": "0013",
    "apikeys": "0007",
    "mailboxes": "0010",
    "common": "0006",
}
HEADERS = {"X-Token": "for the receiver"}


class Column(NamedTuple):
    name: str
    may_be_left_out: bool  # by who writes a row and does not know it
    may_be_null: bool


@pytest.fixture(autouse=True)
def _to_the_latest() -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


def to_the_release_before() -> None:
    for app, name in RELEASE_BEFORE.items():
        call_command("migrate", app, name or "zero", verbosity=0)


def upgrade() -> None:
    call_command("migrate", verbosity=0)


def tables() -> list[str]:
    apart = {"django_migrations", "django_content_type", "auth_permission"}  # which every migrate writes
    return [name for name in connection.introspection.table_names() if name not in apart]


def rows(table: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _key(row: dict[str, Any], *, like: dict[str, Any]) -> Any:
    """SQLite builds a table anew with its columns in another order."""
    return row["id" if "id" in like else next(iter(like))]


def columns(table: str) -> dict[str, Column]:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA table_info({table})")
            found = [Column(name, not strict or default is not None or key > 0, not strict)
                     for _, name, _, strict, default, key in cursor.fetchall()]  # fmt: skip
        else:
            cursor.execute(
                "SELECT column_name, is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES', "
                "is_nullable = 'YES' FROM information_schema.columns WHERE table_name = %s AND table_schema = 'public'",
                [table],
            )
            found = [Column(*row) for row in cursor.fetchall()]
    return {column.name: column for column in found}


def make_rows() -> tuple[Webhook, str]:
    """A little of everything. The webhook, and the plaintext of a key."""
    mailbox = make_mailbox()
    webhook = make_webhook(alias=make_alias(mailbox=mailbox), headers=HEADERS)
    rotate_secret(webhook)
    rule_book.create_rule(action="block", criterion="sender_domain", value="example.org")
    make_message(to=("help@example.com",))
    process.drain(linger=timedelta(0))
    make_message(raw=RAW + b"waits", to=("help@example.com",))
    erase.erase_email(make_email(raw=RAW + b"erased", to=mailbox.address).pk, by="grace")
    make_delivery(webhook, state="delivered")
    User.objects.create_superuser("grace", password="as it was then")
    _, plaintext = make_key(mailboxes=[mailbox])
    assert client_of(plaintext).get("/v1/emails").status_code == 200
    return webhook, plaintext


@pytest.mark.usefixtures("_loopback_allowed")
def test_nothing_is_lost_mail_flows_keys_open_and_secrets_are_read() -> None:
    with answers.receiver() as there:
        webhook, plaintext = make_rows()
        Webhook.objects.update(url=there.url)
        secrets = secrets_of(webhook, now=timezone.now())
        to_the_release_before()
        before = {table: rows(table) for table in tables()}
        assert len([table for table, found in before.items() if found]) > 15
        upgrade()
        refuse()  # as parts do that start: secrets and triggers
        for table, found in before.items():
            now = {_key(row, like=found[0]): row for row in rows(table)} if found else {}
            kept = [{name: now[_key(old, like=old)][name] for name in old} for old in found]
            assert kept == found, table

        # what waited then is opened, and goes out with what comes now
        make_message(raw=RAW + b"new", to=("help@example.com",))
        process.drain(linger=timedelta(0))
        run_until_idle(idle_for=timedelta(0))
        assert not Delivery.objects.exclude(state="delivered").exists()
    assert len(there.received) == 3
    assert not Email.objects.filter(status=Email.Status.WAITING).exists()
    assert client_of(plaintext).get("/v1/emails").status_code == 200
    webhook = Webhook.objects.select_related("alias").get(pk=webhook.pk)
    assert (secrets_of(webhook, now=timezone.now()), headers_of(webhook)) == (secrets, HEADERS)
    assert tombstones.buried("email", ["email_of_nobody"]) == set()
    assert AuditEntry.objects.exists()
    assert User.objects.get().check_password("as it was then")


def test_the_release_before_reads_and_writes_the_new_tables() -> None:
    """It names the columns that it knows: none of them is gone or stricter, and what came can be left out."""
    to_the_release_before()
    before = {table: columns(table) for table in tables()}
    upgrade()
    for table, known in before.items():
        now = columns(table)
        assert known.keys() <= now.keys(), f"{table}: gone"
        stricter = [name for name, column in known.items() if column.may_be_null and not now[name].may_be_null]
        assert stricter == [], f"{table}: must not be null any more"
        demanded = [name for name in now.keys() - known.keys() if not now[name].may_be_left_out]
        assert demanded == [], f"{table}: who does not know it cannot write a row"


@pytest.fixture
def _loopback_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
