"""One processed email becomes one event, and a delivery for each webhook that is bound to where it went."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common.nudge import nudge
from mailboxes.models import Attachment, Email, Recipient
from webhooks.files import links
from webhooks.models import Delivery, Event, Webhook
from webhooks.payloads import StoredEmail
from webhooks.services import bodies, counted

DISPATCH = "webhooks.tasks.dispatch"


def fan_out_email(
    *,
    email: Email,
    recipients: Sequence[Recipient],
    attachments: Sequence[Attachment],
    octets: bytes | None,
    changed: Sequence[str] | None = None,
) -> None:
    """Stores the event and its deliveries in the caller's transaction; nothing, if no webhook wants it.

    octets is the raw, None where it cannot be read. email.content is loaded. changed is None for a mail that came, and
    names what is another now in one that was opened again.
    """
    kind = Event.Type.EMAIL_RECEIVED if changed is None else Event.Type.EMAIL_REPARSED
    webhooks = [webhook for webhook in matching(email, recipients) if kind in webhook.events]
    if not webhooks:
        return
    event = Event.objects.create(
        type=kind,
        email=email,
        changed=changed,
        created_at=timezone.now(),
        links_revoked_at=None if changed is None else links.revoked_at(email),
    )
    stored = StoredEmail(email, email.content, recipients, attachments)
    kept = bodies.store_bodies(event, stored, {webhook.form for webhook in webhooks}, octets=octets)
    obstacles = {webhook: webhook.obstacle(email.mailbox_id) for webhook in webhooks}
    deliveries = [
        Delivery(
            event=event,
            webhook=webhook,
            body=kept[webhook.form],
            # held, not skipped: a webhook that is paused for a while misses nothing
            state=Delivery.State.HELD if obstacle else Delivery.State.PENDING,
            reason=obstacle,
            due_at=Now(),  # the database's clock: it is the one that claims ask
        )
        for webhook, obstacle in obstacles.items()
    ]
    Delivery.objects.bulk_create(deliveries)
    counted.came(deliveries)
    counted.held_at_once(email, recipients, [webhook for webhook, obstacle in obstacles.items() if obstacle])
    transaction.on_commit(lambda: nudge(DISPATCH), robust=True)


def matching(email: Email, recipients: Sequence[Recipient]) -> QuerySet[Webhook]:
    """Webhooks bound to the email's mailbox, or to an alias or a domain that one of its recipients named.

    What came to a further mailbox of an alias is news of that mailbox and its domain, not of the alias: the alias has
    told of it where it belongs. Those too whose alias, mailbox or domain was deleted meanwhile: that its delivery is
    canceled is on record then.
    """
    aliases = [recipient.alias for recipient in recipients if recipient.alias and not recipient.is_copy]
    domains = {alias.domain_id for alias in aliases}
    if len(aliases) < len(recipients):
        domains.add(email.mailbox.domain_id)
    return Webhook.objects.select_related("alias").filter(
        Q(mailbox=email.mailbox_id) | Q(alias__in=[alias.pk for alias in aliases]) | Q(domain__in=domains),
        deleted_at=None,
    )
