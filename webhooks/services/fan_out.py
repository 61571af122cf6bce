"""One processed email becomes one event, and a delivery for each webhook that is bound to where it went.

Many are told of together, as they were stored: the number of statements does not grow with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import bulk
from emailgistics.common.nudge import nudge
from mailboxes.models import Email, Recipient
from mailboxes.signals import News
from webhooks.files import links
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.payloads import StoredEmail
from webhooks.services import bodies, counted

DISPATCH = "webhooks.tasks.dispatch"


@dataclass(frozen=True, slots=True)
class Places:
    """What webhooks can be bound to, and some mail went to."""

    mailboxes: set[UUID] = field(default_factory=set)
    aliases: set[UUID] = field(default_factory=set)
    domains: set[UUID] = field(default_factory=set)

    @classmethod
    def of(cls, email: Email, recipients: Sequence[Recipient]) -> "Places":
        """The email's mailbox, and the aliases and domains that its recipients named, whose alias is loaded.

        What came to a further mailbox of an alias is news of that mailbox and its domain, not of the alias: the alias
        has told of it where it belongs.
        """
        aliases = [recipient.alias for recipient in recipients if recipient.alias and not recipient.is_copy]
        domains = {alias.domain_id for alias in aliases}
        if len(aliases) < len(recipients):
            domains.add(email.mailbox.domain_id)
        return cls({email.mailbox_id}, {alias.pk for alias in aliases}, domains)

    def __or__(self, other: "Places") -> "Places":
        return Places(self.mailboxes | other.mailboxes, self.aliases | other.aliases, self.domains | other.domains)

    def webhooks(self) -> QuerySet[Webhook]:
        """Those that are bound to any of them.

        Those too whose alias, mailbox or domain was deleted meanwhile: that its delivery is canceled is on record then.
        """
        bound = Q(mailbox__in=self.mailboxes) | Q(alias__in=self.aliases) | Q(domain__in=self.domains)
        return Webhook.objects.select_related("alias").filter(bound, deleted_at=None)

    def have(self, webhook: Webhook) -> bool:
        """Whether it is one of `webhooks`."""
        return (
            webhook.mailbox_id in self.mailboxes
            or webhook.alias_id in self.aliases
            or webhook.domain_id in self.domains
        )


def matching(email: Email, recipients: Sequence[Recipient]) -> QuerySet[Webhook]:
    return Places.of(email, recipients).webhooks()


def fan_out(news: Sequence[News]) -> None:
    """Stores an event and its deliveries for each email in the caller's transaction, where some webhook wants it."""
    wanting = _wanting(news)
    if not wanting:
        return
    events = [_new_event(one) for one, _ in wanting]
    bulk.insert(events)
    kept = [
        bodies.new_bodies(
            event,
            StoredEmail(one.email, one.email.content, one.recipients, one.attachments),
            {webhook.form for webhook in webhooks},
            octets=one.octets,
        )
        for event, (one, webhooks) in zip(events, wanting, strict=True)
    ]
    EventBody.objects.bulk_create(body for some in kept for body in some)  # which gives them the ids to refer to
    deliveries, held = [], []
    for (one, webhooks), some in zip(wanting, kept, strict=True):
        of_form = {body.form: body for body in some}
        for webhook in webhooks:
            delivery = _new_delivery(of_form[webhook.form], webhook, webhook.obstacle(one.email.mailbox_id))
            deliveries.append(delivery)
            if delivery.state == Delivery.State.HELD:
                held.append((webhook, one.email))
    Delivery.objects.bulk_create(deliveries)
    counted.came(deliveries)
    counted.held_at_once(held, (recipient for one, _ in wanting for recipient in one.recipients))
    transaction.on_commit(lambda: nudge(DISPATCH), robust=True)


def _wanting(news: Sequence[News]) -> list[tuple[News, list[Webhook]]]:
    """Each with the webhooks that want to hear of it, if there are any. One query."""
    places = [Places.of(one.email, one.recipients) for one in news]
    bound = list(reduce(or_, places, Places()).webhooks())
    found = []
    for one, some in zip(news, places, strict=True):
        if webhooks := [webhook for webhook in bound if some.have(webhook) and _kind(one) in webhook.events]:
            found.append((one, webhooks))
    return found


def _kind(news: News) -> Event.Type:
    return Event.Type.EMAIL_RECEIVED if news.changed is None else Event.Type.EMAIL_REPARSED


def _new_event(news: News) -> Event:
    return Event(
        type=_kind(news),
        email=news.email,
        changed=news.changed,
        created_at=timezone.now(),
        links_revoked_at=None if news.changed is None else links.revoked_at(news.email),
    )


def _new_delivery(body: EventBody, webhook: Webhook, obstacle: str) -> Delivery:
    return Delivery(
        event=body.event,
        webhook=webhook,
        body=body,
        # held, not skipped: a webhook that is paused for a while misses nothing
        state=Delivery.State.HELD if obstacle else Delivery.State.PENDING,
        reason=obstacle,
        due_at=Now(),  # the database's clock: it is the one that claims ask
    )
