"""The list of webhooks. What is done with one of them: `pages.py`."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.utils.html import format_html

from emailgistics.common.admin import ConsoleModelAdmin
from emailgistics.common.ids import decode_id
from webhooks.admin import show
from webhooks.admin.bindings import bound_to, kind_of
from webhooks.admin.filters import DeletedFilter, HealthFilter, StateFilter
from webhooks.admin.tools import WebhookTools
from webhooks.models import Delivery, Webhook

State = Delivery.State


@admin.register(Webhook)
class WebhookAdmin(WebhookTools, ConsoleModelAdmin):
    list_display = ("endpoint", "bound", "effective_state", "payload_form", "waiting", "held", "last_answer", "created")
    list_filter = (StateFilter, HealthFilter, "payload", DeletedFilter)
    list_before_template = "webhooks/list_top.html"
    search_fields = ("url", "description")
    search_help_text = "Part of the URL, or an id: wh_…"
    ordering = ("-id",)
    sortable_by = ()
    actions: ClassVar = None

    class Media:
        css: ClassVar = show.STYLE

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:
        """With the numbers that the list shows, as many queries however many webhooks."""
        deliveries = Delivery.objects.filter(webhook=OuterRef("pk"), state__in=[State.PENDING, State.HELD])
        open_ones = deliveries.order_by().values("state")[: show.MAX_OPEN + 1]
        # not `webhook=`: PostgreSQL would take that as given, and the newest of all deliveries, row by row, for the
        # shortest way to one of a webhook that had none for months; this order only the index delivery_of_webhook has
        of_webhook = Delivery.objects.filter(webhook__gte=OuterRef("pk"), webhook__lte=OuterRef("pk"), attempts__gt=0)
        newest = of_webhook.order_by("webhook_id", "-id")
        webhooks: QuerySet[Webhook] = super().get_queryset(request)
        return (
            webhooks.select_related(
                "alias__domain", "alias__mailbox", "mailbox__domain", "domain", "created_by", "health"
            )
            .defer("sealed_secret", "sealed_previous_secret", "sealed_headers")
            .annotate(
                waiting_count=show.BoundedCount(open_ones, state=State.PENDING),
                held_count=show.BoundedCount(open_ones, state=State.HELD),
                newest=Subquery(newest.values(of=JSONObject(status="last_status", error="last_error"))[:1]),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Webhook], search_term: str
    ) -> tuple[QuerySet[Webhook], bool]:
        if pk := decode_id(Webhook.ID_PREFIX, search_term.strip()):
            return queryset.filter(pk=pk), False
        found: tuple[QuerySet[Webhook], bool] = super().get_search_results(request, queryset, search_term)
        return found

    @admin.display(description="URL")
    def endpoint(self, webhook: Webhook) -> str:
        return format_html(
            '<div class="wh-wide">{}<div class="text-xs">{}</div></div>', show.endpoint(webhook), webhook.description
        )

    @admin.display(description="For mail to")
    def bound(self, webhook: Webhook) -> str:
        bound = bound_to(webhook)
        return format_html('<div>{}<div class="text-xs">{}</div></div>', show.link(bound, bound), kind_of(bound))

    @admin.display(description="State")
    def effective_state(self, webhook: Webhook) -> str:
        return format_html("<div>{}{}</div>", show.webhook_state(webhook), show.trouble(webhook))

    @admin.display(description="Payload")
    def payload_form(self, webhook: Webhook) -> str:
        if webhook.thinned_at is not None:
            return "Thin, after 413"
        inline = ", files inline" if webhook.form == "inline" else ""
        return f"{webhook.get_payload_display()}{inline}"

    @admin.display(description="Waiting")
    def waiting(self, webhook: Any) -> str:
        return show.linked_count(webhook, State.PENDING)

    @admin.display(description="Held")
    def held(self, webhook: Any) -> str:
        return show.linked_count(webhook, State.HELD)

    @admin.display(description="Last answer")
    def last_answer(self, webhook: Any) -> str:
        newest = webhook.newest or {"status": None, "error": ""}
        return show.answer(newest["status"], newest["error"])

    @admin.display(description="Created")
    def created(self, webhook: Webhook) -> str:
        return show.instant(webhook.created_at)
