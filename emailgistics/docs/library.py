"""The pages that `/docs` has beside the explorer: the Markdown files of docs/ that are for integrators, and what they
link to.

A page is at the path of its file, without `.md` and `/README`: docs/guide/errors.md at /docs/guide/errors. Read once in
a process; what is not listed here is not served, whatever the path.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from emailgistics.docs import markdown

ROOT: Path = settings.BASE_DIR / "docs"
# in the files, where samples have to be true of some installation; on the pages they are of this one
WRITTEN_BASE_URL = "http://127.0.0.1:8000"

# section -> its files under docs/, in their order; a folder stands for its Markdown, README first
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Guide": (
        "guide/README.md",
        "guide/authentication.md",
        "guide/keys.md",
        "guide/errors.md",
        "guide/limits.md",
        "guide/lists.md",
        "guide/writing.md",
        "guide/webhooks.md",
        "verify/README.md",
        "guide/code.md",
        "guide/troubleshooting.md",
    ),
    "Integrations": ("integrations",),
    "Details": ("routing.md", "keys/README.md"),
    "Reference": ("api",),
}
# what pages link to beside each other
CONTENT_TYPES: Mapping[str, str] = {
    **dict.fromkeys((".py", ".mjs", ".js", ".php", ".go", ".sh", ".toml", ".yaml"), "text/plain; charset=utf-8"),
    ".json": "application/json",
    ".png": "image/png",
}
FOLDERS_OF_FILES = ("guide", "integrations", "keys", "schemas", "tools", "verify")


@dataclass(frozen=True, slots=True)
class Page:
    """path is what follows /docs/; source is relative to docs/."""

    path: str
    source: str
    title: str
    section: str

    @property
    def url(self) -> str:
        return f"/docs/{self.path}"


@lru_cache
def pages() -> Mapping[str, Page]:
    """By path, in the order in which they are read."""
    found: dict[str, Page] = {}
    for section, names in SECTIONS.items():
        for source in (source for name in names for source in _sources(name)):
            title = markdown.title_of((ROOT / source).read_text())
            found[_path_of(source)] = Page(_path_of(source), source, title, section)
    return found


@lru_cache
def files() -> Mapping[str, Path]:
    """By path: what a page may link to that is no page."""
    return {
        path.relative_to(ROOT).as_posix(): path
        for folder in FOLDERS_OF_FILES
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in CONTENT_TYPES and path.is_file() and "node_modules" not in path.parts
    }


@lru_cache
def rendered(page: Page, base_url: str) -> markdown.Rendered:
    """With base_url as the address of the installation in every sample."""
    text = (ROOT / page.source).read_text().replace(WRITTEN_BASE_URL, base_url)
    return markdown.render(text, lambda href: address_of(href, page))


def address_of(href: str, page: Page) -> str | None:
    """Where a link on that page leads on the site; None for a file of the project that is not on it."""
    parts = urlsplit(href)
    if parts.scheme or not parts.path:
        return href
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), parts.path))
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    if target == "openapi.yaml":
        return "/docs/openapi.json"
    for path in (_path_of(target), _path_of(f"{target}/README.md")):
        if path in pages():
            return pages()[path].url + fragment
    return f"/docs/{target}" if target in files() else None


def neighbours(page: Page) -> tuple[Page | None, Page | None]:
    """The page before and the page after it."""
    listed = list(pages().values())
    at = listed.index(page)
    return (listed[at - 1] if at else None, listed[at + 1] if at + 1 < len(listed) else None)


def _sources(name: str) -> list[str]:
    if name.endswith(".md"):
        return [name]
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / name).rglob("*.md")]
    return sorted(found, key=lambda source: (posixpath.dirname(source), not source.endswith("README.md"), source))


def _path_of(source: str) -> str:
    return source.removesuffix(".md").removesuffix("/README")
