"""Every page of the console in a real browser: no error in its console, no other host, no fault; light and dark."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import Visitor, chromium
from tests.installation import ROOT, Installation, found_in, simple_mail

PASSWORD = "correct horse battery staple"
SEEN_OF_EACH = 1  # rows of a list that are opened
# leaves the console, changes something, or is a file
NOT_FOLLOWED = re.compile(r"/logout/|/raw/|/attachments/|/docs|^/v1")
AN_ID = re.compile(r"/(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+)(?=/)")


@pytest.fixture(scope="module")
def browser(installation: Installation) -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def password(installation: Installation) -> str:
    if not installation.on_postgres:
        return found_in(r"(?<=password)\s+\S+", installation.first_run()).strip()
    environment = {"DJANGO_SUPERUSER_USERNAME": "admin", "DJANGO_SUPERUSER_EMAIL": "admin@example.com"}
    subprocess.run(
        [sys.executable, "manage.py", "createsuperuser", "--noinput"],
        cwd=ROOT,
        env=installation.env | environment | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD},
        check=True,
    )
    return PASSWORD


@pytest.fixture
def visitor(installation: Installation, browser: Browser, password: str) -> Iterator[Visitor]:
    with Visitor(browser, f"http://127.0.0.1:{installation.http_port}") as visiting:
        visiting.page.set_default_timeout(15_000)
        visiting.sign_in("admin", password)
        yield visiting


@pytest.fixture(scope="module")
def mail(installation: Installation) -> None:
    for name in ("invoice", "alternative_with_picture", "bounce"):
        installation.send((ROOT / "tests" / "emails" / f"{name}.eml").read_bytes())
    installation.send(simple_mail("The last one"))
    installation.wait_until_received({"The last one"}, within_s=60)


def links_on(page: Page) -> list[str]:
    """Addresses of this console on the page, without what is after #."""
    found: list[str] = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    parts = [urlsplit(href) for href in found if urlsplit(href).netloc == urlsplit(page.url).netloc]
    return [part.path + (f"?{part.query}" if part.query else "") for part in parts]


def kind_of(address: str) -> str:
    """The same for all rows of a list, and for all values of a filter."""
    parts = urlsplit(address)
    filters = sorted(set(parse_qs(parts.query, keep_blank_values=True)) - {"_changelist_filters", "next", "o"})
    return AN_ID.sub("/*", parts.path) + "".join(f"?{name}" for name in filters)


def crawl(visitor: Visitor, *, screenshots: str = "") -> dict[str, int]:
    """Opens one page of every kind that can be reached, and says how often it found each kind."""
    page = visitor.page
    waiting, opened = ["/admin/"], dict[str, int]()
    while waiting:
        address = waiting.pop(0)
        kind = kind_of(address)
        if opened.get(kind, 0) >= SEEN_OF_EACH or NOT_FOLLOWED.search(address):
            continue
        opened[kind] = opened.get(kind, 0) + 1
        before = len(visitor.problems)
        page.goto(address)
        assert page.locator("h1, h2").first.is_visible(), address
        assert len(visitor.problems) == before, (address, visitor.problems[before:])
        if screenshots:
            page.screenshot(path=f"{screenshots}/crawl{kind.replace('/', '_')}.png")
        here = urlsplit(page.url)
        # a filter of every kind, but not every combination of them
        waiting += [link for link in links_on(page) if not (here.query and urlsplit(link).path == here.path)]
    return opened


def test_every_page_that_can_be_reached_is_without_fault(visitor: Visitor, mail: None) -> None:
    opened = crawl(visitor, screenshots=os.environ.get("CONSOLE_SCREENSHOTS", ""))
    assert visitor.problems == []
    rows = ("mailboxes/email", "mailboxes/message", "mailboxes/domain", "mailboxes/mailbox", "mailboxes/alias")
    rows += ("webhooks/webhook", "webhooks/delivery", "webhooks/attempt", "webhooks/event", "auth/user", "auth/group")
    wanted = {f"/admin/{name}/" for name in (*rows, "apikeys/apikey", "common/lease")}
    wanted |= {f"/admin/{name}/*/change/" for name in rows}
    wanted |= {f"/admin/{name}/add/" for name in (*rows[2:5], "auth/user")}
    wanted |= {f"/admin/{name}/*/{page}/" for name in rows[2:5] for page in ("history", "delete")}
    wanted |= {"/admin/", "/admin/password_change/"}
    assert wanted - set(opened) == set()


@pytest.mark.on_sqlite
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_light_and_in_dark(scheme: str, visitor: Visitor, mail: None) -> None:
    """WCAG 1.4.3: 4.5 to 1, for what our own style sheet colours."""
    page = visitor.page
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto("/admin/")
    page.wait_for_function("document.documentElement.classList.contains('dark') === " + str(scheme == "dark").lower())
    for selector in (".figure .label", ".figure .value", ".figures h2"):
        assert contrast(page, selector) >= 4.5, selector
    visitor.expect_status(404)
    page.goto("/nothing-here")
    for selector in ("h1", "main > p", "a.button"):
        assert contrast(page, selector) >= 4.5, selector
    assert [problem for problem in visitor.problems if not problem.startswith("404")] == []


