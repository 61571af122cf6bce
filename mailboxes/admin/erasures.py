"""Jobs that erase the mail of what was deleted with it."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import HistoryAdmin, display
from emailgistics.common.ids import decode_id
from mailboxes.admin.asking import asked
from mailboxes.models import ErasureJob
from mailboxes.services import erasure_jobs

EVERY_S = 2
STATES = {"running": "info", "done": "success", "canceled": "warning", "failed_in_part": "danger"}


@admin.register(ErasureJob)
class ErasureJobAdmin(HistoryAdmin):
    list_display = ("of", "shown_state", "progress", "failed", "created_by", "created_at")
    list_filter = ("state",)
    search_fields = ("pk",)
    search_help_text = gettext_lazy("An id: job_…")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": (("public_id", "of"), ("created_at", "created_by"), ("deleted_at", "ended_at"))}),
    )
    readonly_fields = ("public_id", "of", "created_at", "created_by", "deleted_at", "ended_at")
    change_form_outer_before_template = "mailboxes/erasure_now.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ErasureJob]:
        rows: QuerySet[ErasureJob] = super().get_queryset(request)
        return rows.select_related("domain", "mailbox__domain")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/cancel/", view(self.cancel_view), name="mailboxes_erasurejob_cancel"),
            path("<uuid:pk>/again/", view(self.again_view), name="mailboxes_erasurejob_again"),
            *super().get_urls(),
        ]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:  # noqa: ARG002
        term = search_term.strip()
        return (queryset.filter(pk=decode_id(ErasureJob.ID_PREFIX, term)) if term else queryset), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        extra = {**(extra_context or {}), **(what_it_shows(job) if job else {})}
        answer: HttpResponse = super().change_view(request, object_id, form_url, extra)
        return answer

    def cancel_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self._of(request, pk)

        def cancel() -> str:
            erasure_jobs.cancel(job, by=request.user.get_username())
            self.log_change(request, job, "Canceled.")
            return _("Canceled.")

        return asked(
            self,
            request,
            title=_("If you cancel this erasure"),
            verb=_("Cancel the erasure"),
            follows=[
                _("It goes no further, and cannot be begun again."),
                _("What is erased stays erased. What is left is read by no key, and stays until its retention ends."),
            ],
            back=self._page(job),
            act=cancel,
            is_dangerous=True,
        )

    def again_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self._of(request, pk)

        def again() -> str:
            erasure_jobs.try_again(job, by=request.user.get_username())
            self.log_change(request, job, "Tried again.")
            return _("It goes on.")

        return asked(
            self,
            request,
            title=_("If you try again"),
            verb=_("Try again"),
            follows=[_("The emails that could not be erased are tried again, three times at most.")],
            back=self._page(job),
            act=again,
        )

    def _of(self, request: HttpRequest, pk: UUID) -> ErasureJob:
        job: ErasureJob | None = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        return job

    def _page(self, job: ErasureJob) -> str:
        return reverse("admin:mailboxes_erasurejob_change", args=[job.pk])

    @display(description=gettext_lazy("Mail of"))
    def of(self, job: ErasureJob) -> str:
        return str(job.mailbox or job.domain)

    @display(description=gettext_lazy("State"), label=STATES)
    def shown_state(self, job: ErasureJob) -> tuple[str, str]:
        return job.state, job.state.replace("_", " ")

    @display(description=gettext_lazy("Erased"))
    def progress(self, job: ErasureJob) -> str:
        return _("%(done)s of %(all)s") % {"done": f"{job.erased:,}", "all": f"{max(job.total, job.erased):,}"}

    @display(description=gettext_lazy("ID"))
    def public_id(self, job: ErasureJob) -> str:
        return job.public_id


def what_it_shows(job: ErasureJob) -> dict[str, Any]:
    is_running = job.state == ErasureJob.State.RUNNING
    total = max(job.total, job.erased)
    emails = ({"id": email, "kind": kind} for email, kind in job.failures)
    return {
        "job": job,
        "total": total,
        "percent": 100 if not total else min(100, job.erased * 100 // total),
        "is_running": is_running,
        "has_failed": job.state == ErasureJob.State.FAILED_IN_PART,
        "refresh_s": EVERY_S if is_running else 0,
        "emails": list(emails),
    }
