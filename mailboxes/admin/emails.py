"""The email log, and one email: what came, why it is here, what it says.

Nothing of it is changed here, but mail that a rule keeps back is let go.
"""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Length, Substr
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from emailgistics.common.admin import HistoryAdmin, HistoryTabularInline, display
from emailgistics.common.downloads import MEDIA_TYPE, OCTET_STREAM, File, download
from emailgistics.common.ids import decode_id
from emailgistics.common.logs import get_logger
from mailboxes import raw
from mailboxes.admin.addresses import link, links, list_of
from mailboxes.admin.asking import asked
from mailboxes.admin.filters import MailboxFilter, ReceivedFilter, search_emails
from mailboxes.admin.forms import BlockSenderForm
from mailboxes.api.views.emails import RAW_TYPE
from mailboxes.models import Attachment, Email, EmailContent, Message, Recipient
from mailboxes.services import quarantine, rule_book

log = get_logger(__name__)

SEARCHED = 100_000  # no index finds a part of a subject: the newest of these, within the filters
TEXT_SHOWN = 200_000  # characters; the raw has the rest
STATUSES = {"waiting": "info", "processed": "success", "parked": "danger", "quarantined": "warning"}
MARKS = {
    "api_key": "has an API key in it: revoke that",
    "webhook_secret": "has a webhook secret in it: rotate that",
    "tnef": "Outlook's winmail.dat is not opened",
    "partial_message": "a piece of a mail",
    "external_body": "a part of it is elsewhere",
}
NULL_SENDER = "<> (a bounce or an automatic answer)"


class RecipientInline(HistoryTabularInline):
    """Who it was for on the envelope, and how routing led it here."""

    model = Recipient
    verbose_name_plural = "recipients on the envelope"
    fields = readonly_fields = ("address", "kind", "tag", "captured", "alias", "why")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recipient]:
        rows: QuerySet[Recipient] = super().get_queryset(request)
        return rows.select_related("alias__domain")

    @display(description="Captured")
    def captured(self, row: Recipient) -> SafeString:
        return format_html_join(SafeString("<br>"), "{}: {}", row.captures.items())

    @display(description="Why it came here")
    def why(self, row: Recipient) -> SafeString:
        return format_html_join(SafeString("<br>"), "{}", ((step,) for step in row.explanation))


class AttachmentInline(HistoryTabularInline):
    model = Attachment
    fields = readonly_fields = ("name", "content_type", "detected", "shown_size", "is_inline", "sha256")

    @display(description="File")
    def name(self, row: Attachment) -> SafeString:
        href = reverse("admin:mailboxes_email_attachment", args=[row.email_id, row.pk])
        return link(row.filename or "without a name", href)

    @display(description="Looks like")
    def detected(self, row: Attachment) -> str:
        return row.detected_type or "its octets do not tell"

    @display(description="Size")
    def shown_size(self, row: Attachment) -> str:
        return filesizeformat(row.size)


