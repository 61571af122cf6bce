"""The one table under every app: which worker is alive."""

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
        indexes = (models.Index(fields=["kind", "seen_at"], name="lease_kind_seen"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.pid}@{self.host}"