def contrast(page: Page, selector: str) -> float:
    """Of the first match's text against the nearest ground that is not transparent (WCAG 2.2, contrast ratio)."""
    ratio: float = page.locator(selector).first.evaluate(
        """element => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const rgba = (colour) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
          };
          const luminance = ([r, g, b]) => {
            const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
            return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
          };
          let behind = element;
          while (behind.parentElement && rgba(getComputedStyle(behind).backgroundColor)[3] < 255) {
            behind = behind.parentElement;
          }
          const [light, dark] = [
            luminance(rgba(getComputedStyle(element).color)),
            luminance(rgba(getComputedStyle(behind).backgroundColor)),
          ].sort((a, b) => b - a);
          return (light + 0.05) / (dark + 0.05);
        }"""
    )
    return ratio


@pytest.mark.on_sqlite
def test_the_console_is_used_on_a_phone(visitor: Visitor, mail: None) -> None:
    page = visitor.page
    page.set_viewport_size({"width": 360, "height": 740})
    for address in ("/admin/", "/admin/mailboxes/email/", "/admin/mailboxes/mailbox/add/"):
        page.goto(address)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, address
    menu = page.locator("#nav-sidebar-inner")
    assert not menu.is_visible()
    page.get_by_role("button", name="Show or hide the menu").click()
    assert menu.is_visible()
    page.get_by_role("link", name="Emails", exact=True).click()
    page.wait_for_url("**/admin/mailboxes/email/")
    assert visitor.problems == []


@pytest.mark.on_sqlite
def test_the_console_is_used_with_the_keyboard(visitor: Visitor, mail: None) -> None:
    page = visitor.page
    page.goto("/admin/mailboxes/email/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    # what unfold makes for the mouse only
    page.get_by_role("button", name="Filters").focus()
    page.keyboard.press("Enter")
    parked = page.get_by_role("link", name="Parked")
    parked.wait_for(state="visible")
    parked.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**status__exact=parked**")
    page.locator("#nav-sidebar-inner [role=button]").last.focus()
    page.keyboard.press("Space")
    page.get_by_role("link", name="Change password").wait_for(state="visible")
    assert visitor.problems == []


def test_nothing_has_a_symbols_word_for_its_name(visitor: Visitor, mail: None) -> None:
    page = visitor.page
    for address in ("/admin/", "/admin/mailboxes/alias/", "/admin/mailboxes/alias/add/"):
        page.goto(address)
        unnamed = page.evaluate(
            """[...document.querySelectorAll("a, button, [role=button]")]
              .filter((element) => element.checkVisibility())
              .filter((element) => !element.getAttribute("aria-label") && !element.title)
              .filter((element) => !element.querySelector("img"))
              .filter((element) => {
                const copy = element.cloneNode(true);
                copy.querySelectorAll(".material-symbols-outlined").forEach((symbol) => symbol.remove());
                return !copy.textContent.trim();
              })
              .map((element) => element.outerHTML)"""
        )
        assert unnamed == [], address
        spoken = page.locator(".material-symbols-outlined:not([aria-hidden]):not([aria-label])").count()
        assert spoken == 0, address


def test_an_address_is_made_and_deleted_by_hand(visitor: Visitor) -> None:
    page = visitor.page
    page.goto("/admin/mailboxes/mailbox/add/")
    page.fill("input[name=address]", "support@example.com")
    page.get_by_role("button", name="Save", exact=True).click()
    assert page.get_by_text("The address support@example.com is not available.").is_visible()
    page.fill("input[name=address]", "sales@example.com")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/admin/mailboxes/mailbox/")
    page.goto("/admin/mailboxes/alias/add/")
    page.fill("input[name=address]", "offers@example.com")
    page.locator(".select2-selection").click()
    page.locator(".select2-search__field").fill("sales")
    page.locator(".select2-results__option", has_text="sales@example.com").click()
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/admin/mailboxes/alias/")
    page.goto("/admin/mailboxes/mailbox/?q=sales@example.com")
    page.locator("#result_list").get_by_role("link", name="sales@example.com").click()
    page.get_by_role("link", name="Delete mailbox").click()
    assert page.get_by_text("1 alias (offers@example.com)").is_visible()
    page.get_by_role("button", name="Delete sales@example.com").click()
    page.wait_for_url("**/admin/mailboxes/mailbox/")
    assert page.get_by_text("sales@example.com is deleted.").is_visible()
    assert page.locator("#result_list").get_by_text("sales@example.com").count() == 0
    assert visitor.problems == []


def test_the_raw_mail_is_downloaded(visitor: Visitor, mail: None) -> None:
    page = visitor.page
    page.goto("/admin/mailboxes/email/?q=Invoice 2026")
    page.locator("#result_list tbody a").first.click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the raw mail").click()
    octets = download.value.path().read_bytes()
    sent = (ROOT / "tests" / "emails" / "invoice.eml").read_bytes()
    assert octets.rstrip(b"\r\n") == sent.rstrip(b"\r\n")
    assert download.value.suggested_filename.endswith(".eml")
    with page.expect_download() as download:
        page.get_by_role("link", name="positions.csv").click()
    assert "Räder" in download.value.path().read_text()
    assert visitor.problems == []


def test_signing_out_leads_back_to_signing_in(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#nav-sidebar-inner [role=button]").last.click()
    page.get_by_role("button", name="Log out").click()
    page.goto("/admin/mailboxes/email/")
    page.wait_for_url("**/admin/login/?next=/admin/mailboxes/email/")
    assert visitor.problems == []
