"""Endpoints, what happened, and how far the news of it has come.

An event is rendered once; a delivery is that event for one webhook; an attempt is one HTTP request. The delivery table
is the queue: whatever is unfinished has a due time, or is held and looked at by a sweep.
"""

from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q

from apikeys.models import ApiKey
from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel, encode_id
from mailboxes.models import Alias, Domain, Email, Mailbox

MOVED = "its alias leads to another mailbox now; resume it to confirm"
OTHER_MAILBOX = (
    "mail of a mailbox that is not confirmed for this endpoint now; it goes out when the alias leads there again and "
    "the webhook is resumed"
)
ALIVE = Q(deleted_at=None, alias__deleted_at=None, mailbox__deleted_at=None, domain__deleted_at=None)
STAYED = Q(alias=None) | Q(alias__mailbox=F("bound_mailbox"))


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def live(self) -> Self:
        """Neither the webhook nor what it is bound to was deleted."""
        return self.filter(ALIVE)

    def gone(self) -> Self:
        return self.exclude(ALIVE)

    def moved(self) -> Self:
        """Their alias leads elsewhere: see `Webhook.is_moved`."""
        return self.exclude(STAYED)

    def sending(self) -> Self:
        return self.filter(STAYED, deleted_at=None, state=Webhook.State.ACTIVE)

    def visible_to(self, principal: Principal) -> Self:
        """By what it is bound to; that of a domain hears of all its mailboxes, so it is for keys of all mailboxes."""
        if principal.all_mailboxes:
            return self.live()
        allowed = principal.mailbox_ids
        return self.live().filter(Q(mailbox__in=allowed) | Q(alias__mailbox__in=allowed))


class Webhook(TypedIdModel):
    ID_PREFIX: ClassVar = "wh"

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        DISABLED = "disabled"

    class Payload(models.TextChoices):
        FULL = "full"
        METADATA = "metadata"

    alias = models.ForeignKey(Alias, models.PROTECT, null=True, blank=True, related_name="webhooks")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, null=True, blank=True, related_name="webhooks")
    domain = models.ForeignKey(Domain, models.PROTECT, null=True, blank=True, related_name="webhooks")
    url = models.URLField(max_length=2000)
    sealed_secret = models.BinaryField(help_text="see services.webhooks.secrets_of")
    sealed_previous_secret = models.BinaryField(null=True, help_text="signs as well while a rotation overlaps")
    previous_secret_until = models.DateTimeField(null=True)
    header_names = models.JSONField(
        default=list,
        # the release before knows no headers, and goes on making webhooks while this one is rolled out
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="of its own headers, as written",
    )
    sealed_headers = models.BinaryField(null=True, help_text="names and values; the values are never shown")
    # mail of another mailbox is for other eyes: who moves the alias pauses its webhooks until somebody confirms
    bound_mailbox = models.ForeignKey(
        Mailbox,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="where its alias led when it was bound or last resumed",
    )
    endpoint_mailbox = models.ForeignKey(
        Mailbox,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="where its alias led when url or headers were last changed; null: where it was bound first",
    )
    payload = models.CharField(max_length=10, choices=Payload, default=Payload.FULL)
    description = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    state_reason = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(ApiKey, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(alias__isnull=False, mailbox=None, domain=None)
                | Q(alias=None, mailbox__isnull=False, domain=None)
                | Q(alias=None, mailbox=None, domain__isnull=False),
                name="webhook_has_one_binding",
            ),
            models.CheckConstraint(condition=Q(state__in=["active", "paused", "disabled"]), name="webhook_state"),
            models.CheckConstraint(condition=Q(payload__in=["full", "metadata"]), name="webhook_payload"),
            models.CheckConstraint(
                condition=Q(sealed_previous_secret=None, previous_secret_until=None)
                | Q(sealed_previous_secret__isnull=False, previous_secret_until__isnull=False),
                name="webhook_previous_secret_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(alias=None, bound_mailbox=None) | Q(alias__isnull=False, bound_mailbox__isnull=False),
                name="webhook_of_alias_is_bound_to_its_mailbox",
            ),
        )

    @property
    def is_moved(self) -> bool:
        """Its alias leads to another mailbox than when it was bound or last resumed. Needs `alias`."""
        return self.alias is not None and self.alias.mailbox_id != self.bound_mailbox_id

    @property
    def current_state(self) -> str:
        """What holds now, and what people are shown: paused as soon as its alias was moved. Needs `alias`."""
        return self.State.PAUSED if self.is_moved and self.state == self.State.ACTIVE else self.state

    @property
    def current_state_reason(self) -> str:
        """Needs `alias`."""
        if not self.is_moved or MOVED in self.state_reason:
            return self.state_reason
        return f"{self.state_reason}; {MOVED}" if self.state_reason else MOVED

    def obstacle(self, mailbox_id: UUID) -> str:
        """Why mail of that mailbox may not go out to it now; empty if it may. Needs `alias`.

        A webhook of an alias gets the mail of the mailboxes that were confirmed for its endpoint and no other's: else
        whoever gets the alias could point the webhook at himself, and the mail that waits would follow.
        """
        if self.current_state != self.State.ACTIVE:
            return f"the webhook is {self.current_state}"
        if self.alias_id and mailbox_id not in (self.bound_mailbox_id, self.endpoint_mailbox_id):
            return OTHER_MAILBOX
        return ""

    def keeps_back(self, mailbox_id: UUID) -> bool:
        """Whether that mailbox's mail stays held while it is active, or still is once it is resumed. Needs `alias`."""
        if self.alias is None:
            return False
        return mailbox_id not in (self.alias.mailbox_id, self.endpoint_mailbox_id or self.bound_mailbox_id)


