"""Endpoints, what happened, and how far the news of it has come.

An event is rendered once; a delivery is that event for one webhook; an attempt is one HTTP request. The delivery table
is the queue: whatever is unfinished has a due time, or is held and looked at by a sweep.
"""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q

from apikeys.models import ApiKey
from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel
from mailboxes.models import Alias, Domain, Email, Mailbox


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def visible_to(self, principal: Principal) -> Self:
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
    sealed_secret = models.BinaryField(help_text="see services.webhooks.secret_of")
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
        )


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
        return f"{self.form} body of {self.event_id}"


class Delivery(TypedIdModel):
    ID_PREFIX: ClassVar = "dlv"

    class State(models.TextChoices):
        PENDING = "pending"
        HELD = "held"
        DELIVERED = "delivered"
        FAILED = "failed"
        CANCELED = "canceled"

    event = models.ForeignKey(Event, models.PROTECT, related_name="deliveries")
    webhook = models.ForeignKey(Webhook, models.PROTECT, related_name="deliveries")
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
        return f"attempt {self.n} of {self.delivery_id}"
