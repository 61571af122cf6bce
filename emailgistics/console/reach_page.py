"""The page that says who can reach the mail of a domain, a mailbox or an alias."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from emailgistics.common.roles import Action, may
from emailgistics.console import reach, search
from mailboxes.models import Alias, Domain, Email, Mailbox

MODELS: dict[str, Any] = {"domain": Domain, "mailbox": Mailbox, "alias": Alias}


def reach_page(site: AdminSite, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:
    if not may(request, Action.VIEW):
        raise PermissionDenied
    if kind == "email":  # who reaches an email is who reaches its mailbox
        email = Email.objects.select_related("mailbox").filter(pk=pk).first()
        if email is None:
            raise Http404
        return HttpResponseRedirect(reach.url_of(email.mailbox))
    place = MODELS[kind].objects.filter(pk=pk).first() if kind in MODELS else None
    if place is None:
        raise Http404
    request.current_app = site.name  # for `{% url %}` in unfold's header
    context = {
        **site.each_context(request),
        "title": _("Who can reach %(what)s") % {"what": place},
        "place": place,
        "place_url": search.page_of(place),
        "sections": reach.sections(place, with_keys=may(request, Action.KEYS), with_people=may(request, Action.PEOPLE)),
        "shown": reach.SHOWN,
    }
    return TemplateResponse(request, "console/reach.html", context)


def links_to(row: Any) -> Iterator[tuple[str, str]]:
    """For the pages of what it is about."""
    if isinstance(row, (Domain, Mailbox, Alias)):
        yield _("Who can reach this"), reach.url_of(row)
