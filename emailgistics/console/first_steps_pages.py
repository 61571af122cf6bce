"""The page of the first steps, and what its buttons do. Without a script each button brings the whole page."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailgistics.common import audit
from emailgistics.common.clients import client_address, seconds_to_wait
from emailgistics.common.errors import DomainError
from emailgistics.common.logs import get_logger
from emailgistics.common.roles import Action, may
from emailgistics.console import first_steps
from mailboxes.admin.domains import FRAGMENT
from mailboxes.services.test_mail import send_test_mail
from webhooks.services import testing

log = get_logger(__name__)

HIDDEN_FOR_S = 365 * 24 * 3600


def urls(site: admin.AdminSite) -> list[URLPattern]:
    def page(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        return path(route, site.admin_view(view), name=name)

    return [
        page("start/", start_view, "first_steps"),
        page("start/mail/", mail_view, "first_steps_mail"),
        page("start/test/", test_view, "first_steps_test"),
        page("start/hide/", hide_view, "first_steps_hide"),
        page("start/show/", show_view, "first_steps_show"),
    ]


def start_view(request: HttpRequest) -> HttpResponse:
    _refuse_others(request)
    if FRAGMENT in request.headers:
        return _part(request)
    context = {**admin.site.each_context(request), "title": _("First steps"), **first_steps.context(request)}
    return TemplateResponse(request, "console/first_steps.html", context)


def mail_view(request: HttpRequest) -> HttpResponse:
    def send() -> str:
        to = request.POST.get("to", "").strip()
        receipt = send_test_mail(to, by=request.user.get_username())
        person: Any = request.user
        audit.record("mail.test", of=receipt.public_id, person=person, address=client_address(request))
        return _("Accepted as %(id)s.") % {"id": receipt.public_id}

    return _done(request, send)


def test_view(request: HttpRequest) -> HttpResponse:
    def send() -> str:
        webhook = first_steps.Standing().webhook
        if webhook is None:
            return _("There is no webhook any more: add one first.")
        delivery = testing.send_test(webhook, by=request.user.get_username())
        return _("The test is on its way: %(id)s.") % {"id": delivery.public_id}

    return _done(request, send)


def hide_view(request: HttpRequest) -> HttpResponse:
    _refuse_others(request)
    answer = redirect("admin:index")
    if request.method == "POST":
        answer.set_cookie(
            first_steps.HIDDEN,
            first_steps.YES,
            max_age=HIDDEN_FOR_S,
            path=reverse("admin:index"),
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
        messages.info(request, _("The first steps are hidden in this browser. You find them in the menu."))
    return answer


def show_view(request: HttpRequest) -> HttpResponse:
    _refuse_others(request)
    answer = redirect("admin:index")
    if request.method == "POST":
        answer.delete_cookie(first_steps.HIDDEN, path=reverse("admin:index"))
    return answer


def _done(request: HttpRequest, act: Callable[[], str]) -> HttpResponse:
    """Does it, if it was asked for by POST, and says how it went: in the part for a script, else on the page."""
    _refuse_others(request)
    if request.method != "POST":
        return redirect("admin:first_steps")
    told, status = _tried(request, act)
    is_good = status == HTTPStatus.OK
    if FRAGMENT in request.headers:
        return _part(request, status=status, told=told, is_good=is_good, told_by=request.path)
    messages.add_message(request, messages.SUCCESS if is_good else messages.ERROR, told)
    return redirect("admin:first_steps")


def _tried(request: HttpRequest, act: Callable[[], str]) -> tuple[str, HTTPStatus]:
    per_minute, person = settings.FIRST_STEPS_PER_MINUTE, f"person {request.user.pk}"
    if wait := seconds_to_wait(request, group="first_steps", per_minute=per_minute, of=person):
        told = ngettext(
            "You have done that often in this minute. Try again in %(wait)d second.",
            "You have done that often in this minute. Try again in %(wait)d seconds.",
            wait,
        )
        return told % {"wait": wait}, HTTPStatus.TOO_MANY_REQUESTS
    try:
        return act(), HTTPStatus.OK
    except DomainError as error:
        return error.message, HTTPStatus.CONFLICT
    except Error:
        log.exception("first_steps.database")
        return _("The database did not take it. Try again in a moment."), HTTPStatus.SERVICE_UNAVAILABLE


def _part(request: HttpRequest, *, status: HTTPStatus = HTTPStatus.OK, **more: Any) -> HttpResponse:
    headers = {FRAGMENT: "1", "Cache-Control": "no-store"}
    context = first_steps.context(request) | more
    return TemplateResponse(request, "console/_first_steps_now.html", context, status=status, headers=headers)


def _refuse_others(request: HttpRequest) -> None:
    if not may(request, Action.MANAGE):
        raise PermissionDenied
