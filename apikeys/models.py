"""API keys: name, expiry, scopes and mailbox allowlist are set at creation and never change.

The database holds to that as well; see `freeze/`.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Q
from django.db.models.functions import Now
from django.db.models.sql.compiler import SQLCompiler
from django.utils.translation import gettext_lazy

from emailgistics.common.ids import TypedIdModel
from mailboxes.models import Mailbox

EXPIRES_SOON = timedelta(days=14)
MAX_REASON_LENGTH = 200  # of a revocation
KEPT_FOR = timedelta(days=30)  # after its end: for as long people may ask what it was
IDLE = timedelta(days=60)  # not used for so long


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def revoked(self, *, now: datetime | Now | None = None) -> Self:
        """By now, which is the database's clock unless given: at once, or because the time for it has come."""
        return self.filter(is_revoked(Now() if now is None else now))

    def not_revoked(self, *, now: datetime | Now | None = None) -> Self:
        return self.exclude(is_revoked(Now() if now is None else now))

    def in_force(self) -> Self:
        """Neither revoked nor expired, by the database's clock."""
        return self.not_revoked().filter(expires_at__gt=Now())

    def ended_long_ago(self) -> Self:
        """So that nobody asks for them any more, by the database's clock."""
        long_ago = Now() - KEPT_FOR
        return self.filter(Q(expires_at__lte=long_ago) | Q(revoked_at__lte=long_ago) | Q(revoke_at__lte=long_ago))

    def of_standing(self, standing: "ApiKey.Standing", *, now: datetime) -> Self:
        """`ApiKey.standing`, as a question to the database."""
        standings, soon = ApiKey.Standing, now + EXPIRES_SOON
        if standing is standings.REVOKED:
            return self.revoked(now=now)
        ends = {
            standings.EXPIRED: Q(expires_at__lte=now),
            standings.EXPIRES_SOON: Q(expires_at__gt=now) & (Q(expires_at__lte=soon) | is_revoked(soon)),
            standings.ACTIVE: Q(expires_at__gt=soon) & ~is_revoked(soon),
        }
        return self.not_revoked(now=now).filter(ends[standing])


def is_revoked(now: datetime | Now) -> Q:
    """Never NULL, so that it can be negated."""
    return Q(revoked_at__isnull=False) | Q(revoke_at__isnull=False, revoke_at__lte=now)