@admin.register(Email)
class EmailAdmin(HistoryAdmin):
    list_display = ("received_at", "sender", "shown_subject", "mailbox", "shown_status", "files_in_it", "shown_size")
    list_display_links = ("received_at", "shown_subject")
    list_filter = (ReceivedFilter, "status", "has_attachment", MailboxFilter)
    search_fields = ("subject",)  # the box is shown; see get_search_results
    search_help_text = "Address, subject, Message-ID or id"
    list_fullwidth = True
    inlines = (RecipientInline, AttachmentInline)
    fieldsets: ClassVar[Any] = (
        (
            "Email",
            {
                "fields": (
                    "shown_subject",
                    ("sender", "addressed_to"),
                    ("date", "received_at"),
                    ("mailbox", "shown_status"),
                    "kept_back",
                    "files",
                )
            },
        ),
        ("Text", {"fields": ("text",)}),
        ("What kind of mail it is", {"fields": (("kind", "shown_marks"), "details")}),
        (
            "Envelope and octets",
            {
                "classes": ("collapse",),
                "fields": (
                    "envelope",
                    ("message", "public_id"),
                    ("message_id_header", "shown_size"),
                    "parsing",
                    "authentication",
                ),
            },
        ),
        ("Headers", {"classes": ("collapse",), "fields": ("headers",)}),
    )
    readonly_fields: ClassVar = flatten_fieldsets(fieldsets)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Email]:
        rows: QuerySet[Email] = super().get_queryset(request)
        with_all = rows.select_related("message", "mailbox__domain", "quarantine_rule")
        return with_all.defer("message__parse_defects")

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - as Django calls it
        queryset: QuerySet[Email],
        search_term: str,
    ) -> tuple[QuerySet[Email], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if email_id := decode_id(Email.ID_PREFIX, term):
            return queryset.filter(pk=email_id), False
        if message_id := decode_id(Message.ID_PREFIX, term):
            return queryset.filter(message=message_id), False
        return search_emails(queryset, term, among=SEARCHED), False

    # --- files

    def get_urls(self) -> list[URLPattern]:
        files = [
            path("<uuid:pk>/raw/", self.admin_site.admin_view(self.raw_view), name="mailboxes_email_raw"),
            path(
                "<uuid:pk>/attachments/<uuid:attachment_pk>/",
                self.admin_site.admin_view(self.attachment_view),
                name="mailboxes_email_attachment",
            ),
        ]
        steps = [
            path("<uuid:pk>/release/", self.admin_site.admin_view(self.release_view), name="mailboxes_email_release"),
            path("<uuid:pk>/block/", self.admin_site.admin_view(self.block_view), name="mailboxes_email_block"),
        ]
        urls: list[URLPattern] = super().get_urls()
        return files + steps + urls

    def raw_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        email = self._found(request, Email.objects.select_related("message"), pk=pk)
        message = email.message
        return self._file(
            request,
            File(
                octets=lambda: raw.read_raw(message),
                size=message.size,
                sha256=message.sha256,
                content_type=RAW_TYPE,
                filename=f"{email.public_id}.eml",
            ),
        )

    def attachment_view(self, request: HttpRequest, pk: UUID, attachment_pk: UUID) -> HttpResponseBase:
        rows = Attachment.objects.select_related("email__message")
        found = self._found(request, rows, pk=attachment_pk, email=pk)
        return self._file(
            request,
            File(
                octets=lambda: raw.attachment_octets(found),
                size=found.size,
                sha256=found.sha256,
                content_type=found.content_type if MEDIA_TYPE.fullmatch(found.content_type) else OCTET_STREAM,
                filename=found.filename,
            ),
        )

    # --- what is done about one

    def release_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        email = self._found(request, Email.objects.select_related("message"), pk=pk)

        def release() -> str:
            was_held = email.status == Email.Status.QUARANTINED
            quarantine.release_email(email, by=request.user.get_username())
            if not was_held:
                return "It was released before; its webhooks are not told again."
            self.log_changes(request, [email], "Released from quarantine.")
            return "It is released: its webhooks are told of it."

        return asked(
            self,
            request,
            title="Release this email from quarantine",
            verb="Release it",
            follows=[
                f"It is kept back because: {email.quarantine_reason or 'nothing; it is not in quarantine'}.",
                "Every webhook that is bound to where it went is sent it, attachments included. That is not undone.",
                "The rule stays as it is: the next mail like this is kept back as well.",
            ],
            back=reverse("admin:mailboxes_email_change", args=[pk]),
            act=release,
        )

    def block_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        email = self._found(request, Email.objects.select_related("message", "mailbox__domain"), pk=pk)
        sender = email.message.mail_from
        form = BlockSenderForm(request.POST if request.method == "POST" else None)

        def block() -> str:
            mailbox = None if form.cleaned_data["is_everywhere"] else email.mailbox
            rule, is_new = rule_book.block_sender(sender, mailbox=mailbox)
            if is_new:
                self.log_changes(request, [rule], f"Made from the email {email.public_id}.")
            where = mailbox or "all mailboxes"
            return f"Mail from {sender or NULL_SENDER} to {where} is refused from now on ({rule.public_id})."

        return asked(
            self,
            request,
            title=f"Block {sender or NULL_SENDER}",
            verb="Block the sender",
            follows=[
                f"Mail with this envelope sender to {email.mailbox} is refused from now on: a rule is made for it.",
                "It can be changed, disabled and deleted under Rules. What has come already stays.",
            ],
            back=reverse("admin:mailboxes_email_change", args=[pk]),
            act=block,
            form=form,
            is_dangerous=True,
        )

    def _found(self, request: HttpRequest, rows: QuerySet[Any], **which: UUID) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = rows.filter(**which).first()
        if row is None:
            raise Http404
        return row

    def _file(self, request: HttpRequest, file: File) -> HttpResponseBase:
        try:
            return download(request, file)
        except raw.RawGoneError as error:
            raise Http404 from error
        except raw.CorruptRawError as error:
            log.error("email.raw_unreadable", error=str(error))  # noqa: TRY400 - all is said
            self.message_user(request, f"The stored mail cannot be read: {error}.", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:mailboxes_email_changelist"))

    # --- in lists

    @display(description="From")
    def sender(self, row: Email) -> str:
        if row.from_address:
            return f"{row.from_name} <{row.from_address}>" if row.from_name else row.from_address
        return row.message.mail_from or NULL_SENDER

    @display(description="Subject")
    def shown_subject(self, row: Email) -> str:
        if row.subject:
            return row.subject
        return "(not read yet)" if row.status == Email.Status.WAITING else "(no subject)"

    @display(description="Status", label=STATUSES)
    def shown_status(self, row: Email) -> str:
        return row.status

    @display(description="Size")
    def shown_size(self, row: Email) -> str:
        return filesizeformat(row.size)

    @display(description="Files")
    def files_in_it(self, row: Email) -> str:
        return "yes" if row.has_attachment else ""

    # --- of one

    @display(description="ID")
    def public_id(self, row: Email) -> str:
        return row.public_id

    @display(description="To and Cc")
    def addressed_to(self, row: Email) -> str:
        content = content_of(row)
        people = [person for name in ("to", "cc") for person in (content.addresses.get(name) or [])] if content else []
        return ", ".join(_person(person) for person in people)

    @display(description="Envelope")
    def envelope(self, row: Email) -> str:
        message = row.message
        by = f"from {message.client_ip} ({message.helo})" if message.client_ip else f"by {message.source}"
        return f"{message.mail_from or NULL_SENDER}, {by}, {message.tls or 'without TLS'}"

    @display(description="Parsing")
    def parsing(self, row: Email) -> str:
        defects = ", ".join(str(defect) for defect in row.message.parse_defects)
        return f"{row.message.parse_status or 'not yet'}{': ' if defects else ''}{defects}"

    @display(description="Marks")
    def shown_marks(self, row: Email) -> str:
        content = content_of(row)
        return "; ".join(MARKS.get(mark, mark) for mark in content.marks) if content and content.marks else "none"

    @display(description="What it reports or invites to")
    def details(self, row: Email) -> SafeString | str:
        content = content_of(row)
        if content is None:
            return "Not read yet."
        said = [
            (f"{title}: {name.replace('_', ' ')}", _shown(value))
            for title, fields in (
                ("Delivery report", content.bounce),
                ("List", content.mailing_list),
                ("Calendar", content.calendar),
            )
            for name, value in (fields or {}).items()
            if value
        ]
        lines = format_html_join("", "<dt>{}</dt><dd>{}</dd>", said)
        return format_html('<dl class="mail-headers">{}</dl>', lines) if said else "Nothing."

    @display(description="SPF, DKIM, DMARC")
    def authentication(self, row: Email) -> SafeString | str:
        said = row.message.authentication
        if said is None:
            return "Not checked." if row.status != Email.Status.WAITING else "Not yet."
        lines = [("SPF", said["spf"]), *(("DKIM", one) for one in said["dkim"]), ("DMARC", said["dmarc"])]
        if not said["dkim"]:
            lines.insert(1, ("DKIM", {"result": "none", "reason": "the mail has no signature"}))
        return format_html_join(
            SafeString("<br>"), "{} <strong>{}</strong>{}", ((name, one["result"], _about(one)) for name, one in lines)
        )

    @display(description="Quarantine")
    def kept_back(self, row: Email) -> SafeString | str:
        if not row.quarantine_reason:
            return "No rule kept it back."
        lines = [format_html("{}", row.quarantine_reason)]
        if row.quarantine_rule is not None:
            page = reverse("admin:mailboxes_rule_change", args=[row.quarantine_rule.pk])
            lines.append(link("The rule", page))
        if row.released_at is not None:
            lines.append(format_html("Released {}", date_format(localtime(row.released_at), "DATETIME_FORMAT")))
        elif row.status == Email.Status.QUARANTINED:
            lines.append(link("Release it", reverse("admin:mailboxes_email_release", args=[row.pk])))
        return format_html_join(SafeString("<br>"), "{}", ((line,) for line in lines))

    @display(description="What to do")
    def files(self, row: Email) -> SafeString:
        return links(
            [
                ("Block this sender", reverse("admin:mailboxes_email_block", args=[row.pk])),
                ("Download the raw mail", reverse("admin:mailboxes_email_raw", args=[row.pk])),
                ("Deliveries of this email", list_of("webhooks_delivery", q=row.public_id)),
                # by its name alone, as above: webhooks stand on this app
                ("Replay to all its webhooks", reverse("admin:webhooks_delivery_replay_email", args=[row.pk])),
            ]
        )

    @display(description="Plain text")
    def text(self, row: Email) -> SafeString | str:
        content = content_of(row)
        if content is None:
            return "Not read yet."
        notes = []
        if content.html_length:
            notes.append(
                f"There is an HTML body as well ({content.html_length:,} characters). Not shown: download the raw."
            )
        if content.text_length > TEXT_SHOWN:
            notes.append(f"These are the first {TEXT_SHOWN:,} of {content.text_length:,} characters.")
        if content.text_truncated:
            notes.append("What was stored of it is cut off: the raw has all of it.")
        shown = (
            format_html('<pre class="mail-text" dir="auto">{}</pre>', content.first_text)
            if content.first_text
            else SafeString("")
        )
        said = format_html_join("", '<p class="mail-note">{}</p>', ((note,) for note in notes))
        return shown + said if shown or said else "It has no text."

    @display(description="As they were sent, decoded")
    def headers(self, row: Email) -> SafeString | str:
        content = content_of(row)
        if content is None:
            return "Not read yet."
        lines = format_html_join("", "<dt>{}</dt><dd>{}</dd>", ((name, value) for name, value in content.headers))
        return format_html('<dl class="mail-headers">{}</dl>', lines)


def content_of(email: Email) -> Any:
    """Its content without what is not shown, asked for once; None while it waits."""
    if not hasattr(email, "shown_content"):
        rows = EmailContent.objects.filter(pk=email.pk).defer("text", "html", "html_safe", "references")
        email.shown_content = rows.annotate(  # type: ignore[attr-defined]
            first_text=Substr("text", 1, TEXT_SHOWN), text_length=Length("text"), html_length=Length("html")
        ).first()
    return email.shown_content  # type: ignore[attr-defined]


def _shown(value: Any) -> str:
    if value is True:
        return "yes"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _about(said: dict[str, Any]) -> str:
    """Of one result: what it is about, and why it is no other."""
    facts = [
        said.get("domain"),
        f"scope {said['scope']}" if said.get("scope") else None,
        f"selector {said['selector']}" if said.get("selector") else None,
        "aligned with From" if said.get("aligned") else None,
        f"policy {said['policy']}" if said.get("policy") else None,
        f"aligned by {' and '.join(said['aligned_by'])}" if said.get("aligned_by") else None,
        said.get("reason"),
    ]
    known = ", ".join(fact for fact in facts if fact)
    return f" ({known})" if known else ""


def _person(person: dict[str, str]) -> str:
    name, address = person.get("name", ""), person.get("address", "")
    return f"{name} <{address}>" if name else address
