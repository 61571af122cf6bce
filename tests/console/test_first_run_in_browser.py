"""From an empty installation to a mail at a real receiver, in a real browser: no command line between the two."""

import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import Visitor, administrator, chromium
from tests.installation import Installation
from tests.mailboxes.dns_server import DnsServer
from webhooks import signing

MX_HOST = "mx.mail.example"
LIVE_WITHIN_MS = 30_000

pytestmark = pytest.mark.on_sqlite


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent, headers in lower case, and answers 204."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Installation]:
    """As it is after its very first start, but for the samples."""
    with (
        DnsServer({"example.org": [("MX", (10, MX_HOST))]}) as dns,
        Installation(tmp_path, is_migrated=True) as running,
    ):
        running.env |= {
            "QUICKSTART_SAMPLES": "0",
            "WEBHOOK_ALLOW_NETWORKS": "127.0.0.1/32",
            "DNS_SERVERS": f"127.0.0.1:{dns.port}",
            "MX_HOSTNAME": MX_HOST,
        }
        running.start()
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def is_done(page: Page, name: str) -> None:
    expect(page.locator(f"#step-{name} .state")).to_have_text("done", timeout=LIVE_WITHIN_MS)


def begin(page: Page, name: str) -> None:
    """By the button of the step that is the next one."""
    page.get_by_role("link", name="First steps").click()
    expect(page.locator("li[aria-current=step]")).to_have_attribute("id", f"step-{name}")
    page.locator(f"#step-{name} .do a").click()


def add_domain(page: Page) -> None:
    begin(page, "domain")
    page.fill("input[name=name]", "example.org")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Nobody has looked yet.")).to_be_visible()
    page.evaluate("window.isTheSamePage = true")
    page.get_by_role("button", name="Copy: Value").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == MX_HOST
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("All records that it needs are there.")).to_be_visible()
    assert page.evaluate("window.isTheSamePage")


def add_addresses(page: Page) -> None:
    begin(page, "mailbox")
    page.fill("input[name=address]", "support@example.org")
    page.get_by_role("button", name="Save", exact=True).click()
    begin(page, "alias")
    page.fill("input[name=address]", "help@example.org")
    page.locator(".select2-selection").click()
    page.locator(".select2-search__field").fill("support")
    page.locator(".select2-results__option", has_text="support@example.org").click()
    page.get_by_role("button", name="Save", exact=True).click()


def add_webhook(page: Page, url: str) -> str:
    """Its secret."""
    begin(page, "webhook")
    page.locator(".select2-selection").click()
    page.locator(".select2-search__field").fill("help@")
    page.locator(".select2-results__option", has_text="help@example.org").last.click()
    page.fill("[name=url]", url)
    page.locator("form.wh-form button[type=submit]").click()
    page.get_by_role("button", name="Copy: Secret").click()
    secret: str = page.locator("[data-secret]").first.input_value()
    return secret


def add_key(page: Page) -> None:
    begin(page, "key")
    page.get_by_label("Name", exact=True).fill("My first program")
    page.get_by_role("checkbox", name="support@example.org").check()
    page.get_by_role("button", name="Generate Key").click()
    page.get_by_role("button", name="Copy: API key").click()


def events(receiver: Receiver, secret: str) -> list[str]:
    """Kinds of what arrived; each was signed by that secret."""
    for headers, body in receiver.got:
        signing.verify(headers, body, secret, now=int(time.time()))
    return [found[1] for _, body in receiver.got if (found := re.search(r'"type":\s*"([^"]+)"', body.decode()))]


def send_without_a_script(empty: Installation, browser: Browser, signed_in: Any) -> None:
    """On a phone."""
    phone = {"width": 390, "height": 800}
    url = f"http://127.0.0.1:{empty.http_port}"
    with Visitor(browser, url, java_script_enabled=False, viewport=phone, storage_state=signed_in) as visitor:
        page = visitor.page
        page.goto("/admin/start/")
        assert page.get_by_role("button", name="Copy").count() == 0
        page.get_by_role("button", name="Send a test mail to help@example.org").click()
        expect(page.get_by_text("Accepted as msg_")).to_be_visible()
        page.goto("/admin/mailboxes/domain/")
        page.locator("#result_list").get_by_role("link", name="example.org", exact=True).click()
        page.get_by_role("button", name="Verify now").click()
        expect(page.get_by_text("All records that it needs are there.").first).to_be_visible()
        assert visitor.problems == []


def test_from_nothing_to_a_mail_at_a_receiver(empty: Installation, receiver: Receiver, browser: Browser) -> None:
    with Visitor(browser, f"http://127.0.0.1:{empty.http_port}") as visitor:
        page = visitor.page
        visitor.sign_in(*administrator(empty))
        assert page.locator("li.done").count() == 0
        add_domain(page)
        add_addresses(page)
        secret = add_webhook(page, receiver.url)

        page.get_by_role("link", name="First steps").click()
        page.evaluate("window.isTheSamePage = true")
        page.get_by_role("button", name="Send a test", exact=True).click()
        is_done(page, "test")
        assert page.evaluate("window.isTheSamePage")
        assert events(receiver, secret) == ["webhook.test"]

        add_key(page)
        page.goto("/admin/start/")
        page.evaluate("window.isTheSamePage = true")
        page.get_by_role("button", name="Send a test mail to help@example.org").click()
        is_done(page, "fate")
        expect(page.locator("#step-fate")).to_contain_text("the receiver answered 204")
        expect(page.get_by_text("All done:")).to_be_visible()
        assert page.evaluate("window.isTheSamePage")
        assert events(receiver, secret) == ["webhook.test", "email.received"]
        assert '"subject":"A test mail"' in receiver.got[1][1].decode().replace('": "', '":"')

        page.locator("#step-fate").get_by_role("link", name="A test mail").click()
        expect(page.get_by_text("help@example.org").first).to_be_visible()
        page.get_by_role("link", name="Dashboard").first.click()
        assert page.locator(".first-steps").count() == 0
        assert visitor.problems == []
        signed_in = visitor.signed_in()
    send_without_a_script(empty, browser, signed_in)
