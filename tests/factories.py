"""Rows for tests: valid by default, keyword arguments for what a test is about."""

from datetime import timedelta

from django.utils import timezone

from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision

RAW = (
    b"From: Ada Lovelace <ada@example.net>\r\n"
    b"To: support@example.com\r\n"
    b"Subject: Broken engine\r\n"
    b"Date: Mon, 01 Jun 2026 10:00:00 +0200\r\n"
    b"Message-ID: <1@example.net>\r\n"
    b"\r\n"
    b"It does not turn.\r\n"
)


def make_domain(*, name: str = "example.com") -> Domain:
    existing = Domain.objects.live().filter(name=name).first()
    return existing or provision.create_domain(name=name)


def make_mailbox(*, address: str = "support@example.com") -> Mailbox:
    make_domain(name=address.rpartition("@")[2])
    return provision.create_mailbox(address=address)


def make_alias(*, address: str = "help@example.com", mailbox: Mailbox | None = None) -> Alias:
    mailbox = mailbox or make_mailbox()
    make_domain(name=address.rpartition("@")[2])
    return provision.create_alias(address=address, mailbox=mailbox)


def in_days(days: float) -> "timezone.datetime":
    return timezone.now() + timedelta(days=days)
