"""Pages that ask, say what follows, and do it once, however often their form is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common import one_use
from emailgistics.common.admin import ConsoleModelAdmin
from emailgistics.common.errors import DomainError
from emailgistics.common.ids import decode_id
from webhooks.admin import show, snippets
from webhooks.admin.bindings import is_gone
from webhooks.admin.consequences import Step
from webhooks.models import Delivery, ReplayJob, Webhook

# in place of a name in what keys may read; who it was stands in the log of the console
IN_CONSOLE = "an administrator, in the console"
TOO_OLD = gettext_lazy("This form was open for too long, so nothing was done. Look it over and send it again.")


class Secret(str):
    """For a page. Django's templates log, at DEBUG, the repr of all that a page was given."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Done:
    """What a form did, and to what. Afterwards people are at url; empty is the page of row. An empty message is none.

    secret is the new one of a webhook, if there is one.
    """

    row: Any
    message: str
    secret: Secret | None = None
    url: str = ""


class AsksOnce(ConsoleModelAdmin):
    """What the pages that do something share."""

    def _confirm(
        self, request: HttpRequest, row: Any, form: Any, step: Step, act: Callable[[], Done], *, back: str = ""
    ) -> HttpResponse:
        """Says what follows, and does it when it is asked for by POST. row is what it is about, if it is one thing."""
        purpose = purpose_of(step.verb, row)
        if sent := self._send(request, form, purpose, act):
            return sent
        return self._page(
            request,
            "webhooks/confirm.html",
            row,
            form=form,
            step=step,
            token=token_for(request, purpose),
            cancel_url=back or show.page_of(row),
        )

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
                spent.made = getattr(done.row, "public_id", "")
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
        url = done.url or show.page_of(done.row)
        if done.secret is not None:
            return self._page(request, "webhooks/secret.html", done.row, done=done, url=url, snippets=snippets.ALL)
        if done.message:
            messages.success(request, done.message.strip())
        return redirect(url)

    def _already_sent(self, request: HttpRequest, made: str) -> HttpResponse:
        title = _("This form was sent before")
        if row := _made(made):
            messages.info(request, _("This form was sent before. It counts once: this is what it did."))
            return redirect(show.page_of(row))
        webhook = Webhook.objects.filter(pk=show.pk_of(made)).first()
        gone = webhook is not None and is_gone(webhook)
        return self._page(request, "webhooks/already_sent.html", webhook, title=title, is_gone=gone)

    def _page(self, request: HttpRequest, template: str, row: Any = None, **context: Any) -> TemplateResponse:
        request.current_app = self.admin_site.name  # for `{% url %}` in unfold's header
        media = self.media + context["form"].media if "form" in context else self.media
        webhook = row if isinstance(row, Webhook) else None
        shared = {"opts": self.opts, "original": row, "webhook": webhook, "media": media}
        response = TemplateResponse(request, template, self.admin_site.each_context(request) | shared | context)
        # never on disk: some of these pages have a secret on them
        response["Cache-Control"] = "no-store"
        return response


def who(request: HttpRequest) -> str:
    """As it is written down where only the console and its log show it; elsewhere IN_CONSOLE stands for it."""
    return request.user.get_username()


def token_for(request: HttpRequest, purpose: str) -> str:
    return one_use.new_token(user_id=request.user.pk, purpose=_purpose(purpose))


def purpose_of(verb: object, row: Any) -> str:
    return f"{verb} {row.public_id}" if hasattr(row, "public_id") else str(verb)


def _purpose(of: str) -> str:
    return f"webhooks: {of}"


def _made(public_id: str) -> Model | None:
    """A delivery or a job: their pages tell all."""
    for model in (Delivery, ReplayJob):
        pk: UUID | None = decode_id(model.ID_PREFIX, public_id)
        if pk:
            return model.objects.filter(pk=pk).first()
    return None
