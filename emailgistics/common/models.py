"""The tables under every app: which worker is alive, which forms were sent, what was erased, what was counted and when,
who did what, by what the installation's secrets are known again, what was answered to requests that may come again,
whether all is well, and what has to hold though the database is restored from a backup.
"""

from uuid import UUID, uuid4

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

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
        verbose_name = gettext_lazy("worker")  # what the console calls it
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
        verbose_name_plural = gettext_lazy("tallies")

    def __str__(self) -> str:
        return f"{self.name} {self.amount:+}"


class SeriesEntry(models.Model):
    """That something happened in a quarter of an hour, as it was counted; see `series.py`. Soon folded into sums."""

    id = models.BigAutoField(primary_key=True)
    # no foreign keys: a count outlives what it is of
    subject = models.UUIDField(help_text="of what: a mailbox, or an API key")
    part = models.UUIDField(help_text="the alias by which the mail came; 0: however it came")
    is_restricted = models.BooleanField(help_text="only who may see all mailboxes may know of it")
    kind = models.SmallIntegerField(help_text="series.Kind")
    quarter = models.IntegerField(help_text="quarters of an hour since 1970, in UTC")
    times = models.BigIntegerField()
    amount = models.BigIntegerField(help_text="octets, where it has any")

    class Meta:
        verbose_name_plural = gettext_lazy("series entries")

    def __str__(self) -> str:
        return f"{self.times} of {self.kind} in {self.quarter}"


class SeriesSum(models.Model):
    """How often something happened in a quarter of an hour, an hour or a day in UTC; see `series.py`."""

    id = models.BigAutoField(primary_key=True)
    subject = models.UUIDField(help_text="of what: a mailbox, a domain, an API key; 0: everything")
    part = models.UUIDField(help_text="the alias by which the mail came; 0: however it came")
    is_restricted = models.BooleanField(help_text="only who may see all mailboxes may know of it")
    kind = models.SmallIntegerField(help_text="series.Kind")
    span = models.SmallIntegerField(help_text="in quarters of an hour: 1, 4 or 96")
    start = models.IntegerField(help_text="quarters of an hour since 1970, in UTC")
    times = models.BigIntegerField()
    amount = models.BigIntegerField(help_text="octets, where it has any")

    class Meta:
        constraints = (
            # in the order in which it is read
            models.UniqueConstraint(
                fields=["subject", "part", "span", "start", "kind", "is_restricted"], name="series_sum_once"
            ),
        )
        indexes = (models.Index(fields=["start"], name="series_sum_start"),)

    def __str__(self) -> str:
        return f"{self.times} of {self.kind} from {self.start} on"


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
        verbose_name_plural = gettext_lazy("audit entries")
        indexes = (
            models.Index(fields=["of", "at"], name="audit_of_at"),
            models.Index(fields=["by", "-id"], name="audit_by"),
            models.Index(fields=["action", "-id"], name="audit_action"),
            models.Index(fields=["at"], name="audit_at"),
        )

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


class KeptAnswer(models.Model):
    """What was answered to a request with an Idempotency-Key; see `idempotency.py`. Never changed."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    api_key = models.UUIDField(help_text="whose request it was; not a reference: apps stand above this one")
    digest = models.BinaryField(max_length=32, help_text="SHA-256 of the Idempotency-Key")
    kept_at = models.DateTimeField()
    size = models.PositiveIntegerField(help_text="octets, before they were sealed")
    sealed = models.BinaryField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["api_key", "digest"], name="kept_answer_once"),)
        indexes = (models.Index(fields=["kept_at"], name="kept_answer_kept_at"),)

    def __str__(self) -> str:
        return f"{self.api_key} {self.kept_at}"


class LedgerDay(models.Model):
    """How the accounts of a day stood when they were last balanced; see `operations/ledger.py`."""

    day = models.DateField(primary_key=True, help_text="in UTC")
    checked_at = models.DateTimeField(db_index=True)
    is_balanced = models.BooleanField()
    differs = models.JSONField(default=dict, help_text="by account: rows too many; negative: so many are missing")
    took_ms = models.PositiveIntegerField()

    class Meta:
        indexes = (models.Index(fields=["day"], condition=models.Q(is_balanced=False), name="ledger_day_differs"),)

    def __str__(self) -> str:
        return f"{self.day}: {self.differs or 'balanced'}"


class Canary(models.Model):
    """What became of the last canary mail, the only row; see `operations/canary.py`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    at = models.DateTimeField(help_text="when it was sent")
    took_ms = models.PositiveIntegerField(null=True, help_text="until it had come back; null: it did not")
    failure = models.CharField(max_length=500, blank=True, help_text="where it stood then, if it did not")

    class Meta:
        verbose_name_plural = gettext_lazy("canaries")

    def __str__(self) -> str:
        return self.failure or f"{self.took_ms} ms"


class Alarm(models.Model):
    """Something that is wrong now, and since when; see `operations/alarms.py`. The row goes when it is over."""

    code = models.CharField(max_length=40, primary_key=True)
    text = models.CharField(max_length=500)
    since = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="when it was last found to be so")
    told_at = models.DateTimeField(null=True, help_text="by e-mail")

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class JournalEntry(models.Model):
    """That something has to hold after a restore as well; see `journal.py`. Kept: it says what this database knows."""

    id: "models.UUIDField[UUID, UUID]" = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    body = models.JSONField(help_text="what is to hold, by ids and marks; empty once it is in a file")
    written_at = models.DateTimeField(null=True, help_text="to a file; null: not yet")

    class Meta:
        verbose_name_plural = gettext_lazy("journal entries")
        indexes = (models.Index(fields=["at"], condition=models.Q(written_at=None), name="journal_entry_unwritten"),)

    def __str__(self) -> str:
        return f"{self.id} {self.body.get('what', '')}".strip()


class Watermark(models.Model):
    """That this database was in use in a minute: see `watermark.py`. The first says which database it is, for good."""

    id = models.BigAutoField(primary_key=True)
    token: "models.UUIDField[UUID, UUID]" = models.UUIDField(unique=True, default=uuid4, editable=False)
    at = models.DateTimeField(db_index=True, help_text="by the database's clock")
    is_beginning = models.BooleanField(default=False, help_text="what was remembered before it counts no longer")

    def __str__(self) -> str:
        return f"watermark at {self.at}"
