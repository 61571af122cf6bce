"""Webhooks in a real browser: a secret is seen once, and a real delivery can be looked at."""

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser import Visitor, administrator, chromium
from tests.installation import Installation, simple_mail, wait_for

LIST, ADD = "/admin/webhooks/webhook/", "/admin/webhooks/webhook/add/"
PHONE = {"width": 390, "height": 800}
SEND = "form.wh-form button[type=submit]"
VERBS = ("pause", "rotate", "delete", "test", "replay", "signature")


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


def urls(installation: Installation) -> list[str]:
    return [webhook["url"] for webhook in installation.get_json("/v1/webhooks")["data"]]


def fill_in(visitor: Visitor, url: str, *, headers: str = "") -> None:
    """With the keyboard, as far as the field that is searched in goes."""
    page = visitor.page
    page.goto(ADD)
    page.locator(".select2-selection").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("help@")
    expect(page.locator(".select2-results__option", has_text="help@example.com").last).to_be_visible()
    page.keyboard.press("Enter")
    page.fill("[name=url]", url)
    page.fill("[name=headers]", headers)


def click_twice_while_the_answer_is_on_its_way(visitor: Visitor) -> list[str]:
    """The addresses that something was posted to, as far as they are known when the page is there."""
    page, posts = visitor.page, []

    def late(route: Route) -> None:
        posts.append(route.request.url)
        time.sleep(0.6)
        route.continue_()

    page.route(f"**{ADD}", late)
    page.evaluate("button => { button.click(); setTimeout(() => button.click(), 200); }", page.query_selector(SEND))
    expect(page.locator("[data-secret]").first).to_be_visible()
    page.unroute(f"**{ADD}")
    return posts


def test_a_secret_is_shown_once_and_a_reload_makes_no_second_webhook(
    visitor: Visitor, installation: Installation
) -> None:
    page, url = visitor.page, f"http://127.0.0.1:{installation.sink_port}/once"
    fill_in(visitor, url, headers="Authorization: Bearer hunter2")
    posts = click_twice_while_the_answer_is_on_its_way(visitor)
    secret = page.locator("[data-secret]").first.input_value()
    assert re.fullmatch(r"whsec_[\w+/]{43}=", secret)
    page.locator("[data-copy]").first.click()
    expect(page.locator("[data-said]").first).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    assert len(posts) == 1
    page.reload()
    expect(page.locator("main, #content")).to_contain_text("This form was sent before")
    assert secret not in page.content()
    assert urls(installation).count(url) == 1
    page.goto(LIST)
    page.click("text=/once")
    assert page.input_value("[name=headers]") == "Authorization: ***"
    assert secret not in page.content()
    told = installation.log()
    assert "hunter2" not in told
    assert secret not in told


def test_what_is_refused_is_said_beside_the_field_and_nothing_typed_is_lost(visitor: Visitor) -> None:
    page = visitor.page
    fill_in(visitor, "http://10.0.0.1/", headers="X-One: 1")
    page.click(SEND)
    expect(page.locator(".errors")).to_contain_text("WEBHOOK_ALLOW_NETWORKS=10.0.0.1/32:80")
    assert page.locator("[name=binding] option[selected]").inner_text() == "Alias help@example.com"
    assert (page.input_value("[name=url]"), page.input_value("[name=headers]")) == ("http://10.0.0.1/", "X-One: 1")


def test_another_origin_is_warned_of_while_it_is_typed(visitor: Visitor, installation: Installation) -> None:
    page, mine = visitor.page, f"http://127.0.0.1:{installation.sink_port}/warned"
    installation.manage("webhooks", "create", "--url", mine, "--alias", "help@example.com")
    page.goto(LIST)
    page.click("text=/warned")
    warning = page.locator("[role=status]", has_text="This is another receiver")
    for url, is_warned in ((f"{mine}/2", False), ("https://hooks.example.net/", True), (mine, False)):
        page.fill("[name=url]", url)
        expect(warning).to_be_visible(visible=is_warned)


