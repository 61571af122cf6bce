"""Sessions, second factors and preferences of the people who sign in to the console."""

from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils.translation import gettext_lazy
from django_otp.models import Device

from emailgistics.common.ids import uuid7


class Session(AbstractBaseSession):
    """Of a browser; see `session_store.py`. The key is a digest: whoever reads the table can use none of them."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(
        unique=True, default=uuid7, editable=False, help_text=gettext_lazy("what pages name it by; opens nothing")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        related_name="+",
        help_text=gettext_lazy("empty: not signed in (yet)"),
    )
    begun_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    address = models.CharField(max_length=45, blank=True)
    agent = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name = gettext_lazy("session")

    def __str__(self) -> str:
        return f"session {self.id}"

    def is_over(self, now: datetime) -> bool:
        return (
            self.seen_at + settings.SESSION_IDLE < now
            or self.begun_at + timedelta(seconds=settings.SESSION_COOKIE_AGE) < now
        )


class Authenticator(Device):  # type: ignore[misc]  # django-otp has no types
    """An app that shows codes (TOTP, RFC 6238); see `two_factor.py`.

    django-otp's own model of it holds the secret in the clear; this one seals it, as all secrets are here.
    """

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sealed_secret = models.BinaryField()
    last_step = models.BigIntegerField(
        default=0, help_text=gettext_lazy("of the last code that was taken: none is taken twice")
    )
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = gettext_lazy("authenticator")
        constraints: ClassVar = [models.UniqueConstraint(fields=["user"], name="authenticator_one_each")]


class RecoveryCode(models.Model):
    """Gets somebody in once without the app. django-otp's own model of it holds the code in the clear."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    digest = models.BinaryField(max_length=32)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"


class Preferences(models.Model):
    """What somebody chose for themselves."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preferences")
    time_zone = models.CharField(
        max_length=64, blank=True, help_text=gettext_lazy("IANA name; empty: what the browser says")
    )

    class Meta:
        verbose_name_plural = gettext_lazy("preferences")

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"
