"""The list of webhooks. What is done with one of them: `pages.py`."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import ConsoleChangeList, ConsoleModelAdmin
from emailgistics.common.ids import decode_id
from emailgistics.common.instants import NOTHING
from webhooks.admin import rates, show
from webhooks.admin.bindings import bound_to, kind_of
from webhooks.admin.filters import DeletedFilter, HealthFilter, StateFilter
from webhooks.admin.tools import WebhookTools
from webhooks.models import Delivery, Webhook

State = Delivery.State


class WebhookList(ConsoleChangeList):
    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """With how well each webhook on the page does, in one query."""
        super().get_results(request)
        self.result_list = list(self.result_list)
        found = rates.of_each([webhook.pk for webhook in self.result_list], now=timezone.now())
        for webhook in self.result_list:
            webhook.rate_found = found[webhook.pk]


@admin.register(Webhook)
class WebhookAdmin(WebhookTools, ConsoleModelAdmin):
    list_display = (
        "endpoint", "bound", "effective_state", "rate", "latency", "last_answer", "waiting", "held", "payload_form",
    )  # fmt: skip
    list_filter = (StateFilter, HealthFilter, "payload", DeletedFilter)
    list_before_template = "webhooks/list_top.html"
    search_fields = ("url", "description")
    search_help_text = gettext_lazy("Part of the URL, or an id: wh_…")
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

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ConsoleChangeList]:  # noqa: ARG002 - as Django calls it
        return WebhookList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Webhook], search_term: str
    ) -> tuple[QuerySet[Webhook], bool]:
        if pk := decode_id(Webhook.ID_PREFIX, search_term.strip()):
            return queryset.filter(pk=pk), False
        found: tuple[QuerySet[Webhook], bool] = super().get_search_results(request, queryset, search_term)
        return found

    @admin.display(description=gettext_lazy("URL"))
    def endpoint(self, webhook: Webhook) -> str:
        return format_html(
            '<div class="wh-wide">{}<div class="text-xs">{}</div></div>', show.endpoint(webhook), webhook.description
        )

    @admin.display(description=gettext_lazy("For mail to"))
    def bound(self, webhook: Webhook) -> str:
        bound = bound_to(webhook)
        return format_html('<div>{}<div class="text-xs">{}</div></div>', show.link(bound, bound), kind_of(bound))

    @admin.display(description=gettext_lazy("State"))
    def effective_state(self, webhook: Webhook) -> str:
        return format_html("<div>{}{}</div>", show.webhook_state(webhook), show.trouble(webhook))

    @admin.display(description=gettext_lazy("Payload"))
    def payload_form(self, webhook: Webhook) -> str:
        if webhook.thinned_at is not None:
            return _("Thin, after 413")
        told = webhook.get_payload_display()
        return _("%(payload)s, files inline") % {"payload": told} if webhook.form == "inline" else told

    @admin.display(description=gettext_lazy("Waiting"))
    def waiting(self, webhook: Any) -> str:
        return show.linked_count(webhook, State.PENDING)

    @admin.display(description=gettext_lazy("Held"))
    def held(self, webhook: Any) -> str:
        return show.linked_count(webhook, State.HELD)

    @admin.display(description=gettext_lazy("Last answer"))
    def last_answer(self, webhook: Any) -> str:
        newest = webhook.newest or {"status": None, "error": ""}
        return show.answer(newest["status"], newest["error"])

    @admin.display(description=gettext_lazy("14 days"))
    def rate(self, webhook: Any) -> str:
        return render_to_string("partials/_sparkline.html", {"spark": rates.sparkline(webhook.rate_found)})

    @admin.display(description=gettext_lazy("Latency"))
    def latency(self, webhook: Any) -> str:
        return webhook.rate_found.latency or NOTHING
