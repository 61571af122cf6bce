"""`/docs` in a real browser: the explorer with a key, and the pages beside it."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from emailgistics.docs import library, schema
from tests.browser import Visitor, chromium
from tests.installation import ROOT, Installation

pytestmark = pytest.mark.on_sqlite  # what a browser does with these pages has to do with no database

PASSWORD = "correct-horse-battery"
UNDERSCORE = "escaping deep link whitespace with `_`"  # Swagger UI, of a link to any operation with one in its id


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(installation: Installation) -> str:
    made = subprocess.run(
        [sys.executable, "manage.py", "createsuperuser", "--noinput", "--username=ada", "--email=ada@example.com"],
        cwd=ROOT,
        env=installation.env | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD},
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return f"http://127.0.0.1:{installation.http_port}"


@pytest.fixture
def visitor(browser: Browser, site: str) -> Iterator[Visitor]:
    with Visitor(browser, site) as person:
        yield person
        assert [problem for problem in person.problems if UNDERSCORE not in problem] == []


def open_docs(visitor: Visitor, path: str = "/docs") -> None:
    """By way of the sign-in page, which leads back."""
    visitor.page.goto(path)
    visitor.page.fill("input[name=username]", "ada")
    visitor.page.fill("input[name=password]", PASSWORD)
    visitor.page.click("button[type=submit]")
    visitor.page.wait_for_url(f"**{path}")
    expect(visitor.page.locator(".opblock-summary-path", has_text="/v1/me")).to_be_visible(timeout=20_000)


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_page_shows_the_api_without_a_word_in_the_console(visitor: Visitor, path: str) -> None:
    open_docs(visitor, path)
    expect(visitor.page.locator(".info .title")).to_contain_text("Emailgistics API")
    expect(visitor.page.locator(".info .renderedMarkdown", has_text="paste an API key")).to_be_visible()
    tags = visitor.page.locator(".opblock-tag").evaluate_all("tags => tags.map(tag => tag.dataset.tag)")
    document = json.loads(schema.document("/"))
    assert tags == [tag["name"] for tag in document["tags"]]
    operations = sum(len(methods) for methods in document["paths"].values())
    assert visitor.page.locator(".opblock").count() == operations + len(document["webhooks"])


def test_a_pasted_key_is_tried_out_against_this_installation(visitor: Visitor, installation: Installation) -> None:
    open_docs(visitor)
    with visitor.page.expect_request("**/v1/me") as sent:
        answer = execute_me(visitor, installation.key)
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer.locator(".response-col_description")).to_contain_text('"name": "Sample"')
    headers = sent.value.all_headers()
    assert headers["authorization"] == f"Bearer {installation.key}"
    assert "cookie" not in headers
    assert "x-csrftoken" not in headers


def test_the_answer_is_shown_with_the_limits_and_the_key_is_kept_nowhere(
    visitor: Visitor, installation: Installation
) -> None:
    open_docs(visitor)
    answer = execute_me(visitor, installation.key)
    for header in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy"):
        expect(answer).to_contain_text(f"{header}: ")
    expect(visitor.page.locator("#operations-Keys-me_retrieve .curl-command")).to_contain_text("curl -X 'GET'")
    stored = "[{...localStorage}, {...sessionStorage}, document.cookie, location.href]"
    assert installation.key not in f"{visitor.page.evaluate(stored)}{visitor.signed_in()}"
    visitor.page.reload()
    expect(visitor.page.locator(".scheme-container .btn.authorize.unlocked")).to_be_visible(timeout=20_000)


def test_scopes_stand_beside_each_operation(visitor: Visitor) -> None:
    open_docs(visitor)
    for path, methods in json.loads(schema.document("/"))["paths"].items():
        for method, operation in methods.items():
            row = visitor.page.locator(f".opblock-summary-{method}", has=visitor.page.locator(f'[data-path="{path}"]'))
            assert row.locator(".needed-scopes code").all_inner_texts() == operation["x-required-scopes"]


def test_the_filter_finds_by_words_of_path_name_and_scope(visitor: Visitor) -> None:
    open_docs(visitor)
    field = visitor.page.get_by_role("textbox", name="Filter operations")
    webhooks = len(json.loads(schema.document("/"))["webhooks"])
    for phrase, path in (("emails:submit", "/v1/emails"), ("ROTATE post", "/v1/webhooks/{id}/rotate-secret")):
        field.fill(phrase)
        expect(visitor.page.locator(".opblock")).to_have_count(1 + webhooks)
        expect(visitor.page.locator(".opblock-summary-path").first).to_have_attribute("data-path", path)


def test_a_link_leads_to_one_operation(visitor: Visitor) -> None:
    open_docs(visitor)
    visitor.page.goto("/docs#/Aliases/aliases_create")
    visitor.page.reload()
    opened = visitor.page.locator("#operations-Aliases-aliases_create.is-open")
    expect(opened.locator(".opblock-description")).to_contain_text("aliases:write", timeout=20_000)


def test_signing_in_opens_nothing_of_the_api(visitor: Visitor) -> None:
    open_docs(visitor)
    visitor.expect_status(401)
    expect(execute_me(visitor, None).locator(".response-col_status")).to_contain_text("401")


def execute_me(visitor: Visitor, key: str | None) -> Locator:
    """GET /v1/me, with a key pasted first. Gives the row that shows the answer."""
    page = visitor.page
    if key:
        page.locator(".scheme-container .btn.authorize").click()
        page.locator(".auth-container", has_text="bearer").locator("input").first.fill(key)
        page.locator(".auth-container", has_text="bearer").locator("button[type=submit]").first.click()
        page.locator(".btn-done").first.click()
    operation = page.locator("#operations-Keys-me_retrieve")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".try-out__btn").click()
    operation.locator(".execute").click()
    answer = operation.locator(".live-responses-table tr.response").first
    answer.wait_for(timeout=20_000)
    return answer


# in the page: asked from here each step would wait for its turn
OPEN_AND_CLOSE_EACH = """async summaries => {
  const until = async (holds, what) => {
    const began = Date.now();
    while (!holds()) {
      if (Date.now() - began > 30000) throw new Error(what);
      await new Promise(later => setTimeout(later, 5));
    }
  };
  const opened = () => document.querySelectorAll(".opblock.is-open");
  let count = 0;
  for (const summary of summaries) {
    summary.click();
    await until(() => opened().length === 1, "one is open");
    await until(() => opened()[0].querySelector(".responses-wrapper .response"), "its answers are there");
    summary.click();
    await until(() => opened().length === 0, "it is closed again");
    count += 1;
  }
  return count;
}"""


@pytest.mark.timeout(900)
def test_every_operation_opens_without_a_word_in_the_console(visitor: Visitor) -> None:
    """Swagger UI makes an operation's examples only when it is opened. Open together, they make it slow."""
    open_docs(visitor)
    summaries = visitor.page.locator(".opblock-summary-control")
    count = summaries.count()
    assert count >= 50
    assert summaries.evaluate_all(OPEN_AND_CLOSE_EACH) == count


