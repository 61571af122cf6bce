"""Every page of the console in a real browser: without fault, readable by everybody, and HTML.

Each page is opened once, and looked at in light and in dark, on a desk and on a phone. Of what unfold's own markup does
EXCUSED and NOT_HTML say why it stays; a line there that nothing needs any more fails.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.browser import Visitor, chromium
from tests.console.conftest import PASSWORD, make_person
from tests.console.crawling import crawl, kind_of, walk
from tests.console.populated import populate
from tests.page_checks import Excused, axe_violations, html_errors, need_tools

pytestmark = [pytest.mark.on_sqlite, pytest.mark.long, pytest.mark.timeout(1200)]

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PARTS = {
    "mail": ("/admin/mailboxes/",),
    "webhooks": ("/admin/webhooks/",),
    "keys and people": (
        "/admin/apikeys/",
        "/admin/auth/",
        "/admin/common/",
        "/admin/password_change/",
        "/admin/statistics/",
    ),
}
# colours alone differ in dark
OF_COLOUR = ("color-contrast", "link-in-text-block")

EXCUSED: tuple[Excused, ...] = ()
# what the validator says, and why it is so
NOT_HTML: dict[str, str] = {
    r"^Attribute “(x-|hx-)": "Alpine's and htmx's attributes: that is how unfold tells them what to do",
    r"^Attribute “disabled” not allowed on element “div”": "the hash of a password: a template of a widget, "
    "which Django looks for in applications only",
}

ROLES = ("member", "auditor", "mail_auditor", "staff")
# who has the rights of a system administrator by a group sees what a superuser sees, whose pages are all looked at
OTHER_ROLES = tuple(role for role in ROLES if role != "member")


@pytest.fixture
def wide_open(live_server: LiveServer, transactional_db: None, settings: Settings) -> str:
    """The address of an installation in this process."""
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
    cache.clear()
    url: str = live_server.url
    return url


def cookie_of(person: User) -> str:
    client = Client()
    client.force_login(person)
    return client.cookies["sessionid"].value


@contextmanager
def visiting(url: str, person: User | None) -> Iterator[Visitor]:
    """A person whose session is there already; None is signed out."""
    cookie = cookie_of(person) if person else ""
    with chromium() as browser, Visitor(browser, url, viewport=DESK, reduced_motion="reduce") as visitor:
        visitor.page.set_default_timeout(60_000)
        if cookie:
            visitor.page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": url}])
        yield visitor


class Judge:
    """Looks at pages, and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def look_at(self, kind: str, page: Page) -> None:
        if not page.locator("h1, h2").first.is_visible():
            self.faults.append(f"{kind}: no heading")
        if "?" in kind:
            return  # a list with fewer of its rows, or in another order: its markup was looked at without
        for size in (DESK, PHONE):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            where = f"{kind} at {size['width']}"
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if over > 0:
                self.faults.append(f"{where}: {over} pixels too wide")
            self._axe(where, page)
            picture(kind, page, size, "light")
            in_scheme(page, "dark")
            self._axe(f"{where} in dark", page, rules=OF_COLOUR)
            picture(kind, page, size, "dark")
            in_scheme(page, "light")
        page.set_viewport_size(DESK)  # type: ignore[arg-type]

    def _axe(self, where: str, page: Page, rules: tuple[str, ...] = ()) -> None:
        self.faults += [f"{where}: {one}" for one in axe_violations(page, EXCUSED, rules=rules)]

    def finds_nothing(self) -> None:
        assert self.faults == [], f"{len(self.faults)} faults:\n" + "\n".join(self.faults)


def picture(kind: str, page: Page, size: dict[str, int], scheme: str) -> None:
    """Into the folder CONSOLE_SCREENSHOTS, if there is one: they are to be looked at."""
    if folder := os.environ.get("CONSOLE_SCREENSHOTS"):
        name = kind.strip("/").replace("/", "_").replace("*", "one")
        page.screenshot(path=f"{folder}/{name}-{size['width']}-{scheme}.png", full_page=True)


