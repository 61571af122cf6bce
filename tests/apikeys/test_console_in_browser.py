"""The API Access page in a real browser: the key is shown once, copied, and works."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Error, Locator, Page, expect

from tests.browser import Visitor, administrator, chromium
from tests.installation import ROOT, Installation

pytestmark = pytest.mark.on_sqlite  # what a browser does with these pages has to do with no database

LIST = "/admin/apikeys/apikey/"
ADD = f"{LIST}add/"
KEY = re.compile(r"emgk_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}")
NO_CLIPBOARD = (
    "window.clipboardOfTheTest = navigator.clipboard;"
    "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
)
PHONE = {"width": 360, "height": 780}


@pytest.fixture(scope="module")
def site(installation: Installation) -> str:
    """With more mailboxes than fit on a page."""
    for name in ("sales", "billing"):
        installation.manage("mailboxes", "create", f"{name}@example.com", "--name", f"Team {name}")
    run_in_shell(
        installation,
        "from mailboxes.services.provision import create_mailbox\n"
        "for number in range(150): create_mailbox(address=f'team{number:03}@example.com')",
    )
    return f"http://127.0.0.1:{installation.http_port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def signed_in(browser: Browser, installation: Installation, site: str) -> Any:
    with Visitor(browser, site) as visitor:
        visitor.sign_in(*administrator(installation))
        return visitor.signed_in()


@pytest.fixture
def visitor(browser: Browser, site: str, signed_in: Any) -> Iterator[Visitor]:
    with Visitor(browser, site, storage_state=signed_in) as visitor:
        yield visitor
        assert visitor.problems == []
        assert not [url for url in visitor.urls if KEY.search(url)]


def run_in_shell(installation: Installation, code: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code], cwd=ROOT, env=installation.env, check=True
    )


def keys(installation: Installation) -> dict[str, str]:
    """Names by identifier."""
    return {key["id"]: key["name"] for key in installation.manage("apikeys", "list")["data"]}


def open_dialog(page: Page) -> None:
    page.goto(LIST)
    page.get_by_role("link", name="Add Key").click()
    expect(page.get_by_role("dialog", name="Add Key")).to_be_visible()


def fill_in(page: Page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    box(page, "sales@example.com").check()


def box(page: Page, address: str) -> Locator:
    return page.get_by_role("checkbox", name=address)


def source_of(page: Page) -> str:
    """Of whatever page comes: there is none while the browser is on its way."""
    for _ in range(50):
        with contextlib.suppress(Error):
            page.wait_for_load_state()
            return page.content()
        page.wait_for_timeout(100)
    raise AssertionError(page.url)


def generate(page: Page) -> str:
    """Generates, and returns the key that is shown."""
    page.get_by_role("button", name="Generate Key").click()
    return shown_key(page)


def shown_key(page: Page) -> str:
    expect(page.get_by_role("dialog", name="Copy the key now")).to_be_visible()
    key = page.get_by_label("API key", exact=True).input_value()
    assert KEY.fullmatch(key)
    return key


def test_a_key_is_made_in_the_dialog_shown_once_copied_and_works(visitor: Visitor, installation: Installation) -> None:
    page, before = visitor.page, keys(installation)
    page.goto("/settings")
    page.get_by_role("link", name="Add Key").click()
    dialog = page.get_by_role("dialog", name="Add Key")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    expect(dialog.locator("[data-ends]")).to_have_text(re.compile(r"Ends \d{4}-\d\d-\d\d 00:00 UTC, in 89 days\."))
    expect(dialog.locator("[data-sentence]")).to_have_text("Still to choose: at least one mailbox.")

    page.get_by_label("Name", exact=True).fill("Zapier")
    page.get_by_label("Search mailboxes").fill("team s")
    expect(dialog.locator("[data-rows] input")).to_have_count(1)
    box(page, "sales@example.com").check()
    page.get_by_label("Search mailboxes").fill("support")
    box(page, "support@example.com").check()
    expect(page.get_by_text("2 mailboxes chosen")).to_be_visible()
    page.get_by_role("button", name="Zapier").click()
    page.get_by_label("Hand in mail over HTTP").uncheck()
    page.get_by_label("30 days", exact=True).check()
    expect(dialog.locator("[data-sentence]")).to_have_text(re.compile(
        r"This key will read domains, mailboxes and the email log; see, create, change and delete aliases and "
        r"webhooks; read what emails say, for 2 mailboxes, until .* 00:00 UTC \(in 29 days\)\."
    ))  # fmt: skip

    page.get_by_role("button", name="Generate Key").dblclick()
    key = shown_key(page)
    expect(page.get_by_role("button", name="Copy: API key")).to_be_focused()
    page.get_by_role("button", name="Copy: API key").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key
    page.get_by_text("Ready to paste").click()
    page.get_by_role("button", name="Copy: First call").click()
    expect(page.get_by_text("Copied.")).to_have_count(2)
    assert page.evaluate("navigator.clipboard.readText()") == (
        f'curl -H "Authorization: Bearer {key}" {visitor.base_url}/v1/me'
    )

    me = installation.get_json("/v1/me", key=key)
    assert (me["id"], me["name"]) == (key[:15], "Zapier")
    assert {mailbox["address"] for mailbox in me["mailboxes"]} == {"sales@example.com", "support@example.com"}
    assert "emails:submit" not in me["scopes"]
    assert set(keys(installation)) - set(before) == {key[:15]}  # one, for two clicks

    page.get_by_role("link", name="Done").click()
    expect(page.locator("#result_list").get_by_text(key[:15])).to_be_visible()
    assert key[16:] not in page.content()
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, history.state])").count(key[16:]) == 0


def test_reload_and_back_make_no_second_key_and_do_not_show_it(visitor: Visitor, installation: Installation) -> None:
    page = visitor.page
    visitor.expect_status(409)
    page.goto(ADD)
    fill_in(page, "Reloaded")
    key = generate(page)
    page.reload()
    expect(page.get_by_role("heading", name="made and shown already")).to_be_visible()
    assert key[:15] in page.content()
    assert key[16:] not in page.content()
    page.goto(LIST)
    for _ in range(3):
        with contextlib.suppress(Error):  # instead of a page, it may ask whether the form should be sent again
            page.go_back(timeout=5000)
        assert key[16:] not in source_of(page)
    assert list(keys(installation).values()).count("Reloaded") == 1


def test_the_page_is_emptied_when_it_is_left_for_browsers_keep_pages(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(ADD)
    fill_in(page, "Left")
    key = generate(page)
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert key[16:] not in page.content()
    values = page.evaluate("[...document.querySelectorAll('input, textarea')].map((field) => field.value).join()")
    assert key[16:] not in values
    expect(page.get_by_text("is gone from this page").first).to_be_visible()
    expect(page.get_by_role("button", name="Copy: API key")).to_be_disabled()


def test_leaving_asks_until_the_key_is_copied(visitor: Visitor) -> None:
    page, asked = visitor.page, []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.goto(ADD)
    fill_in(page, "Asked")
    generate(page)
    page.get_by_role("heading", name="Keeping it").click()  # browsers ask only whoever touched the page
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    assert asked == ["beforeunload"]
    key = shown_key(page)  # still there
    page.get_by_role("button", name="Copy: API key").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    page.keyboard.press("Escape")
    page.wait_for_url(f"**{LIST}")
    assert asked == ["beforeunload"]
    assert key[16:] not in page.content()


def test_on_plain_http_without_clipboard_the_key_is_copied_the_old_way(visitor: Visitor) -> None:
    page = visitor.page
    page.add_init_script(NO_CLIPBOARD)
    page.goto(ADD)
    fill_in(page, "Plain http")
    key = generate(page)
    assert page.evaluate("navigator.clipboard") is None
    page.get_by_role("button", name="Copy: API key").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("clipboardOfTheTest.readText()") == key


def test_a_browser_that_refuses_to_copy_leaves_the_key_selected_and_says_so(visitor: Visitor) -> None:
    page = visitor.page
    page.add_init_script(NO_CLIPBOARD + "document.execCommand = () => false;")
    page.goto(ADD)
    fill_in(page, "Refused")
    key = generate(page)
    page.get_by_role("button", name="Copy: API key").click()
    expect(page.get_by_text("copy it with Ctrl+C")).to_be_visible()
    assert page.evaluate("getSelection().toString()") == key
    page.keyboard.press("Control+c")
    assert page.evaluate("clipboardOfTheTest.readText()") == key


def test_a_mistake_keeps_what_was_typed_and_the_same_page_makes_the_key(
    visitor: Visitor, installation: Installation
) -> None:
    page = visitor.page
    open_dialog(page)
    box(page, "sales@example.com").check()
    page.get_by_role("button", name="Read-only").click()
    page.get_by_role("button", name="Generate Key").click()
    expect(page.get_by_role("alert").filter(has_text="No key was made yet")).to_be_focused()
    expect(page.get_by_text("A key needs a name")).to_be_visible()
    expect(page.get_by_role("button", name="Read-only")).to_have_attribute("aria-pressed", "true")
    expect(box(page, "sales@example.com")).to_be_checked()
    page.get_by_label("Name", exact=True).fill("Mended")
    me = installation.get_json("/v1/me", key=generate(page))
    assert (me["name"], [mailbox["address"] for mailbox in me["mailboxes"]]) == ("Mended", ["sales@example.com"])
    assert not [scope for scope in me["scopes"] if scope.endswith((":write", ":submit"))]


def test_all_of_today_are_a_list_and_all_also_future_ones_are_not(visitor: Visitor, installation: Installation) -> None:
    page = visitor.page
    count = len(installation.manage("mailboxes", "list")["data"])
    open_dialog(page)
    page.get_by_label("Name", exact=True).fill("All of today")
    expect(page.locator("[data-rows] input")).to_have_count(50)
    page.get_by_label("Search mailboxes").fill("team149")
    box(page, "team149@example.com").check()
    page.get_by_label("Search mailboxes").fill("")
    page.get_by_role("button", name=f"Select all {count} of today").click()
    expect(page.get_by_text(f"{count} mailboxes chosen")).to_be_visible()
    assert page.locator("[data-chips] button").count() == 12  # the page stays short
    page.get_by_role("button", name="Remove team149@example.com").click()
    expect(page.get_by_text(f"{count - 1} mailboxes chosen")).to_be_visible()
    me = installation.get_json("/v1/me", key=generate(page))
    assert (me["all_mailboxes"], len(me["mailboxes"])) == (False, count - 1)
    assert "team149@example.com" not in {mailbox["address"] for mailbox in me["mailboxes"]}

    open_dialog(page)
    page.get_by_label("Name", exact=True).fill("Also future ones")
    page.get_by_label("All mailboxes, also future ones").check()
    expect(page.get_by_label("Search mailboxes")).to_be_hidden()
    expect(page.locator("[data-sentence]")).to_contain_text("for all mailboxes, also future ones, until")
    assert installation.get_json("/v1/me", key=generate(page))["all_mailboxes"] is True


def test_the_dialog_is_for_keyboards_too(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(LIST)
    page.get_by_role("link", name="Add Key").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Add Key")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("By keyboard")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Full", exact=True)).to_be_focused()
    for name in ("Read-only", "Zapier"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name)).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Zapier")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Create, change and delete domains")).not_to_be_checked()
    page.get_by_label("90 days", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("30 days", exact=True)).to_be_checked()
    page.get_by_label("Search mailboxes").focus()
    page.keyboard.type("sales")
    page.keyboard.press("Enter")  # searches, sends nothing
    expect(dialog.locator("[data-rows] input")).to_have_count(1)
    nameless = dialog.evaluate(
        """(dialog) => [...dialog.querySelectorAll("input, select, textarea, button, a")]
            .filter((one) => one.type !== "hidden" && !one.closest("[hidden]"))
            .filter((one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim())
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    page.keyboard.press("Escape")  # empties the search, as everywhere
    expect(dialog.locator("[data-rows] input")).not_to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("link", name="Add Key")).to_be_focused()


