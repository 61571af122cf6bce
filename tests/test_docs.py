"""`/docs` and the OpenAPI document over HTTP: who gets them, and the page in a real browser."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Locator, expect

from emailgistics.common.access import Scope
from emailgistics.docs import schema
from tests.apikeys.factories import client_of, make_client
from tests.browser import Visitor, chromium
from tests.factories import make_mailbox
from tests.installation import ROOT, Installation

PAGES = ["/docs", "/docs/", "/docs/openapi.json", "/docs?script="]
PASSWORD = "correct-horse-battery"


@pytest.fixture
def person(db: None) -> Client:
    """Signed in, and nobody in particular."""
    client = Client()
    client.force_login(User.objects.create_user("grace"))
    return client


# --- who gets them


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_signed_out_people_are_asked_to_sign_in_and_come_back(path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/login/?next=" + path.replace("?", "%3F").replace("=", "%3D")
    assert answer["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", PAGES)
def test_any_signed_in_person_may_read_them(person: Client, path: str) -> None:
    answer = person.get(path)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-cache"
    assert "Cookie" in answer["Vary"]


@pytest.mark.parametrize("path", PAGES)
def test_a_person_who_was_deactivated_is_signed_out(person: Client, path: str) -> None:
    User.objects.update(is_active=False)
    assert person.get(path).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_a_key_is_not_for_pages(path: str) -> None:
    assert make_client().get(path).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_everybody_may_read_them_where_the_operator_says_so(settings: Any, path: str) -> None:
    settings.DOCS_PUBLIC = True
    assert Client().get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_they_are_for_reading(person: Client, path: str) -> None:
    assert person.post(path).status_code == 405


@pytest.mark.parametrize(
    "given, is_public", [("0", False), ("1", True), ("", None), ("yes", None), ("true", None), ("2", None)]
)
def test_docs_public_is_0_or_1(tmp_path: Path, given: str, is_public: bool | None) -> None:
    code = "from django.conf import settings; print(settings.DOCS_PUBLIC)"
    environ = {"DJANGO_SETTINGS_MODULE": "emailgistics.settings", "DATA_DIR": str(tmp_path), "DOCS_PUBLIC": given}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    if is_public is None:
        assert done.returncode != 0
        assert f"DOCS_PUBLIC is {given!r}; it is a whole number from 0 to 1." in done.stderr
    else:
        assert done.stdout == f"{is_public}\n"


# --- the document for programs


@pytest.mark.django_db
@pytest.mark.parametrize("scopes", [(), (Scope.EMAILS_READ,), tuple(Scope)])
def test_any_valid_key_reads_the_document(scopes: tuple[Scope, ...]) -> None:
    answer = make_client(mailboxes=[make_mailbox()], scopes=scopes or (Scope.DOMAINS_READ,)).get("/v1/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": django_settings.BASE_URL}]
    assert answer["X-Request-Id"].startswith("req_")


@pytest.mark.django_db
def test_without_a_key_the_document_is_a_problem(person: Client) -> None:
    for client in (Client(), person, client_of("emgk_nothing")):
        answer = client.get("/v1/openapi.json")
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
        assert answer["WWW-Authenticate"].startswith("Bearer ")
    assert client.get("/v1/openapi.json").json()["code"] == "malformed_key"


@pytest.mark.django_db
def test_public_pages_do_not_make_the_api_public(settings: Any) -> None:
    settings.DOCS_PUBLIC = True
    assert Client().get("/v1/openapi.json").status_code == 401


@pytest.mark.django_db
def test_whoever_has_the_document_is_told_so_in_a_304() -> None:
    client = make_client()
    etag = client.get("/v1/openapi.json")["ETag"]
    again = client.get("/v1/openapi.json", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
    assert client.get("/v1/openapi.json", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["application/json", "application/vnd.oai.openapi+json", "text/html", "*/*"])
def test_the_document_is_json_whatever_the_client_likes(accept: str) -> None:
    answer = make_client().get("/v1/openapi.json", headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


@pytest.mark.django_db
def test_the_document_is_made_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    schema.document.cache_clear()
    made: list[None] = []
    real = schema.SchemaGenerator.get_schema

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(None)
        return real(*args, **kwargs)

    monkeypatch.setattr(schema.SchemaGenerator, "get_schema", counted)
    client = make_client()
    assert len({client.get("/v1/openapi.json").content for _ in range(3)}) == 1
    assert len(made) == 1


@pytest.mark.parametrize("host, server", [(None, "http://127.0.0.1:8000"), ("localhost", "/")])
def test_the_page_speaks_to_the_address_it_was_opened_at(
    person: Client, settings: Any, host: str | None, server: str
) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    answer = person.get("/docs/openapi.json", headers={"Host": host or "127.0.0.1:8000"})
    assert answer.json()["servers"] == [{"url": server}]


# --- the page


def test_the_page_has_only_files_of_ours_and_a_policy_that_says_so(person: Client) -> None:
    answer = person.get("/docs")
    page = answer.content.decode()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) >= 5
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses), addresses
    assert not re.search(r"<script(?! src=)", page)
    policy = dict(directive.split(" ", 1) for directive in answer["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert "unsafe-eval" not in answer["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"


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
        assert person.problems == []


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
    expect(visitor.page.locator(".renderedMarkdown h2", has_text="Authentication")).to_be_visible()
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


@pytest.mark.on_sqlite
def test_every_operation_opens_without_a_word_in_the_console(visitor: Visitor) -> None:
    """Swagger UI makes an operation's examples only when it is opened. Open together, they make it slow."""
    open_docs(visitor)
    summaries = visitor.page.locator(".opblock-summary-control")
    count = summaries.count()
    assert count >= 50
    assert summaries.evaluate_all(OPEN_AND_CLOSE_EACH) == count