def in_scheme(page: Page, scheme: str) -> None:
    """As the account's menu does it, and for pages without one as the device does."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.evaluate(
        "dark => document.querySelector('html[x-data]')?.classList.toggle('dark', dark)",
        scheme == "dark",
    )


@pytest.mark.parametrize("part", PARTS)
def test_every_page_is_without_fault(part: str, wide_open: str) -> None:
    need_tools()
    populate()
    judge = Judge()
    with visiting(wide_open, make_person("superuser")) as visitor:
        opened = crawl(visitor, judge.look_at, within=PARTS[part])
    assert visitor.problems == []
    judge.finds_nothing()
    assert {kind for kind in PAGES if kind.startswith(PARTS[part])} - set(opened) == set()


APPS = {
    "mailboxes": ("email", "message", "refusal", "rule", "domain", "mailbox", "alias"),
    "webhooks": ("webhook", "delivery", "attempt", "event", "replayjob", "notice"),
    "apikeys": ("apikey", "keynotice"),
    "auth": ("user", "group"),
    "common": ("lease", "auditentry"),
}
LISTS = tuple(f"/admin/{app}/{name}/" for app, names in APPS.items() for name in names)
UNLIKE_WITH_NOTHING = {*LISTS, "/admin/", "/admin/start/", "/admin/statistics/"}
WRITTEN = tuple(f"/admin/mailboxes/{name}/" for name in ("rule", "domain", "mailbox", "alias"))
PAGES = {
    *LISTS,
    *(f"{name}*/change/" for name in LISTS),
    *(f"{name}{page}/" for name in WRITTEN for page in ("add", "*/delete", "*/history")),
    "/admin/auth/user/add/",
    "/admin/password_change/",
    "/admin/statistics/",
}


def test_every_page_of_an_installation_with_nothing_in_it_is_without_fault(wide_open: str) -> None:
    need_tools()
    judge = Judge()

    def look(kind: str, page: Page) -> None:
        if kind in UNLIKE_WITH_NOTHING:  # all others are as they are with rows
            judge.look_at(kind, page)

    with visiting(wide_open, make_person("superuser")) as visitor:
        opened = crawl(visitor, look)
    assert visitor.problems == []
    judge.finds_nothing()
    assert UNLIKE_WITH_NOTHING - set(opened) == set()


@pytest.mark.parametrize("role", OTHER_ROLES)
def test_every_role_is_shown_pages_without_fault(role: str, wide_open: str) -> None:
    populate()
    seen: list[str] = []

    def look(kind: str, page: Page) -> None:
        assert page.locator("h1, h2").first.is_visible(), kind
        seen.append(kind)

    with visiting(wide_open, make_person(role)) as visitor:
        crawl(visitor, look)
    assert visitor.problems == []
    assert "/admin/" in seen


@pytest.mark.django_db
@pytest.mark.parametrize("is_empty", [False, True])
def test_every_page_is_html(*, is_empty: bool, client_for: Callable[[str], Client], tmp_path: Path) -> None:
    need_tools()
    if not is_empty:
        populate()
    pages = walk(client_for("superuser"))
    assert (set(LISTS) if is_empty else PAGES) - set(pages) == set()
    signed_out = Client()
    pages["signing in"] = signed_out.get("/admin/login/").content.decode()
    pages["not there"] = signed_out.get("/nothing-here").content.decode()
    errors = [
        (one, [reason for reason in NOT_HTML if re.search(reason, one["message"])])
        for one in html_errors(pages, tmp_path)
    ]
    ours = [f"{one['page']}: {one['message']}\n    {one['extract']}" for one, reasons in errors if not reasons]
    assert ours == [], f"{len(ours)} faults:\n" + "\n".join(ours)
    needed = {reason for _, reasons in errors for reason in reasons}
    assert is_empty or set(NOT_HTML) - needed == set(), "nothing needs these any more"


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["superuser", *ROLES])
def test_every_link_that_a_role_is_shown_opens(role: str, client_for: Callable[[str], Client]) -> None:
    populate()
    assert "/admin/" in walk(client_for(role))


def sign_in_page(page: Page) -> None:
    page.goto("/admin/login/")


def refused_sign_in(page: Page) -> None:
    page.goto("/admin/login/")
    page.fill("input[name=username]", "nobody")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    expect(page.get_by_text("correct").first).to_be_visible()


def missing(page: Page) -> None:
    page.goto("/nothing-here")


def bad_request(page: Page) -> None:
    page.goto("/admin/?x=%00")


def forged(page: Page) -> None:
    page.goto("/admin/login/")
    page.evaluate("document.querySelector('input[name=csrfmiddlewaretoken]').value = 'x'")
    refused = page.expect_navigation
    with refused():
        page.evaluate("document.querySelector('form').submit()")


SIGNED_OUT = {
    sign_in_page: 200,
    refused_sign_in: 200,
    missing: 404,
    forged: 403,
}


def test_pages_for_who_is_signed_out_and_for_what_goes_wrong_are_without_fault(wide_open: str) -> None:
    need_tools()
    judge = Judge()
    with visiting(wide_open, None) as visitor:
        for status in (400, 403, 404):
            visitor.expect_status(status)
        for open_page in SIGNED_OUT:
            open_page(visitor.page)
            judge.look_at(open_page.__name__, visitor.page)
    assert [one for one in visitor.problems if not one.startswith(("403", "404"))] == []
    judge.finds_nothing()


def add_nothing(page: Page) -> None:
    page.goto("/admin/mailboxes/mailbox/add/")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("This field is required.").first).to_be_visible()


def add_no_webhook(page: Page) -> None:
    page.goto("/admin/webhooks/webhook/add/")
    page.get_by_role("button", name="Add webhook").click()
    expect(page.locator(".errors, .errornote").first).to_be_visible()


def key_dialog(page: Page) -> None:
    page.goto("/admin/apikeys/apikey/")
    page.get_by_role("link", name="Add Key").click()
    expect(page.get_by_role("dialog", name="Add Key")).to_be_visible()


def key_is_shown(page: Page) -> None:
    key_dialog(page)
    page.get_by_label("Name", exact=True).fill("Shop")
    page.get_by_role("checkbox", name="support@example.com").check()
    page.get_by_role("button", name="Generate Key").click()
    expect(page.get_by_role("dialog", name="Copy the key now")).to_be_visible()


def filters(page: Page) -> None:
    page.goto("/admin/mailboxes/alias/")
    page.get_by_role("button", name="Filters").click()
    expect(page.locator("#changelist-filter")).to_be_visible()


def account_menu(page: Page) -> None:
    page.goto("/admin/")
    page.locator("#nav-sidebar-inner [role=button]").last.click()
    expect(page.get_by_role("link", name="Your account")).to_be_visible()


@pytest.mark.parametrize("states", [(add_nothing, add_no_webhook, key_dialog), (key_is_shown, filters, account_menu)])
def test_what_opens_and_what_was_refused_is_without_fault(
    states: tuple[Callable[[Page], None], ...], wide_open: str
) -> None:
    need_tools()
    populate()
    judge = Judge()
    with visiting(wide_open, make_person("superuser")) as visitor:
        for state in states:
            state(visitor.page)
            judge.look_at(state.__name__, visitor.page)
    assert visitor.problems == []
    judge.finds_nothing()


def test_kinds_of_pages_are_told_apart() -> None:
    one = "/admin/mailboxes/email/01a22684-3453-71a9-87d4-5b187861d368/change/"
    assert kind_of(f"{one}?_changelist_filters=q%3Dx") == "/admin/mailboxes/email/*/change/"
    assert (
        kind_of("/admin/mailboxes/email/?status__exact=x&mailbox=1") == "/admin/mailboxes/email/?mailbox?status__exact"
    )
