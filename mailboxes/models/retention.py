"""How far the retention of each mailbox has come, and what it passed over."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from mailboxes.models.places import Mailbox


class RetentionClock(models.Model):
    """One of the clocks of a mailbox, if it has that: every email up to `position` was looked at.

    Ids are in the order in which mail was accepted, so what is due is one range of an index that there is anyway, and
    no row is read again because it is still there.
    """

    class Kind(models.TextChoices):
        RAW = "raw", gettext_lazy("Raw")
        CONTENT = "content", gettext_lazy("Content")
        LOG = "log", gettext_lazy("Log")

    id = models.BigAutoField(primary_key=True)
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, db_index=False, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    days = models.PositiveIntegerField(help_text="that were in force when it was begun; others begin it anew")
    position = models.UUIDField(null=True, help_text="the newest email that it has come to")
    due_at = models.DateTimeField(db_index=True, help_text="when it goes on")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["mailbox", "kind"], name="retention_clock_once"),
            models.CheckConstraint(condition=Q(kind__in=["raw", "content", "log"]), name="retention_clock_kind"),
        )

    def __str__(self) -> str:
        return f"{self.kind} of {self.mailbox_id}"


class PostponedRemoval(models.Model):
    """An email that a clock passed over, because something still needs it: when it is looked at again."""

    # no reference: somebody may be erasing it this moment, and is not waited for
    email_id = models.UUIDField(primary_key=True)
    due_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"removal of {self.email_id}"
