"""The tables under every app: which worker is alive, and which forms were sent."""

from uuid import UUID

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
