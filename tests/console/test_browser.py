"""The console of a whole installation in a real browser. test_pages.py looks at every page."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Visitor, chromium
from tests.installation import ROOT, Installation, found_in, simple_mail, wait_for

PASSWORD = "correct horse battery staple"


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


def test_the_dashboard_refreshes_itself_and_takes_nothing_from_who_reads_it(
    visitor: Visitor, installation: Installation, mail: None
) -> None:
    page = visitor.page
    page.clock.install()
    page.goto("/admin/?span=7d")
    received = page.locator(".figure", has_text="Received").first
    before = int(received.locator(".value").inner_text())
    page.evaluate("window.isTheSame = true")
    received.focus()
    page.locator(".chart-more summary").click()
    page.evaluate("window.scrollTo(0, 120)")
    received.evaluate("link => link.focus({ preventScroll: true })")
    installation.send(simple_mail("One more"))
    installation.wait_until_received({"One more"}, within_s=60)
    goes_on_until(page, lambda: received.locator(".value").inner_text() == str(before + 1))
    assert page.evaluate("window.isTheSame")
    assert page.evaluate("window.scrollY") == 120
    assert page.evaluate("document.activeElement.textContent.includes('Received')")
    assert page.locator(".chart-more").evaluate("details => details.open")
    assert page.locator("[aria-live]").count() == 1

    def asked() -> int:
        return sum("/admin/now/" in url for url in visitor.urls)

    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.isAway, configurable: true })")
    page.evaluate("window.isAway = true")
    page.wait_for_timeout(300)
    times = asked()
    page.clock.fast_forward(60_000)
    page.wait_for_timeout(300)
    assert asked() == times  # nobody looks
    page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_function("() => true")
    wait_for(lambda: page.wait_for_timeout(50) or asked() == times + 1, within_s=10, what="a look at once")

    page.route("**/admin/now/**", lambda route: route.abort())
    hint = page.locator("#live-hint")
    goes_on_until(page, hint.is_visible)
    expect(hint).to_contain_text("Nothing answers")
    page.unroute("**/admin/now/**")
    goes_on_until(page, hint.is_hidden)
    page.context.clear_cookies()
    goes_on_until(page, hint.is_visible)
    expect(hint).to_contain_text("you are signed out")
    times = asked()
    page.clock.fast_forward(60_000)
    page.wait_for_timeout(300)
    assert asked() == times
    assert visitor.problems == []


def goes_on_until(page: Page, condition: Callable[[], bool]) -> None:
    """Lets time pass on the page; what it asks meanwhile is answered in real time, so that a step may be too early."""

    def one_step() -> bool:
        page.clock.fast_forward(11_000)
        page.wait_for_timeout(200)
        return condition()

    wait_for(one_step, within_s=30, what="the page's next look")


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
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Show or hide the menu").click()
    expect(menu).to_be_visible()
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
    page.get_by_text("Narrow it").focus()
    page.keyboard.press("Enter")
    status = page.get_by_label("Status")
    status.focus()
    page.keyboard.type("Parked")
    page.get_by_role("button", name="Search", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**status=parked**")
    # what unfold makes for the mouse only
    page.locator("#nav-sidebar-inner [role=button]").last.focus()
    page.keyboard.press("Space")
    page.get_by_role("link", name="Your account").wait_for(state="visible")
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
    expect(page.get_by_text("The address support@example.com is not available.")).to_be_visible()
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
    expect(page.get_by_text("1 alias (offers@example.com)")).to_be_visible()
    page.get_by_role("button", name="Delete sales@example.com").click()
    page.wait_for_url("**/admin/mailboxes/mailbox/")
    expect(page.get_by_text("sales@example.com is deleted.")).to_be_visible()
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
