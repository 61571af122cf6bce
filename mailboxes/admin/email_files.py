"""The octets of an email: its HTML for a frame, its raw, its attachments."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from emailgistics.common import one_use
from emailgistics.common.downloads import MEDIA_TYPE, OCTET_STREAM, File, download
from emailgistics.common.errors import DomainError
from emailgistics.common.logs import get_logger
from emailgistics.common.roles import Action, may
from mailboxes import raw
from mailboxes.admin import email_content, email_frame, facts
from mailboxes.admin.email_page import EmailPage, remote_pictures
from mailboxes.admin.opening import opened_content
from mailboxes.api.views.emails import RAW_TYPE
from mailboxes.models import Attachment, Email

log = get_logger(__name__)


class EmailFiles(EmailPage):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        files = [
            path("<uuid:pk>/raw/", view(self.raw_view), name="mailboxes_email_raw"),
            path("<uuid:pk>/html/", view(self.html_view), name="mailboxes_email_html"),
            path("<uuid:pk>/pictures/", view(require_POST(self.pictures_view)), name="mailboxes_email_pictures"),
            path(
                "<uuid:pk>/attachments/<uuid:attachment_pk>/",
                view(self.attachment_view),
                name="mailboxes_email_attachment",
            ),
        ]
        urls: list[URLPattern] = super().get_urls()
        return files + urls

    def html_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """A document that can do nothing, wherever it is shown: for the frame on the mail's page."""
        email = self._found(request, Email.objects.select_related("message"), pk=pk)
        with_remote_pictures = _spend(request, email)
        opened_content(request, email, "html, with pictures of other hosts" if with_remote_pictures else "html")
        found = email_content.html_of(email)
        if found is None or not found[0]:
            raise Http404
        page = email_frame.document(
            found[0],
            title=facts.subject(email),
            pictures=self._pictures(email, found[0]),
            with_remote_pictures=with_remote_pictures,
        )
        answer = HttpResponse(page, content_type="text/html; charset=utf-8")
        answer["Content-Security-Policy"] = email_frame.policy(with_remote_pictures=with_remote_pictures)
        answer["X-Frame-Options"] = "SAMEORIGIN"  # all others have DENY
        answer["X-Content-Type-Options"] = "nosniff"
        answer["Referrer-Policy"] = "no-referrer"
        answer["Cache-Control"] = "no-store, private"
        answer["X-DNS-Prefetch-Control"] = "off"
        return answer

    def pictures_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Lets the next answer, and no other, load pictures from elsewhere."""
        email = self._found(request, Email.objects.all(), pk=pk)
        if not may(request, Action.READ_MAIL):
            raise PermissionDenied
        token = one_use.new_token(user_id=request.user.pk, purpose=remote_pictures(email))
        page = reverse("admin:mailboxes_email_change", args=[pk])
        return HttpResponseRedirect(f"{page}?show=html&pictures={token}")

    def raw_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        email = self._found(request, Email.objects.select_related("message"), pk=pk)
        message = email.message
        file = File(
            octets=lambda: raw.raw_of(email),
            size=message.size,
            sha256=message.sha256,
            content_type=RAW_TYPE,
            filename=f"{email.public_id}.eml",
        )
        return self._file(request, email, "raw, as a file", file)

    def attachment_view(self, request: HttpRequest, pk: UUID, attachment_pk: UUID) -> HttpResponseBase:
        rows = Attachment.objects.select_related("email__message")
        found = self._found(request, rows, pk=attachment_pk, email=pk)
        file = File(
            octets=lambda: raw.attachment_octets(found),
            size=found.size,
            sha256=found.sha256,
            content_type=found.content_type if MEDIA_TYPE.fullmatch(found.content_type) else OCTET_STREAM,
            filename=found.filename,
        )
        return self._file(request, found.email, f"attachment {found.public_id}", file)

    def _pictures(self, email: Email, html: str) -> dict[str, email_frame.Picture]:
        try:
            return email_content.pictures_of(email, html)
        except (raw.RawGoneError, raw.RawRemovedError):
            return {}
        except raw.CorruptRawError as error:  # the text can still be read; the tab of the raw says what is wrong
            log.error("email.raw_unreadable", error=str(error))  # noqa: TRY400 - all is said
            return {}

    def _found(self, request: HttpRequest, rows: QuerySet[Any], **which: UUID) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = rows.filter(**which).first()
        if row is None:
            raise Http404
        return row

    def _file(self, request: HttpRequest, email: Email, what: str, file: File) -> HttpResponseBase:
        if email.raw_removed_at is not None:
            raise Http404
        opened_content(request, email, what)
        try:
            return download(request, file)
        except raw.RawGoneError as error:
            raise Http404 from error
        except raw.CorruptRawError as error:
            log.error("email.raw_unreadable", error=str(error))  # noqa: TRY400 - all is said
            self.message_user(request, _("The stored mail cannot be read: %s.") % error, messages.ERROR)
            return HttpResponseRedirect(reverse("admin:mailboxes_email_changelist"))


def _spend(request: HttpRequest, email: Email) -> bool:
    """Whether this answer may have pictures of other hosts in it: asked for by this person, for this mail, once."""
    token = request.GET.get("pictures", "")
    if not token or request.method != "GET":
        return False
    try:
        with transaction.atomic():
            one_use.spend(token, user_id=request.user.pk, purpose=remote_pictures(email))
    except DomainError:
        return False
    return True
