"""Replays of many deliveries, worked off little by little."""

from typing import Any, ClassVar, Self

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q
from django.db.models.fields.json import ContainedBy
from django.db.models.sql.compiler import SQLCompiler
from django.utils.translation import gettext_lazy

from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel
from webhooks.models.webhook import Webhook


class Within(ContainedBy):
    """Whether a list has nothing that another one has not: `contained_by` of PostgreSQL, on SQLite too."""

    lookup_name = "within"

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        lhs, lhs_params = self.process_lhs(compiler, connection)
        rhs, rhs_params = self.process_rhs(compiler, connection)
        # both are what Django wrote: a column, and a place for a parameter
        others = f"SELECT 1 FROM JSON_EACH({lhs}) own WHERE own.value NOT IN (SELECT value FROM JSON_EACH({rhs}))"  # noqa: S608
        return f"NOT EXISTS ({others})", [*lhs_params, *rhs_params]


class ReplayJobQuerySet(models.QuerySet["ReplayJob"]):
    def visible_to(self, principal: Principal) -> Self:
        """By its webhook, and by what it is for: its counts tell of all of that mail."""
        rows = self.filter(webhook__in=Webhook.objects.visible_to(principal))
        if principal.all_mailboxes:
            return rows
        allowed = sorted(map(str, principal.mailbox_ids))
        return rows.filter(mailbox_ids__isnull=False, mailbox_ids__within=allowed)


class ReplayJob(TypedIdModel):
    """Sends again what one webhook was sent, or was not, in a span of time.

    Its counts and its position are written in the transaction that replays: it goes on where it stopped, and each
    delivery counts once. replayed + skipped + content_expired is how far it is; at the end that is total.
    """

    ID_PREFIX: ClassVar = "job"

    class State(models.TextChoices):
        RUNNING = "running", gettext_lazy("Running")
        DONE = "done", gettext_lazy("Done")
        CANCELED = "canceled", gettext_lazy("Canceled")

    webhook = models.ForeignKey(Webhook, models.PROTECT, related_name="replay_jobs")
    since = models.DateTimeField(help_text="deliveries created from then on")
    until = models.DateTimeField(help_text="and before then")
    of_state = models.CharField(max_length=10, help_text="failed, delivered, canceled or all: what had ended so")
    mailbox_ids = models.JSONField(null=True, help_text="only mail of these, the allowlist of who asked; null: of all")
    rate_per_minute = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    total = models.PositiveIntegerField(help_text="deliveries that it is for, counted when it was made")
    replayed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="on their way by the time it came to them")
    content_expired = models.PositiveIntegerField(default=0, help_text="what was to be sent is no longer kept")
    last_delivery_id = models.UUIDField(null=True, editable=False, help_text="how far it has come")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(help_text="when it goes on")
    ended_at = models.DateTimeField(null=True)

    objects = ReplayJobQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=Q(state__in=["running", "done", "canceled"]), name="replay_job_state"),
        )
        indexes = (models.Index(fields=["due_at"], condition=Q(state="running"), name="replay_job_due"),)


ReplayJob._meta.get_field("mailbox_ids").register_lookup(Within)  # noqa: SLF001 - Django's documented way to a field
