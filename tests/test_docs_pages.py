"""The pages beside the explorer, as an integrator has them: whole, true, and of this installation."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from emailgistics.common.access import Scope
from emailgistics.docs import library, markdown, reference, texts

DOCS = django_settings.BASE_DIR / "docs"
BASE_URL = "https://mail.example.com"
GUIDE = [page for page in library.pages().values() if page.source.startswith(("guide/", "verify/"))]
PAGES_ABOUT_HEADERS = ("limits.md", "errors.md", "authentication.md", "writing.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CURL = re.compile(r"http://127\.0\.0\.1:8000(/v1/[^\s\"'?\\]*)")


@pytest.fixture
def person(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("grace"))
    return client


class Found(HTMLParser):
    """What is in a page that others point to, and what it points to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [str(named["id"])] if named.get("id") else []
        self.links += [str(named["href"])] if tag == "a" and "href" in named else []


def fences(language: str) -> Iterator[tuple[str, str]]:
    for page in GUIDE:
        for found, code in FENCE.findall((DOCS / page.source).read_text()):
            if found == language:
                yield page.source, code


# --- over HTTP


@pytest.mark.parametrize("page", library.pages().values(), ids=lambda page: page.path)
def test_every_page_is_shown_and_leads_nowhere_in_vain(person: Client, settings: Any, page: library.Page) -> None:
    settings.BASE_URL = BASE_URL
    answer = person.get(page.url)
    assert answer.status_code == 200
    found = Found(answer.content.decode())
    assert len(found.ids) == len(set(found.ids)), "an anchor twice"
    for link in found.links:
        address, _, fragment = link.removeprefix(BASE_URL).partition("#")
        if address.startswith("http"):
            continue
        if address not in ("", page.url) and not address.startswith("/admin/"):
            there = person.get(address)
            assert there.status_code == 200, link
            ids = Found(there.content.decode()).ids if fragment else []
        else:
            ids = found.ids
        assert not fragment or fragment in ids, link


@pytest.mark.parametrize("page", library.pages().values(), ids=lambda page: page.path)
def test_a_page_links_only_to_what_is_there_in_the_repository_as_well(page: library.Page) -> None:
    text = (DOCS / page.source).read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)", FENCE.sub("", text)):
        assert (DOCS / page.source).parent.joinpath(target).exists(), target


def test_samples_name_this_installation(person: Client, settings: Any) -> None:
    settings.BASE_URL = BASE_URL
    for page in library.pages().values():
        text = person.get(page.url).content.decode()
        assert library.WRITTEN_BASE_URL not in text
    assert f"{BASE_URL}/v1/me" in person.get("/docs/guide").content.decode()


