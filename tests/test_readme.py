"""What the documents say of settings, sizes and other files is so."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

from mailboxes import addresses
from mailboxes.mime import budget
from mailboxes.models import ADDRESS_RESTS_FOR
from mailboxes.services import provision
from mailboxes.smtp import replies
from webhooks import payloads

DOCS = settings.BASE_DIR / "docs"
PAGES = [
    settings.BASE_DIR / "README.md",
    *sorted(path for path in DOCS.rglob("*.md") if "node_modules" not in path.parts),
]
CODE = re.compile(r"^```.*?^```$|^    .*$|`[^`]*`", re.DOTALL | re.MULTILINE)


def names_of_settings() -> set[str]:
    """Each variable that settings.py reads: the first argument of `env(…)` and of its methods."""
    tree = ast.parse((settings.BASE_DIR / "emailgistics" / "settings.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("env")]
    first = [node.args[0] for node in calls if node.args and ast.unparse(node.func).split(".")[0] == "env"]
    return {node.value for node in first if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def documented() -> set[str]:
    """The names in the first column of the table of settings."""
    lines = (DOCS / "operations" / "settings.md").read_text().splitlines()
    rows = [line.split("|")[1] for line in lines if line.startswith("| `")]
    return set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))


# read where there are no settings yet
ELSEWHERE = {"DATA_DIR", "EMAILGISTICS_ADMIN_PASSWORD"}


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    names = names_of_settings()
    assert {"DATABASE_URL", "REDIS_URL", "LINK_TTL", "WEBHOOK_PROXY", "TRUSTED_PROXIES", "HTTP_PORT"} <= names
    assert documented() == names | ELSEWHERE


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(settings.BASE_DIR).as_posix())
def test_the_links_of_the_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", CODE.sub("", path.read_text())):
        assert (path.parent / target).exists(), target


def test_every_page_has_a_place_on_the_site() -> None:
    """`make docs` says so as well; this is sooner."""
    listed = set(re.findall(r"- ([\w/.-]+\.md)$", (settings.BASE_DIR / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {path.relative_to(DOCS).as_posix() for path in PAGES if path.is_relative_to(DOCS)}


def test_the_readme_and_the_index_link_to_pages() -> None:
    for path in (settings.BASE_DIR / "README.md", DOCS / "README.md", DOCS / "verify" / "README.md"):
        assert re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()), path


def test_the_sizes_that_receivers_are_told_are_those_of_the_code() -> None:
    text = (DOCS / "verify" / "README.md").read_text()
    assert f"| {payloads.MAX_BODY_CHARACTERS >> 10} Ki characters each |" in text
    assert f"| {payloads.MAX_HEADERS_CHARACTERS >> 10} Ki characters |" in text
    assert f"{budget.MAX_ATTACHMENTS} entries; with `inline`, {payloads.MAX_INLINE_BYTES >> 20} MiB" in text
    # 6 octets of JSON for a character; twice the header for what JSON puts around it; 2 KiB for an attachment's entry
    texts = 6 * (3 * payloads.MAX_BODY_CHARACTERS + payloads.MAX_HEADERS_CHARACTERS)
    lists = 2 * budget.MAX_HEADER_OCTETS + 2048 * budget.MAX_ATTACHMENTS
    assert texts + lists < 8 << 20
    assert texts + lists + payloads.MAX_INLINE_BYTES * 4 // 3 < 16 << 20
    assert "**Let 16 MiB in**; without `attachments: inline`, 8 MiB." in text


def test_the_numbers_about_routing_are_those_of_the_code() -> None:
    text = (DOCS / "routing.md").read_text()
    assert f"At most {addresses.MAX_PATTERN_LENGTH} characters, {provision.MAX_PATTERNS} patterns in a domain." in text
    assert f"up to {provision.MAX_FURTHER_MAILBOXES} further ones" in text
    assert f"less than {ADDRESS_RESTS_FOR.days} days ago" in text
    for reply in (replies.UNKNOWN_RECIPIENT, replies.NOT_HOSTED, replies.DISABLED, replies.DOMAIN_NOT_VERIFIED):
        assert f"`{reply[:9]}`" in text
