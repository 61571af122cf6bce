"""API keys: name, expiry, scopes and mailbox allowlist are set at creation and never change.

The database holds to that as well; see `freeze.py`.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from emailgistics.common.ids import TypedIdModel
from mailboxes.models import Mailbox

EXPIRES_SOON = timedelta(days=14)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def not_revoked(self) -> Self:
        return self.filter(revoked_at=None)

    def in_force(self) -> Self:
        """Neither revoked nor expired, by the database's clock."""
        return self.not_revoked().filter(expires_at__gt=Now())

    def of_standing(self, standing: "ApiKey.Standing", *, now: datetime) -> Self:
        """`ApiKey.standing`, as a question to the database."""
        standings, soon = ApiKey.Standing, now + EXPIRES_SOON
        if standing is standings.REVOKED:
            return self.filter(revoked_at__isnull=False)
        ends = {
            standings.EXPIRED: Q(expires_at__lte=now),
            standings.EXPIRES_SOON: Q(expires_at__gt=now, expires_at__lte=soon),
            standings.ACTIVE: Q(expires_at__gt=soon),
        }
        return self.not_revoked().filter(ends[standing])


class ApiKey(TypedIdModel):
    # never shown: a key is known by its identifier
    ID_PREFIX: ClassVar = "key"

    class Plan(models.TextChoices):
        STANDARD = "standard"
        PRO = "pro"
        ENTERPRISE = "enterprise"

    class Standing(models.TextChoices):
        ACTIVE = "active", "active"
        EXPIRES_SOON = "expires_soon", "expires soon"
        EXPIRED = "expired", "expired"
        REVOKED = "revoked", "revoked"

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
    # PROTECT: who made or ended a key stays on record; people who leave are deactivated
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text="null: made by a command"
    )
    sealed = models.BooleanField(default=False, help_text="its allowlist is complete; an unsealed key opens nothing")
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text="null: by a command"
    )
    revoke_reason = models.CharField(max_length=200, blank=True)

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

    def standing(self, now: datetime) -> Standing:
        """What people are shown; whether a request passes is decided by the database's clock."""
        if self.revoked_at is not None:
            return self.Standing.REVOKED
        if self.expires_at <= now:
            return self.Standing.EXPIRED
        return self.Standing.EXPIRES_SOON if self.expires_at <= now + EXPIRES_SOON else self.Standing.ACTIVE


class ApiKeyMailbox(models.Model):
    """One entry of a key's mailbox allowlist."""

    api_key = models.ForeignKey(ApiKey, models.PROTECT, related_name="allowlist")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["api_key", "mailbox"], name="allowlist_once"),)

    def __str__(self) -> str:
        return f"{self.api_key_id} may {self.mailbox_id}"
