"""The page of one email: what is known of it, its fate, and on pages of their own what it says.

The first of them has nothing in it of what a mail says but what the log shows, so that who looks after a mail's fate
need not read it; each of the others is on record.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common import one_use
from emailgistics.common.errors import DomainError
from emailgistics.common.logs import get_logger
from emailgistics.common.roles import Action, may
from mailboxes import raw
from mailboxes.admin import email_content, email_frame, facts, fate
from mailboxes.admin.email_log import EmailLog
from mailboxes.admin.opening import opened_content
from mailboxes.api.serializers.emails import CONTENT_MARKS
from mailboxes.models import Email, Recipient, Transcript

log = get_logger(__name__)

OVERVIEW, HTML = "overview", "html"
TITLES: Mapping[str, Any] = {
    OVERVIEW: gettext_lazy("Overview"),
    HTML: gettext_lazy("As HTML"),
    "text": gettext_lazy("Text"),
    "links": gettext_lazy("Links"),
    "headers": gettext_lazy("Headers"),
    "raw": gettext_lazy("Raw"),
}
MAX_COPIES = 20
MAX_RECIPIENTS = 100


class EmailPage(EmailLog):
    tabs: ClassVar = TITLES

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002 - as Django calls it
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        email: Email | None = self.get_object(request, unquote(object_id))
        if email is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        asked = request.GET.get("show", OVERVIEW)
        shown = asked if asked in TITLES else OVERVIEW
        if shown not in (OVERVIEW, HTML):  # the frame of the HTML says for itself that it was opened
            opened_content(request, email, shown)
        elif shown == HTML and not may(request, Action.READ_MAIL):
            raise PermissionDenied
        request.current_app = self.admin_site.name  # for `{% url %}` in unfold's header
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "opts": self.opts,
            "original": email,
            "title": facts.subject(email),
            "email": email,
            "author": facts.author(email),
            "shown": shown,
            "tabs": TITLES.items() if may(request, Action.READ_MAIL) else (),
            "standing": fate.standings([email])[email.pk],
            "may_manage": may(request, Action.MANAGE),
            "may_replay": may(request, Action.REPLAY),
            "removed_content": facts.removed_content(email),
            "removed_raw": facts.removed_raw(email),
            **self._of_tab(request, email, shown),
        }
        answer = TemplateResponse(request, "mailboxes/email.html", context)
        answer["Cache-Control"] = "no-store, private"
        answer["X-DNS-Prefetch-Control"] = "off"  # who asks for the name of a link's host has told that it was read
        return answer

    def _of_tab(self, request: HttpRequest, email: Email, shown: str) -> dict[str, Any]:
        match shown:
            case "html":
                return _of_html(request, email)
            case "text":
                content = email_content.content_of(email)
                return {
                    "text": email_content.text_of(email),
                    "details": list(facts.details(content)) if content else [],
                }
            case "links":
                html = email_content.html_of(email)
                return {"links": list(email_frame.links_in(html[0])) if html else None}
            case "headers":
                return {"headers": email_content.headers_of(email)}
            case "raw":
                return self._of_raw(request, email)
        return _of_overview(request, email)

    def _of_raw(self, request: HttpRequest, email: Email) -> dict[str, Any]:
        try:
            return {} if email.raw_removed_at else {"raw": email_content.raw_of(email)}
        except raw.RawGoneError as error:
            return {"gone": error.message}
        except raw.CorruptRawError as error:
            log.error("email.raw_unreadable", error=str(error))  # noqa: TRY400 - all is said
            self.message_user(request, _("The stored mail cannot be read: %s.") % error, messages.ERROR)
            return {"gone": str(error)}


def remote_pictures(email: Email) -> str:
    """The purpose of a token that lets one answer have them."""
    return f"remote pictures of {email.public_id}"


def _of_html(request: HttpRequest, email: Email) -> dict[str, Any]:
    html = email_content.html_of(email)
    token = request.GET.get("pictures", "")
    if token:
        try:
            one_use.refuse_if_spent(token, user_id=request.user.pk, purpose=remote_pictures(email))
        except DomainError:
            token = ""  # they were shown: loading the page again does not load them again
    safe = html[0] if html else ""
    return {
        "html": html and html[1],
        "is_safe": bool(safe),
        "token": token,
        "has_remote": email_frame.has_remote_pictures(safe),
    }


def _of_overview(request: HttpRequest, email: Email) -> dict[str, Any]:
    may_read, may_manage = may(request, Action.READ_MAIL), may(request, Action.MANAGE)
    content = email_content.content_of(email)
    if content:
        content.marks = [mark for mark in content.marks if may_read or mark not in CONTENT_MARKS]
    attachments = list(email.attachments.order_by("position")[: email_content.MAX_ATTACHMENTS + 1])
    recipients = Recipient.objects.filter(email=email).select_related("alias__domain").order_by("pk")
    copies = Email.objects.filter(message=email.message_id).exclude(pk=email.pk).select_related("mailbox__domain")
    transcript = Transcript.objects.filter(pk=email.message_id).first()
    sequels = fate.sequels(request, email)
    return {
        "to": facts.people(content, "to"),
        "cc": facts.people(content, "cc"),
        "marks": facts.marks(content),
        "authentication": facts.authentication(email),
        "recipients": recipients[:MAX_RECIPIENTS],
        "attachments": attachments[: email_content.MAX_ATTACHMENTS],
        "has_more_attachments": len(attachments) > email_content.MAX_ATTACHMENTS,
        "may_read": may_read,
        "copies": copies.order_by("pk")[:MAX_COPIES],
        "transcript": transcript.lines if transcript else None,
        "stages": fate.stages(email, may_release=may_manage),
        "sequels": sequels,
        "refresh_s": fate.refresh_s(email, sequels),
        "newer": _neighbour(email, "pk__gt", "pk"),
        "older": _neighbour(email, "pk__lt", "-pk"),
        "further": _further(email),
    }


def _neighbour(email: Email, side: str, order: str) -> str:
    """The address of the page of the next mail in its mailbox; empty if there is none."""
    rows: QuerySet[Email] = Email.objects.filter(mailbox=email.mailbox_id, **{side: email.pk}).order_by(order)
    pk = rows.values_list("pk", flat=True).first()
    return reverse("admin:mailboxes_email_change", args=[pk]) if pk else ""


def _further(email: Email) -> dict[str, str]:
    """Pages of apps above, by their names alone: they stand on this one."""
    found = {}
    for name in ("replay_email", "erase_email"):
        try:
            found[name] = reverse(f"admin:webhooks_delivery_{name}", args=[email.pk])
        except NoReverseMatch:
            continue
    return found
