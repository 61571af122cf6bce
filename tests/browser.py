"""A real browser for tests: the system's Chromium, and a visitor who notices everything that goes wrong on a page."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

from tests.installation import ROOT, Installation, found_in

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOCAL_SCHEMES = ("data", "blob", "about")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips where there is no browser, and fails where there has to be one.

    Close it before other tests run: while it is open, this thread has a running event loop.
    """
    if CHROMIUM is None:
        missing = "there is no Chromium here"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"{missing}, and REQUIRE_SERVICES=1")
        pytest.skip(missing)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def administrator(installation: Installation) -> tuple[str, str]:
    """Name and password of a system administrator; on PostgreSQL nobody is there before."""
    if not installation.on_postgres:
        return "admin", found_in(r"(?m)(?<=^  password      )\S+$", installation.first_run())
    name, password = "admin", "correct-horse-battery-staple"
    values = {"USERNAME": name, "PASSWORD": password, "EMAIL": "admin@example.com"}
    subprocess.run(
        [sys.executable, "manage.py", "createsuperuser", "--noinput"],
        cwd=ROOT,
        env=installation.env | {f"DJANGO_SUPERUSER_{field}": value for field, value in values.items()},
        capture_output=True,
        check=False,  # a second call finds the administrator there
    )
    return name, password


class Visitor:
    """One person with one browser window. `problems` fills with console errors, failed requests and foreign hosts.

    Options are Playwright's for a context: java_script_enabled, viewport, color_scheme, storage_state …
    """

    def __init__(self, browser: Browser, base_url: str, **options: Any) -> None:
        self.base_url = base_url
        self.problems: list[str] = []
        self.urls: list[str] = []  # of all requests
        self._expected_statuses: set[int] = set()
        permissions = ["clipboard-read", "clipboard-write"]
        options = {"timezone_id": "UTC"} | options  # in which pages show dates
        self._context = browser.new_context(base_url=base_url, permissions=permissions, **options)
        self.page: Page = self._context.new_page()
        self._context.on("request", self._on_request)
        self._context.on("response", self._on_response)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def expect_status(self, status: int) -> None:
        """From now on a page with that status is no problem: the test is about it."""
        self._expected_statuses.add(status)

    def sign_in(self, username: str, password: str) -> None:
        self.page.goto("/admin/login/?next=/admin/")
        self.page.fill("input[name=username]", username)
        self.page.fill("input[name=password]", password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url("**/admin/")

    def signed_in(self) -> Any:
        """The cookies, as the option `storage_state` of another visitor."""
        return self._context.storage_state()

    def _on_request(self, request: Request) -> None:
        self.urls.append(request.url)
        parts = urlsplit(request.url)
        if parts.scheme not in LOCAL_SCHEMES and parts.netloc != urlsplit(self.base_url).netloc:
            self.problems.append(f"a request to another host: {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self._expected_statuses:
            self.problems.append(f"{response.status} for {response.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # Chromium reports the status of the page itself as an error, too; `_on_response` has it already
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.problems.append(f"console {message.type}: {message.text}")
