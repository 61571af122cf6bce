"""Work that goes on after the answer to whoever asked for it."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel
from mailboxes.models.emails import Email
from mailboxes.models.places import Domain, Mailbox


class ErasureJobQuerySet(models.QuerySet["ErasureJob"]):
    def visible_to(self, principal: Principal) -> Self:
        """To the key that asked for it: what it is about is deleted, so no allowlist has that any more."""
        return self if principal.all_mailboxes else self.filter(key_id=principal.key_id)

    def running(self) -> Self:
        return self.filter(state=ErasureJob.State.RUNNING)


class ErasureJob(TypedIdModel):
    """Erases the mail of a mailbox, or of all mailboxes of a domain, that was deleted with its mail.

    `erased` is written in the transaction that erases: it goes on where it stopped, and each email counts once. What
    cannot be erased is passed over, and tried again when the others are gone; `failed` counts it in this round.
    """

    ID_PREFIX: ClassVar = "job"

    class State(models.TextChoices):
        RUNNING = "running", gettext_lazy("Running")
        DONE = "done", gettext_lazy("Done")
        CANCELED = "canceled", gettext_lazy("Canceled")
        FAILED_IN_PART = (
            "failed_in_part",
            gettext_lazy("Failed In Part"),
        )  # some could not be erased, however often it was tried

    domain = models.ForeignKey(Domain, models.PROTECT, null=True, related_name="+")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, null=True, related_name="+")
    deleted_at = models.DateTimeField(help_text="of its mailboxes: those that went before keep their mail")
    state = models.CharField(max_length=20, choices=State, default=State.RUNNING)
    total = models.PositiveIntegerField(help_text="emails that there were when it was made; at the end, those erased")
    erased = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0, db_default=0, help_text="emails that could not be erased")
    failures = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        help_text="the first of them: id of the email, and the kind of the fault",
    )
    position = models.UUIDField(null=True, editable=False, help_text="how far this round has come")
    rounds = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False, help_text="that have ended")
    key_id = models.UUIDField(null=True, editable=False, help_text="the API key that asked for it")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(help_text="when it goes on")
    ended_at = models.DateTimeField(null=True)

    objects = ErasureJobQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=["running", "done", "canceled", "failed_in_part"]), name="erasure_job_state"
            ),
            models.CheckConstraint(
                condition=Q(domain=None, mailbox__isnull=False) | Q(domain__isnull=False, mailbox=None),
                name="erasure_job_is_of_one",
            ),
        )
        indexes = (models.Index(fields=["due_at"], condition=Q(state="running"), name="erasure_job_due"),)

    def emails(self) -> "models.QuerySet[Email]":
        """Those that are left."""
        if self.mailbox_id is not None:
            return Email.objects.filter(mailbox=self.mailbox_id)
        return Email.objects.filter(mailbox__domain=self.domain_id, mailbox__deleted_at=self.deleted_at)