# --- the pages beside it

SIZES = ({"width": 400, "height": 800}, {"width": 1280, "height": 900})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_the_screen_without_a_word_in_the_console(browser: Browser, site: str, scheme: str) -> None:
    with Visitor(browser, site, color_scheme=scheme) as visitor:
        open_docs(visitor)
        for size in SIZES:
            visitor.page.set_viewport_size(size)  # type: ignore[arg-type]  # a mapping with its two names
            for page in library.pages().values():
                visitor.page.goto(page.url)
                expect(visitor.page.locator("article h1")).to_have_text(page.title)
                assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page.url, size)
        assert visitor.problems == []


def test_a_sample_is_copied_at_a_click(visitor: Visitor, site: str) -> None:
    open_docs(visitor)
    visitor.page.goto("/docs/guide")
    sample = visitor.page.locator(".sample", has_text="/v1/me").first
    sample.hover()
    sample.get_by_role("button", name="Copy").click()
    expect(sample.get_by_role("button")).to_have_text("Copied")
    copied = visitor.page.evaluate("navigator.clipboard.readText()")
    assert copied == f'curl -H "Authorization: Bearer $KEY" {site}/v1/me\n'


def test_the_keyboard_reaches_the_content_and_what_scrolls_in_it(visitor: Visitor) -> None:
    open_docs(visitor)
    visitor.page.goto("/docs/guide/errors#rate_limited")
    expect(visitor.page.locator("tr#rate_limited")).to_be_in_viewport()
    visitor.page.goto("/docs/guide/errors")
    visitor.page.keyboard.press("Tab")
    expect(visitor.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    visitor.page.keyboard.press("Enter")
    expect(visitor.page.locator("main")).to_be_focused()
    boxes = visitor.page.locator(".scrolls, .sample pre")
    assert boxes.evaluate_all("boxes => boxes.every(box => box.tabIndex === 0 && box.getAttribute('aria-label'))")
    expect(visitor.page.get_by_role("navigation", name="Contents").locator("[aria-current=page]")).to_have_text(
        "Errors"
    )


def test_pages_are_read_without_javascript(browser: Browser, site: str) -> None:
    with Visitor(browser, site) as visitor:
        open_docs(visitor)
        state = visitor.signed_in()
    with Visitor(browser, site, storage_state=state, java_script_enabled=False) as reader:
        reader.page.goto("/docs")
        reader.page.get_by_role("main").wait_for(state="attached")
        reader.page.locator("noscript a", has_text="reference").click()
        reader.page.get_by_role("link", name="/v1/aliases").first.click()
        expect(reader.page.locator("article h1")).to_have_text("Aliases")
        assert reader.problems == []
