"""Webhooks and due deliveries in bulk. Needs django.setup()."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from django.db import connection
from django.utils import timezone

from mailboxes.models import Domain, Email, Mailbox, Message
from mailboxes.services import provision
from mailboxes.services.admit import admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Incoming, receive_group
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.services import webhooks

BODY = b'{"type":"email.received","data":{"text":"' + b"x" * 4000 + b'"}}'

AT_ONCE = 1000  # of rows in a statement, which takes 65,535 parameters


def make_webhooks(urls: Sequence[str]) -> list[Webhook]:
    domain = Domain.objects.first() or provision.create_domain(name="example.com")
    mailbox = Mailbox.objects.filter(domain=domain)[0]
    return [webhooks.create_webhook(url=url, mailbox=mailbox, events=["email.received"])[0] for url in urls]


def make_due(hooks: Sequence[Webhook], count: int, *, spread_over_s: float = 0, after_s: float = 0) -> list[Delivery]:
    """That many emails, each with an event for one of the webhooks in turn; due at a steady rate, or all at once."""
    now = timezone.now()
    mailbox = hooks[0].mailbox
    messages = Message.objects.bulk_create(
        (
            Message(received_at=now, mail_from="ada@example.net", size=4000, sha256="0" * 64, state="processed")
            for _ in range(count)
        ),
        batch_size=AT_ONCE,
    )
    emails = Email.objects.bulk_create(
        (
            Email(message=message, mailbox=mailbox, received_at=now, size=4000, status="processed")
            for message in messages
        ),
        batch_size=AT_ONCE,
    )
    events = Event.objects.bulk_create(
        (Event(type=Event.Type.EMAIL_RECEIVED, email=email, created_at=now) for email in emails),
        batch_size=AT_ONCE,
    )
    bodies = EventBody.objects.bulk_create(
        (EventBody(event=event, form="full", body=BODY, size=len(BODY)) for event in events),
        batch_size=AT_ONCE,
    )
    first = timezone.now() + timedelta(seconds=after_s)
    step = timedelta(seconds=spread_over_s) / count
    return Delivery.objects.bulk_create(
        (
            Delivery(
                event=body.event, body=body, webhook=hooks[n % len(hooks)], state="pending", due_at=first + n * step
            )
            for n, body in enumerate(bodies)
        ),
        batch_size=AT_ONCE,
    )


def make_waiting(count: int) -> None:
    """That many mails of 4 kB as the listener stores them, for the mailbox of the webhooks."""
    mailbox = Mailbox.objects.select_related("domain")[0]
    to = f"{mailbox.local_part}@{mailbox.domain.name}"
    envelope = Envelope(mail_from="ada@example.net", client_ip="192.0.2.1", helo="mail.example.net")
    head = f"From: Ada <ada@example.net>\r\nTo: {to}\r\nSubject: Order %s\r\nMessage-ID: <%s@example.net>\r\n\r\n"
    for begin in range(0, count, AT_ONCE):
        ids = [uuid4().hex for _ in range(begin, min(begin + AT_ONCE, count))]
        raws = [(head % (id_, id_)).encode() + (b"x" * 76 + b"\r\n") * 50 for id_ in ids]
        admission = admit(to, envelope=envelope)
        receive_group([Incoming(envelope=envelope, admissions=[admission], raw=raw) for raw in raws])


def make_many_due(hooks: Sequence[Webhook], count: int, *, keep: bool = False) -> None:
    """That many deliveries and nothing else, made by the database: of events about the webhooks themselves."""
    with connection.cursor() as cursor:
        if not keep:
            cursor.execute("TRUNCATE webhooks_delivery, webhooks_attempt, webhooks_eventbody, webhooks_event")
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO webhooks_event (id, type, webhook_id, created_at)
                SELECT gen_random_uuid(), 'webhook.disabled', %(any)s, now() FROM generate_series(1, %(events)s)
                RETURNING id
            ), bodies AS (
                INSERT INTO webhooks_eventbody (event_id, form, body, size) SELECT id, 'full', '{}', 2 FROM made
                RETURNING id, event_id
            )
            INSERT INTO webhooks_delivery (id, event_id, webhook_id, body_id, state, reason, due_at, attempts, failures,
                   lease_losses, last_error, created_at)
            SELECT gen_random_uuid(), event_id, hook, id, 'pending', '', now() - random() * interval '1 day', 0, 0, 0,
                   '', now()
              FROM bodies, unnest(%(hooks)s::uuid[]) AS hook
            """,
            {
                "any": hooks[0].pk,
                "events": max(1, count // len(hooks)),
                "hooks": [hook.pk for hook in hooks],
            },
        )
        cursor.execute("ANALYZE")
