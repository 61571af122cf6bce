"""The email log, and one email: what came, why it is here, what it says, what became of it.

Nothing of it is changed here, but mail that a rule keeps back is let go. The parts, each on the one before: the log
(email_log), the page of one (email_page), its octets (email_files), what is done about it (email_steps).
"""

from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import HistoryTabularInline, display
from mailboxes.admin.email_steps import EmailSteps
from mailboxes.admin.facts import NULL_SENDER
from mailboxes.models import Email, Recipient

__all__ = ["NULL_SENDER", "SEARCHED", "STATUSES", "EmailAdmin", "RecipientInline"]

SEARCHED = 50_000  # no index finds a part of an envelope: the newest of these, within the filters
STATUSES = {"waiting": "info", "processed": "success", "parked": "danger", "quarantined": "warning"}


class RecipientInline(HistoryTabularInline):
    """Who it was for on the envelope, and how routing led it here."""

    model = Recipient
    verbose_name_plural = gettext_lazy("recipients on the envelope")
    fields = readonly_fields = ("address", "kind", "tag", "captured", "alias", "why")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recipient]:
        rows: QuerySet[Recipient] = super().get_queryset(request)
        return rows.select_related("alias__domain")

    @display(description=gettext_lazy("Captured"))
    def captured(self, row: Recipient) -> SafeString:
        return format_html_join(SafeString("<br>"), "{}: {}", row.captures.items())

    @display(description=gettext_lazy("Why it came here"))
    def why(self, row: Recipient) -> SafeString:
        return format_html_join(SafeString("<br>"), "{}", ((step,) for step in row.explanation))


@admin.register(Email)
class EmailAdmin(EmailSteps):
    list_display: ClassVar = ("received_at", "subject", "mailbox", "status")
    search_fields: ClassVar = ("subject",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Email]:
        rows: QuerySet[Email] = super().get_queryset(request)
        return rows.select_related("message", "mailbox__domain", "quarantine_rule")
