"""Forms as a browser has them: what the page holds is what is sent, but for what the person changes."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client


class Form(HTMLParser):
    """The fields of one form of a page: text, hidden, checkboxes, and boxes to choose one thing from."""

    def __init__(self, *, id_: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._id = id_
        self._inside = False
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self._inside = given.get("id") == self._id
        elif self._inside and tag == "select":
            self._select = name
        elif self._inside and tag == "option" and "selected" in given:
            self.fields[self._select] = value
        elif self._inside and tag == "input" and given.get("type") != "submit":
            if given.get("type") != "checkbox":
                self.fields[name] = value
            elif "checked" in given:
                self.fields[name] = value or "on"

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def opened(client: Client, path: str, *, kind: str) -> dict[str, str]:
    """What the page of a domain, a mailbox, an alias would send if nothing were changed."""
    form = Form(id_=f"{kind}_form")
    form.feed(client.get(path).content.decode())
    assert form.fields, path
    return form.fields


def changed(fields: dict[str, str], **changes: Any) -> dict[str, Any]:
    """None takes a tick away."""
    return {name: value for name, value in (fields | changes).items() if value is not None}
