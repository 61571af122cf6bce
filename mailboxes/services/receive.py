"""Taking a mail in: what stands between the final dot and the 250, and nothing else."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from emailgistics.common.nudge import nudge
from mailboxes.models import Email, Message, Recipient
from mailboxes.raw import new_raw
from mailboxes.services.route import Route

PROCESS = "mailboxes.tasks.process"  # by name: importing the task would pull the parser into the listener


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a message reached us. An empty mail_from is the null sender <>; texts are free of control characters."""

    mail_from: str
    client_ip: str | None = None
    helo: str = ""
    tls: str = ""
    source: Message.Source = Message.Source.SMTP


def receive_message(*, envelope: Envelope, routes: Sequence[Route], raw: bytes) -> Message:
    """Stores one message for all its accepted recipients, or for none. Returns once committed.

    `raw` is the octets after DATA, dots unstuffed (RFC 5321 section 4.5.2). A mailbox that was deleted after RCPT still
    gets its mail: its sender was told 250. Raises whatever the database raises; then nothing is stored.
    """
    now = timezone.now()
    message = Message(
        received_at=now,
        source=envelope.source,
        mail_from=envelope.mail_from,
        client_ip=envelope.client_ip,
        helo=envelope.helo,
        tls=envelope.tls,
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    stored = new_raw(message, raw)  # compressed before the transaction: SQLite has one writer at a time
    emails = {
        mailbox_id: Email(message=message, mailbox_id=mailbox_id, received_at=now, size=message.size)
        for mailbox_id in dict.fromkeys(route.mailbox_id for route in routes)
    }
    recipients = [_recipient(route, emails[route.mailbox_id]) for route in routes]
    with transaction.atomic(durable=True):
        message.save(force_insert=True)
        stored.save(force_insert=True)
        Email.objects.bulk_create(emails.values())
        Recipient.objects.bulk_create(recipients)
        # a function with a name: Django's report on a hook that failed fails itself on a partial
        transaction.on_commit(lambda: nudge(PROCESS), robust=True)
    return message


def _recipient(route: Route, email: Email) -> Recipient:
    return Recipient(
        message=email.message,
        email=email,
        alias_id=route.alias_id,
        address=route.address,
        kind=route.kind,
        tag=route.tag,
        explanation=list(route.explanation),
    )
