"""The tables under every app: which worker is alive, which forms were sent, what was erased, what was counted, who did
what, and by what the installation's secrets are known again.
"""

from uuid import UUID

from django.conf import settings
from django.db import models

from emailgistics.common.ids import uuid7


class Lease(models.Model):
    """A worker's sign of life. Rows that it works on carry the lease's id; see `leases.py`."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=20)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "worker"  # what the console calls it
        indexes = (models.Index(fields=["kind", "seen_at"], name="lease_kind_seen"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.pid}@{self.host}"


class SpentFormToken(models.Model):
    """A form that was sent, and may not be sent again; see `one_use.py`."""

    nonce = models.CharField(max_length=64, primary_key=True)
    spent_at = models.DateTimeField()
    made = models.CharField(max_length=100, blank=True, help_text="what the form made: an id or identifier, no secret")

    class Meta:
        indexes = (models.Index(fields=["spent_at"], name="form_token_spent"),)

    def __str__(self) -> str:
        return self.nonce


class Tombstone(models.Model):
    """That there was a row, when nothing of it may be left; see `tombstones.py`. Never changed, never deleted."""

    id = models.BigAutoField(primary_key=True)
    of = models.CharField(max_length=20, help_text="what it was: email, recipient, delivery")
    key = models.PositiveIntegerField(help_text="number of the encryption key that the mark's key comes from")
    mark = models.BinaryField(max_length=32, help_text="HMAC-SHA256 of what it was known by")
    erased_at = models.DateTimeField()
    erased_by = models.CharField(max_length=200)

    class Meta:
        # not unique: a recipient may have been given twice
        indexes = (models.Index(fields=["of", "mark"], name="tombstone_mark"),)

    def __str__(self) -> str:
        return f"tombstone of {self.of}"


class Tally(models.Model):
    """How often something happened; see `tallies.py`."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=40, db_index=True)
    amount = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "tallies"

    def __str__(self) -> str:
        return f"{self.name} {self.amount:+}"


class AuditEntry(models.Model):
    """Something that somebody did, or that happened by itself; see `audit.py`. Only ever added."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=40, help_text="apikey.created, apikey.revoked, …")
    of = models.CharField(max_length=80, help_text="the id or identifier of what it was done to")
    # PROTECT: who did something stays on record; people who leave are deactivated
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    by = models.CharField(max_length=80, help_text="a person's name, the identifier of a key, a command, or system")
    address = models.GenericIPAddressField(null=True, help_text="from where")
    details = models.JSONField(default=dict, help_text="ids and numbers: no address of mail, and no secret")

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = (models.Index(fields=["of", "at"], name="audit_of_at"),)

    def __str__(self) -> str:
        return f"{self.action} {self.of}"


class SecretCheck(models.Model):
    """By what a secret of the environment is known again; see `selftest.py`. Kept, so that no number is used twice."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=40, help_text="the variable: SECRET_KEY, API_KEY_PEPPERS or ENCRYPTION_KEYS")
    number = models.PositiveIntegerField(help_text="in the variable; 0: its only one")
    value = models.BinaryField(max_length=32, help_text="derived from the secret, and tells nothing of it")
    was_primary = models.BooleanField(default=False, help_text="something may have been written with it")
    recorded_at = models.DateTimeField(auto_now_add=True)
    dropped_at = models.DateTimeField(null=True, help_text="not configured since")
    given_up_at = models.DateTimeField(null=True, help_text="lost for good, so not waited for")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name", "number"], name="secret_check_once"),)

    def __str__(self) -> str:
        return f"{self.name} {self.number}"


class KeptKey(models.Model):
    """What was derived from an encryption key and outlives it; see `derived_keys.py`."""

    id = models.CharField(
        max_length=40, primary_key=True, help_text="purpose and number of the encryption key: links:1"
    )
    sealed = models.BinaryField()

    def __str__(self) -> str:
        return self.id
