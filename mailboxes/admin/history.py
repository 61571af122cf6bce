"""What was accepted, and which address belongs to whom."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import Fieldsets, HistoryAdmin, HistoryTabularInline, display, without_fields
from emailgistics.common.ids import decode_id
from mailboxes.admin.addresses import link
from mailboxes.admin.emails import NULL_SENDER, SEARCHED, STATUSES, RecipientInline
from mailboxes.admin.filters import DomainFilter, ReceivedFilter, among_newest, search_addresses
from mailboxes.models import Address, Email, Message


class EmailInline(HistoryTabularInline):
    """The message in each mailbox that it went to."""

    model = Email
    fields = readonly_fields = ("page", "mailbox", "status", "subject")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Email]:
        rows: QuerySet[Email] = super().get_queryset(request)
        return rows.select_related("mailbox__domain")

    @display(description=gettext_lazy("Email"))
    def page(self, row: Email) -> SafeString:
        return link(row.public_id, reverse("admin:mailboxes_email_change", args=[row.pk]))


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    list_display = ("received_at", "sender", "client", "encryption", "shown_state", "shown_size")
    list_filter = (ReceivedFilter, "state")
    search_fields = ("mail_from",)
    search_help_text = gettext_lazy("Envelope sender, IP address or id")
    inlines = (RecipientInline, EmailInline)
    fieldsets: ClassVar[Any] = (
        (gettext_lazy("Envelope"), {"fields": ("sender", "received_at", "client", ("encryption", "source"))}),
        (gettext_lazy("Octets"), {"fields": ("shown_size", "digest", "public_id")}),
        (
            gettext_lazy("Processing"),
            {"fields": (("shown_state", "processed_at"), ("parse_status", "parse_version"), "losses", "parse_defects")},
        ),
    )
    readonly_fields: ClassVar = flatten_fieldsets(fieldsets)

    def get_fieldsets(self, request: HttpRequest, obj: Message | None = None) -> Fieldsets:  # noqa: ARG002
        return self.fieldsets if self.shows(request, "digest") else without_fields(self.fieldsets, {"digest"})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        rows: QuerySet[Message] = super().get_queryset(request)
        return rows.defer("parse_defects")

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - as Django calls it
        queryset: QuerySet[Message],
        search_term: str,
    ) -> tuple[QuerySet[Message], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if message_id := decode_id(Message.ID_PREFIX, term):
            return queryset.filter(pk=message_id), False
        newest = among_newest(queryset, SEARCHED)
        return newest.filter(mail_from__istartswith=term) | newest.filter(client_ip__startswith=term), False

    @display(description=gettext_lazy("Envelope sender"))
    def sender(self, row: Message) -> str:
        return row.mail_from or str(NULL_SENDER)

    @display(description=gettext_lazy("Handed in by"))
    def client(self, row: Message) -> str:
        return f"{row.client_ip} ({row.helo})" if row.client_ip else ""

    @display(description=gettext_lazy("TLS"))
    def encryption(self, row: Message) -> str:
        return row.tls or "none"

    @display(description=gettext_lazy("SHA-256"))
    def digest(self, row: Message) -> str:
        return row.sha256

    @display(description=gettext_lazy("State"), label=STATUSES)
    def shown_state(self, row: Message) -> str:
        return row.state

    @display(description=gettext_lazy("Size"))
    def shown_size(self, row: Message) -> str:
        return filesizeformat(row.size)

    @display(description=gettext_lazy("ID"))
    def public_id(self, row: Message) -> str:
        return row.public_id


@admin.register(Address)
class AddressAdmin(HistoryAdmin):
    """Who has an address, also while it rests."""

    list_display = ("__str__", "belongs_to", "what", "rests_since")
    list_filter = (DomainFilter,)
    list_select_related = ("domain", "mailbox__domain", "alias__domain")
    search_fields = ("local_key",)
    search_help_text = gettext_lazy("Address, or a part of it")
    fields = readonly_fields = ("domain", "local_key", "belongs_to", "what", "rests_since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Address]:
        rows: QuerySet[Address] = super().get_queryset(request)
        return rows.select_related("domain", "mailbox__domain", "alias__domain")

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - as Django calls it
        queryset: QuerySet[Address],
        search_term: str,
    ) -> tuple[QuerySet[Address], bool]:
        if not search_term.strip():
            return queryset, False
        return search_addresses(queryset, search_term, local_part="local_key"), False

    @display(description=gettext_lazy("Belongs to"))
    def belongs_to(self, row: Address) -> SafeString:
        page = "admin:mailboxes_mailbox_change" if row.mailbox_id else "admin:mailboxes_alias_change"
        return link(row.owner, reverse(page, args=[row.owner.pk]))

    @display(description=gettext_lazy("Kind"))
    def what(self, row: Address) -> str:
        return str(row.owner._meta.verbose_name)  # noqa: SLF001 - Django's own name for it

    @display(description=gettext_lazy("Deleted, and rests since"))
    def rests_since(self, row: Address) -> object:
        return row.owner.deleted_at
