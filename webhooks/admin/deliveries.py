"""Deliveries: what became of each event for each webhook, and what can be done about it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emailgistics.common.instants import NOTHING, instant
from mailboxes.models import Email
from webhooks.admin import consequences, show
from webhooks.admin.bindings import is_gone
from webhooks.admin.erasing import ErasesEmails
from webhooks.admin.filters import (
    AboutMailFilter,
    CreatedFilter,
    DeliveredFilter,
    LastAttemptFilter,
    OfDomainFilter,
    OfMailboxFilter,
    WebhookFilter,
)
from webhooks.admin.history import LATEST_ATTEMPTS, SECRETS, FoundById, listed
from webhooks.admin.once import IN_CONSOLE, Done, purpose_of, token_for
from webhooks.models import Attempt, Delivery, Event, EventBody, Webhook
from webhooks.services import replay

SOON = timedelta(seconds=30)  # what is due by then is watched closely
EVERY_S, RARELY_S = 1, 15  # how often a page looks again
State = Delivery.State
OPEN = (State.PENDING, State.HELD)


@admin.register(Delivery)
class DeliveryAdmin(ErasesEmails, FoundById):
    found_by: ClassVar = {
        Delivery.ID_PREFIX: "pk",
        Event.ID_PREFIX: "event",
        Email.ID_PREFIX: "event__email",
        Webhook.ID_PREFIX: "webhook",
    }
    search_help_text = gettext_lazy("An id: dlv_…, evt_…, email_… or wh_…")
    list_display = ("created", "subject", "endpoint", "state_label", "attempts", "answer", "next_attempt")
    list_filter = (
        "state", WebhookFilter, CreatedFilter, DeliveredFilter, LastAttemptFilter, AboutMailFilter, OfMailboxFilter,
        OfDomainFilter,
    )  # fmt: skip
    change_form_outer_before_template = "webhooks/delivery_now.html"
    change_form_outer_after_template = "webhooks/delivery.html"
    fieldsets = (
        (None, {"fields": (("shown_id", "created"), ("state_label", "delivered"), ("attempts_made", "answer"))}),
        (None, {"fields": (("next_at", "sent_before"),)}),
        (gettext_lazy("What for"), {"fields": (("subject", "email_id"), "event_link", ("endpoint", "webhook_state"))}),
    )

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Callable[..., HttpResponse], name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"webhooks_delivery_{name}")

        return [
            page("<uuid:pk>/replay/", self.replay_view, "replay"),
            page("<uuid:pk>/retry/", self.retry_view, "retry"),
            page("<uuid:pk>/cancel/", self.cancel_view, "cancel"),
            page("of-email/<uuid:pk>/replay/", self.replay_email_view, "replay_email"),
            page("of-email/<uuid:pk>/erase/", self.erase_email_view, "erase_email"),
            *super().get_urls(),
        ]

    # --- what is done about one

    def replay_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        delivery = self._found(request, pk)
        form = Form(request.POST if request.method == "POST" else None)

        def again() -> Done:
            replay.replay_delivery(delivery, by=IN_CONSOLE)
            self.log_change(request, delivery, "Replayed.")
            return Done(delivery, _("It is sent once more."))

        return self._confirm(request, delivery, form, consequences.of_replaying(delivery), again)

    def retry_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The button is on the delivery's page; nothing is lost by it, so it does not ask."""
        delivery = self._found(request, pk)
        form = Form(request.POST if request.method == "POST" else None)

        def retry() -> Done:
            replay.retry_now(delivery)
            self.log_change(request, delivery, "Made due at once.")
            return Done(delivery, _("It is due now."))

        return self._confirm(request, delivery, form, consequences.of_retrying(delivery), retry)

    def cancel_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        delivery = self._found(request, pk)
        form = Form(request.POST if request.method == "POST" else None)

        def cancel() -> Done:
            replay.cancel_delivery(delivery, by=IN_CONSOLE)
            self.log_change(request, delivery, "Canceled.")
            return Done(delivery, _("Canceled."))

        return self._confirm(request, delivery, form, consequences.of_canceling(delivery), cancel)

    def replay_email_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """For the email's page, which is of an app that knows no webhooks."""
        email = Email.objects.filter(pk=pk).first()
        if email is None:
            raise Http404
        deliveries = Delivery.objects.filter(event__email=email, event__type=Event.Type.EMAIL_RECEIVED)
        known = {delivery.webhook_id: delivery for delivery in deliveries}
        wanting = replay.wanting(email, Webhook.objects.live())
        form = Form(request.POST if request.method == "POST" else None)

        def again() -> Done:
            done = replay.replay_email(email, by=IN_CONSOLE, webhooks=Webhook.objects.live())
            told = consequences.of_email_replayed(done)
            self.log_change(request, email, "Replayed to all its webhooks.")
            return Done(email, told, url=show.list_url(Delivery, q=email.public_id))

        step = consequences.of_replaying_email(email, wanting, known)
        return self._confirm(request, email, form, step, again)

    def _found(self, request: HttpRequest, pk: UUID) -> Delivery:
        delivery: Delivery | None = self.get_object(request, str(pk))
        if delivery is None:
            raise Http404
        return delivery

    # --- its page

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        deliveries: QuerySet[Delivery] = super().get_queryset(request)
        secrets = (f"{webhook}__{column}" for column in SECRETS for webhook in ("webhook", "event__webhook"))
        related = deliveries.select_related(
            "webhook__alias", "webhook__mailbox", "webhook__domain", "event__email", "event__webhook", "body"
        )
        return show.with_what_delays(related.defer("body__body", *secrets))

    def render_change_form(self, request: HttpRequest, context: Any, **kwargs: Any) -> HttpResponse:
        token = token_for(request, purpose_of(consequences.RETRY, kwargs["obj"]))
        return super().render_change_form(request, context | {"retry_token": token}, **kwargs)

    def more(self, request: HttpRequest, row: Delivery) -> dict[str, Any]:
        now = timezone.now()
        attempts = list(row.attempt_log.order_by("-n")[:LATEST_ATTEMPTS])
        is_open, is_leased = row.state in OPEN, row.lease_id is not None
        return {
            "bars": show.bars(attempts[::-1]),
            "shows_answers": self.shows(request, "answers"),
            "bodies": listed(EventBody.objects.filter(pk=row.body_id)) if row.body_id else [],
            "told": [outcome(row, attempts[0] if attempts else None, now=now)],
            "refresh_s": refresh_s(row, now=now),
            "may_replay": not (is_open or row.is_test or is_gone(row.webhook)),
            "may_test": not (is_open or is_gone(row.webhook)) and row.is_test,
            "may_cancel": is_open,
            "may_retry": row.state == State.PENDING and not is_leased and row.due_at > now,
        }

    @admin.display(description=gettext_lazy("Created"))
    def created(self, delivery: Delivery) -> str:
        return instant(delivery.created_at)

    @admin.display(description=gettext_lazy("About"))
    def subject(self, delivery: Delivery) -> str:
        event = delivery.event
        about = show.link(event.email or event.webhook, show.about_event(event))
        kind = (
            "" if event.type == Event.Type.EMAIL_RECEIVED else format_html('<div class="text-xs">{}</div>', event.type)
        )
        return show.wide(format_html("{}{}", about, kind))

    @admin.display(description=gettext_lazy("Email id"))
    def email_id(self, delivery: Delivery) -> str:
        email = delivery.event.email
        return show.code(email.public_id) if email else NOTHING

    @admin.display(description=gettext_lazy("Replayed"))
    def sent_before(self, delivery: Delivery) -> str:
        if delivery.is_test:
            return _("a test is tried once")
        times = delivery.generation - 1
        if not times:
            return _("no")
        return _("once") if times == 1 else ngettext("%(count)s time", "%(count)s times", times) % {"count": times}

    @admin.display(description=gettext_lazy("Event"))
    def event_link(self, delivery: Delivery) -> str:
        event = delivery.event
        return format_html("{} ({})", show.link(event, event.public_id), event.type)

    @admin.display(description=gettext_lazy("Webhook"))
    def endpoint(self, delivery: Delivery) -> str:
        return show.wide(show.link(delivery.webhook, show.endpoint(delivery.webhook)))

    @admin.display(description=gettext_lazy("State of the webhook"))
    def webhook_state(self, delivery: Delivery) -> SafeString:
        return show.webhook_state(delivery.webhook)

    @admin.display(description=gettext_lazy("State"))
    def state_label(self, delivery: Delivery) -> SafeString:
        return show.delivery_state(delivery)

    @admin.display(description=gettext_lazy("Last answer"))
    def answer(self, delivery: Delivery) -> SafeString:
        return show.answer(delivery.last_status, delivery.last_error)

    @admin.display(description=gettext_lazy("Attempts"))
    def attempts_made(self, delivery: Delivery) -> str:
        if delivery.lease_losses:
            told = _("%(attempts)s, %(failures)s failed, %(lost)s of them lost with their dispatcher")
        else:
            told = _("%(attempts)s, %(failures)s failed")
        return told % {"attempts": delivery.attempts, "failures": delivery.failures, "lost": delivery.lease_losses}

    @admin.display(description=gettext_lazy("Next attempt"))
    def next_attempt(self, delivery: Delivery) -> str:
        when, why = show.next_attempt(delivery, now=timezone.now())
        return format_html('<div>{}<div class="text-xs">{}</div></div>', when, why)

    @admin.display(description=gettext_lazy("Next attempt, or why there is none"))
    def next_at(self, delivery: Delivery) -> str:
        now = timezone.now()
        when, why = show.next_attempt(delivery, now=now)
        if show.is_wait(when, delivery, now=now):
            when = format_html(_("{when}, at {instant}"), when=when, instant=instant(delivery.due_at))
        reason = "" if delivery.reason == why else delivery.reason
        return format_html("{}<div>{}</div><div>{}</div>", when, why, reason)

    @admin.display(description=gettext_lazy("Delivered"))
    def delivered(self, delivery: Delivery) -> str:
        return instant(delivery.delivered_at)