def test_a_real_delivery_is_looked_at_with_its_attempts(visitor: Visitor, installation: Installation) -> None:
    page, subject = visitor.page, "<b>Broken</b> engine"
    failing = f"http://127.0.0.1:{installation.sink_port}/failing"  # it verifies, and this one has another secret
    webhook = installation.manage("webhooks", "create", "--url", failing, "--alias", "help@example.com")
    installation.send(simple_mail(subject))
    installation.wait_until_received({subject}, within_s=60)
    attempted = f"/v1/webhooks/{webhook['id']}/deliveries"
    wait_for(lambda: installation.get_json(attempted)["data"][0]["attempts"] > 0, within_s=60, what="an attempt")
    page.goto(f"{LIST}?q={webhook['id']}")
    page.click("text=/failing")
    row = page.locator(".wh-table tbody tr")
    expect(row).to_contain_text(subject)
    expect(row).to_contain_text("401")
    row.locator("a").click()
    content = page.locator("#content")
    expect(content).to_contain_text("after 1 failed attempt")
    expect(content).to_contain_text("ms in all")
    assert page.locator(".wh-bar rect").first.bounding_box()["width"] > 1  # type: ignore[index]
    page.locator("summary", has_text="What the receiver answered").first.click()
    expect(page.locator(".wh-attempts pre").last).to_contain_text("No v1 signature in webhook-signature matches")
    delivery = page.url
    content.get_by_role("link", name="Read it").first.click()
    expect(page.locator(".wh-pre").last).to_contain_text(f'"subject": "{subject}"')
    page.goto(delivery)
    page.locator(".wh-attempts a").first.click()
    expect(content).to_contain_text("Sent to the address")


def test_pausing_rotating_and_deleting_ask_first(visitor: Visitor, installation: Installation) -> None:
    page, url = visitor.page, f"http://127.0.0.1:{installation.sink_port}/asked"
    webhook = installation.manage("webhooks", "create", "--url", url, "--alias", "help@example.com")

    def state() -> str:
        text: str = installation.get_json(f"/v1/webhooks/{webhook['id']}")["state"]
        return text

    page.goto(LIST)
    page.click("text=/asked")
    page.click("a:text-is('Pause')")
    assert state() == "active"
    page.click(SEND)
    expect(page.locator("#main")).to_contain_text("Paused: nothing more is sent.")
    assert state() == "paused"
    page.click("a:text-is('Resume')")
    page.click(SEND)
    assert state() == "active"
    page.click("a:text-is('Rotate secret')")
    page.check("input[value='0']")
    page.click(SEND)
    rotated = page.locator("[data-secret]").first.input_value()
    assert rotated.startswith("whsec_")
    assert rotated != webhook["secret"]
    page.locator("[data-copy]").first.click()
    page.click("text=I have kept it")
    page.click("a:text-is('Delete')")
    assert url in urls(installation)
    page.click(SEND)
    page.wait_for_url(f"**{LIST}")
    assert url not in urls(installation)


@pytest.mark.on_sqlite
def test_no_page_is_wider_than_a_phone(visitor: Visitor, installation: Installation) -> None:
    page = visitor.page
    installation.send(simple_mail("For the phone"))
    installation.wait_until_received({"For the phone"}, within_s=60)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    addresses = [LIST, ADD, *(f"/admin/webhooks/{name}/" for name in ("delivery", "attempt", "event", "eventbody"))]
    for address in list(addresses):
        page.goto(address)
        first = page.locator("#changelist-form a[href*='/change/']").first
        if first.count():
            addresses.append(first.get_attribute("href") or "")
    addresses += [addresses[6].replace("/change/", f"/{verb}/") for verb in VERBS]
    for address in addresses:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
    assert len(addresses) == 11 + len(VERBS)
