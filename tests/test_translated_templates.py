"""What templates of the console say goes through Django's translations. (Pages under /docs are in English.)"""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import get_template

FOLDERS = (settings.BASE_DIR / "templates", *settings.BASE_DIR.glob("*/templates"))
DOCS = settings.BASE_DIR / "templates" / "docs"
ALLOWED = {
    "Emailgistics": "the name of the product",
    "SHA": "SHA-256 is called so in every language",
}
WORD = re.compile(r"[^\W\d_]{2,}")
COMMENT = re.compile(r"\{#.*?#\}|\{% comment\b.*?\{% endcomment %\}", re.DOTALL)
BLOCK = re.compile(r"\{% (blocktranslate|blocktrans)\b.*?\{% end\1 %\}", re.DOTALL)
TAG = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
CLASS = re.compile(r'\bclass="[^"]*"')
LITERAL = r"(?:\"[^\"]*\"|'[^']*')"
# what a filter puts in is said like the text around it; what is marked begins with _(
FILTER = re.compile(rf"\|(?:default|default_if_none|yesno|pluralize|join)\s*:\s*({LITERAL})|\|(pluralize)\b")
SHOWN = re.compile(rf"^\{{\{{\s*({LITERAL})")
GIVEN = re.compile(rf"\b(\w+)=({LITERAL})")
# arguments of includes and components that nobody reads, and attributes of that kind
CODE_ARGUMENTS = {"class", "id", "kind", "list", "shortcut", "type", "variant"}
CODE_DATA = {"data-bwignore", "data-kind", "data-live", "data-lpignore", "data-verdict"}
SAID_ATTRIBUTES = {"alt", "aria-description", "aria-label", "label", "placeholder", "title"}
CODE_ELEMENTS = {"code", "pre", "script", "style"}
VOID_ELEMENTS = {"br", "hr", "img", "input", "link", "meta", "source", "wbr"}


def words(text: str) -> list[str]:
    return [word for word in WORD.findall(text) if word not in ALLOWED]


class Reader(HTMLParser):
    """Collects what is said to people in HTML of which the template's own tags are taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._code = ""  # the element in which code stands, while in one
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            is_button = tag == "input" and name == "value" and given.get("type") in {"button", "reset", "submit"}
            is_for_scripts = name.startswith("data-") and name not in CODE_DATA
            if name in SAID_ATTRIBUTES or is_button or is_for_scripts:
                self.said += words(value)
        if self._code:
            self._depth += tag == self._code
        elif tag not in VOID_ELEMENTS and is_code(tag, given):
            self._code, self._depth = tag, 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._code:
            self._depth -= 1
            if not self._depth:
                self._code = ""

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.said += words(data)


def is_code(tag: str, given: dict[str, str]) -> bool:
    # the names of the icon font's symbols are no words
    is_icon = "material-symbols-outlined" in given.get("class", "")
    return tag in CODE_ELEMENTS or is_icon or given.get("translate") == "no"


def literals(source: str) -> Iterator[str]:
    """Texts that tags and filters put in."""
    for tag in TAG.findall(CLASS.sub("", source)):
        yield from ("".join(found) for found in FILTER.findall(tag))
        yield from SHOWN.findall(tag)
        if tag.startswith(("{% include", "{% component")):
            yield from (text for name, text in GIVEN.findall(tag) if name not in CODE_ARGUMENTS)


def unmarked(source: str) -> list[str]:
    source = COMMENT.sub("", source)
    reader = Reader()
    reader.feed(TAG.sub("", BLOCK.sub("", source)))
    reader.close()
    return reader.said + [word for text in literals(source) for word in words(text)]


def templates() -> dict[str, Path]:
    files = {path: folder for folder in FOLDERS for path in folder.rglob("*.html") if DOCS not in path.parents}
    return {path.relative_to(folder).as_posix(): path for path, folder in sorted(files.items())}


def test_all_that_templates_say_is_marked_for_translation() -> None:
    found = {name: unmarked(path.read_text()) for name, path in templates().items()}
    assert len(found) > 100
    assert not {name: said for name, said in found.items() if said}


def test_templates_can_be_read() -> None:
    for name in templates():
        get_template(name)  # without a tag's library it could not


@pytest.mark.parametrize(
    "source",
    [
        "<p>Word</p>",
        "{{ n }} of them",
        "<code>code</code> text",
        '<code class="{% if a %}b{% endif %}">x <code>y</code></code> text',
        '<span class="material-symbols-outlined">search</span> text',
        "{% translate 'Marked' %} and not",
        "{% blocktranslate %}Marked{% endblocktranslate %} and not",
        '<a title="Said">{{ a }}</a>',
        "<button aria-label=\"{% translate 'Copy' %}: key\"></button>",
        '<input placeholder="Search">',
        '<img alt="Picture">',
        '<option label="One">',
        '<input type="submit" value="Send">',
        '<p data-busy="Sending"></p>',
        '{% include "a.html" with title="Payload" %}',
        '{% include "a.html" with id="a" label="Payload" %}',
        '{{ a|default:"none" }}',
        "{% blocktranslate with a=b|default:'nobody' %}{{ a }}{% endblocktranslate %}",
        "{{ n }}{{ n|pluralize }}",
        '{{ is_on|yesno:"Yes,No" }}',
    ],
)
def test_what_is_not_marked_is_found(source: str) -> None:
    assert unmarked(source)


@pytest.mark.parametrize(
    "source",
    [
        "{# A comment #}{% comment %}and another{% endcomment %}<!-- and a third -->",
        '{% load i18n %}{% extends "a.html" %}{% block title %}{% endblock %}',
        '{% translate "Marked" %}{% translate "Marked" as x %}',
        "{% blocktranslate trimmed count n=a %}One{% plural %}{{ n }} of them{% endblocktranslate %}",
        "<code>code</code><pre>pre</pre><script>let a;</script><style>a {}</style>",
        '<th translate="no">further_mailboxes</th><input translate="no" data-x="{{ a }}">',
        '<span class="material-symbols-outlined">chevron_right</span>',
        '<a class="fate-{{ a|default:\'none\' }}" href="/admin/" aria-labelledby="title">{{ a }}</a>',
        '{% include "a.html" with id="ak-errors" title=_("Payload") label=x %}',
        '{{ a|default:_("none") }} {{ a|default:"–" }}',
        '{% if state == "done" %} | Emailgistics {% endif %} – &ensp; 5 % A',
    ],
)
def test_what_is_marked_or_code_is_not_found(source: str) -> None:
    assert not unmarked(source)
