"""Every operation of the API, as the OpenAPI document has it: what the matrix is made of."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from emailgistics.docs.schema import METHODS, document

Json = dict[str, Any]

PARAMETER = re.compile(r"{(\w+)}")
IN_ROUTE = re.compile(r"<\w+:(\w+)>")
# whose id stands after which word of a path, and in which field of a body or filter
KIND_AFTER = {
    "domains": "dom", "mailboxes": "mbx", "aliases": "alias", "emails": "email", "attachments": "att",
    "rules": "rule", "refusals": "ref", "webhooks": "wh", "deliveries": "dlv", "jobs": "job",
}  # fmt: skip
KIND_OF_REFERENCE = {"domain_id": "dom", "mailbox_id": "mbx", "default_mailbox_id": "mbx", "alias_id": "alias"}
KIND_OF_REFERENCES = {"further_mailbox_ids": "mbx", "ids": "dlv"}
CURSORS = ("starting_after", "ending_before")
HEADERS = {"message_id"}  # of mails: no ids of ours
REFERENCE = re.compile(r"(\w+_)?ids?")
# what stands in a path and is no id: the same for everybody
NAMES = {"name": "email.received.json"}
# the document leaves out where it is read itself
OF_THE_DOCUMENT = ("GET", "/v1/openapi.json")


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str  # /v1/emails/{id}/attachments
    scopes: tuple[str, ...]  # as the document names them
    described: Json = field(repr=False, compare=False)
    components: Json = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def kinds(self) -> list[str]:
        """Of the ids in its path, in their order."""
        words = self.path.split("/")
        places = [(words[n - 1], found[1]) for n, word in enumerate(words) if (found := PARAMETER.fullmatch(word))]
        after = [word for word, name in places if name not in NAMES]
        assert not set(after) - KIND_AFTER.keys(), f"{self}: say whose ids stand after {after}, and make some of them"
        return [KIND_AFTER[word] for word in after]

    def url(self, ids: Sequence[str]) -> str:
        """With these ids, which are quoted."""
        remaining = iter(ids)
        return PARAMETER.sub(lambda found: NAMES.get(found[1]) or quote(next(remaining), safe=""), self.path)

    def places(self, own: Mapping[str, str]) -> Iterator[tuple[str, Callable[[str], str]]]:
        """Each id of its path in turn: its kind, and the path with another one there and own ones elsewhere."""
        ids = [own[kind] for kind in self.kinds]
        for position, kind in enumerate(self.kinds):
            yield kind, lambda id_, position=position: self.url([*ids[:position], id_, *ids[position + 1 :]])  # type: ignore[misc]

    @property
    def spoken(self) -> list[str]:
        """The methods that ask for it."""
        return [self.method, "HEAD"] if self.method == "GET" else [self.method]

    @property
    def is_list(self) -> bool:
        return set(CURSORS) <= set(self.query)

    @property
    def query(self) -> list[str]:
        return [parameter["name"] for parameter in self.described.get("parameters", []) if parameter["in"] == "query"]

    @property
    def filters(self) -> dict[str, str]:
        """Those that hold the id of a thing, with its kind; cursors name one of what is listed."""
        named = {name for name in self.query if REFERENCE.fullmatch(name)} - HEADERS
        assert named <= KIND_OF_REFERENCE.keys(), f"{self}: say what {named} refer to"
        listed = dict.fromkeys(CURSORS, KIND_AFTER[self.path.rpartition("/")[2]]) if self.is_list else {}
        return {name: KIND_OF_REFERENCE[name] for name in sorted(named)} | listed

    @property
    def fields(self) -> list[str]:
        """Of its JSON body."""
        found = self._content.get("schema", {})
        name = found.get("$ref", "").rpartition("/")[2]
        return list((self.components["schemas"][name] if name else found).get("properties", {}))

    @property
    def takes_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")

    @property
    def body_references(self) -> list[str]:
        """Fields of its body that hold the id of another thing, or several."""
        named = [name for name in self.fields if REFERENCE.fullmatch(name)]
        unknown = set(named) - KIND_OF_REFERENCE.keys() - KIND_OF_REFERENCES.keys()
        assert not unknown, f"{self}: say what {unknown} refer to"
        return named

    @property
    def example(self) -> Json:
        """A body that would do, but for its ids."""
        examples = [example["value"] for example in self._content.get("examples", {}).values()]
        return dict(examples[0]) if examples and isinstance(examples[0], dict) else {}

    @property
    def _content(self) -> Json:
        return dict(self.described.get("requestBody", {}).get("content", {}).get("application/json", {}))


def operations(of: Json | None = None) -> list[Operation]:
    """Of that document, or of the installation's own."""
    made: Json = json.loads(document("")) if of is None else of
    found = [
        Operation(method.upper(), path, tuple(described["x-required-scopes"]), described, made["components"])
        for path, methods in made["paths"].items()
        for method, described in methods.items()
        if method in METHODS
    ]
    return [*found, Operation(*OF_THE_DOCUMENT, (), {}, made["components"])] if of is None else found


OPERATIONS = operations()


def each(chosen: Sequence[Operation]) -> pytest.MarkDecorator:
    """A test for each of them."""
    return pytest.mark.parametrize("operation", chosen, ids=str)


def served(patterns: Sequence[URLPattern | URLResolver] | None = None, prefix: str = "/") -> Iterator[tuple[str, str]]:
    """Method and path of whatever views of the API answer, as the URL configuration has them."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from served(pattern.url_patterns, path)
        elif path.startswith("/v1/") and hasattr(pattern.callback, "cls"):
            # once a route was called, its actions have HEAD as well
            methods = [method.upper() for method in pattern.callback.actions if method != "head"]  # type: ignore[attr-defined]
            yield from ((method, IN_ROUTE.sub(r"{\1}", path)) for method in methods)
