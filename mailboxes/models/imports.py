"""Files of aliases that somebody gave to the console, and how far they are."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from emailgistics.common.ids import TypedIdModel


class AliasImportQuerySet(models.QuerySet["AliasImport"]):
    def at_work(self) -> Self:
        return self.filter(state__in=AliasImport.AT_WORK)


class AliasImport(TypedIdModel):
    """A file, checked line by line without changing anything, then, when somebody says so, done.

    Its counts and its place are written in the transaction that does a chunk: it goes on where it stopped, and each
    line counts once. While it is checked the counts say what would happen.
    """

    ID_PREFIX: ClassVar = "job"

    class State(models.TextChoices):
        CHECKING = "checking", gettext_lazy("Checking")
        CHECKED = "checked", gettext_lazy("Checked")  # waits for somebody to say so
        RUNNING = "running", gettext_lazy("Running")
        DONE = "done", gettext_lazy("Done")
        CANCELED = "canceled", gettext_lazy("Canceled")

    AT_WORK: ClassVar = (State.CHECKING, State.RUNNING)

    name = models.CharField(max_length=200, help_text="of the file")
    columns = models.JSONField(help_text="the names in its first line")
    state = models.CharField(max_length=10, choices=State, default=State.CHECKING)
    total = models.PositiveIntegerField(help_text="lines, without the first and empty ones")
    next_chunk = models.PositiveIntegerField(default=0, help_text="how far it has come")
    created = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    # no reference: whoever leaves leaves what he gave
    person_id = models.IntegerField(null=True, editable=False)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(help_text="when it goes on")
    ended_at = models.DateTimeField(null=True)

    objects = AliasImportQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = gettext_lazy("import")
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=["checking", "checked", "running", "done", "canceled"]), name="alias_import_state"
            ),
        )
        indexes = (
            models.Index(fields=["due_at"], condition=Q(state__in=["checking", "running"]), name="alias_import_due"),
        )

    @property
    def worked(self) -> int:
        return self.created + self.changed + self.unchanged + self.failed

    @property
    def is_at_work(self) -> bool:
        return self.state in self.AT_WORK


class AliasImportChunk(models.Model):
    """Some lines that are worked in one transaction."""

    of = models.ForeignKey(AliasImport, models.CASCADE, related_name="chunks")
    n = models.PositiveIntegerField()
    lines = models.JSONField(help_text="number of the line in the file, fault of its form or null, and its cells")
    results = models.JSONField(default=list, help_text="of each line: what became of it, a column, and words")
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["of", "n"], name="alias_import_chunk_once"),)

    def __str__(self) -> str:
        return f"{self.of} {self.n}"