def test_pages_have_no_script_of_their_own_and_a_policy_that_says_so(person: Client) -> None:
    answer = person.get("/docs/guide/errors")
    page = answer.content.decode()
    assert not re.search(r"<script(?! src=)|<style| style=| on\w+=", page)
    policy = dict(directive.split(" ", 1) for directive in answer["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert "unsafe" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["nothing", "../README.md", "guide/../../manage.py", "guide/errors.md", "benchmarks.md", "openapi.yaml", ""]
)
def test_what_is_no_page_is_not_there(person: Client, path: str) -> None:
    assert person.get(f"/docs/{path}x" if not path else f"/docs/{path}").status_code == 404


def test_files_come_as_text_that_no_browser_runs(person: Client) -> None:
    for name in ("verify/verify.py", "verify/verify.mjs", "keys/check.mjs", "tools/listen.py"):
        answer = person.get(f"/docs/{name}")
        assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer.content == (DOCS / name).read_bytes()
    assert person.get("/docs/schemas/email.received.json")["Content-Type"] == "application/json"


# --- what they say


def test_every_file_of_the_guide_is_a_page() -> None:
    listed = {page.source for page in library.pages().values()}
    assert {path.relative_to(DOCS).as_posix() for path in (DOCS / "guide").glob("*.md")} <= listed
    assert {path.relative_to(DOCS).as_posix() for path in (DOCS / "api").glob("*.md")} <= listed


def test_every_code_has_an_anchor_on_the_page_of_errors() -> None:
    page = library.pages()["guide/errors"]
    ids = Found(library.rendered(page, BASE_URL).html).ids
    assert {code for _, code, _ in texts.ERRORS} <= set(ids)


def test_the_scopes_are_those_that_there_are() -> None:
    section = (DOCS / "guide" / "authentication.md").read_text().partition("\n## Scopes\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w:]+)` \|", section, re.MULTILINE) == list(Scope.values)


def test_the_headers_are_those_that_there_are() -> None:
    text = "".join((DOCS / "guide" / name).read_text() for name in PAGES_ABOUT_HEADERS)
    for _, header, *_ in texts.HEADERS:
        assert f"`{header}`" in text, header


def calls() -> Iterator[tuple[str, str, str]]:
    """(page, method, path) of each curl in the guide."""
    for source, code in fences("sh"):
        for command in re.split(r"^(?=curl )", code, flags=re.MULTILINE):
            said = re.search(r" -X (\w+)", command)
            method = said[1] if said else "POST" if re.search(r" (?:-d|--data-binary) ", command) else "GET"
            yield from ((source, method.lower(), path) for path in CURL.findall(command))


def test_every_call_in_a_sample_is_an_operation() -> None:
    document: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    operations = {
        (method, path.replace("{id}", f"{prefix}…"))
        for path, methods in document["paths"].items()
        for method in methods
        for prefix in ("dom_", "mbx_", "alias_", "wh_", "dlv_", "email_", "job_")
    }
    listed = list(calls())
    assert len(listed) > 20
    assert [call for call in listed if call[1:] not in operations | {("get", "/v1/openapi.json")}] == []


def test_samples_in_python_are_python() -> None:
    samples = [sample for sample in fences("python") if "# Django, with" not in sample[1]]  # two side by side
    assert len(samples) >= 5
    for source, code in samples:
        flags = "\n".join(f"    {line}" for line in code.splitlines())
        compile(f"def sample():\n{flags}\n", source, "exec")  # some return


def test_samples_in_javascript_are_javascript(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    samples = list(fences("js"))
    assert len(samples) >= 4
    for number, (source, code) in enumerate(samples):
        file = tmp_path / f"{number}.mjs"
        file.write_text(code)
        checked = subprocess.run([node, "--check", str(file)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, (source, checked.stderr)


# --- the reference


def test_the_reference_and_the_table_of_codes_are_up_to_date(tmp_path: Path) -> None:
    # if not: manage.py api_reference
    shutil.copytree(DOCS / "guide", tmp_path / "guide")
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "left-over.md").write_text("of a tag that is gone")
    call_command("api_reference", folder=tmp_path, verbosity=0)
    made = {path.name: path.read_text() for path in (tmp_path / "api").iterdir()}
    assert made == {path.name: path.read_text() for path in (DOCS / "api").iterdir()}
    assert (tmp_path / "guide" / "errors.md").read_text() == (DOCS / "guide" / "errors.md").read_text()


def test_the_reference_has_every_operation_with_a_sample_and_its_answers() -> None:
    document: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    made = reference.pages(document)
    whole = "".join(text for name, text in made.items() if name != "README.md")
    sections = re.split(r"^## ", whole, flags=re.MULTILINE)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (section,) = [text for text in sections if f"Operation id: `{operation['operationId']}`." in text]
            assert f"`{method.upper()} {path}`" in section
            assert f"[`{method.upper()} {path}`](" in made["README.md"]
            assert '-H "Authorization: Bearer $KEY"' in section
            assert all(f"**{status}**" in section for status in operation["responses"] if status < "3")
            assert all(f"| {status} |" in section for status in operation["responses"] if status >= "4")
            assert all(f"`{scope}`" in section for scope in operation["x-required-scopes"])
            for parameter in operation.get("parameters", ()):
                assert f"| `{parameter['name']}` | {parameter['in']} |" in section


# --- the rendering


def rendered(text: str) -> markdown.Rendered:
    return markdown.render(text, lambda href: None if href == "gone" else href)


def test_headings_and_rows_that_are_named_by_code_have_anchors() -> None:
    page = rendered(
        "# A page\n\n## Same `thing`\n\n## Same thing\n\n| C | M |\n|---|---|\n| `rate_limited` | often |\n"
    )
    assert page.title == "A page"
    assert [heading.anchor for heading in page.headings] == ["same-thing", "same-thing-1"]
    assert '<tr id="rate_limited">' in page.html


def test_a_row_does_not_take_the_anchor_of_another() -> None:
    html = rendered("# P\n\n## id\n\n| C |\n|---|\n| `id` |\n| `x` |\n| `x` |\n| `x` and more |\n").html
    assert html.count('id="id"') == html.count('id="x"') == 1


def test_code_is_shown_as_it_is_written() -> None:
    html = rendered("# P\n\n```html\n<b>&amp;</b>\n```\n").html
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in html
    assert 'tabindex="0"' in html


def test_a_link_to_what_is_not_on_the_site_is_text() -> None:
    html = rendered("# P\n\n[here](/docs/guide) [there](gone)\n").html
    assert '<a href="/docs/guide">here</a> <a>there</a>' in html
