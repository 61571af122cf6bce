"""Mail that was not taken in, or was thrown away as a rule says."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy

from emailgistics.common.ids import TypedIdModel
from mailboxes.models.messages import Message
from mailboxes.models.rules import Rule


class Refusal(TypedIdModel):
    """Mail for one recipient that was not taken in, or was taken and thrown away as a rule says: the row that says why.

    Refusals are kept for the first few of a network in an hour; every discard is kept, for it was answered with 250.
    """

    ID_PREFIX: ClassVar = "ref"

    class Outcome(models.TextChoices):
        REFUSED = "refused", gettext_lazy("Refused")
        DISCARDED = "discarded", gettext_lazy("Discarded")

    at = models.DateTimeField(db_index=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.REFUSED)
    source = models.CharField(max_length=10, choices=Message.Source)
    network = models.CharField(max_length=43, blank=True, help_text="of the client: /24, or /64 of IPv6")
    client_ip = models.GenericIPAddressField(null=True)
    helo = models.CharField(max_length=255, blank=True)
    mail_from = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320, blank=True, help_text="empty where none was named yet")
    reply = models.CharField(max_length=200, help_text="what the client was told")
    code = models.CharField(max_length=40, help_text="stable: the error's, or rule")
    rule = models.ForeignKey(Rule, models.SET_NULL, null=True, related_name="refusals")
    size = models.PositiveIntegerField(null=True, help_text="octets of the raw, where they were read")
    sha256 = models.CharField(max_length=64, blank=True, help_text="of the raw, hexadecimal, where it was read")
    transcript = models.JSONField(default=list, help_text="see Transcript")

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = gettext_lazy("refused mail")
        indexes = (
            models.Index(fields=["network", "-id"], name="refusal_by_network"),
            models.Index(Lower("recipient"), F("id").desc(), name="refusal_by_recipient"),
            models.Index(Lower("mail_from"), F("id").desc(), name="refusal_by_sender"),
            models.Index(fields=["code", "-id"], name="refusal_by_code"),
            models.Index(fields=["outcome", "-id"], name="refusal_by_outcome"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(outcome__in=["refused", "discarded"]), name="refusal_outcome"),
        )


class RefusalCount(models.Model):
    """How much a network was refused within an hour, with and without a row of its own."""

    network = models.CharField(max_length=43, blank=True)
    hour = models.DateTimeField()
    refused = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["network", "hour"], name="refusal_count_once"),)

    def __str__(self) -> str:
        return f"{self.refused} of {self.network} at {self.hour}"
