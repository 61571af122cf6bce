"""What webhooks are told about, and the octets that are sent for it."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from emailgistics.common.ids import TypedIdModel, encode_id
from mailboxes.models import Email
from webhooks.models.webhook import Webhook


class Event(TypedIdModel):
    """Something that webhooks are told about. Its id is the `webhook-id` of every delivery."""

    ID_PREFIX: ClassVar = "evt"

    class Type(models.TextChoices):
        EMAIL_RECEIVED = "email.received", gettext_lazy("Email Received")
        EMAIL_REPARSED = "email.reparsed", gettext_lazy("Email Reparsed")
        WEBHOOK_TEST = "webhook.test", gettext_lazy("Webhook Test")
        WEBHOOK_DISABLED = "webhook.disabled", gettext_lazy("Webhook Disabled")

    type = models.CharField(max_length=40, choices=Type)
    email = models.ForeignKey(Email, models.PROTECT, null=True, related_name="events", help_text="that it is about")
    webhook = models.ForeignKey(
        Webhook,
        models.PROTECT,
        null=True,
        db_index=False,
        related_name="events_about",
        help_text="that it is about, if it is no email",
    )
    changed = models.JSONField(null=True, help_text="of email.reparsed: the names of what is another since then")
    created_at = models.DateTimeField()
    links_revoked_at = models.DateTimeField(null=True, help_text="since then the links in its bodies open nothing")

    class Meta:
        ordering = ("id",)
        constraints = (
            # processing twice tells once
            models.UniqueConstraint(
                fields=["email"], condition=Q(type="email.received"), name="event_received_once_per_email"
            ),
            models.CheckConstraint(
                condition=Q(email__isnull=False, webhook=None) | Q(email=None, webhook__isnull=False),
                name="event_is_about_one_thing",
            ),
        )


class EventBody(models.Model):
    """The octets that are signed and sent for an event, in one form: the same for every attempt."""

    class Form(models.TextChoices):
        FULL = "full", gettext_lazy("Full")
        INLINE = "inline", gettext_lazy("Inline")  # with the octets of attachments
        THIN = (
            "thin",
            gettext_lazy("Thin"),
        )  # for a receiver that takes no more: without what the mail says, with links to it
        METADATA = "metadata", gettext_lazy("Metadata")  # without what the mail says, and without links to it

    event = models.ForeignKey(Event, models.CASCADE, related_name="bodies")
    form = models.CharField(max_length=10, choices=Form)
    body = models.BinaryField()
    size = models.IntegerField(null=True, editable=False, help_text="octets; null: made by an older release")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["event", "form"], name="event_body_once_per_form"),)

    def __str__(self) -> str:
        return f"{self.form} body of {encode_id(Event.ID_PREFIX, self.event_id)}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.size = len(self.body)
        super().save(*args, **kwargs)
