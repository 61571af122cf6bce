"""Events, attempts and payloads: what happened, only looked at. Lists never load a body."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import BinaryField, OuterRef, QuerySet
from django.db.models.functions import Length, Substr
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import HistoryAdmin
from emailgistics.common.ids import decode_id
from emailgistics.common.instants import NOTHING, instant
from emailgistics.common.openings import What, note_opened
from mailboxes.models import Email
from webhooks.admin import show
from webhooks.admin.filters import CreatedFilter
from webhooks.models import Attempt, Delivery, Event, EventBody

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
            request, context | {"show_history": False} | self.more(request, kwargs["obj"]), **kwargs
        )
        return page

    @admin.display(description=gettext_lazy("Id"))
    def shown_id(self, row: Any) -> str:
        return show.code(row.public_id)

    def more(self, request: HttpRequest, row: Any) -> dict[str, Any]:  # noqa: ARG002
        """What its page shows below the fields."""
        return {}


@admin.register(Attempt)
class AttemptAdmin(FoundById):
    found_by: ClassVar = {Delivery.ID_PREFIX: "delivery"}
    search_help_text = gettext_lazy("The id of a delivery: dlv_…")
    ordering = ("-id",)
    list_display = ("started", "number", "delivery_link", "endpoint", "answer", "total")
    change_form_outer_after_template = "webhooks/attempt.html"
    fieldsets = ((None, {"fields": (("number", "started"), ("delivery_link", "endpoint"), ("answer", "peer"))}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        attempts: QuerySet[Attempt] = super().get_queryset(request)
        return attempts.select_related("delivery__webhook").defer(
            "response_headers", "response_excerpt", *(f"delivery__webhook__{column}" for column in SECRETS)
        )

    def more(self, request: HttpRequest, row: Attempt) -> dict[str, Any]:
        return {"bars": show.bars([row]), "shows_answers": self.shows(request, "answer")}

    @admin.display(description=gettext_lazy("Started"))
    def started(self, attempt: Attempt) -> str:
        return instant(attempt.started_at)

    @admin.display(description=gettext_lazy("Attempt"))
    def number(self, attempt: Attempt) -> int:
        return attempt.n

    @admin.display(description=gettext_lazy("Delivery"))
    def delivery_link(self, attempt: Attempt) -> str:
        return show.link(attempt.delivery, attempt.delivery.public_id)

    @admin.display(description=gettext_lazy("Webhook"))
    def endpoint(self, attempt: Attempt) -> str:
        return show.wide(show.link(attempt.delivery.webhook, show.endpoint(attempt.delivery.webhook)))

    @admin.display(description=gettext_lazy("Answer"))
    def answer(self, attempt: Attempt) -> SafeString:
        return show.answer(attempt.status, attempt.error, detail=attempt.detail)

    @admin.display(description=gettext_lazy("Sent to the address"))
    def peer(self, attempt: Attempt) -> str:
        return attempt.peer_ip or NOTHING

    @admin.display(description=gettext_lazy("Took"))
    def total(self, attempt: Attempt) -> str:
        return NOTHING if attempt.total_ms is None else f"{attempt.total_ms}\N{NO-BREAK SPACE}ms"


@admin.register(Event)
class EventAdmin(FoundById):
    found_by: ClassVar = {Event.ID_PREFIX: "pk", Email.ID_PREFIX: "email", Delivery.ID_PREFIX: "deliveries"}
    search_help_text = gettext_lazy("An id: evt_…, email_… or dlv_…")
    list_display = ("created", "kind", "subject", "delivery_count")
    list_filter = (CreatedFilter,)
    change_form_outer_after_template = "webhooks/event.html"
    fieldsets = ((None, {"fields": (("shown_id", "created"), ("kind", "delivery_count"), ("subject", "email_id"))}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        events: QuerySet[Event] = super().get_queryset(request)
        deliveries = Delivery.objects.filter(event=OuterRef("pk")).order_by().values("pk")
        return (
            events.select_related("email", "webhook")
            .defer(*(f"webhook__{column}" for column in SECRETS))
            .annotate(deliveries_made=show.BoundedCount(deliveries[: show.MAX_COUNTED + 1]))
        )

    def more(self, request: HttpRequest, row: Event) -> dict[str, Any]:  # noqa: ARG002
        deliveries = row.deliveries.select_related("webhook").order_by("id")[:LATEST_ATTEMPTS]
        return {
            "bodies": listed(EventBody.objects.filter(event=row)),
            "deliveries": [
                {
                    "url": show.page_of(delivery),
                    "webhook": show.endpoint(delivery.webhook),
                    "state": show.delivery_state(delivery),
                }
                for delivery in deliveries
            ],
        }

    @admin.display(description=gettext_lazy("Type"))
    def kind(self, event: Event) -> str:
        return event.type

    @admin.display(description=gettext_lazy("Created"))
    def created(self, event: Event) -> str:
        return instant(event.created_at)

    @admin.display(description=gettext_lazy("About"))
    def subject(self, event: Event) -> str:
        return show.link(event.email or event.webhook, show.about_event(event))

    @admin.display(description=gettext_lazy("Email id"))
    def email_id(self, event: Event) -> str:
        return show.code(event.email.public_id) if event.email else NOTHING

    @admin.display(description=gettext_lazy("Deliveries"))
    def delivery_count(self, event: Any) -> str:
        return show.amount(event.deliveries_made)


@admin.register(EventBody)
class EventBodyAdmin(FoundById):
    found_by: ClassVar = {Event.ID_PREFIX: "event", Email.ID_PREFIX: "event__email"}
    search_help_text = gettext_lazy("An id: evt_… or email_…")
    ordering = ("-id",)
    list_display = ("event_link", "form", "subject", "size")
    list_display_links = ("form",)  # the others are links to other things
    change_form_outer_after_template = "webhooks/body.html"
    fieldsets = ((None, {"fields": (("event_link", "subject"), ("form", "size"))}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EventBody]:
        bodies: QuerySet[EventBody] = super().get_queryset(request)
        secrets = (f"event__webhook__{column}" for column in SECRETS)
        related = bodies.select_related("event__email", "event__webhook")
        return with_octets(related.defer(*secrets))

    def more(self, request: HttpRequest, row: EventBody) -> dict[str, Any]:
        note_opened(request, What.PAYLOAD, of=row.event.public_id, form=row.form)
        return {"body": preview(EventBody.objects.filter(pk=row.pk))}

    @admin.display(description=gettext_lazy("Event"))
    def event_link(self, body: EventBody) -> str:
        return show.link(body.event, body.event.public_id)

    @admin.display(description=gettext_lazy("About"))
    def subject(self, body: EventBody) -> str:
        return show.link(body.event.email or body.event.webhook, show.about_event(body.event))

    @admin.display(description=gettext_lazy("Size"))
    def size(self, body: Any) -> str:
        return _("%(count)s octets") % {"count": f"{body.octets:,}"}


def with_octets(bodies: QuerySet[EventBody]) -> QuerySet[EventBody]:
    """How large they are, and not what is in them."""
    return bodies.defer("body").annotate(octets=Length("body"))


def listed(bodies: QuerySet[EventBody]) -> list[dict[str, Any]]:
    """Which there are. What is in one is on its own page: whoever opens that is on record."""
    rows: Any = with_octets(bodies).order_by("form")
    return [{"pk": body.pk, "form": body.form, "octets": f"{body.octets:,}"} for body in rows]


def preview(one: QuerySet[EventBody]) -> dict[str, Any] | None:
    """Its beginning as text: the database is asked for no more of it. None if it is not kept any more."""
    start = Substr("body", 1, PREVIEW_BYTES, output_field=BinaryField())
    body = one.defer("body").annotate(octets=Length("body"), start=start).first()
    if body is None:
        return None
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