def outcome(delivery: Delivery, latest: Attempt | None, *, now: datetime) -> tuple[str, str]:
    """A colour, and in one sentence what came of it so far."""
    match delivery.state:
        case State.DELIVERED:
            return "success", _taken(delivery, latest)
        case State.FAILED:
            why = latest.detail or _("It answered %(status)s.") % {"status": latest.status} if latest else ""
            return "danger", f"{_('The test failed.') if delivery.is_test else _('Given up.')} {why}".strip()
        case State.EXPIRED:
            return "warning", _("It expired: it was not delivered in time, and what it was about is not kept any more.")
        case State.CANCELED:
            return "warning", _("It does not go out: %(why)s.") % {"why": delivery.reason or _("it was canceled")}
    when, why = show.next_attempt(delivery, now=now)
    if delivery.state == State.HELD:
        told = _("It is held, and goes out %(when)s: %(why)s.") if why else _("It is held, and goes out %(when)s.")
        return "warning", told % {"when": when, "why": why}
    return "info", _("Next attempt: %(when)s (%(why)s).") % {"when": when, "why": why}


def _taken(delivery: Delivery, latest: Attempt | None) -> str:
    if latest is None or delivery.reason:  # `pull.acknowledge` gives a reason
        return _("It arrived: %(how)s.") % {"how": delivery.reason or _("it was pulled")}
    return _("The receiver took it: it answered %(status)s, %(count)s ms after the attempt began.") % {
        "status": latest.status,
        "count": latest.total_ms,
    }


def refresh_s(delivery: Delivery, *, now: datetime) -> int:
    """After how many seconds its page looks again; 0: it has ended, or waits for somebody."""
    if delivery.state != State.PENDING:
        return 0
    is_near = delivery.lease_id is not None or delivery.due_at <= now + SOON
    return EVERY_S if is_near else RARELY_S
