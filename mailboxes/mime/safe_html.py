"""HTML that may be put before people: out of a mail's, by a closed list of what is allowed.

nh3 (ammonia, html5ever) builds a tree as browsers do, and is as slow as that can be: each tag costs what is open around
it, so 500 kB of `<div>` keep it busy for a minute, and formatting that is never closed is written again in each
paragraph. What it would cost is bounded before it begins, by counts; whoever is above the bounds is not shown as HTML.
Only `_depth` can be tricked into too low a count, and then MAX_NESTING_TAGS and MAX_MARKS still bound it to seconds.
The counting itself is linear: no expression here may read to the end in vain, and begin again at the next character.
"""

import re
from functools import cache
from typing import Any

from mailboxes.mime.charsets import clean_text

# what can stay open around other tags; others end by themselves (p, li, td, …) or are never open (br, img, …)
MAX_NESTING_TAGS = 12_000
MAX_MARKS = 60_000  # tags that open or close
MAX_DEPTH_TIMES_MARKS = 50_000_000  # about half a second
MAX_FORMATTING_TIMES_MARKS = 500_000  # formatting that differs, and may come again in every paragraph
SMALL_CHARACTERS, SMALL_MARKS = 20_000, 300  # below both nothing is counted
MAX_AMPERSANDS = 100_000
MAX_ATTRIBUTES = 500  # of one tag: each is compared with all before it

_ENDS_BY_ITSELF = frozenset(
    ("p", "li", "td", "th", "tr", "tbody", "thead", "tfoot", "colgroup", "dt", "dd", "option", "optgroup")
)
_NEVER_OPEN = frozenset(
    ("br", "img", "hr", "input", "meta", "link", "area", "base", "col", "embed", "source", "track", "wbr", "param")
)
_FORMATTING = frozenset(("b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"))

_MARK = re.compile(r"<(/?)([a-zA-Z][^\s/>]{0,32})")
_MARK_OR_COMMENT = re.compile(rf"(<!--)|{_MARK.pattern}")
_COMMENT_END = re.compile("--!?>")
# the rest of a tag: html.spec.whatwg.org section 13.2.5.32 and on
_ATTRIBUTES = re.compile(
    r"(?:[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|(?![\"'>])[^\s>]++)?+)?+)"
    rf"{{0,{MAX_ATTRIBUTES}}}+[\s/]*+(?:>|\Z|(.))",
    re.DOTALL,
)

