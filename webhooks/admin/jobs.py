"""Replays of many deliveries, and notices of webhooks."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.instants import instant
from webhooks.admin import consequences, show
from webhooks.admin.filters import WebhookFilter
from webhooks.admin.history import SECRETS, FoundById
from webhooks.admin.once import AsksOnce, Done, who
from webhooks.models import Notice, ReplayJob, Webhook
from webhooks.services import replay_jobs

EVERY_S = 1


@admin.register(ReplayJob)
class ReplayJobAdmin(AsksOnce, FoundById):
    found_by: ClassVar = {ReplayJob.ID_PREFIX: "pk", Webhook.ID_PREFIX: "webhook"}
    search_help_text = gettext_lazy("An id: job_… or wh_…")
    list_display = ("created", "endpoint", "which", "state_label", "progress", "created_by")
    list_filter = (WebhookFilter,)
    change_form_outer_before_template = "webhooks/job_now.html"
    fieldsets = (
        (
            None,
            {"fields": (("shown_id", "endpoint"), ("which", "rate"), ("created", "created_by"), ("from_", "until_"))},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReplayJob]:
        jobs: QuerySet[ReplayJob] = super().get_queryset(request)
        return jobs.select_related("webhook").defer(*(f"webhook__{column}" for column in SECRETS))

    def get_urls(self) -> list[Any]:
        cancel = self.admin_site.admin_view(self.cancel_view)
        return [path("<uuid:pk>/cancel/", cancel, name="webhooks_replayjob_cancel"), *super().get_urls()]

    def cancel_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        form = Form(request.POST if request.method == "POST" else None)

        def cancel() -> Done:
            replay_jobs.cancel_replay(job, by=who(request))
            self.log_change(request, job, "Canceled.")
            return Done(job, _("Canceled."))

        return self._confirm(request, job, form, consequences.of_canceling_job(job), cancel)

    def more(self, request: HttpRequest, row: ReplayJob) -> dict[str, Any]:  # noqa: ARG002
        done = row.replayed + row.skipped + row.content_expired
        is_running = row.state == ReplayJob.State.RUNNING
        return {
            "job": row,
            "state": show.state(row.state, "", show.JOB_COLOURS),
            "done": done,
            "total": max(row.total, done),
            "percent": 100 if not row.total else min(100, done * 100 // row.total),
            "counts": (
                (_("Replayed"), row.replayed, _("they wait for their turn, or were sent")),
                (_("Skipped"), row.skipped, _("they were on their way already")),
                (_("Content expired"), row.content_expired, _("what was to be sent is not kept any more")),
            ),
            "is_running": is_running,
            "refresh_s": EVERY_S if is_running else 0,
            "ended": instant(row.ended_at),
        }

    @admin.display(description=gettext_lazy("Started"))
    def created(self, job: ReplayJob) -> str:
        return instant(job.created_at)

    @admin.display(description=gettext_lazy("Webhook"))
    def endpoint(self, job: ReplayJob) -> str:
        return show.wide(show.link(job.webhook, show.endpoint(job.webhook)))

    @admin.display(description=gettext_lazy("Deliveries that were"))
    def which(self, job: ReplayJob) -> str:
        return _("ended, in whatever way") if job.of_state == "all" else job.of_state

    @admin.display(description=gettext_lazy("State"))
    def state_label(self, job: ReplayJob) -> SafeString:
        return show.state(job.state, "", show.JOB_COLOURS)

    @admin.display(description=gettext_lazy("Done"))
    def progress(self, job: ReplayJob) -> str:
        return _("%(done)s of %(all)s") % {
            "done": f"{job.replayed + job.skipped + job.content_expired:,}",
            "all": f"{job.total:,}",
        }

    @admin.display(description=gettext_lazy("At most"))
    def rate(self, job: ReplayJob) -> str:
        return _("%(count)s a minute") % {"count": f"{job.rate_per_minute:,}"}

    @admin.display(description=gettext_lazy("Created since"))
    def from_(self, job: ReplayJob) -> str:
        return instant(job.since)

    @admin.display(description=gettext_lazy("And before"))
    def until_(self, job: ReplayJob) -> str:
        return instant(job.until)


@admin.register(Notice)
class NoticeAdmin(FoundById):
    found_by: ClassVar = {Webhook.ID_PREFIX: "webhook"}
    search_help_text = gettext_lazy("The id of a webhook: wh_…")
    ordering = ("-id",)
    list_display = ("when", "kind_label", "text", "endpoint")
    list_filter = (WebhookFilter,)
    fieldsets = ((None, {"fields": (("when", "kind_label"), "text", "endpoint")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        notices: QuerySet[Notice] = super().get_queryset(request)
        return notices.select_related("webhook").defer(*(f"webhook__{column}" for column in SECRETS))

    @admin.display(description=gettext_lazy("When"))
    def when(self, notice: Notice) -> str:
        return instant(notice.at)

    @admin.display(description=gettext_lazy("Kind"))
    def kind_label(self, notice: Notice) -> SafeString:
        return show.state(notice.kind, "", show.NOTICE_COLOURS)

    @admin.display(description=gettext_lazy("Webhook"))
    def endpoint(self, notice: Notice) -> str:
        return show.wide(show.link(notice.webhook, show.endpoint(notice.webhook)))
