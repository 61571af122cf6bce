"""Markdown of docs/ as HTML: CommonMark with tables, and what a page needs beside: anchors, and boxes that scroll.

The text is ours, so HTML in it is left as it is.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

Resolve = Callable[[str], str | None]  # an address as it is written -> as it is on the page; None: text without a link

NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")
IN_ROW_ANCHOR = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """headings are those of the second level: what stands on the page."""

    title: str
    html: str
    headings: tuple[Heading, ...]


def render(text: str, resolve: Resolve) -> Rendered:
    tokens = _MARKDOWN.parse(text)
    headings = list(_give_anchors(tokens))
    _give_row_anchors(tokens, taken={heading.anchor for heading in headings})
    _resolve_links(tokens, resolve)
    return Rendered(
        title=title_of(text),
        html=_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}),
        headings=tuple(heading for heading in headings if heading.level == 2),  # noqa: PLR2004 - h2
    )


def title_of(text: str) -> str:
    """The first line, which is the heading of the page."""
    return text.partition("\n")[0].removeprefix("# ").replace("`", "")


def anchor_of(heading: str) -> str:
    """As the usual viewers of Markdown make it, so that a link works there and here."""
    return NOT_IN_ANCHOR.sub("", heading.strip().lower()).replace(" ", "-")


def _give_anchors(tokens: Sequence[Token]) -> Iterator[Heading]:
    seen: dict[str, int] = {}
    for token, inline in pairwise(tokens):
        if token.type != "heading_open":
            continue
        text = "".join(child.content for child in inline.children or ())
        anchor = anchor_of(text)
        count = seen[anchor] = seen.get(anchor, -1) + 1
        anchor = f"{anchor}-{count}" if count else anchor
        token.attrSet("id", anchor)
        yield Heading(int(token.tag[1]), anchor, text)


def _give_row_anchors(tokens: Sequence[Token], *, taken: set[str]) -> None:
    """A row with a cell that is one name in code is found by that name: errors#rate_limited."""
    row: Token | None = None
    for token in tokens:
        if token.type == "tr_open":
            row = token
        elif row and token.type == "inline" and (name := _only_code(token)) and name not in taken:
            taken.add(name)
            row.attrSet("id", name)
            row = None
        elif token.type == "tr_close":
            row = None


def _only_code(inline: Token) -> str | None:
    children = inline.children or []
    is_code = len(children) == 1 and children[0].type == "code_inline"
    return children[0].content if is_code and IN_ROW_ANCHOR.fullmatch(children[0].content) else None


def _resolve_links(tokens: Sequence[Token], resolve: Resolve) -> None:
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open" and (href := resolve(str(child.attrGet("href")))) is None:
                del child.attrs["href"]
            elif child.type == "link_open":
                child.attrSet("href", href or "")


def _heading_close(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:  # noqa: ARG001
    """Not the page's own: its anchor would be the top."""
    opened = tokens[index - 2]
    anchor = opened.attrGet("id")
    link = f' <a class="anchor" href="#{anchor}" aria-label="Link to this section">#</a>' if opened.tag != "h1" else ""
    return f"{link}</{opened.tag}>\n"


def _table_open(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:  # noqa: ARG001
    """In a box of its own, which scrolls, also by the keyboard, where the screen is narrow."""
    return '<div class="scrolls" role="region" aria-label="Table" tabindex="0"><table>\n'


def _table_close(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:  # noqa: ARG001
    return "</table></div>\n"


def _fence(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:  # noqa: ARG001
    token = tokens[index]
    language = escapeHtml(token.info.strip())
    label = f"Sample, {language}" if language else "Sample"
    code = f'<pre tabindex="0" aria-label="{label}"><code>{escapeHtml(token.content)}</code></pre>'
    return f'<div class="sample" data-language="{language}">{code}</div>\n'


def _made() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": True}).enable("table")
    for name, rule in {
        "heading_close": _heading_close,
        "table_open": _table_open,
        "table_close": _table_close,
        "fence": _fence,
        "code_block": _fence,
    }.items():
        made.add_render_rule(name, rule)
    return made


_MARKDOWN = _made()
