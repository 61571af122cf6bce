"""What Make does with a blueprint, as far as those in docs/integrations/make use it: modules, filters, expressions."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.installation import Installation
from tests.integrations.platforms import INTEGRATIONS, JsonObject, Request, ask

TOKEN = re.compile(
    r'\s*(?:(?P<text>"[^"]*")|(?P<name>[a-z]\w*)\(|(?P<reference>\d+(?:\.(?:`\w+`|\w+))*)|(?P<sign>[;)]))'
)


class ModuleFailedError(Exception):
    """A module of HTTP answered with an error, which ends the run."""


@dataclass(slots=True)
class Scenario:
    """A blueprint whose settings are filled in. `store` is its data store: what it keeps from run to run."""

    blueprint: JsonObject
    installation: Installation
    store: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def imported(cls, name: str, installation: Installation, **settings: str) -> "Scenario":
        """Every setting has to be there already, as a placeholder."""
        blueprint: JsonObject = json.loads((INTEGRATIONS / "make" / name).read_text())
        (variables,) = [
            module["mapper"]["variables"] for module in blueprint["flow"]
            if module["metadata"]["designer"]["name"] == "Settings: the one place"
        ]  # fmt: skip
        by_name = {variable["name"]: variable for variable in variables}
        for setting, value in settings.items():
            by_name[setting]["value"] = value
        return cls(blueprint, installation)

    def run(self, request: Request | None = None) -> dict[int, Any]:
        """What each module put out, up to the filter that let nothing through."""
        done: dict[int, Any] = {}
        for module in self.blueprint["flow"]:
            if not passes(module.get("filter"), done):
                break
            mapper = mapped(module["mapper"], done)
            done[module["id"]] = self._module(module["module"], mapper, request)
        return done

    def _module(self, kind: str, mapper: JsonObject, request: Request | None) -> Any:
        if kind == "gateway:CustomWebHook":
            assert request is not None
            headers = [{"name": name, "value": value} for name, value in request.headers.items()]
            return {"value": request.body.decode(), "__IMTHEADERS__": headers}
        if kind == "datastore:AddRecord":
            self.store[mapper["key"]] = mapper["data"]
            return {}
        if kind == "http:ActionSendData":
            return self._asked(mapper)
        if kind == "json:ParseJSON":
            return json.loads(mapper["json"])
        if kind == "datastore:ExistRecord":
            return {"exist": mapper["key"] in self.store}
        assert kind == "util:SetVariables"
        return {one["name"]: one["value"] for one in mapper["variables"]}

    def _asked(self, mapper: JsonObject) -> JsonObject:
        """Only ever the installation of the settings."""
        parts = urlsplit(mapper["url"])
        assert parts.netloc == f"127.0.0.1:{self.installation.http_port}"
        query = urlencode([(one["name"], one["value"]) for one in mapper["qs"]])
        headers = {one["name"]: one["value"] for one in mapper["headers"]}
        if mapper["bodyType"]:
            headers["Content-Type"] = mapper["contentType"]
        body = mapper["data"].encode() if mapper["bodyType"] else None
        path = f"{parts.path}?{query}" if query else parts.path
        status, answer = ask(self.installation, mapper["method"].upper(), path, body, headers=headers)
        if status >= 400:
            raise ModuleFailedError(status, answer["message"])
        return {"statusCode": status, "data": answer}


def passes(condition: JsonObject | None, done: Mapping[int, Any]) -> bool:
    """Groups of conditions: all of one group."""
    operators: dict[str, Callable[[str, str], bool]] = {
        "text:contain": lambda a, b: b in a,
        "text:equal": lambda a, b: a == b,
        "boolean:equal": lambda a, b: a.lower() == b.lower(),
    }
    return condition is None or any(
        all(operators[one["o"]](text_of(one["a"], done), text_of(one["b"], done)) for one in group)
        for group in condition["conditions"]
    )


def mapped(value: Any, done: Mapping[int, Any]) -> Any:
    if isinstance(value, str):
        return text_of(value, done)
    if isinstance(value, list):
        return [mapped(one, done) for one in value]
    if isinstance(value, dict):
        return {name: mapped(one, done) for name, one in value.items()}
    return value


def text_of(template: str, done: Mapping[int, Any]) -> str:
    """`{{expression}}` among text."""
    return re.sub(r"\{\{(.*?)\}\}", lambda found: str(Expression(found[1], done).value()), template)


@dataclass(slots=True)
class Expression:
    """`function(argument; argument)`, "text", and `3.data.id` for what module 3 put out; "" for what is not there."""

    source: str
    done: Mapping[int, Any]
    at: int = 0

    def value(self) -> Any:
        found = self._next()
        if found["text"]:
            return found["text"][1:-1]
        if found["reference"]:
            return self._referred(found["reference"])
        arguments, sign = [], ";"
        while sign == ";":
            arguments.append(self.value())
            sign = self._next()["sign"]
        return FUNCTIONS[found["name"]](*arguments)

    def _next(self) -> re.Match[str]:
        found = TOKEN.match(self.source, self.at)
        assert found, f"{self.source[self.at :]!r} in {self.source!r}"
        self.at = found.end()
        return found

    def _referred(self, path: str) -> Any:
        module, *names = path.replace("`", "").split(".")
        if not names:
            return int(module)
        value = self.done[int(module)]
        for name in names:
            value = value.get(name, "") if isinstance(value, dict) else ""
        return value


def _get(values: list[Any], position: int) -> Any:
    """Counted from 1."""
    return values[position - 1] if len(values) >= position else ""


def _map(rows: list[JsonObject], name: str, by: str, wanted: str) -> list[Any]:
    return [row[name] for row in rows if row[by] == wanted]


def _sha256(text: str, encoding: str, key: str, key_encoding: str) -> str:
    assert (encoding, key_encoding) == ("base64", "base64")
    mac = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256)
    return base64.b64encode(mac.digest()).decode()


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {"get": _get, "map": _map, "sha256": _sha256, "replace": _replace}