class ListsText(models.Func):
    """Whether a JSON value is a list that begins with text, so one that is not empty. Never NULL: a CHECK passes that.

    To compare with `[]` is not enough: SQLite compares the octets, and `[ ]`, `{}` and `null` are others.
    """

    arity = 1
    output_field = models.BooleanField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        return self.as_sql(compiler, connection, template="JSON_TYPE(%(expressions)s, '$[0]') IS 'text'", **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        # a text, too, is asked for its first entry as if it were a list
        is_list, first = "JSONB_TYPEOF(%(expressions)s) = 'array'", "JSONB_TYPEOF(%(expressions)s -> 0)"
        template = f"({is_list} AND {first} IS NOT DISTINCT FROM 'string')"
        return self.as_sql(compiler, connection, template=template, **context)


class ApiKey(TypedIdModel):
    # never shown: a key is known by its identifier
    ID_PREFIX: ClassVar = "key"

    class Plan(models.TextChoices):
        STANDARD = "standard", gettext_lazy("Standard")
        PRO = "pro", gettext_lazy("Pro")
        ENTERPRISE = "enterprise", gettext_lazy("Enterprise")

    class Standing(models.TextChoices):
        ACTIVE = "active", gettext_lazy("active")
        EXPIRES_SOON = "expires_soon", gettext_lazy("expires soon")
        EXPIRED = "expired", gettext_lazy("expired")
        REVOKED = "revoked", gettext_lazy("revoked")

    identifier = models.CharField(max_length=15, unique=True, help_text="emgk_ and ten characters, no secret")
    digest = models.BinaryField(max_length=32, help_text="HMAC-SHA256 of the whole key under the pepper")
    pepper = models.PositiveIntegerField(help_text="number of the pepper in API_KEY_PEPPERS")
    name = models.CharField(max_length=200)
    scopes = models.JSONField(help_text="as chosen, sorted; never empty")
    all_mailboxes = models.BooleanField(default=False, help_text="all mailboxes, also future ones")
    mailboxes: "models.ManyToManyField[Mailbox, ApiKeyMailbox]" = models.ManyToManyField(
        Mailbox, through="ApiKeyMailbox", related_name="+"
    )
    networks = models.JSONField(default=list, help_text="from where it may be used, as CIDR; empty: from anywhere")
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    # PROTECT: the history of a key is kept
    rotated_from = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="successors", help_text="the key whose place it takes"
    )
    rate_plan = models.CharField(max_length=10, choices=Plan, default=Plan.STANDARD)
    own_limits = models.JSONField(
        null=True, help_text="minute, hour and day of an enterprise key; null: those of its plan"
    )
    # PROTECT: who made or ended a key stays on record; people who leave are deactivated
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text="null: made by a command"
    )
    sealed = models.BooleanField(default=False, help_text="its allowlist is complete; an unsealed key opens nothing")
    # written now and then by whoever counts, see usage.py
    last_used_at = models.DateTimeField(null=True)
    last_used_address = models.GenericIPAddressField(null=True)
    last_used_agent = models.CharField(max_length=200, blank=True)
    revoke_at = models.DateTimeField(null=True, help_text="revoked from then on; final once it has come")
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text="null: by a command"
    )
    revoke_reason = models.CharField(max_length=MAX_REASON_LENGTH, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        verbose_name = gettext_lazy("API key")
        constraints = (
            models.CheckConstraint(condition=~Q(name=""), name="apikey_has_name"),
            models.CheckConstraint(condition=ListsText("scopes"), name="apikey_has_scope"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="apikey_expires_after_creation"),
            models.CheckConstraint(
                condition=Q(rate_plan__in=["standard", "pro", "enterprise"]), name="apikey_rate_plan"
            ),
            models.CheckConstraint(
                condition=Q(own_limits__isnull=True) | Q(rate_plan="enterprise"), name="apikey_own_limits_of_enterprise"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.identifier})"

    @property
    def ends_at(self) -> datetime:
        """When it expires, or is revoked before that."""
        return min(self.expires_at, self.revoked_at or self.revoke_at or self.expires_at)

    def revoked_since(self, now: datetime) -> datetime | None:
        if self.revoked_at is None and self.revoke_at is not None and self.revoke_at <= now:
            return self.revoke_at
        return self.revoked_at

    def standing(self, now: datetime) -> Standing:
        """What people are shown; whether a request passes is decided by the database's clock."""
        if self.revoked_since(now) is not None:
            return self.Standing.REVOKED
        if self.expires_at <= now:
            return self.Standing.EXPIRED
        return self.Standing.EXPIRES_SOON if self.ends_at <= now + EXPIRES_SOON else self.Standing.ACTIVE


class ApiKeyMailbox(models.Model):
    """One entry of a key's mailbox allowlist."""

    api_key = models.ForeignKey(ApiKey, models.PROTECT, related_name="allowlist")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["api_key", "mailbox"], name="allowlist_once"),)

    def __str__(self) -> str:
        return f"{self.api_key_id} may {self.mailbox_id}"


class IssuedKey(models.Model):
    """That there is, or was, such a key. Written by the database with each key, and kept for good; see `freeze/`."""

    id = models.UUIDField(primary_key=True)
    identifier = models.CharField(max_length=15, unique=True)

    def __str__(self) -> str:
        return self.identifier


