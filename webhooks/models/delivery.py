"""How far the news has come. The delivery table is the queue: what is unfinished has a due time or a sweep."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy

from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel, encode_id
from webhooks.models.event import Event, EventBody
from webhooks.models.webhook import Webhook

# held until somebody says so: `manage.py resume`
BEFORE_RESTORE = (
    "it was on its way when the backup was made that was restored, and may have been delivered since: "
    "`manage.py resume` releases or drops it"
)
MAILBOX_DELETED = "the mailbox that the mail came to was deleted"


def why_mailbox_gone(deleted_by: str) -> str:
    """And by whom, as far as that is on record."""
    return f"{MAILBOX_DELETED} by {deleted_by}" if deleted_by else MAILBOX_DELETED


# Webhook.obstacle as a condition on deliveries of webhooks that are on
CONFIRMED = (
    Q(webhook__alias=None)
    | Q(event__email=None)
    | Q(event__email__mailbox=F("webhook__bound_mailbox"))
    | Q(event__email__mailbox=F("webhook__endpoint_mailbox"))
)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def visible_to(self, principal: Principal) -> Self:
        """By its email's mailbox and by its webhook: moving an alias does not carry old mail to new eyes."""
        webhooks, emails = Webhook.objects.visible_to(principal), Q(event__email__mailbox__deleted_at=None)
        if not principal.all_mailboxes:
            emails &= Q(event__email=None) | Q(event__email__mailbox__in=principal.mailbox_ids)
        return self.filter(emails, webhook__in=webhooks)


class Delivery(TypedIdModel):
    ID_PREFIX: ClassVar = "dlv"

    class State(models.TextChoices):
        PENDING = "pending", gettext_lazy("Pending")
        HELD = "held", gettext_lazy("Held")
        DELIVERED = "delivered", gettext_lazy("Delivered")
        FAILED = "failed", gettext_lazy("Failed")
        CANCELED = "canceled", gettext_lazy("Canceled")
        EXPIRED = "expired", gettext_lazy("Expired")  # never delivered, and what it was about is not kept any longer

    event = models.ForeignKey(Event, models.PROTECT, related_name="deliveries")
    # the index delivery_of_webhook finds them; each one more is written three times for every delivery
    webhook = models.ForeignKey(Webhook, models.PROTECT, related_name="deliveries", db_index=False)
    body = models.ForeignKey(
        EventBody, models.PROTECT, null=True, related_name="deliveries", help_text="null: no longer kept"
    )
    state = models.CharField(max_length=10, choices=State)
    reason = models.CharField(max_length=200, blank=True, help_text="why it is where it is")
    is_test = models.BooleanField(default=False, db_default=False, help_text="tried once, also while it is paused")
    # not positive by a constraint: adding that would read the whole table under a lock
    generation = models.SmallIntegerField(default=1, db_default=1, help_text="1, and one more by each replay")
    due_at = models.DateTimeField(help_text="of the next attempt, while pending; while held, not resumed before")
    deferred_since = models.DateTimeField(null=True, help_text="since when a fault of ours keeps it back")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="spent at claim: also those that were lost")
    failures = models.PositiveSmallIntegerField(default=0, help_text="position in the retry schedule")
    lease_id = models.UUIDField(null=True, editable=False)
    lease_losses = models.PositiveSmallIntegerField(default=0)
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    begun_at = models.DateTimeField(null=True, help_text="when it was last replayed")
    last_attempt_at = models.DateTimeField(null=True, help_text="when the last one ended")
    delivered_at = models.DateTimeField(null=True)
    position = models.BigIntegerField(null=True, help_text="in the order in which they became visible, for pulling")

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = gettext_lazy("deliveries")
        constraints = (
            models.UniqueConstraint(fields=["event", "webhook"], name="delivery_once"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "held", "delivered", "failed", "canceled", "expired"]),
                name="delivery_state",
            ),
            models.CheckConstraint(condition=Q(state="pending") | Q(lease_id=None), name="delivery_lease_only_pending"),
        )
        indexes = (
            models.Index(fields=["due_at"], condition=Q(state="pending", lease_id=None), name="delivery_due"),
            models.Index(
                fields=["due_at"], condition=Q(state="pending", lease_id=None, is_test=True), name="delivery_test_due"
            ),
            models.Index(
                fields=["due_at"],
                condition=Q(state="pending", lease_id=None, lease_losses__gte=2),
                name="delivery_alone",
            ),
            # the oldest of each webhook, however much another one has waiting
            models.Index(
                fields=["webhook", "due_at"],
                condition=Q(state="pending", lease_id=None),
                name="delivery_due_of_webhook",
            ),
            models.Index(
                fields=["webhook", "position"], condition=Q(state__in=["pending", "held"]), name="delivery_pulled"
            ),
            models.Index(fields=["webhook", "id"], condition=Q(state="held"), name="delivery_held"),
            models.Index(
                fields=["deferred_since"],
                condition=Q(state="pending", deferred_since__isnull=False),
                name="delivery_deferred",
            ),
            models.Index(fields=["lease_id"], condition=Q(lease_id__isnull=False), name="delivery_leased"),
            models.Index(fields=["webhook", "id"], condition=Q(state__in=["pending", "held"]), name="delivery_open"),
            models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
            models.Index(
                fields=["webhook", "-id"],
                condition=Q(state__in=["failed", "canceled", "expired"]),
                name="delivery_not_delivered",
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