class Event(TypedIdModel):
    """Something that webhooks are told about. Its id is the `webhook-id` of every delivery."""

    ID_PREFIX: ClassVar = "evt"

    class Type(models.TextChoices):
        EMAIL_RECEIVED = "email.received"

    type = models.CharField(max_length=40, choices=Type)
    email = models.ForeignKey(Email, models.PROTECT, related_name="events")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            # processing twice tells once
            models.UniqueConstraint(
                fields=["email"], condition=Q(type="email.received"), name="event_received_once_per_email"
            ),
        )


class EventBody(models.Model):
    """The octets that are signed and sent for an event, in one form: the same for every attempt."""

    event = models.ForeignKey(Event, models.CASCADE, related_name="bodies")
    form = models.CharField(max_length=10, choices=Webhook.Payload)
    body = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["event", "form"], name="event_body_once_per_form"),)

    def __str__(self) -> str:
        return f"{self.form} body of {encode_id(Event.ID_PREFIX, self.event_id)}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def visible_to(self, principal: Principal) -> Self:
        """By its email's mailbox and by its webhook: moving an alias does not carry old mail to new eyes."""
        webhooks, emails = Webhook.objects.visible_to(principal), Q(event__email__mailbox__deleted_at=None)
        if not principal.all_mailboxes:
            emails &= Q(event__email__mailbox__in=principal.mailbox_ids)
        return self.filter(emails, webhook__in=webhooks)


class Delivery(TypedIdModel):
    ID_PREFIX: ClassVar = "dlv"

    class State(models.TextChoices):
        PENDING = "pending"
        HELD = "held"
        DELIVERED = "delivered"
        FAILED = "failed"
        CANCELED = "canceled"

    event = models.ForeignKey(Event, models.PROTECT, related_name="deliveries")
    # the index delivery_of_webhook finds them; each one more is written three times for every delivery
    webhook = models.ForeignKey(Webhook, models.PROTECT, related_name="deliveries", db_index=False)
    body = models.ForeignKey(EventBody, models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State)
    reason = models.CharField(max_length=200, blank=True, help_text="why it is where it is")
    due_at = models.DateTimeField(help_text="of the next attempt, while pending")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="spent at claim: also those that were lost")
    failures = models.PositiveSmallIntegerField(default=0, help_text="position in the retry schedule")
    lease_id = models.UUIDField(null=True, editable=False)
    lease_losses = models.PositiveSmallIntegerField(default=0)
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        constraints = (
            models.UniqueConstraint(fields=["event", "webhook"], name="delivery_once"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "held", "delivered", "failed", "canceled"]), name="delivery_state"
            ),
            models.CheckConstraint(condition=Q(state="pending") | Q(lease_id=None), name="delivery_lease_only_pending"),
        )
        indexes = (
            models.Index(fields=["due_at"], condition=Q(state="pending", lease_id=None), name="delivery_due"),
            models.Index(fields=["lease_id"], condition=Q(lease_id__isnull=False), name="delivery_leased"),
            models.Index(fields=["webhook", "id"], condition=Q(state__in=["pending", "held"]), name="delivery_open"),
            models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
            models.Index(
                fields=["webhook", "-id"], condition=Q(state__in=["failed", "canceled"]), name="delivery_undelivered"
            ),
        )


class Attempt(models.Model):
    """One HTTP request of a delivery, answered or not."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempt_log")
    n = models.PositiveSmallIntegerField(help_text="from 1")
    started_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True, help_text="of the HTTP answer, if there was one")
    error = models.CharField(max_length=40, blank=True, help_text="a code, if there was no answer")
    detail = models.CharField(max_length=300, blank=True, help_text="for people")
    dns_ms = models.PositiveIntegerField(null=True)
    connect_ms = models.PositiveIntegerField(null=True, help_text="TCP and TLS")
    first_byte_ms = models.PositiveIntegerField(null=True)
    total_ms = models.PositiveIntegerField(null=True)
    peer_ip = models.GenericIPAddressField(null=True)
    response_headers = models.BinaryField(default=b"", help_text="as received, capped")
    response_excerpt = models.BinaryField(default=b"", help_text="the first octets of the answer's body")

    class Meta:
        ordering = ("delivery", "n")
        constraints = (models.UniqueConstraint(fields=["delivery", "n"], name="attempt_number_once"),)

    def __str__(self) -> str:
        return f"attempt {self.n} of {encode_id(Delivery.ID_PREFIX, self.delivery_id)}"
