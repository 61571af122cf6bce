"""What administrators do with a webhook: each page asks, says what follows, and calls one service.

A secret is in the answer to one POST and nowhere else. The forms that make one count once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from emailgistics.common import one_use
from emailgistics.common.admin import ConsoleModelAdmin
from emailgistics.common.errors import DomainError
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.admin import consequences, show, snippets
from webhooks.admin.bindings import bound_to, is_gone, kind_of, search
from webhooks.admin.forms import AddWebhookForm, ChangeWebhookForm, PauseForm, ResumeForm, RotateForm
from webhooks.models import Delivery, Webhook
from webhooks.services import webhooks

LATEST = 10
TOO_OLD = "This form was open for too long, so nothing was done. Look it over and send it again."


class Secret(str):
    """For a page. Django's templates log, at DEBUG, the repr of all that a page was given."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Done:
    """What a form did. secret is the new one, if there is one."""

    webhook: Webhook
    message: str
    secret: Secret | None = None


class WebhookPages(ConsoleModelAdmin):
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
        if not self.has_add_permission(request):
            raise PermissionDenied
        return JsonResponse({"results": search(request.GET.get("term", "")), "pagination": {"more": False}})

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        if not self.has_add_permission(request):
            raise PermissionDenied
        initial = {"binding": request.GET.get("binding", "")}
        form = AddWebhookForm(request.POST if request.method == "POST" else None, initial=initial)
        if sent := self._send(request, form, "add", lambda: self._add(request, form)):
            return sent
        return self._page(request, "webhooks/add.html", title="Add webhook", form=form, token=_token(request, "add"))

    def _add(self, request: HttpRequest, form: AddWebhookForm) -> Done:
        values = dict(form.cleaned_data)
        bound = values.pop("binding")
        kind = {Alias: "alias", Mailbox: "mailbox", Domain: "domain"}[type(bound)]
        webhook, secret = webhooks.create_webhook(**{kind: bound}, **values)
        self.log_addition(request, webhook, [{"added": {}}])
        return Done(webhook, "The webhook is there, and active.", Secret(secret))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",  # noqa: ARG002
        extra_context: Any = None,  # noqa: ARG002
    ) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        webhook = self.get_object(request, object_id)
        if webhook is None or (is_gone(webhook) and request.method == "POST"):
            raise Http404
        purpose = f"change {webhook.public_id}"
        form = ChangeWebhookForm(request.POST if request.method == "POST" else None, webhook=webhook)
        if sent := self._send(request, form, purpose, lambda: self._change(request, form)):
            return sent
        deliveries = Delivery.objects.filter(webhook=webhook).select_related("event__email").order_by("-id")
        now = timezone.now()
        return self._page(
            request,
            "webhooks/webhook.html",
            webhook,
            form=form,
            token=_token(request, purpose),
            facts=_facts(webhook),
            state=show.webhook_state(webhook),
            is_gone=is_gone(webhook),
            latest=[_latest(delivery, now=now) for delivery in deliveries[:LATEST]],
            all_url=show.list_url(Delivery, webhook=webhook.pk),
            history_url=reverse("admin:webhooks_webhook_history", args=[webhook.pk]),
        )

    def _change(self, request: HttpRequest, form: ChangeWebhookForm) -> Done:
        webhook, changed = form.webhook, form.changed_data
        secret = webhooks.update_webhook(webhook, **form.changes, agree=form.agree) if changed else None
        self.log_change(request, webhook, [{"changed": {"fields": changed}}] if changed else "Nothing changed.")
        return Done(webhook, "Saved." if changed else "Nothing was changed.", Secret(secret) if secret else None)

    # --- pause, resume, rotate, delete

    def pause_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = PauseForm(request.POST if request.method == "POST" else None)

        def pause() -> Done:
            webhooks.pause_webhook(webhook, reason=form.cleaned_data["reason"] or "paused in the console")
            self.log_change(request, webhook, "Paused.")
            return Done(webhook, f"Paused: nothing more is sent. {consequences.in_flight(webhook)}")

        return self._confirm(request, webhook, form, consequences.of_pausing(webhook), pause)

    def resume_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = ResumeForm(request.POST if request.method == "POST" else None, webhook=webhook)

        def resume() -> Done:
            webhooks.resume_webhook(webhook)
            self.log_change(request, webhook, "Resumed.")
            return Done(webhook, "Resumed: what was held is sent, the oldest first.")

        return self._confirm(request, webhook, form, consequences.of_resuming(webhook), resume)

    def rotate_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        webhook = self._live(request, pk)
        form = RotateForm(request.POST if request.method == "POST" else None)

        def rotate() -> Done:
            overlap = form.cleaned_data["overlap"]
            secret = webhooks.rotate_secret(webhook, overlap=overlap)
            self.log_change(request, webhook, f"Secret rotated, overlap {overlap}.")
            told = consequences.of_overlap(webhook, overlap)
            return Done(webhook, f"A new secret signs from now on. {told}", Secret(secret))

        return self._confirm(request, webhook, form, consequences.of_rotating(webhook), rotate)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        webhook = self._live(request, object_id)
        form = Form(request.POST if request.method == "POST" else None)

        def delete() -> Done:
            webhooks.delete_webhook(webhook)
            self.log_deletions(request, [webhook])
            return Done(webhook, f"Deleted: {webhook.url}. {consequences.in_flight(webhook)}")

        return self._confirm(request, webhook, form, consequences.of_deleting(webhook), delete)

    def _confirm(
        self,
        request: HttpRequest,
        webhook: Webhook,
        form: Any,
        step: consequences.Step,
        act: Callable[[], Done],
    ) -> HttpResponse:
        """Says what follows, and does it when it is asked for by POST."""
        purpose = f"{step.verb} {webhook.public_id}"
        if sent := self._send(request, form, purpose, act):
            return sent
        return self._page(
            request, "webhooks/confirm.html", webhook, form=form, step=step, token=_token(request, purpose)
        )

    # --- what they share

    def _live(self, request: HttpRequest, pk: UUID | str) -> Webhook:
        if not self.has_change_permission(request):
            raise PermissionDenied
        webhook: Webhook | None = self.get_object(request, str(pk))
        if webhook is None or is_gone(webhook):
            raise Http404
        return webhook

    def _send(self, request: HttpRequest, form: Any, purpose: str, act: Callable[[], Done]) -> HttpResponse | None:
        """Does it once, however often the form is sent. None: it was not sent, or refused, and then it says why."""
        if request.method != "POST":
            return None
        token = request.POST.get(one_use.FIELD, "")
        about: dict[str, Any] = {"user_id": request.user.pk, "purpose": _purpose(purpose)}
        try:
            one_use.refuse_if_spent(token, **about)
            if not form.is_valid():
                return None
            with transaction.atomic():
                spent = one_use.spend(token, **about)
                done = act()
                spent.made = done.webhook.public_id
                spent.save(update_fields=["made"])
        except one_use.StaleFormError:
            form.is_valid()
            form.add_error(None, TOO_OLD)
        except one_use.FormSpentError as error:
            return self._already_sent(request, error.made)
        except DomainError as error:
            form.add_error(error.field if error.field in form.fields else None, error.message)
        else:
            return self._answer(request, done)
        return None

    def _answer(self, request: HttpRequest, done: Done) -> HttpResponse:
        webhook = done.webhook
        if done.secret is not None:
            return self._page(
                request, "webhooks/secret.html", webhook, done=done, url=show.page_of(webhook), snippets=snippets.ALL
            )
        messages.success(request, done.message.strip())
        if Webhook.objects.live().filter(pk=webhook.pk).exists():
            return redirect(show.page_of(webhook))
        return redirect("admin:webhooks_webhook_changelist")

    def _already_sent(self, request: HttpRequest, made: str) -> HttpResponse:
        webhook = Webhook.objects.filter(pk=show.pk_of(made)).first()
        gone = webhook is not None and is_gone(webhook)
        return self._page(
            request, "webhooks/already_sent.html", webhook, title="This form was sent before", is_gone=gone
        )

    def _page(
        self, request: HttpRequest, template: str, webhook: Webhook | None = None, **context: Any
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name  # for `{% url %}` in unfold's header
        media = self.media + context["form"].media if "form" in context else self.media
        shared = {"opts": self.opts, "original": webhook, "webhook": webhook, "media": media}
        response = TemplateResponse(request, template, self.admin_site.each_context(request) | shared | context)
        # never on disk: some of these pages have a secret on them
        response["Cache-Control"] = "no-store"
        return response


def _token(request: HttpRequest, purpose: str) -> str:
    return one_use.new_token(user_id=request.user.pk, purpose=_purpose(purpose))


def _purpose(of: str) -> str:
    return f"webhooks: {of}"


def _facts(webhook: Any) -> list[tuple[str, str]]:
    """What is only looked at."""
    bound, key = bound_to(webhook), webhook.created_by
    facts = [
        ("Id", show.code(webhook.public_id)),
        (f"For mail to the {kind_of(bound)}", show.link(bound, bound)),
        ("Created", show.instant(webhook.created_at)),
        ("Created by", show.link(key, key) if key else "an administrator, or a command"),
        ("Waiting", show.open_count(webhook, Delivery.State.PENDING)),
        ("Held", show.open_count(webhook, Delivery.State.HELD)),
    ]
    if webhook.held_count and (why := consequences.kept_back(webhook)):
        facts.append(("Held back", why))
    until = webhook.previous_secret_until
    if until and until > timezone.now():
        facts.append(("The old secret signs as well until", show.instant(until)))
    return facts


def _latest(delivery: Delivery, *, now: Any) -> dict[str, Any]:
    when, why = show.next_attempt(delivery, now=now)
    return {
        "url": show.page_of(delivery),
        "created": show.instant(delivery.created_at),
        "subject": show.subject(delivery.event.email),
        "state": show.delivery_state(delivery),
        "attempts": delivery.attempts,
        "answer": show.answer(delivery.last_status, delivery.last_error),
        "next": when,
        "why": why,
    }
