"""The recipes of docs/integrations/recipes as they are written: their calls, and the fields that they map."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any
from urllib.parse import urlsplit

from tests.installation import Installation
from tests.integrations.platforms import INTEGRATIONS, JsonObject

FOLDER = INTEGRATIONS / "recipes"
NAMES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")

CALL = re.compile(r"```http\n(?P<request>.*?)```\n+(?P<answer>Answers .*?)(?:\n\n|\Z)", re.DOTALL)
KEPT = re.compile(r"`\{\{(?P<name>\w+)\}\}` is `(?P<path>[^`]+)`")
STEP = re.compile(r"(?P<name>\w+)|\[(?P<number>\d+)\]|\[(?P<by>\w+)=(?P<value>[^\]]+)\]")


@dataclass(frozen=True, slots=True)
class Call:
    """A block of `http`, and the line after it that says what comes of it."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    status: int
    keeps: dict[str, str]  # name -> where it stands in the answer

    @property
    def hands_mail_in(self) -> bool:
        return self.headers.get("Content-Type") == "message/rfc822"


def calls_of(name: str) -> list[Call]:
    text = (FOLDER / f"{name}.md").read_text()
    found = [_call(match) for match in CALL.finditer(text)]
    assert len(found) == text.count("```http"), f"a call of {name} does not say what it answers"
    return found


def fields_of(name: str) -> set[str]:
    """What stands as `data.…` in the tables."""
    rows = [line for line in (FOLDER / f"{name}.md").read_text().splitlines() if line.startswith("|")]
    return {path for row in rows for path in re.findall(r"`(data\.[^`]+)`", row)}


def _call(match: re.Match[str]) -> Call:
    head, _, body = match["request"].partition("\n\n")
    line, *headers = head.strip().splitlines()
    method, url = line.split(" ")
    status = re.search(r"Answers `(\d+)`", match["answer"])
    assert status
    return Call(
        method=method,
        url=url,
        headers=dict(header.split(": ", 1) for header in headers),
        body=body,
        status=int(status[1]),
        keeps={found["name"]: found["path"] for found in KEPT.finditer(match["answer"])},
    )


@dataclass(slots=True)
class Cook:
    """Follows a recipe: fills in what is known, and keeps what a call says is to be kept."""

    installation: Installation
    known: dict[str, str]
    event: JsonObject = field(default_factory=dict)  # what was delivered last

    def filled(self, text: str) -> str:
        return re.sub(r"\{\{([\w.]+)\}\}", lambda found: self._value(found[1]), text)

    def path_of(self, call: Call) -> str:
        parts = urlsplit(self.filled(call.url))
        assert parts.netloc == f"127.0.0.1:{self.installation.http_port}"
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def keep(self, call: Call, answer: Any) -> None:
        for name, path in call.keeps.items():
            self.known[name] = found_at(answer, self.filled(path))

    def _value(self, name: str) -> str:
        return str(found_at(self.event, name)) if name.startswith("data.") else self.known[name]


def found_at(value: Any, path: str) -> Any:
    """`data[name=example.com].id`, `emails[0].id`. Raises KeyError or IndexError for what is not there."""
    return reduce(_step, STEP.finditer(path), value)


def _step(value: Any, step: re.Match[str]) -> Any:
    if step["number"]:
        return value[int(step["number"])]
    if step["by"]:
        (found,) = _rows(value, step["by"], step["value"])
        return found
    return value[step["name"]]


def _rows(values: list[JsonObject], by: str, wanted: str) -> Iterator[JsonObject]:
    return (row for row in values if row[by] == wanted)
