"""The page of the search box: straight to the one hit there is, or what there is, by kind."""

from functools import partial
from itertools import groupby
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from emailgistics.common.admin import WHOLE_KEY, without_keys
from emailgistics.common.roles import may
from emailgistics.console import search


def search_page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """POST from the box, so that what was typed is in no address before it was looked at; a key never is."""
    url = reverse("admin:search")
    if cleaned := without_keys(request.GET):
        return HttpResponseRedirect(f"{url}?{cleaned.urlencode()}")
    sent = request.POST if request.method == "POST" else request.GET
    term = WHOLE_KEY.sub(r"\1", sent.get("q", "").replace("\0", "").strip())[: search.MAX_TERM]
    hits = search.find(partial(may, request), term)
    if only := _only(hits):
        return HttpResponseRedirect(only.url)
    if request.method == "POST":
        return HttpResponseRedirect(f"{url}?{urlencode({'q': term})}" if term else url)
    request.current_app = site.name  # for `{% url %}` in unfold's header
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": _("Search"),
        "term": term,
        "kinds": [(kind, list(some)) for kind, some in groupby(_sorted(hits), key=lambda hit: str(hit.kind))],
        "is_request_id": search.is_request_id(term),
        "few": search.FEW,
    }
    answer = TemplateResponse(request, "console/search.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


def _only(hits: list[search.Hit]) -> search.Hit | None:
    """The one thing that is meant; lists about it beside it do not count."""
    things = [hit for hit in hits if not hit.is_list]
    return things[0] if len(things) == 1 else hits[0] if len(hits) == 1 else None


def _sorted(hits: list[search.Hit]) -> list[search.Hit]:
    """By kind, the kinds in the order in which they were found."""
    order = list(dict.fromkeys(str(hit.kind) for hit in hits))
    return sorted(hits, key=lambda hit: order.index(str(hit.kind)))
