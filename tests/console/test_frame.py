"""What every page has in common: headers, icons, pages for what went wrong."""

import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import Http404
from django.test import Client, RequestFactory
from django.urls import reverse

from emailgistics.console import errors
from emailgistics.console.navigation import SECTIONS

DIRECTIVES = {
    "default-src 'self'",
    "script-src 'self' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "object-src 'none'",
    "frame-ancestors 'none'",
    "base-uri 'self'",
    "form-action 'self'",
}


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/mailboxes/email/", "/admin/nix/", "/nix"])
@pytest.mark.parametrize("who", ["superuser", "ordinary", "nobody"])
def test_pages_are_guarded_and_kept_by_nobody(who: str, path: str, client_for: Callable[[str], Client]) -> None:
    answer = client_for(who).get(path)
    assert set(re.split(r";\s*", answer["Content-Security-Policy"])) == DIRECTIVES
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert {"no-store", "private"} <= set(answer["Cache-Control"].split(", "))


def test_pages_of_the_console_use_no_device(administrator: Client) -> None:
    assert "camera=()" in administrator.get("/admin/")["Permissions-Policy"]


@pytest.mark.parametrize("path", ["/", "/admin"])
def test_short_addresses_lead_to_the_dashboard(path: str, db: None) -> None:
    assert Client().get(path)["Location"] == "/admin/"


def test_the_icon_is_where_browsers_look_for_it() -> None:
    location = Client().get("/favicon.ico")["Location"]
    found = finders.find(location.removeprefix("/static/"))
    assert found
    octets = Path(found).read_bytes()
    assert octets.startswith(b"\x00\x00\x01\x00\x03\x00")  # an icon of three sizes


def test_the_sidebar_leads_to_every_section_with_symbols_of_the_font(administrator: Client) -> None:
    text = administrator.get("/admin/").content.decode()
    for _, items in SECTIONS:
        for title, symbol, page in items:
            target = reverse(page if page == "docs" else f"admin:{page}")
            link = rf'<a href="{target}".*?>\s*{symbol}\s*</span>.*?<span>{title}</span>'
            assert re.search(link, text, re.DOTALL), title


def test_pages_name_the_product_and_load_nothing_from_elsewhere(administrator: Client) -> None:
    for text in (administrator.get("/admin/").content.decode(), Client().get("/admin/login/").content.decode()):
        assert re.search(r"<title>[^<|]+\| Emailgistics\s*</title>", text)
        assert "/static/emailgistics/favicon.svg" in text
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
        assert not re.findall(r"<script>|<script [^>]*(?<!src)>[^<]+</script>", text)


@pytest.mark.parametrize(
    ("make", "status", "said"),
    [
        (lambda request: errors.bad_request(request, ValueError()), 400, "could not be read"),
        (lambda request: errors.forbidden(request, PermissionError()), 403, "Ask a system administrator"),
        (errors.csrf_failure, 403, "This form is out of date"),
        (lambda request: errors.not_found(request, Http404()), 404, "There is no such page"),
        (errors.fault, 500, "went wrong on our side"),
    ],
)
def test_pages_for_what_went_wrong_need_no_database(make: Callable[[Any], Any], status: int, said: str) -> None:
    answer = make(RequestFactory().get("/"))  # without a session, and this test may not use the database
    assert (answer.status_code, said in answer.content.decode()) == (status, True)
    assert "no-store" in answer["Cache-Control"]


def test_a_fault_shows_nothing_of_itself(administrator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emailgistics.console.figures.of_webhooks", lambda: 1 / 0)
    administrator.raise_request_exception = False
    answer = administrator.get("/admin/")
    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert b"went wrong on our side" in answer.content
    assert b"division" not in answer.content


def test_under_v1_mistakes_stay_problems(administrator: Client) -> None:
    answer = administrator.get("/v1/nix")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "path",
    [
        "/admin/mailboxes/email/?status__exact=%00",
        "/admin/mailboxes/email/?q=%00",
        "/admin/mailboxes/email/%00/change/",
        "/admin/mailboxes/email/nonsense/change/",
        "/admin/mailboxes/email/?nonsense=1",
        "/admin/mailboxes/email/?status__exact=nonsense",
        "/admin/mailboxes/email/?received=nonsense",
        "/admin/mailboxes/email/?p=99999",
        "/admin/mailboxes/email/?p=-1",
        "/admin/mailboxes/email/?o=9.-9",
        "/admin/mailboxes/email/?size__gte=nonsense",
        "/admin/mailboxes/email/?size__gte=99999999999999999999",
        "/admin/mailboxes/email/?mailbox__id__exact=nonsense",
        "/admin/mailboxes/alias/?deleted=nonsense&test=nonsense",
        "/admin/auth/user/99999999999999999999/change/",
        "/admin/auth/user/nonsense/delete/",
    ],
)
def test_strange_addresses_are_no_fault(path: str, administrator: Client) -> None:
    assert administrator.get(path, follow=True).status_code in (200, 400, 404)


def test_a_session_ends_with_the_working_day() -> None:
    assert settings.SESSION_COOKIE_AGE == 12 * 60 * 60
