"""A page that says what follows, and does it when it is asked for."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from emailgistics.common.admin import ConsoleModelAdmin
from emailgistics.common.errors import DomainError


def asked(
    page: ConsoleModelAdmin,
    request: HttpRequest,
    *,
    title: str,
    verb: str,
    follows: Sequence[str],
    back: str,
    act: Callable[[], str],
    form: forms.Form | None = None,
    is_dangerous: bool = False,
) -> HttpResponse:
    """Act does it, in a transaction, and says what it did; people go back then. The form, if any, is bound by POST.

    What act does has to be as good twice as once. Who may come here is not asked: the page's row in the table says it.
    """
    form = form or forms.Form(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                done = act()
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, done)
            return HttpResponseRedirect(back)
    request.current_app = page.admin_site.name  # for `{% url %}` in unfold's header
    context: dict[str, Any] = {
        **page.admin_site.each_context(request),
        "opts": page.opts,
        "media": page.media + form.media,
        "title": title,
        "verb": verb,
        "follows": follows,
        "back": back,
        "form": form,
        "is_dangerous": is_dangerous,
    }
    return TemplateResponse(request, "mailboxes/confirm.html", context)