def test_a_preset_fills_in_what_it_says_and_keeps_the_rest(visitor: Visitor, installation: Installation) -> None:
    page, mailboxes = visitor.page, installation.manage("mailboxes", "list")["data"]
    open_dialog(page)
    page.get_by_label("Name", exact=True).fill("Kept")
    page.get_by_role("button", name="Development").click()
    expect(page.get_by_text(f"{len(mailboxes)} mailboxes chosen")).to_be_visible()  # example.com is for tests
    expect(page.get_by_label("30 days", exact=True)).to_be_checked()
    page.get_by_role("button", name="Clear").click()
    box(page, "sales@example.com").check()
    page.get_by_role("button", name="CI/CD").click()
    expect(page.get_by_label("7 days", exact=True)).to_be_checked()
    page.get_by_role("button", name="Production").click()
    expect(page.get_by_text("Networks required")).to_be_visible()
    page.get_by_role("button", name="Generate Key").click()
    expect(page.get_by_text("Production: name the networks")).to_be_visible()
    expect(page.get_by_role("button", name="Production")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Networks").fill("192.0.2.0/24")
    expect(page.locator("[data-sentence]")).to_contain_text("for 1 mailbox, only from 192.0.2.0/24, until")
    page.get_by_label("Delete and replay emails").uncheck()  # it is that preset no more
    expect(page.get_by_text("Networks optional")).to_be_visible()
    generate(page)
    expect(page.get_by_text("Kept is known as")).to_be_visible()


def test_a_key_pasted_into_the_search_is_found_and_never_sent(visitor: Visitor, installation: Installation) -> None:
    key = installation.manage(
        "apikeys", "create", "--name", "Pasted", "--expires", "9d", "--mailbox", "sales@example.com"
    )["key"]
    page, bodies = visitor.page, []
    page.on("request", lambda request: bodies.append(request.post_data or ""))
    page.goto(LIST)
    field = page.get_by_role("search").get_by_role("textbox")
    field.fill(f" {key}")
    expect(field).to_have_value(f" {key[:15]}")
    expect(page.get_by_role("search").get_by_role("status")).to_have_text(re.compile("only its identifier"))
    field.press("Enter")
    page.wait_for_url("**/*q=*")
    expect(page.locator("#result_list tbody")).to_have_count(1)
    expect(page.locator("#result_list").get_by_text("Pasted")).to_be_visible()
    expect(page.get_by_text("treat it as leaked if it left a safe place")).to_be_visible()
    assert any(key[:15] in body for body in bodies)
    assert not [text for text in (*visitor.urls, *bodies) if key[16:28] in text]


def test_a_key_is_rotated_both_work_meanwhile_and_the_old_one_is_ended(
    visitor: Visitor, installation: Installation
) -> None:
    old = installation.manage("apikeys", "create", "--name", "Rotated", "--expires", "9d", "--mailbox",
                              "sales@example.com", "--scope", "emails:read")["key"]  # fmt: skip
    page = visitor.page
    visitor.expect_status(409)
    page.goto(f"{LIST}?q={old[:15]}")
    page.get_by_role("link", name="Rotated").click()
    page.get_by_role("link", name="Rotate…").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("Rotated")
    expect(page.get_by_text("1 mailbox chosen")).to_be_visible()
    expect(page.locator("[data-sentence]")).to_contain_text("It cannot read what emails say")
    page.get_by_label("in 7 days").check()
    page.get_by_role("button", name="Rotate Key").dblclick()
    new = shown_key(page)
    expect(page.get_by_text("which goes on working until it is revoked")).to_be_visible()
    page.get_by_text("Ready to paste").click()
    page.get_by_role("button", name="Copy: .env line").click()  # the key is in it: leaving asks no more
    assert installation.get_json("/v1/me", key=new)["scopes"] == ["emails:read"]
    assert installation.get_json("/v1/me", key=old)["id"] == old[:15]
    page.reload()
    expect(page.get_by_role("heading", name="made and shown already")).to_be_visible()
    assert list(keys(installation).values()).count("Rotated") == 2

    page.goto(f"{LIST}?q={old[:15]}")
    page.get_by_role("link", name="Rotated").click()
    expect(page.get_by_role("heading", name="Moving to the new key")).to_be_visible()
    page.get_by_role("link", name="Move or cancel").click()
    expect(page.get_by_role("heading", name="When the key Rotated")).to_be_visible()
    expect(page.get_by_role("button", name="Delete key")).to_have_count(0)
    page.get_by_role("link", name="Back to the key").click()
    page.get_by_role("link", name="Delete key").click()
    page.get_by_label("Now", exact=True).check()
    page.get_by_role("button", name="Delete key").click()
    expect(page.get_by_text(f"Rotated ({old[:15]}) is revoked")).to_be_visible()
    with pytest.raises(OSError, match="401"):
        installation.get("/v1/me", key=old)
    assert installation.get_json("/v1/me", key=new)["id"] == new[:15]


def test_deleting_a_key_asks_once_and_ends_it_at_once(visitor: Visitor, installation: Installation) -> None:
    key = installation.manage("apikeys", "create", "--name", "To end", "--expires", "9d", "--all-mailboxes")["key"]
    page = visitor.page
    page.goto(LIST)
    page.get_by_role("link", name="To end").click()
    page.get_by_role("link", name="Delete key").click()
    expect(page.get_by_text("answers 401 from that moment")).to_be_visible()
    page.get_by_label("Reason").fill("Leaked")
    page.get_by_role("button", name="Delete key").click()
    page.wait_for_url(f"**{LIST}")
    expect(page.get_by_text(f"To end ({key[:15]}) is revoked")).to_be_visible()
    expect(page.locator("#result_list").get_by_text(key[:15])).to_have_count(0)
    with pytest.raises(OSError, match="401"):
        installation.get("/v1/me", key=key)
    page.get_by_role("link", name="Revoked", exact=True).click()
    page.get_by_role("link", name="To end").click()
    expect(page.get_by_text("Leaked", exact=True)).to_be_visible()
    expect(page.get_by_text("reason: Leaked")).to_be_visible()


def test_it_works_without_script(browser: Browser, site: str, signed_in: Any, installation: Installation) -> None:
    with Visitor(browser, site, storage_state=signed_in, java_script_enabled=False) as visitor:
        page = visitor.page
        visitor.expect_status(409)
        page.goto(LIST)
        page.get_by_role("link", name="Add Key").click()
        page.wait_for_url(f"**{ADD}")
        page.get_by_label("Name", exact=True).fill("Without script")
        box(page, "billing@example.com").check()
        page.get_by_label("Further mailboxes").fill("support@example.com\n")
        page.get_by_label("Create, change and delete domains").uncheck()
        page.get_by_role("button", name="Generate Key").click()
        key = page.get_by_label("API key", exact=True).input_value()
        page.get_by_text("Ready to paste").click()
        expect(page.get_by_role("textbox", name="Header")).to_have_value(f"Authorization: Bearer {key}")
        expect(page.get_by_role("button", name="Copy: API key")).to_be_hidden()
        me = installation.get_json("/v1/me", key=key)
        assert me["name"] == "Without script"
        assert {mailbox["address"] for mailbox in me["mailboxes"]} == {"billing@example.com", "support@example.com"}
        assert "domains:write" not in me["scopes"]
        page.reload()
        expect(page.get_by_role("heading", name="made and shown already")).to_be_visible()
        page.get_by_role("link", name=f"See {key[:15]}").click()
        page.get_by_role("link", name="Delete key").click()
        page.get_by_role("button", name="Delete key").click()
        expect(page.get_by_text("is revoked")).to_be_visible()
        assert visitor.problems == []


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(
    browser: Browser, site: str, signed_in: Any, color_scheme: Any, installation: Installation
) -> None:
    made = installation.manage("apikeys", "create", "--name", "Long " * 20, "--expires", "9d", "--all-mailboxes")
    with Visitor(browser, site, storage_state=signed_in, viewport=PHONE, color_scheme=color_scheme) as visitor:
        page = visitor.page
        for url in (f"{LIST}?q={made['id']}", ADD):
            page.goto(url)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], url
        fill_in(page, "Phone")
        generate(page)
        page.get_by_text("Ready to paste").click()
        assert page.get_by_role("dialog").evaluate("(dialog) => dialog.scrollWidth - dialog.clientWidth") == 0
        page.get_by_role("button", name="Copy: API key").click()
        page.goto(f"{LIST}?q={made['id']}")
        page.locator("#result_list tbody a").first.click()
        expect(page.get_by_role("cell", name="by command")).to_be_visible()
        expect(page.locator(".ak-record thead")).to_be_hidden()  # an entry is a few lines, not four narrow columns
        for _ in range(2):  # its page, and the question before it is deleted
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.url
            page.get_by_role("link", name=re.compile("Delete key|Keep it")).first.click()
        assert visitor.problems == []


def test_other_people_are_told_that_it_is_not_for_them(browser: Browser, site: str, installation: Installation) -> None:
    run_in_shell(
        installation,
        "from django.contrib.auth.models import User\n"
        "User.objects.create_user('eve', password='correct-horse-battery', is_staff=True)",
    )
    with Visitor(browser, site) as visitor:
        visitor.sign_in("eve", "correct-horse-battery")
        visitor.expect_status(403)
        for url in ("/settings", LIST, ADD, f"{LIST}mailboxes/"):
            answer = visitor.page.goto(url)
            assert answer is not None
            assert answer.status == 403
        assert visitor.problems == []
