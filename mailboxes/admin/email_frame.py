"""A mail's HTML as a document of its own, for a frame that lets it do nothing.

What is put into it was made safe while the mail was processed (`mime.safe_html`) and has the serialiser's one way of
writing tags: every attribute in double quotes, with neither `"` nor `<` nor `>` in its value. Expressions suffice.

Links do not lead anywhere from the frame. A sandbox that opens windows (allow-popups) would be a hole in it for one
purpose, and who looks into a stranger's mail from here is better off with the list of `links_in`, which says where each
leads before it is followed.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from django.utils.html import escape

from emailgistics.common.text import printable

MAX_HTML = 2 << 20  # characters that are shown; what was made safe is longer than what came by its quoting alone
MAX_PICTURES = 50  # of the mail's own; each is decoded and written into the page
MAX_PICTURE_OCTETS = 2 << 20
MAX_PICTURES_OCTETS = 6 << 20
MAX_LINKS = 200
MAX_LINK_CHARACTERS = 2_000
# by their octets, whatever the mail says: an SVG is a document that acts
PICTURE_TYPES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"))

SANDBOX = "sandbox; default-src 'none'; img-src {sources}; style-src 'unsafe-inline'; {others}"
OTHERS = "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

_TAG = re.compile(r'<(a|img)((?: [a-z-]+="[^"]*")*)>')
_ATTRIBUTE = re.compile(r' ([a-z-]+)="([^"]*)"')
_LINK = re.compile(r'<a((?: [a-z-]+="[^"]*")*)>(.*?)</a>', re.DOTALL)
_MARKUP = re.compile(r"<[^>]*>")
_SAYS_HOST = re.compile(r"\s*(?:https?://)?((?:[\w-]+\.)+[a-z]{2,})(?:[/:?#]\S*)?\s*", re.IGNORECASE)

# a mail is written for white paper, whatever the console looks like
PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>
html {{ background: #fff; color: #000; color-scheme: light; }}
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 16px; overflow-wrap: anywhere; }}
img {{ height: auto; max-width: 100%; }}
pre {{ white-space: pre-wrap; }}
a {{ color: #0b57d0; text-decoration: underline; }}
</style></head><body>
{body}
</body></html>
"""


def policy(*, with_remote_pictures: bool) -> str:
    return SANDBOX.format(sources="data: https:" if with_remote_pictures else "data:", others=OTHERS)


class Picture(NamedTuple):
    """One of the mail's own, by whose Content-ID its HTML asks for it."""

    content_type: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Link:
    text: str
    target: str
    url: str  # empty for what is not opened from here
    misleads: bool  # its text names another host than the one that it leads to


def document(html: str, *, title: str, pictures: Mapping[str, Picture], with_remote_pictures: bool) -> str:
    def tag(found: re.Match[str]) -> str:
        values = _values(found[2])
        if found[1] == "a":
            return _plain_link(values)
        return _picture(values, pictures, with_remote_pictures=with_remote_pictures)

    return PAGE.format(title=escape(title), body=_TAG.sub(tag, html[:MAX_HTML]))


def content_ids(html: str) -> set[str]:
    """Of the pictures that it asks for in the mail itself."""
    return {cid for source in _sources(html) if (cid := _content_id(source))}


def has_remote_pictures(html: str) -> bool:
    return any(_is_remote(source) for source in _sources(html))


def wanted(pictures: Iterable[tuple[str, str, int]], read: Callable[[int], bytes]) -> dict[str, Picture]:
    """Within bounds, in the order of the mail. A picture is its Content-ID, its type and its size; read has its octets
    by its position among them.
    """
    found: dict[str, Picture] = {}
    total = 0
    for position, (cid, content_type, size) in enumerate(pictures):
        if cid in found or content_type not in PICTURE_TYPES or size > MAX_PICTURE_OCTETS:
            continue
        total += size
        if len(found) == MAX_PICTURES or total > MAX_PICTURES_OCTETS:
            break
        found[cid] = Picture(content_type, read(position))
    return found


def links_in(html: str) -> Iterator[Link]:
    """Up to MAX_LINKS, each once."""
    seen = set()
    for found in _LINK.finditer(html[:MAX_HTML]):
        url = _values(found[1]).get("href", "")
        text = " ".join(printable(unescape(_MARKUP.sub(" ", found[2]))).split())[:MAX_LINK_CHARACTERS]
        if url and (text, url) not in seen:
            seen.add((text, url))
            yield _link(text, url)
        if len(seen) == MAX_LINKS:
            return


def _link(text: str, url: str) -> Link:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        ascii_host = host.encode("idna").decode() if host else ""
    except ValueError:  # UnicodeError is one
        return Link(text, printable(url)[:MAX_LINK_CHARACTERS], "", misleads=True)
    is_opened = parts.scheme in ("http", "https") and bool(host) and len(url) <= MAX_LINK_CHARACTERS
    # letters of other scripts that look like those of a name that is known are seen in this form
    shown = url if host == ascii_host else f"{url} ({ascii_host})"
    says = _SAYS_HOST.fullmatch(text)
    misleads = bool(says) and _bare(says[1]) != _bare(ascii_host) if says else False
    return Link(text, printable(shown)[:MAX_LINK_CHARACTERS], url if is_opened else "", misleads=misleads)


def _bare(host: str) -> str:
    return host.lower().removeprefix("www.")


def _sources(html: str) -> Iterator[str]:
    for found in _TAG.finditer(html[:MAX_HTML]):
        if found[1] == "img":
            yield _values(found[2]).get("src", "")


def _values(attributes: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in _ATTRIBUTE.findall(attributes)}


def _content_id(source: str) -> str:
    scheme, _, rest = source.partition(":")
    return unquote(rest).strip("<> ") if scheme.lower() == "cid" else ""


def _is_remote(source: str) -> bool:
    return source.lower().startswith(("https:", "http:"))


def _plain_link(values: dict[str, str]) -> str:
    target = values.get("href", "")
    return f'<a title="{escape(target)}">' if target else "<a>"


def _picture(values: dict[str, str], pictures: Mapping[str, Picture], *, with_remote_pictures: bool) -> str:
    source = values.pop("src", "")
    if picture := pictures.get(_content_id(source)):
        values["src"] = f"data:{picture.content_type};base64,{base64.b64encode(picture.octets).decode()}"
    elif with_remote_pictures and source.lower().startswith("https:"):
        values["src"] = source
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in values.items())
    return f"<img{attributes}>"
