"""What administrators find out with: a test, a replay of a span, the full payload again, a look at a signature."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from emailgistics.common.crypto import DecryptionError
from emailgistics.common.ids import decode_id
from webhooks import diagnosis
from webhooks.admin import consequences, show
from webhooks.admin.once import IN_CONSOLE, Done, who
from webhooks.admin.pages import WebhookPages
from webhooks.admin.step_forms import ReplayForm, SignatureForm, StopForm
from webhooks.models import Delivery, Event, Webhook
from webhooks.services import replay_jobs, stop, testing, webhooks


class WebhookTools(WebhookPages):
    def get_urls(self) -> list[Any]:
        def page(route: str, view: Callable[..., HttpResponse], name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"webhooks_webhook_{name}")

        return [
            page("stop/", self.stop_view, "stop"),
            page("start/", self.start_view, "start"),
            page("<uuid:pk>/test/", self.test_view, "test"),
            page("<uuid:pk>/full/", self.full_view, "full"),
            page("<uuid:pk>/replay/", self.replay_view, "replay"),
            page("<uuid:pk>/signature/", self.signature_view, "signature"),
            *super().get_urls(),
        ]

    # --- of one webhook

    def test_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The button is on the webhook's page; what it did is seen on the page of the delivery."""
        webhook = self._live(request, pk)
        form = Form(request.POST if request.method == "POST" else None)

        def test() -> Done:
            delivery = testing.send_test(webhook, by=who(request))
            self.log_change(request, webhook, "Sent a test.")
            return Done(delivery, "")  # the page itself says how it goes

        return self._confirm(request, webhook, form, consequences.of_testing(webhook), test)

    def full_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = Form(request.POST if request.method == "POST" else None)

        def send_full() -> Done:
            webhooks.update_webhook(webhook, payload=webhook.payload)
            self.log_change(request, webhook, "Full payload again, after 413.")
            return Done(webhook, _("New mail is sent in full again."))

        return self._confirm(request, webhook, form, consequences.of_sending_full(webhook), send_full)

    def replay_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = ReplayForm(request.POST if request.method == "POST" else None, webhook=webhook)

        def start() -> Done:
            job = replay_jobs.start_replay(webhook, by=IN_CONSOLE, **form.cleaned_data)
            self.log_change(request, webhook, f"Started {job.public_id}.")
            return Done(job, _("The replay goes on by itself, also when you leave this page."))

        return self._confirm(request, webhook, form, consequences.of_replaying_span(webhook), start)

    @method_decorator(sensitive_post_parameters())
    def signature_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Answers in the same response; what was pasted is kept nowhere."""
        webhook = self._live(request, pk)
        form = SignatureForm(request.POST if request.method == "POST" else None)
        found = _explained(webhook, **form.cleaned_data) if form.is_valid() else None
        return self._page(
            request,
            "webhooks/signature.html",
            webhook,
            form=form,
            found=found,
            cancel_url=show.page_of(webhook),
        )

    # --- of all

    def stop_view(self, request: HttpRequest) -> HttpResponse:
        form = StopForm(request.POST if request.method == "POST" else None)

        def halt() -> Done:
            row = stop.stop_outgoing(by=who(request), reason=form.cleaned_data["reason"])
            self.log_addition(request, row, f"Stopped all outgoing webhooks. {row.reason}".strip())
            return Done(None, consequences.in_flight_of_all() or _("No attempt is in flight."), url=_list())

        if stop.outgoing_stop() and request.method != "POST":
            return redirect(_list())
        return self._confirm(request, None, form, consequences.of_stopping(), halt, back=_list())

    def start_view(self, request: HttpRequest) -> HttpResponse:
        row = stop.outgoing_stop()
        if row is None:  # somebody was faster, or sends the form again
            self.message_user(request, _("Nothing is stopped: outgoing webhooks are sent."))
            return redirect(_list())
        form = Form(request.POST if request.method == "POST" else None)

        def start() -> Done:
            self.log_deletions(request, [row])
            stop.start_outgoing(by=who(request))
            return Done(None, _("Outgoing webhooks are sent again."), url=_list())

        return self._confirm(request, None, form, consequences.of_starting(row), start, back=_list())


@sensitive_variables()
def _explained(webhook: Webhook, *, headers: str, body: str) -> diagnosis.Diagnosis:
    now = timezone.now()
    try:
        secrets = webhooks.secrets_of(webhook, now=now)
    except DecryptionError:
        return diagnosis.Diagnosis(
            is_valid=False,
            code="secret_unreadable",
            reason=_("The secret of this webhook cannot be read here any more, so nothing is signed with it."),
            remedy=_("An encryption key is missing: give it in ENCRYPTION_KEYS again, or rotate the secret."),
        )
    return diagnosis.explain(headers, body, secrets, now=int(now.timestamp()), sent=_sent(webhook, headers))


def _sent(webhook: Webhook, headers: str) -> bytes | None:
    """What was really sent to it under the webhook-id in these headers, if that is still known."""
    found = diagnosis.EVENT_ID.search(headers)
    pk = decode_id(Event.ID_PREFIX, found[0]) if found else None
    body = Delivery.objects.filter(webhook=webhook, event=pk).values_list("body__body", flat=True).first()
    return bytes(body) if pk and body is not None else None


def _list() -> str:
    return reverse("admin:webhooks_webhook_changelist")
