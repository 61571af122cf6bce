"""Aliases from a file and into one."""

import csv
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emailgistics.common import audit
from emailgistics.common.admin import HistoryAdmin, display
from emailgistics.common.clients import client_address
from emailgistics.common.errors import ConflictError, DomainError
from emailgistics.common.ids import decode_id
from emailgistics.common.roles import Action, may
from emailgistics.common.spreadsheets import defused
from mailboxes.admin.asking import asked
from mailboxes.models import Alias, AliasImport, AliasImportChunk
from mailboxes.services import alias_files, alias_imports

AT_ONCE_FOR_S = 2  # a short file is checked, or done, before the page is shown
SHOWN = 100  # lines, of each kind
EXPORTED_AT_ONCE = 500
EVERY_S = 2
STATES = {"checking": "info", "checked": "warning", "running": "info", "done": "success", "canceled": "danger"}


def refuse_others(request: HttpRequest) -> None:
    """Raises PermissionDenied."""
    if not may(request, Action.MANAGE):
        raise PermissionDenied


class UploadForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        max_length=200,
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        help_text=gettext_lazy(
            "In UTF-8, with commas or semicolons. Nothing is changed before you have seen what would be."
        ),
    )

    def clean_file(self) -> alias_files.AliasFile:
        given: Any = self.cleaned_data["file"]
        self.file_name = given.name or ""
        if (given.size or 0) > alias_files.MAX_FILE_BYTES:
            size = alias_files.MAX_FILE_BYTES >> 20
            raise ValidationError(_("The file has more than %(size)s MiB; split it into several.") % {"size": size})
        try:
            return alias_files.read(given.read())
        except alias_files.FileError as error:
            raise ValidationError(error.message) from error


