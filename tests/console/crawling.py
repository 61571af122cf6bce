"""Walks through the console as somebody with a browser does: every link, one page of every kind."""

import re
from collections.abc import Callable, Sequence
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

from django.test import Client
from playwright.sync_api import Page

from tests.browser import Visitor

START = "/admin/"
# leaves the console, changes something, or is a file
NOT_FOLLOWED = re.compile(r"/logout/|/raw/|/attachments/|/html/|[.]csv|/docs|^/v1|csv|/export")
AN_ID = re.compile(r"/(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z]+_[0-9a-z]{26}|\d+)(?=/)")
UNTOLD = {"_changelist_filters", "next", "o"}
LINK = re.compile(r'<a\b[^>]*?\shref="([^"#]*)')

Look = Callable[[str, Page], None]


def links_on(page: Page) -> list[str]:
    """Addresses of this console on the page, without what is after #."""
    found: list[str] = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    parts = [urlsplit(href) for href in found if urlsplit(href).netloc == urlsplit(page.url).netloc]
    return [part.path + (f"?{part.query}" if part.query else "") for part in parts]


def kind_of(address: str) -> str:
    """The same for all rows of a list, and for all values of a filter."""
    parts = urlsplit(address)
    filters = sorted(set(parse_qs(parts.query, keep_blank_values=True)) - UNTOLD)
    return AN_ID.sub("/*", parts.path) + "".join(f"?{name}" for name in filters)


def walk(client: Client) -> dict[str, str]:
    """The same without a browser: what each kind of page answered. Lists with filters and searches are among them."""
    waiting, found = [START], dict[str, str]()
    while waiting:
        address = waiting.pop(0)
        kind = kind_of(address)
        if kind in found or NOT_FOLLOWED.search(address) or not address.startswith(START):
            continue
        response = client.get(address, follow=True)
        assert response.status_code == 200, (address, response.status_code)
        found[kind] = response.content.decode()
        links = [urljoin(address, unescape(link)) for link in LINK.findall(found[kind])]
        # a filter of every kind, but not every combination of them
        path = urlsplit(address).path
        waiting += [link for link in links if not ("?" in kind and urlsplit(link).path == path)]
    return found


def crawl(visitor: Visitor, look: Look, *, within: Sequence[str] = (START,)) -> dict[str, str]:
    """Opens one page of every kind that can be reached, and gives it to `look`; lists with filters look like those
    without. `within`: where addresses begin that are opened. The address of each kind.
    """
    page, opened = visitor.page, dict[str, str]()
    waiting = [START, *within]
    while waiting:
        address = waiting.pop(0)
        kind = kind_of(address)
        if (
            kind in opened
            or NOT_FOLLOWED.search(address)
            or (address != START and not address.startswith(tuple(within)))
        ):
            continue
        opened[kind] = address
        if "?" in kind:
            continue
        response = page.goto(address)
        assert response is not None
        assert response.status == 200, address
        look(kind, page)
        waiting += links_on(page)
    return opened
