"""Notices about keys."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from apikeys import notices
from apikeys.models import KeyNotice, KeyNoticeQuerySet
from emailgistics.common.admin import HistoryAdmin, display


@admin.register(KeyNotice)
class KeyNoticeAdmin(HistoryAdmin):
    """What is to be said of keys in force, the newest first."""

    list_display = fields = readonly_fields = ("shown_key", "shown_kind", "what", "told_at", "mailed_at")
    list_display_links = ("shown_kind",)
    list_filter = ("kind",)
    search_fields = ("api_key__identifier", "api_key__name")
    search_help_text = gettext_lazy("Name or identifier of a key")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[KeyNotice]:
        rows: QuerySet[KeyNotice] = super().get_queryset(request)
        assert isinstance(rows, KeyNoticeQuerySet)
        return rows.standing(now=timezone.now()).select_related("api_key")

    @display(description=gettext_lazy("API key"))
    def shown_key(self, notice: KeyNotice) -> str:
        page = reverse("admin:apikeys_apikey_change", args=[notice.api_key_id])
        return format_html('<a class="text-link" href="{}">{}</a>', page, notice.api_key)

    @display(description=gettext_lazy("Notice"))
    def shown_kind(self, notice: KeyNotice) -> str:
        return notice.get_kind_display()

    @display(description=gettext_lazy("What to do"))
    def what(self, notice: KeyNotice) -> str:
        return notices.text_of(notice.kind, notice.api_key)