class AliasFilePages:
    """The pages of the list of aliases that are about files."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        inner: Any = super()
        view = self.admin_site.admin_view
        return [
            path("import/", view(self.import_view), name="mailboxes_alias_import"),
            path("export/", view(self.export_view), name="mailboxes_alias_export"),
            *inner.get_urls(),
        ]

    def import_view(self, request: HttpRequest) -> HttpResponse:
        refuse_others(request)
        form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
        if form.is_valid():
            try:
                job = alias_imports.begin(form.cleaned_data["file"], name=form.file_name, by=person(request))
            except ConflictError as error:
                form.add_error(None, error.message)
            else:
                alias_imports.work_for(job, at_most_s=AT_ONCE_FOR_S)
                return HttpResponseRedirect(reverse("admin:mailboxes_aliasimport_change", args=[job.pk]))
        request.current_app = self.admin_site.name  # for `{% url %}` in unfold's header
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import aliases"),
            "form": form,
            "columns": alias_files.COLUMNS,
            "max_lines": f"{alias_files.MAX_LINES:,}",
            "back": reverse("admin:mailboxes_alias_changelist"),
        }
        return TemplateResponse(request, "mailboxes/import.html", context)

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """What the list shows with the same filters, but for what is deleted: that could not be imported."""
        refuse_others(request)
        if request.method != "GET":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        mine: Any = self
        rows = mine.get_changelist_instance(request).get_queryset(request).filter(deleted_at=None)
        aliases = Alias.objects.filter(pk__in=rows.order_by().values("pk")).order_by("pk")
        aliases = aliases.select_related("domain", "mailbox__domain").prefetch_related("copies__mailbox__domain")
        audit.record(
            "aliases.exported",
            of="aliases",
            person=person(request),
            address=client_address(request),
            details={"filters": ", ".join(sorted(request.GET))} if request.GET else {},
        )
        return csv_answer(alias_files.written(aliases.iterator(chunk_size=EXPORTED_AT_ONCE)), name="aliases.csv")


@admin.register(AliasImport)
class AliasImportAdmin(HistoryAdmin):
    list_display = ("name", "shown_state", "progress", "failed", "created_by", "created_at")
    list_filter = ("state",)
    search_fields = ("pk",)
    search_help_text = gettext_lazy("An id: job_…")
    fieldsets: ClassVar[Any] = ((None, {"fields": (("public_id", "created_at"), ("name", "created_by"))}),)
    readonly_fields = ("public_id", "created_at", "name", "created_by")
    change_form_outer_before_template = "mailboxes/import_now.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return may(request, Action.MANAGE)

    has_module_permission = has_view_permission

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/confirm/", view(self.confirm_view), name="mailboxes_aliasimport_confirm"),
            path("<uuid:pk>/cancel/", view(self.cancel_view), name="mailboxes_aliasimport_cancel"),
            path("<uuid:pk>/errors/", view(self.errors_view), name="mailboxes_aliasimport_errors"),
            *super().get_urls(),
        ]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:  # noqa: ARG002
        term = search_term.strip()
        return (queryset.filter(pk=decode_id(AliasImport.ID_PREFIX, term)) if term else queryset), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        extra = {**(extra_context or {}), **(what_it_shows(job) if job else {}), "title": _("Import of aliases")}
        answer: HttpResponse = super().change_view(request, object_id, form_url, extra)
        return answer

    def confirm_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self._of(request, pk)
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        try:
            alias_imports.confirm(job, by=person(request), address=client_address(request))
        except DomainError as error:
            messages.error(request, error.message)
        else:
            alias_imports.work_for(job, at_most_s=AT_ONCE_FOR_S)
        return HttpResponseRedirect(self._page(job))

    def cancel_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        job = self._of(request, pk)

        def cancel() -> str:
            alias_imports.cancel(job, by=request.user.get_username())
            self.log_change(request, job, "Canceled.")
            return _("Canceled.")

        return asked(
            self,
            request,
            title=_("If you cancel this import"),
            verb=_("Cancel the import"),
            follows=[_("It goes no further."), _("What it has done already stays done.")],
            back=self._page(job),
            act=cancel,
            is_dangerous=True,
        )

    def errors_view(self, request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
        return csv_answer(errors_of(self._of(request, pk)), name="errors.csv")

    def _of(self, request: HttpRequest, pk: UUID) -> AliasImport:
        refuse_others(request)
        job: AliasImport | None = self.get_object(request, str(pk))
        if job is None:
            raise Http404
        return job

    def _page(self, job: AliasImport) -> str:
        return reverse("admin:mailboxes_aliasimport_change", args=[job.pk])

    @display(description=gettext_lazy("State"), label=STATES)
    def shown_state(self, job: AliasImport) -> str:
        return job.state

    @display(description=gettext_lazy("Lines"))
    def progress(self, job: AliasImport) -> str:
        return _("%(done)s of %(all)s") % {"done": f"{job.worked:,}", "all": f"{job.total:,}"}

    @display(description=gettext_lazy("ID"))
    def public_id(self, job: AliasImport) -> str:
        return job.public_id


def what_it_shows(job: AliasImport) -> dict[str, Any]:
    would = job.state in (AliasImport.State.CHECKING, AliasImport.State.CHECKED)
    doable = job.created + job.changed
    return {
        "job": job,
        "would": would,
        "doable": doable,
        "percent": min(100, job.worked * 100 // job.total),
        "is_at_work": job.is_at_work,
        "can_cancel": job.is_at_work or job.state == AliasImport.State.CHECKED,
        "refresh_s": EVERY_S if job.is_at_work else 0,
        "verb": ngettext("Import %(n)s alias", "Import %(n)s aliases", doable) % {"n": f"{doable:,}"},
        "faults": list(lines_of(job, of=(alias_imports.FAILED,))),
        "changes": list(lines_of(job, of=(alias_imports.CREATED, alias_imports.CHANGED))),
        "unchanged": list(lines_of(job, of=(alias_imports.UNCHANGED,))),
        "shown": SHOWN,
    }


def lines_of(job: AliasImport, *, of: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The first of them. Where that is not many, not all is read to find them."""
    chunks = job.chunks.filter(n__lt=job.next_chunk)
    if of == (alias_imports.FAILED,):
        chunks = chunks.filter(failed__gt=0)
    at = job.columns.index("address")
    left = SHOWN
    for chunk in chunks.order_by("n")[:SHOWN]:
        for (number, fault, cells), (outcome, column, words) in zip(chunk.lines, chunk.results, strict=False):
            if outcome in of:
                address = "" if fault else cells[at]
                yield {"number": number, "address": address, "outcome": outcome, "column": column, "words": words}
                left -= 1
                if not left:
                    return


def errors_of(job: AliasImport) -> Iterator[bytes]:
    writer = csv.writer(_Echo())
    yield alias_files.BOM.encode() + writer.writerow(["line", "column", "error", *job.columns])
    chunks: Any = AliasImportChunk.objects.filter(of=job, n__lt=job.next_chunk, failed__gt=0).order_by("n")
    for chunk in chunks.iterator(chunk_size=10):
        for (number, _fault, cells), (outcome, column, words) in zip(chunk.lines, chunk.results, strict=False):
            if outcome == alias_imports.FAILED:
                yield writer.writerow([number, column, defused(words), *map(defused, cells)])


def csv_answer(lines: Iterator[bytes], *, name: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


def person(request: HttpRequest) -> User:
    """Who is signed in: every page of the console asks for that."""
    user = request.user
    if not isinstance(user, User):
        raise PermissionDenied
    return user


class _Echo:
    """What csv writes to, to have it back."""

    def write(self, text: str) -> bytes:
        return text.encode()
