"""Two-factor sign-in as a person does it: set up, signed out, signed in with a code, and with a recovery code."""

import base64
import os
import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from emailgistics.console.two_factor import STEP_S, code_at
from tests.browser import Visitor, administrator, chromium
from tests.installation import Installation

pytestmark = pytest.mark.on_sqlite  # what a browser does with these pages has to do with no database


@pytest.fixture(scope="module")
def browser(installation: Installation) -> Iterator[Browser]:
    with chromium() as running:
        yield running


def picture(page: Page, name: str) -> None:
    """For whoever looks at them: SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 860})
                page.wait_for_timeout(200)
                page.screenshot(path=f"{folder}/{name}-{scheme}-{width}.png", full_page=True)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 860})


def step() -> int:
    return int(time.time()) // STEP_S


def fill_code(page: Page, code: str, button: str) -> None:
    page.locator("input[name=code]").fill(code)
    page.get_by_role("button", name=button).click()


def test_two_factor_sign_in_from_setting_it_up_to_a_recovery_code(installation: Installation, browser: Browser) -> None:
    name, password = administrator(installation)
    with Visitor(browser, f"http://127.0.0.1:{installation.http_port}", timezone_id="Asia/Tokyo") as visitor:
        page = visitor.page
        page.set_default_timeout(30_000)
        visitor.sign_in(name, password)
        page.goto("/admin/account/")
        # what the browser says was told by the first page
        expect(page.locator("time").first).to_have_attribute("datetime", re.compile(r"\+09:00$"))
        picture(page, "account-off")
        page.get_by_role("link", name="Set up").click()
        picture(page, "set-up")
        secret = base64.b32decode(page.locator(".typed-secret").inner_text().replace(" ", ""))
        used = step()
        fill_code(page, code_at(secret, used), "Switch on")
        shown = page.locator("[data-secret]").input_value().split()
        assert len(shown) == 10
        picture(page, "recovery-codes")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as text").click()
        assert download.value.path().read_text().split() == shown
        page.get_by_role("button", name="Copy: Recovery codes").click()
        page.get_by_role("link", name="I have kept them").click()
        expect(page.get_by_text("10 recovery codes left")).to_be_visible()
        picture(page, "account-on")

        sign_out(page)
        give_password(page, name, password)
        picture(page, "code")
        fill_code(page, code_at(secret, used), "Sign in")
        expect(page.get_by_text("does not fit")).to_be_visible()
        fill_code(page, code_at(secret, max(step(), used + 1)), "Sign in")
        page.wait_for_url("**/admin/")

        sign_out(page)
        give_password(page, name, password)
        fill_code(page, shown[0], "Sign in")
        page.wait_for_url("**/admin/")
        page.goto("/admin/confirm/")
        picture(page, "confirm")
        page.goto("/admin/auth/user/1/sessions/")
        picture(page, "person")
        assert visitor.problems == []


def sign_out(page: Page) -> None:
    page.goto("/admin/account/")
    page.evaluate("document.getElementById('logout-form').submit()")
    page.wait_for_url("**/admin/logout/")
    picture(page, "signed-out")


def give_password(page: Page, name: str, password: str) -> None:
    page.goto("/admin/login/?next=/admin/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url("**/login/code/")
