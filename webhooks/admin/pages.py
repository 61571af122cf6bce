"""What administrators do with a webhook: each page asks, says what follows, and calls one service.

A secret is in the answer to one POST and nowhere else. The forms that make one count once.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _

from emailgistics.common.access import Actor
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.admin import about, consequences
from webhooks.admin.bindings import is_gone, search
from webhooks.admin.forms import AddWebhookForm, ChangeWebhookForm
from webhooks.admin.once import AsksOnce, Done, Secret, purpose_of, token_for, who
from webhooks.admin.step_forms import PauseForm, ResumeForm, RotateForm
from webhooks.models import Webhook
from webhooks.services import webhooks


class WebhookPages(AsksOnce):
    """The pages of one webhook; `WebhookAdmin` adds the list."""

    def get_urls(self) -> list[Any]:
        def page(route: str, view: Callable[..., HttpResponse], name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"webhooks_webhook_{name}")

        return [
            page("bindings/", self.bindings_view, "bindings"),
            page("<uuid:pk>/pause/", self.pause_view, "pause"),
            page("<uuid:pk>/resume/", self.resume_view, "resume"),
            page("<uuid:pk>/rotate/", self.rotate_view, "rotate"),
            *super().get_urls(),
        ]

    # --- add and change

    def bindings_view(self, request: HttpRequest) -> HttpResponse:
        """For the field that chooses what a webhook is bound to."""
        return JsonResponse({"results": search(request.GET.get("term", "")), "pagination": {"more": False}})

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        initial = {"binding": request.GET.get("binding", "")}
        form = AddWebhookForm(request.POST if request.method == "POST" else None, initial=initial)
        if sent := self._send(request, form, "add", lambda: self._add(request, form)):
            return sent
        return self._page(
            request, "webhooks/add.html", title=_("Add webhook"), form=form, token=token_for(request, "add")
        )

    def _add(self, request: HttpRequest, form: AddWebhookForm) -> Done:
        values = dict(form.cleaned_data)
        bound = values.pop("binding")
        kind = {Alias: "alias", Mailbox: "mailbox", Domain: "domain"}[type(bound)]
        webhook, secret = webhooks.create_webhook(**{kind: bound}, **values)
        self.log_addition(request, webhook, [{"added": {}}])
        return Done(webhook, _("The webhook is there, and active."), Secret(secret))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002
        extra_context: Any = None,  # noqa: ARG002
    ) -> HttpResponse:
        webhook = self.get_object(request, object_id)
        if webhook is None or (is_gone(webhook) and request.method == "POST"):
            raise Http404
        purpose = f"change {webhook.public_id}"
        form = ChangeWebhookForm(request.POST if request.method == "POST" else None, webhook=webhook)
        may_change = self.has_change_permission(request)
        if not may_change:
            form.show_only()
        if sent := self._send(request, form, purpose, lambda: self._change(request, form)):
            return sent
        return self._page(
            request,
            "webhooks/webhook.html",
            webhook,
            form=form,
            may_change=may_change,
            token=token_for(request, purpose),
            test_token=token_for(request, purpose_of(consequences.TEST, webhook)),
            history_url=reverse("admin:webhooks_webhook_history", args=[webhook.pk]),
            **about.one(webhook, names_key=self.shows(request, "key")),
        )

    def _change(self, request: HttpRequest, form: ChangeWebhookForm) -> Done:
        webhook, changed = form.webhook, form.changed_data
        secret = webhooks.update_webhook(webhook, **form.changes, agree=form.agree) if changed else None
        self.log_change(request, webhook, [{"changed": {"fields": changed}}] if changed else "Nothing changed.")
        return Done(webhook, _("Saved.") if changed else _("Nothing was changed."), Secret(secret) if secret else None)

    # --- pause, resume, rotate, delete

    def pause_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = PauseForm(request.POST if request.method == "POST" else None)

        def pause() -> Done:
            webhooks.pause_webhook(webhook, reason=form.cleaned_data["reason"] or "paused in the console")
            self.log_change(request, webhook, "Paused.")
            return Done(
                webhook,
                f"{_('Paused: nothing more is sent.')} {consequences.in_flight(webhook)}",
            )

        return self._confirm(request, webhook, form, consequences.of_pausing(webhook), pause)

    def resume_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = ResumeForm(request.POST if request.method == "POST" else None, webhook=webhook)

        def resume() -> Done:
            webhooks.resume_webhook(webhook)
            self.log_change(request, webhook, "Resumed.")
            return Done(webhook, _("Resumed: what was held is sent, the oldest first."))

        return self._confirm(request, webhook, form, consequences.of_resuming(webhook), resume)

    def rotate_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = RotateForm(request.POST if request.method == "POST" else None)

        def rotate() -> Done:
            overlap = form.cleaned_data["overlap"]
            secret = webhooks.rotate_secret(webhook, overlap=overlap, may_end_overlap=True)
            self.log_change(request, webhook, f"Secret rotated, overlap {overlap}.")
            told = consequences.of_overlap(webhook, overlap)
            return Done(webhook, f"{_('A new secret signs from now on.')} {told}", Secret(secret))

        return self._confirm(request, webhook, form, consequences.of_rotating(webhook), rotate)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        webhook = self._live(request, object_id)
        form = Form(request.POST if request.method == "POST" else None)

        def delete() -> Done:
            webhooks.delete_webhook(webhook, by=Actor(who(request)))
            self.log_deletions(request, [webhook])
            deleted = _("Deleted: %(webhook)s.") % {"webhook": webhook.url or webhook.public_id}
            told = f"{deleted} {consequences.in_flight(webhook)}"
            return Done(webhook, told, url=reverse("admin:webhooks_webhook_changelist"))

        return self._confirm(request, webhook, form, consequences.of_deleting(webhook), delete)

    # --- what they share

    def _live(self, request: HttpRequest, pk: UUID | str) -> Webhook:
        webhook: Webhook | None = self.get_object(request, str(pk))
        if webhook is None or is_gone(webhook):
            raise Http404
        return webhook
