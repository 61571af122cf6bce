"""API keys: name, expiry, scopes and mailbox allowlist are set at creation and never change."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q

from emailgistics.common.ids import TypedIdModel
from mailboxes.models import Mailbox


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def not_revoked(self) -> Self:
        return self.filter(revoked_at=None)


class ApiKey(TypedIdModel):
    # never shown: a key is known by its identifier
    ID_PREFIX: ClassVar = "key"

    class Plan(models.TextChoices):
        STANDARD = "standard"
        PRO = "pro"
        ENTERPRISE = "enterprise"

    identifier = models.CharField(max_length=15, unique=True, help_text="emgk_ and ten characters, no secret")
    digest = models.BinaryField(max_length=32, help_text="HMAC-SHA256 of the whole key under the pepper")
    pepper = models.PositiveIntegerField(help_text="number of the pepper in API_KEY_PEPPERS")
    name = models.CharField(max_length=200)
    scopes = models.JSONField(help_text="as chosen, sorted; never empty")
    all_mailboxes = models.BooleanField(default=False, help_text="all mailboxes, also future ones")
    mailboxes: "models.ManyToManyField[Mailbox, ApiKeyMailbox]" = models.ManyToManyField(
        Mailbox, through="ApiKeyMailbox", related_name="+"
    )
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    rate_plan = models.CharField(max_length=10, choices=Plan, default=Plan.STANDARD)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        verbose_name = "API key"
        constraints = (
            models.CheckConstraint(condition=~Q(name=""), name="apikey_has_name"),
            models.CheckConstraint(condition=~Q(scopes=[]), name="apikey_has_scope"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="apikey_expires_after_creation"),
            models.CheckConstraint(
                condition=Q(rate_plan__in=["standard", "pro", "enterprise"]), name="apikey_rate_plan"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.identifier})"


class ApiKeyMailbox(models.Model):
    """One entry of a key's mailbox allowlist."""

    api_key = models.ForeignKey(ApiKey, models.PROTECT, related_name="allowlist")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["api_key", "mailbox"], name="allowlist_once"),)

    def __str__(self) -> str:
        return f"{self.api_key_id} may {self.mailbox_id}"
