"""What administrators find out with, in a real browser: pages show by themselves what comes of it, and then stop."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import Visitor, administrator, chromium
from tests.installation import Installation, simple_mail, wait_for

pytestmark = pytest.mark.on_sqlite  # what a browser does with these pages has to do with no database

LIST = "/admin/webhooks/webhook/"
SEND = "form.wh-form button[type=submit]"
WITHIN_MS = 30_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def signed_in(browser: Browser, installation: Installation) -> Iterator[Visitor]:
    with Visitor(browser, f"http://127.0.0.1:{installation.http_port}") as somebody:
        somebody.sign_in(*administrator(installation))
        yield somebody


@pytest.fixture
def visitor(signed_in: Visitor) -> Iterator[Visitor]:
    """An administrator; whatever goes wrong on a page fails the test."""
    signed_in.problems.clear()
    yield signed_in
    assert signed_in.problems == []


def open_webhook(visitor: Visitor, text: str) -> None:
    """Opens the page of the webhook with that in its row."""
    visitor.page.goto(LIST)
    visitor.page.locator("#changelist-form tr", has_text=text).locator("a").first.click()
    visitor.page.wait_for_url("**/change/**")


def make_refused(installation: Installation, path: str) -> str:
    """A webhook whose receiver answers 401, because it verifies with another secret."""
    url = f"http://127.0.0.1:{installation.sink_port}/{path}"
    installation.manage("webhooks", "create", "--url", url, "--alias", "help@example.com")
    return url


def looks_again(visitor: Visitor, *, for_s: float) -> int:
    """How often the page asks for itself in that time."""
    here, before = visitor.page.url, len(visitor.urls)
    visitor.page.wait_for_timeout(for_s * 1000)
    return visitor.urls[before:].count(here)


def test_the_test_button_leads_to_the_result_which_shows_by_itself(
    visitor: Visitor, installation: Installation
) -> None:
    page = visitor.page
    open_webhook(visitor, make_refused(installation, "tested"))
    page.click("button:text-is('Send a test')")
    page.wait_for_url("**/admin/webhooks/delivery/**")
    now = page.locator("#delivery-now")
    expect(now).to_contain_text("The test failed.", timeout=WITHIN_MS)
    expect(page.locator(".wh-attempts")).to_contain_text("401")
    expect(page.locator(".wh-attempts pre").last).to_contain_text("No v1 signature in webhook-signature matches")
    expect(page.locator(".wh-attempts")).to_contain_text("ms in all")
    expect(page.locator("#delivery_form")).to_contain_text("failed")
    assert looks_again(visitor, for_s=2.5) == 0
    now.get_by_text("Send another test").click()
    page.click(SEND)
    expect(page.locator("#delivery-now")).to_contain_text("The test failed.", timeout=WITHIN_MS)


def test_one_delivery_is_replayed_and_its_page_goes_on_by_itself(visitor: Visitor, installation: Installation) -> None:
    page = visitor.page
    installation.send(simple_mail("Once more"))
    installation.wait_until_received({"Once more"}, within_s=60)
    row = page.locator("#changelist-form tr", has_text="Once more").filter(has_text="delivered")

    def is_recorded() -> bool:
        """An answer is written down a moment after the receiver gave it."""
        page.goto("/admin/webhooks/delivery/?state__exact=delivered")
        return row.count() > 0

    wait_for(is_recorded, within_s=60, what="the delivery on record as delivered")
    row.locator("a[href*='/delivery/']").first.click()
    expect(page.locator("#delivery-now")).to_contain_text("The receiver took it: it answered 2")
    page.click("a:text-is('Replay')")
    page.click(SEND)
    expect(page.locator("#delivery-now")).to_contain_text("The receiver took it", timeout=WITHIN_MS)
    expect(page.locator(".wh-attempts > li")).to_have_count(2)
    expect(page.locator("#delivery_form")).to_contain_text("once")
    ids = [request["webhook_id"] for request in received(installation, "Once more")]
    assert (len(ids), len(set(ids))) == (2, 1)


def received(installation: Installation, subject: str) -> list[dict[str, Any]]:
    """What its own receiver took: the others refuse."""
    return [request for request in installation.received() if request["subject"] == subject and request["verified"]]


def test_a_span_is_replayed_to_its_end_on_a_page_that_shows_how_far_it_is(
    visitor: Visitor, installation: Installation
) -> None:
    page, subjects = visitor.page, {f"Spanned {n}" for n in range(4)}
    for subject in sorted(subjects):
        installation.send(simple_mail(subject))
    installation.wait_until_received(subjects, within_s=60)
    open_webhook(visitor, "The built-in receiver")
    page.click("text=Replay deliveries")
    page.check("input[value=delivered]")
    page.fill("[name=rate_per_minute]", "6000")
    page.click(SEND)
    page.wait_for_url("**/admin/webhooks/replayjob/**")
    expect(page.locator("#job-now")).to_contain_text("ended", timeout=WITHIN_MS)
    bar = page.locator("progress")
    assert bar.get_attribute("value") == "100"
    assert bar.evaluate("bar => bar.getBoundingClientRect().width") > 200
    assert page.get_by_text("Cancel replay").count() == 0
    assert looks_again(visitor, for_s=2.5) == 0


def test_a_pasted_request_is_explained_and_its_octets_are_in_no_log(
    visitor: Visitor, installation: Installation
) -> None:
    page = visitor.page
    open_webhook(visitor, "The built-in receiver")
    page.click("text=Why does my signature not verify?")
    page.fill("[name=headers]", "webhook-id: evt_01\nwebhook-timestamp: 1700000000\nwebhook-signature: v1,abc")
    page.fill("[name=body]", '{"pasted": "by hand"}')
    page.click(SEND)
    found = page.locator("#diagnosis")
    expect(found).to_contain_text("No signature in webhook-signature is whole")
    expect(found).to_contain_text("What to do:")
    assert page.input_value("[name=body]") == '{"pasted": "by hand"}'
    assert "by hand" not in installation.log()


def test_stopping_all_is_said_on_every_page_and_nothing_goes_out_until_the_start(
    visitor: Visitor, installation: Installation
) -> None:
    page = visitor.page
    page.goto(LIST)
    page.click("text=Stop all outgoing")
    page.fill("[name=reason]", "everything comes twice")
    page.click(SEND)
    banner = page.locator(".stopped")
    for address in (LIST, "/admin/", "/admin/mailboxes/email/"):
        page.goto(address)
        expect(banner).to_contain_text("everything comes twice")
    page.wait_for_timeout(1500)  # what was in flight
    installation.send(simple_mail("While stopped"))
    page.wait_for_timeout(3000)
    assert received(installation, "While stopped") == []
    page.goto("/admin/webhooks/delivery/?state__exact=pending")
    row = page.locator("#changelist-form tr", has_text="While stopped").first
    expect(row).to_contain_text("all outgoing webhooks are stopped")
    banner.get_by_text("Start again").click()
    page.click(SEND)
    expect(page.locator("#main")).to_contain_text("Outgoing webhooks are sent again.")
    assert banner.count() == 0
    installation.wait_until_received({"While stopped"}, within_s=60)