_BLOCKS = """
    address article aside blockquote center dd details div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 header hr
    li main nav ol p pre section summary ul table caption colgroup col thead tbody tfoot tr th td
"""
_INLINES = """
    a abbr acronym b bdi bdo big br cite code data del dfn em font i img ins kbd mark q rp rt ruby s samp small span
    strike strong sub sup time tt u var wbr
"""
_TAGS = frozenset((_BLOCKS + _INLINES).split())
_WITH_CONTENT = frozenset(
    ("script", "style", "title", "template", "noscript", "iframe", "object", "applet", "noembed", "noframes", "xmp")
)
_SIZES = {"width", "height", "align", "valign", "bgcolor"}
_ATTRIBUTES_OF = {
    "*": {"style", "dir", "lang", "title", "align"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height", "border"},
    "font": {"color", "face", "size"},
    "table": {"border", "cellpadding", "cellspacing", *_SIZES},
    "td": {"colspan", "rowspan", "nowrap", *_SIZES},
    "th": {"colspan", "rowspan", "nowrap", *_SIZES},
    "tr": {"bgcolor", "valign", "height"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"value"},
    "hr": {"size", "width", "color"},
    "time": {"datetime"},
    "data": {"value"},
}
_SCHEMES = {"http", "https", "mailto", "cid"}
# none of them takes a URL, nor moves what it is about over what stands around the mail
_STYLES = """
    color background-color font-family font-size font-style font-weight font-variant letter-spacing line-height
    text-align text-decoration text-indent text-transform vertical-align white-space word-break word-wrap direction
    border border-top border-right border-bottom border-left border-color border-style border-width border-collapse
    border-spacing border-radius padding padding-top padding-right padding-bottom padding-left
    margin-top margin-bottom width max-width min-width height list-style-type table-layout
"""


def safe_html(html: str) -> str | None:
    """The HTML without what could act, load or deceive; None for one that would cost too much.

    Links lead to http, https and mailto, with rel=noopener; pictures come from http, https and `cid:`.
    """
    if not html or html.isspace():
        return ""
    if _is_too_complex(html):
        return None
    cleaner = _cleaner()
    safe: str = cleaner.clean(html)
    cleaned = clean_text(safe)  # character references may have made controls
    # what is taken out of safe HTML may have kept it safe
    return cleaned if cleaned == safe else clean_text(cleaner.clean(cleaned))


@cache
def _cleaner() -> Any:
    import nh3  # noqa: PLC0415 - only mail with HTML needs it

    return nh3.Cleaner(
        tags=_TAGS,
        clean_content_tags=_WITH_CONTENT,
        attributes=_ATTRIBUTES_OF,
        url_schemes=_SCHEMES,
        # they would lead to the host that shows the mail; and among them is `java&#1;script:`, no scheme to the parser
        url_relative="deny",
        link_rel="noopener noreferrer",
        filter_style_properties=set(_STYLES.split()),
    )


def _is_too_complex(html: str) -> bool:
    if len(html) < SMALL_CHARACTERS and html.count("<") < SMALL_MARKS:
        return False  # whatever it is, it takes milliseconds
    if html.count("&") > MAX_AMPERSANDS:
        return True
    marks, nesting, formatting = 0, 0, set[str]()
    for mark in _MARK.finditer(html):
        name = mark[2].lower()
        marks += 1
        if mark[1]:
            continue
        nesting += name not in _ENDS_BY_ITSELF and name not in _NEVER_OPEN
        if name in _FORMATTING:
            formatting.add(_written(html, mark.start()))
        if marks > MAX_MARKS or nesting > MAX_NESTING_TAGS or len(formatting) * marks > MAX_FORMATTING_TIMES_MARKS:
            return True
    if marks > MAX_MARKS or len(formatting) * marks > MAX_FORMATTING_TIMES_MARKS:
        return True
    # few tags cannot be deep; where there are more, it is looked at how deep they are
    return (nesting * marks > MAX_DEPTH_TIMES_MARKS and _depth(html) * marks > MAX_DEPTH_TIMES_MARKS) or (
        _has_too_many_attributes(html)
    )


def _written(html: str, start: int) -> str:
    """A tag as it is written, or more than that: two that differ are never the same here."""
    end = html.find("<", start + 1)
    piece = html[start : end if end >= 0 else len(html)]
    closed = piece.rfind(">")
    return piece[:closed] if closed >= 0 else f"{piece}{start}"


def _depth(html: str) -> int:
    """How deep tags are in tags, where closing ones say what they close.

    Opening ones count wherever they stand. Closing ones in what looks like a comment close only what was opened in one.
    """
    opened: dict[tuple[str, bool], int] = {}
    depth = deepest = comment_ends = 0
    for mark in _MARK_OR_COMMENT.finditer(html):
        is_in_comment = mark.start() < comment_ends
        if mark[1]:
            comment_ends = comment_ends if is_in_comment else _end_of_comment(html, mark.start())
            continue
        name = mark[3].lower()
        if name in _ENDS_BY_ITSELF or name in _NEVER_OPEN:
            continue
        key = name, is_in_comment
        if not mark[2]:
            opened[key] = opened.get(key, 0) + 1
            depth += 1
            deepest = max(deepest, depth)
        elif opened.get(key):
            opened[key] -= 1
            depth -= 1
    return deepest


def _end_of_comment(html: str, start: int) -> int:
    """Where the comment that begins at start ends: html.spec.whatwg.org section 13.2.5.43 and on."""
    if html.startswith(("<!-->", "<!--->"), start):
        return html.index(">", start) + 1
    found = _COMMENT_END.search(html, start + len("<!--"))
    return found.end() if found else len(html)  # one that never ends is all the rest, and is looked for once


def _has_too_many_attributes(html: str) -> bool:
    """From each `<` on, wherever it stands: what looks like a value may be a tag, and the other way round."""
    left = 4 * len(html)  # read more than once is only what has tags in its values
    for mark in _MARK.finditer(html):
        if mark[1]:
            continue
        tail = _ATTRIBUTES.match(html, mark.end())
        if tail is None or tail[1] is not None:
            return True
        left -= tail.end() - tail.start()
        if left < 0:
            return True
    return False