class KeyCalls(models.Model):
    """Calls of a key on a day, in UTC, by what they were about and how they ended."""

    id = models.BigAutoField(primary_key=True)
    api_key = models.ForeignKey(ApiKey, models.CASCADE, related_name="calls")
    day = models.DateField()
    family = models.CharField(max_length=20, help_text="the word after /v1/: emails, webhooks, …")
    status_class = models.PositiveSmallIntegerField(help_text="2 for 2xx")
    count = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["api_key", "day", "family", "status_class"], name="key_calls_once"),
        )
        indexes = (models.Index(fields=["day"], name="key_calls_day"),)

    def __str__(self) -> str:
        return f"{self.count} of {self.api_key_id} on {self.day}"


class KeyRefusals(models.Model):
    """Calls with a key that were refused on a day, in UTC, by reason and by the network that they came from."""

    id = models.BigAutoField(primary_key=True)
    api_key = models.ForeignKey(ApiKey, models.CASCADE, related_name="refusals")
    day = models.DateField()
    reason = models.CharField(max_length=30, help_text="the code of the answer: key_revoked, rate_limited, …")
    network = models.CharField(
        max_length=43, help_text="/24 of IPv4, /64 of IPv6; elsewhere: further ones; empty: no address"
    )
    count = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["api_key", "day", "reason", "network"], name="key_refusals_once"),
        )
        indexes = (models.Index(fields=["day"], name="key_refusals_day"),)

    def __str__(self) -> str:
        return f"{self.count} {self.reason} of {self.api_key_id} on {self.day}"


class KeyScopeUse(models.Model):
    """When a key last did what needs a scope."""

    id = models.BigAutoField(primary_key=True)
    api_key = models.ForeignKey(ApiKey, models.CASCADE, related_name="scope_uses")
    scope = models.CharField(max_length=30)
    last_on = models.DateField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["api_key", "scope"], name="key_scope_use_once"),)

    def __str__(self) -> str:
        return f"{self.scope} by {self.api_key_id}"


class KeyMailboxUse(models.Model):
    """When a key last got something of a mailbox."""

    id = models.BigAutoField(primary_key=True)
    api_key = models.ForeignKey(ApiKey, models.CASCADE, related_name="mailbox_uses")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+")
    last_on = models.DateField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["api_key", "mailbox"], name="key_mailbox_use_once"),)

    def __str__(self) -> str:
        return f"{self.mailbox_id} by {self.api_key_id}"


class KeyNoticeQuerySet(models.QuerySet["KeyNotice"]):
    def standing(self, *, now: datetime) -> Self:
        """What still holds, of keys in force."""
        rows = self.filter(api_key__in=ApiKey.objects.in_force()).exclude(kind=KeyNotice.Kind.ENDED)
        return rows.exclude(kind=KeyNotice.Kind.UNUSED_60, api_key__last_used_at__gt=now - IDLE)


class KeyNotice(models.Model):
    """That something was to be told about a key; each kind is told once. See `notices.py`."""

    class Kind(models.TextChoices):
        EXPIRES_IN_30 = "expires_in_30", gettext_lazy("expires within 30 days")
        EXPIRES_IN_14 = "expires_in_14", gettext_lazy("expires within 14 days")
        EXPIRES_IN_7 = "expires_in_7", gettext_lazy("expires within 7 days")
        EXPIRES_IN_1 = "expires_in_1", gettext_lazy("expires within a day")
        AGED_90 = "aged_90", gettext_lazy("is 90 days old")
        UNUSED_60 = "unused_60", gettext_lazy("was not used for 60 days")
        ENDED = "ended", gettext_lazy("has ended by itself")  # for the audit log, not for people

    id = models.BigAutoField(primary_key=True)
    api_key = models.ForeignKey(ApiKey, models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=20, choices=Kind)
    told_at = models.DateTimeField(help_text="shown in the console from then on")
    # one e-mail tells of many; who sends it holds them for a while
    claim = models.UUIDField(null=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    mailed_at = models.DateTimeField(null=True)

    objects = KeyNoticeQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("notice about a key")
        verbose_name_plural = gettext_lazy("notices about keys")
        constraints = (models.UniqueConstraint(fields=["api_key", "kind"], name="key_notice_once"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.api_key}"
