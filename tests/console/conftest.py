from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apikeys.models import KeyNotice
from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.models import AuditEntry, Lease
from emailgistics.common.roles import AUDITORS, MAIL_READERS
from mailboxes.models import Address, AliasImport, ErasureJob, Refusal
from mailboxes.services import rule_book
from tests.apikeys.factories import make_key
from tests.factories import make_alias, make_delivery, make_domain, make_email, make_mailbox, make_webhook
from tests.webhooks.browsing import make_job
from webhooks.models import Attempt, Notice

GROUPS_OF = {
    "member": (SYSTEM_ADMINISTRATORS,),
    "auditor": (AUDITORS,),
    "mail_auditor": (AUDITORS, MAIL_READERS),
}
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _fast_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


def make_person(name: str) -> User:
    """By what they are: superuser, member (of the group), auditor, mail_auditor (may read mail), staff, ordinary."""
    user = User.objects.create_user(
        name, password=PASSWORD, is_superuser=name == "superuser", is_staff=name in ("superuser", "staff")
    )
    user.groups.add(*Group.objects.filter(name__in=GROUPS_OF.get(name, ())))
    return user


@pytest.fixture
def client_for(db: None) -> Callable[[str], Client]:
    """A browser without scripts, signed in; "nobody" is not."""

    def signed_in(name: str) -> Client:
        client = Client()
        if name != "nobody":
            client.force_login(User.objects.filter(username=name).first() or make_person(name))
        return client

    return signed_in


@pytest.fixture
def administrator(client_for: Callable[[str], Client]) -> Client:
    return client_for("superuser")


@pytest.fixture
def one_of_each(db: None, loopback_allowed: None) -> dict[str, Model]:
    """A row of every kind that the console shows, by the model's label."""
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    email = make_email(to="help@example.com")
    webhook = make_webhook(alias=alias)
    delivery = make_delivery(webhook)
    attempt = Attempt.objects.create(delivery=delivery, n=1, started_at=timezone.now(), status=200, total_ms=3)
    key, _ = make_key(mailboxes=[mailbox])
    lease = Lease.objects.create(kind="mail", host="worker.example.net", pid=1, seen_at=timezone.now())
    notice = Notice.objects.create(webhook=webhook, kind=Notice.Kind.FAILING, text="It fails.", at=timezone.now())
    rule = rule_book.create_rule(action="block", criterion="sender", value="spam@example.net", alias=alias)
    refusal = Refusal.objects.create(
        at=timezone.now(), source="smtp", recipient="help@example.com", reply="550 5.7.1 Refused",
        code="blocked_by_rule", rule=rule, transcript=[[1, "C", "MAIL FROM:<spam@example.net>"]],
    )  # fmt: skip
    rows: list[Any] = [
        rule,
        refusal,
        notice,
        make_job(webhook),
        mailbox,
        alias,
        make_domain(),
        email,
        email.message,
        webhook,
        delivery,
        delivery.event,
        delivery.body,
        attempt,
    ]
    rows += [
        key,
        AliasImport.objects.create(name="a.csv", columns=["address"], total=1, created_by="ada", due_at=timezone.now()),
        ErasureJob.objects.create(
            mailbox=mailbox, deleted_at=timezone.now(), total=1, created_by="ada", due_at=timezone.now()
        ),
        KeyNotice.objects.create(api_key=key, kind=KeyNotice.Kind.AGED_90, told_at=timezone.now()),
        AuditEntry.objects.all()[0],
        lease,
        Address.objects.all()[0],
        User.objects.create(username="somebody"),
        Group.objects.get(name=SYSTEM_ADMINISTRATORS),
    ]
    return {row._meta.label: row for row in rows}
