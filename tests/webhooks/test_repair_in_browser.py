"""A webhook fails, somebody sees it in the console, mends it, and sends again what was missed: in a real browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import Visitor, administrator, chromium
from tests.installation import Installation, simple_mail, wait_for
from tests.webhooks.answers import Receiver, answer, receiver

LIVE_WITHIN_MS = 30_000  # pages show by themselves what comes of it
SEND = "form.wh-form button[type=submit]"
SUBJECTS = ["The first", "The second"]

pytestmark = pytest.mark.on_sqlite


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path, is_migrated=True) as installation:
        installation.env |= {"WEBHOOK_ALLOW_NETWORKS": "127.0.0.1/32"}
        installation.start()
        yield installation


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def delivered_at(there: Receiver, path: str) -> list[str]:
    """The subjects of the mails that were posted there, in order."""
    return [json.loads(one.body)["data"]["subject"] for one in there.received if one.target == path]


def test_what_failed_is_seen_and_after_repair_sent_again(running: Installation, browser: Browser) -> None:
    with receiver(answer(503)) as there:
        webhook = running.manage("webhooks", "create", "--url", there.url, "--alias", "help@example.com")
        for subject in SUBJECTS:
            running.send(simple_mail(subject))
        wait_for(lambda: len(there.received) >= len(SUBJECTS), within_s=60, what="attempts")
        with Visitor(browser, f"http://127.0.0.1:{running.http_port}") as visitor:
            visitor.sign_in(*administrator(running))
            mend_and_send_again(visitor, there, webhook["id"])
            assert visitor.problems == []


def mend_and_send_again(visitor: Visitor, there: Receiver, webhook_id: str) -> None:
    page = visitor.page
    page.goto("/admin/webhooks/webhook/")
    row = page.locator("#result_list tbody tr", has_text=there.url)
    expect(row).to_contain_text("503")
    row.get_by_role("link").first.click()
    expect(page.locator("#content")).to_contain_text("Failing since")
    where = page.url

    # its address was wrong all the time, says the receiver's owner
    there.mode = lambda request, writer: answer(200 if request.target == "/mended" else 503)(request, writer)
    page.fill("[name=url]", there.url.replace("/hook", "/mended"))
    page.locator(SEND).click()
    expect(page.locator("[name=url]")).to_have_value(re.compile("/mended$"))
    expect(page.locator("#main")).to_contain_text("hanged")

    for number, subject in enumerate(SUBJECTS, 1):  # they would go by themselves, a minute later
        page.goto(where)
        page.locator(".wh-table tbody tr", has_text=subject).get_by_role("link").first.click()
        page.get_by_role("button", name="Retry now").click()
        wait_for(lambda: len(delivered_at(there, "/mended")) == number, within_s=60, what="the delivery")  # noqa: B023
        expect(page.locator("#delivery-attempts")).to_contain_text("200", timeout=LIVE_WITHIN_MS)
    assert delivered_at(there, "/mended") == SUBJECTS

    # and both, because the receiver's owner threw them away; the page may be left meanwhile
    page.goto(where)
    page.get_by_role("link", name="Replay deliveries").click()
    page.get_by_role("radio", name="Delivered: ").check()
    page.locator(SEND).click()
    expect(page.locator("#job-progress")).to_contain_text("of 2 deliveries")
    job = page.url
    page.goto("/admin/")
    page.goto(job)
    expect(page.locator("#job-progress")).to_contain_text("2 of 2 deliveries; ended", timeout=LIVE_WITHIN_MS)
    wait_for(lambda: len(delivered_at(there, "/mended")) == 2 * len(SUBJECTS), within_s=60, what="both once more")
    ids = [one.headers["webhook-id"] for one in there.received if one.target == "/mended"]
    assert len(set(ids)) == len(SUBJECTS), "a receiver knows by the id that it had them before"
    page.goto(where)
    expect(page.locator("#content")).not_to_contain_text("Failing since")
