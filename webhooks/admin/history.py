"""Events, deliveries and attempts: what happened, only looked at. Lists never load a body."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import BinaryField, OuterRef, QuerySet
from django.db.models.functions import Length, Substr
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from emailgistics.common.admin import HistoryAdmin
from emailgistics.common.ids import decode_id
from mailboxes.models import Email
from webhooks.admin import show
from webhooks.admin.filters import CreatedFilter, WebhookFilter
from webhooks.models import Attempt, Delivery, Event, EventBody, Webhook

PREVIEW_BYTES = 16 * 1024
LATEST_ATTEMPTS = 50
SECRETS = ("sealed_secret", "sealed_previous_secret", "sealed_headers")  # columns of a webhook that no page loads


class FoundById(HistoryAdmin):
    """Search takes a pasted id and nothing else: any part of any text would be looked for in every row."""

    # prefix of an id -> where it is looked for
    found_by: ClassVar[dict[str, str]] = {}
    search_fields = ("pk",)
    list_fullwidth = True

    class Media:
        css: ClassVar = show.STYLE

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        prefix = text.rpartition("_")[0]
        pk = decode_id(prefix, text) if prefix in self.found_by else None
        return (queryset.filter(**{self.found_by[prefix]: pk}) if pk else queryset.none()), False

    def render_change_form(self, request: HttpRequest, context: Any, **kwargs: Any) -> HttpResponse:
        page: HttpResponse = super().render_change_form(
            request, context | {"show_history": False} | self.more(kwargs["obj"]), **kwargs
        )
        return page

    @admin.display(description="Id")
    def shown_id(self, row: Any) -> str:
        return show.code(row.public_id)

    def more(self, row: Any) -> dict[str, Any]:  # noqa: ARG002
        """What its page shows below the fields."""
        return {}


@admin.register(Delivery)
class DeliveryAdmin(FoundById):
    found_by: ClassVar = {
        Delivery.ID_PREFIX: "pk",
        Event.ID_PREFIX: "event",
        Email.ID_PREFIX: "event__email",
        Webhook.ID_PREFIX: "webhook",
    }
    search_help_text = "An id: dlv_…, evt_…, email_… or wh_…"
    list_display = ("created", "subject", "endpoint", "state_label", "attempts", "answer", "next_attempt")
    list_filter = ("state", WebhookFilter, CreatedFilter)
    change_form_outer_after_template = "webhooks/delivery.html"
    fieldsets = (
        (None, {"fields": (("shown_id", "created"), ("state_label", "delivered"), ("attempts_made", "answer"))}),
        (None, {"fields": ("next_at",)}),
        ("What for", {"fields": (("subject", "email_id"), "event_link", ("endpoint", "webhook_state"))}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        deliveries: QuerySet[Delivery] = super().get_queryset(request)
        return deliveries.select_related(
            "webhook__alias", "webhook__mailbox", "webhook__domain", "event__email", "body"
        ).defer("body__body", *(f"webhook__{column}" for column in SECRETS))

    def more(self, row: Delivery) -> dict[str, Any]:
        attempts = list(row.attempt_log.order_by("-n")[:LATEST_ATTEMPTS])
        return {"bars": show.bars(attempts[::-1]), "body": preview(EventBody.objects.filter(pk=row.body_id))}

    @admin.display(description="Created")
    def created(self, delivery: Delivery) -> str:
        return show.instant(delivery.created_at)

    @admin.display(description="Email")
    def subject(self, delivery: Delivery) -> str:
        email = delivery.event.email
        return show.wide(show.link(email, show.subject(email)))

    @admin.display(description="Email id")
    def email_id(self, delivery: Delivery) -> str:
        return show.code(delivery.event.email.public_id)

    @admin.display(description="Event")
    def event_link(self, delivery: Delivery) -> str:
        return format_html("{} ({})", show.link(delivery.event, delivery.event.public_id), delivery.event.type)

    @admin.display(description="Webhook")
    def endpoint(self, delivery: Delivery) -> str:
        return show.wide(show.link(delivery.webhook, show.short(delivery.webhook.url)))

    @admin.display(description="State of the webhook")
    def webhook_state(self, delivery: Delivery) -> SafeString:
        return show.webhook_state(delivery.webhook)

    @admin.display(description="State")
    def state_label(self, delivery: Delivery) -> SafeString:
        return show.delivery_state(delivery)

    @admin.display(description="Last answer")
    def answer(self, delivery: Delivery) -> SafeString:
        return show.answer(delivery.last_status, delivery.last_error)

    @admin.display(description="Attempts")
    def attempts_made(self, delivery: Delivery) -> str:
        lost = f", {delivery.lease_losses} of them lost with their dispatcher" if delivery.lease_losses else ""
        return f"{delivery.attempts}, {delivery.failures} failed{lost}"

    @admin.display(description="Next attempt")
    def next_attempt(self, delivery: Delivery) -> str:
        when, why = show.next_attempt(delivery, now=timezone.now())
        return format_html('<div>{}<div class="text-xs">{}</div></div>', when, why)

    @admin.display(description="Next attempt, or why there is none")
    def next_at(self, delivery: Delivery) -> str:
        when, why = show.next_attempt(delivery, now=timezone.now())
        at = format_html(", at {}", show.instant(delivery.due_at)) if when.startswith("in ") else ""
        reason = "" if delivery.reason == why else delivery.reason
        return format_html("{}{}<div>{}</div><div>{}</div>", when, at, why, reason)

    @admin.display(description="Delivered")
    def delivered(self, delivery: Delivery) -> str:
        return show.instant(delivery.delivered_at)


@admin.register(Attempt)
class AttemptAdmin(FoundById):
    found_by: ClassVar = {Delivery.ID_PREFIX: "delivery"}
    search_help_text = "The id of a delivery: dlv_…"
    ordering = ("-id",)
    list_display = ("started", "number", "delivery_link", "endpoint", "answer", "total")
    change_form_outer_after_template = "webhooks/attempt.html"
    fieldsets = ((None, {"fields": (("number", "started"), ("delivery_link", "endpoint"), ("answer", "peer"))}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        attempts: QuerySet[Attempt] = super().get_queryset(request)
        return attempts.select_related("delivery__webhook").defer(
            "response_headers", "response_excerpt", *(f"delivery__webhook__{column}" for column in SECRETS)
        )

    def more(self, row: Attempt) -> dict[str, Any]:
        return {"bars": show.bars([row])}

    @admin.display(description="Started")
    def started(self, attempt: Attempt) -> str:
        return show.instant(attempt.started_at)

    @admin.display(description="Attempt")
    def number(self, attempt: Attempt) -> int:
        return attempt.n

    @admin.display(description="Delivery")
    def delivery_link(self, attempt: Attempt) -> str:
        return show.link(attempt.delivery, attempt.delivery.public_id)

    @admin.display(description="Webhook")
    def endpoint(self, attempt: Attempt) -> str:
        return show.wide(show.link(attempt.delivery.webhook, show.short(attempt.delivery.webhook.url)))

    @admin.display(description="Answer")
    def answer(self, attempt: Attempt) -> SafeString:
        return show.answer(attempt.status, attempt.error, detail=attempt.detail)

    @admin.display(description="Sent to the address")
    def peer(self, attempt: Attempt) -> str:
        return attempt.peer_ip or show.NOTHING

    @admin.display(description="Took")
    def total(self, attempt: Attempt) -> str:
        return show.NOTHING if attempt.total_ms is None else f"{attempt.total_ms}\N{NO-BREAK SPACE}ms"


@admin.register(Event)
class EventAdmin(FoundById):
    found_by: ClassVar = {Event.ID_PREFIX: "pk", Email.ID_PREFIX: "email", Delivery.ID_PREFIX: "deliveries"}
    search_help_text = "An id: evt_…, email_… or dlv_…"
    list_display = ("created", "kind", "subject", "delivery_count")
    list_filter = (CreatedFilter,)
    change_form_outer_after_template = "webhooks/event.html"
    fieldsets = ((None, {"fields": (("shown_id", "created"), ("kind", "delivery_count"), ("subject", "email_id"))}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        events: QuerySet[Event] = super().get_queryset(request)
        deliveries = Delivery.objects.filter(event=OuterRef("pk")).order_by().values("pk")
        return events.select_related("email").annotate(
            deliveries_made=show.BoundedCount(deliveries[: show.MAX_COUNTED + 1])
        )

    def more(self, row: Event) -> dict[str, Any]:
        deliveries = row.deliveries.select_related("webhook").order_by("id")[:LATEST_ATTEMPTS]
        bodies = EventBody.objects.filter(event=row).order_by("form")
        return {
            "bodies": [preview(bodies.filter(form=form)) for form in bodies.values_list("form", flat=True)],
            "deliveries": [
                {
                    "url": show.page_of(delivery),
                    "webhook": show.short(delivery.webhook.url),
                    "state": show.delivery_state(delivery),
                }
                for delivery in deliveries
            ],
        }

    @admin.display(description="Type")
    def kind(self, event: Event) -> str:
        return event.type

    @admin.display(description="Created")
    def created(self, event: Event) -> str:
        return show.instant(event.created_at)

    @admin.display(description="Email")
    def subject(self, event: Event) -> str:
        return show.link(event.email, show.subject(event.email))

    @admin.display(description="Email id")
    def email_id(self, event: Event) -> str:
        return show.code(event.email.public_id)

    @admin.display(description="Deliveries")
    def delivery_count(self, event: Any) -> str:
        return show.amount(event.deliveries_made)


@admin.register(EventBody)
class EventBodyAdmin(FoundById):
    found_by: ClassVar = {Event.ID_PREFIX: "event", Email.ID_PREFIX: "event__email"}
    search_help_text = "An id: evt_… or email_…"
    ordering = ("-id",)
    list_display = ("event_link", "form", "subject", "size")
    change_form_outer_after_template = "webhooks/body.html"
    fieldsets = ((None, {"fields": (("event_link", "subject"), ("form", "size"))}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EventBody]:
        bodies: QuerySet[EventBody] = super().get_queryset(request)
        return bodies.select_related("event__email").defer("body").annotate(octets=Length("body"))

    def more(self, row: EventBody) -> dict[str, Any]:
        return {"body": preview(EventBody.objects.filter(pk=row.pk))}

    @admin.display(description="Event")
    def event_link(self, body: EventBody) -> str:
        return show.link(body.event, body.event.public_id)

    @admin.display(description="Email")
    def subject(self, body: EventBody) -> str:
        return show.link(body.event.email, show.subject(body.event.email))

    @admin.display(description="Size")
    def size(self, body: Any) -> str:
        return f"{body.octets:,} octets"


def preview(one: QuerySet[EventBody]) -> dict[str, Any]:
    """Its beginning as text: the database is asked for no more of it."""
    start = Substr("body", 1, PREVIEW_BYTES, output_field=BinaryField())
    body = one.defer("body").annotate(octets=Length("body"), start=start).get()
    octets, beginning = body.octets, bytes(body.start)
    is_whole = octets <= PREVIEW_BYTES
    indented = show.as_json(beginning) if is_whole else None
    return {
        "form": body.form,
        "size": f"{octets:,}",
        "text": indented or show.printable(beginning),
        "is_indented": indented is not None,
        "is_whole": is_whole,
        "shown": f"{len(beginning):,}",
    }
