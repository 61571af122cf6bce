"""The OpenAPI document as Markdown, a page for each tag: docs/api, for people who read instead of trying out.

Written by `manage.py api_reference`, and kept true by a test. Nothing is said here that the document does not say.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from emailgistics.common.problems import CONTENT_TYPE as PROBLEM
from emailgistics.docs import examples, texts
from emailgistics.docs.markdown import anchor_of

Json = dict[str, Any]

INTRODUCTION = (
    "Every operation of `/v1`, made from the [OpenAPI document](../openapi.yaml). The scopes are those that a key "
    "needs: [Authentication](../guide/authentication.md#scopes)."
)
NEEDS = re.compile(r"\n\n(?:Needs the scopes? .*|Any valid key will do\.)$")
LINE_OF_ENUM = re.compile(r"\n*^\* `.*", re.MULTILINE)
SAVED_AS = {"message/rfc822": "mail.eml", "*/*": "attachment.bin"}
# what stands in samples for a query parameter that has to be there
QUERY = {"recipient": "help@example.com"}
WIDTH = 120  # of a sample, before it is broken into lines
CODES = re.compile(r"(?P<begin><!-- (?P<of>field codes|codes):[^\n]*-->\n).*?(?P<end><!-- /(?P=of) -->)", re.DOTALL)


def pages(document: Json) -> dict[str, str]:
    """File name -> text."""
    components = document["components"]["schemas"]
    found = {"README.md": _index(document)}
    for tag in document["tags"]:
        found[f"{anchor_of(tag['name'])}.md"] = _page(document, tag, components)
    return found


def with_codes(text: str) -> str:
    """The guide's page about errors with the tables of all codes, each between its two marks."""
    rows = "".join(f"| `{code}` | {status} | {_cell(meaning)} |\n" for status, code, meaning in texts.ERRORS)
    fields = "".join(f"| `{code}` | {_cell(meaning)} |\n" for code, meaning in texts.FIELD_CODES)
    tables = {
        "codes": f"\n| Code | Status | Meaning |\n|---|---|---|\n{rows}\n",
        "field codes": f"\n| Code | Meaning |\n|---|---|\n{fields}\n",
    }
    return CODES.sub(lambda found: found["begin"] + tables[found["of"]] + found["end"], text)


def _index(document: Json) -> str:
    lines = ["# Reference", "", INTRODUCTION]
    for tag in document["tags"]:
        name, file = tag["name"], f"{anchor_of(tag['name'])}.md"
        lines += [
            "",
            f"## {name}",
            "",
            tag["description"],
            "",
            "| Operation | What it does | Scopes |",
            "|---|---|---|",
        ]
        for path, method, operation in _operations(document, name):
            link = f"[`{method.upper()} {path}`]({file}#{anchor_of(operation['summary'])})"
            lines.append(f"| {link} | {operation['summary']} | {_scopes(operation) or 'any key'} |")
    return "\n".join(lines) + "\n"


def _page(document: Json, tag: Json, components: Json) -> str:
    server = document["servers"][0]["url"]
    operations = list(_operations(document, tag["name"]))
    lines = [f"# {tag['name']}", "", tag["description"]]
    for path, method, operation in operations:
        lines += ["", *_operation(server, path, method, operation, components)]
    if objects := list(_objects([operation for _, _, operation in operations], components)):
        lines += ["", "## Objects"]
        for name in objects:
            lines += ["", f"### {name}", "", *_fields(components[name], components, has_required=False)]
    return "\n".join(lines) + "\n"


def _operation(server: str, path: str, method: str, operation: Json, components: Json) -> Iterator[str]:
    yield from (f"## {operation['summary']}", "", f"`{method.upper()} {path}`", "")
    scopes = _scopes(operation)
    needs = f"Scopes: {scopes}." if scopes else "Any valid key will do."
    yield f"{needs} Operation id: `{operation['operationId']}`."
    yield from ("", NEEDS.sub("", operation["description"]))
    if parameters := operation.get("parameters"):
        yield from ("", "| Parameter | In | Type | What it is |", "|---|---|---|---|")
        yield from (_parameter(parameter, components) for parameter in parameters)
    bodies = operation.get("requestBody", {}).get("content", {})
    for content_type, content in list(bodies.items())[:1]:
        yield from ("", f"Body, as `{content_type}`:", "", *_body_fields(content["schema"], components))
    yield from ("", "```sh", _curl(server, path, method, operation), "```")
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield from ("", *_answer(status, answer, components))
    yield from ("", "| Error | When |", "|---|---|")
    yield from (f"| {status} | {_cell(answer['description'])} |" for status, answer in _errors(operation))


def _parameter(parameter: Json, components: Json) -> str:
    kind = _type(parameter["schema"], components) + (", required" if parameter.get("required") else "")
    return f"| `{parameter['name']}` | {parameter['in']} | {kind} | {_cell(parameter.get('description', ''))} |"


def _body_fields(schema: Json, components: Json) -> list[str]:
    named = components.get(_name(schema), schema)
    if "properties" not in named:
        return [f"{_type(schema, components)}."]
    return _fields(named, components, has_required=True)


def _fields(component: Json, components: Json, *, has_required: bool) -> list[str]:
    required = component.get("required", ())
    lines = ["| Field | Type | What it is |", "|---|---|---|"]
    for name, schema in component.get("properties", {}).items():
        kind = _type(schema, components)
        if has_required and name in required:
            kind += ", required"
        elif not has_required and name not in required:
            kind += ", not always there"
        lines.append(f"| `{name}` | {kind} | {_cell(_description(schema, components))} |")
    return lines


def _description(schema: Json, components: Json) -> str:
    """Without the list of an enumeration's values, which the type has."""
    said = schema.get("description") or (components.get(_name(schema), {}) if "enum" not in schema else {}).get(
        "description", ""
    )
    said = LINE_OF_ENUM.sub("", said).strip()
    default = schema.get("default")
    return f"{said}{'; ' if said else ''}default `{json.dumps(default)}`" if default is not None else said


def _answer(status: str, answer: Json, components: Json) -> Iterator[str]:
    description = f": {answer['description']}" if len(answer["description"]) > len("Too Many") else ""
    for content_type, content in answer.get("content", {}).items():
        kind = _type(content["schema"], components)
        yield from (f"**{status}**{description.rstrip('.')}, {kind}, as `{content_type}`:", "")
        for example in _examples(content)[:1]:
            yield from _sample_of_answer(example)
    if not answer.get("content"):
        yield f"**{status}**{description or ', without a body'}"


def _sample_of_answer(example: Any) -> tuple[str, str, str]:
    if isinstance(example, str):
        return ("```", example.replace("\r\n", "\n").rstrip(), "```")
    return ("```json", json.dumps(example, ensure_ascii=False, indent=2), "```")


def _errors(operation: Json) -> Iterator[tuple[str, Json]]:
    for status, answer in sorted(operation["responses"].items()):
        if PROBLEM in answer.get("content", {}):
            yield status, answer


def _curl(server: str, path: str, method: str, operation: Json) -> str:
    parts = ["curl"] if method in ("get", "post") else [f"curl -X {method.upper()}"]
    bodies = operation.get("requestBody", {}).get("content", {})
    if method == "post" and not bodies:
        parts = ["curl -X POST"]
    parts.append('-H "Authorization: Bearer $KEY"')
    for content_type, content in list(bodies.items())[:1]:
        parts.append(f'-H "Content-Type: {content_type}"')
        example = next(iter(_examples(content)))
        is_text = isinstance(example, str)
        data = "--data-binary @mail.eml" if is_text else f"-d {shlex.quote(json.dumps(example, ensure_ascii=False))}"
        parts.append(data)
    answered = {kind for answer in operation["responses"].values() for kind in answer.get("content", {})}
    parts += [f"-o {file}" for kind, file in SAVED_AS.items() if kind in answered]
    query = "&".join(
        f"{parameter['name']}={QUERY.get(parameter['name'], '…')}"
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and parameter.get("required")
    )
    parts.append(f'"{server}{examples.path_of(path)}{"?" + query if query else ""}"')
    command = " ".join(parts)
    return command if len(command) <= WIDTH else " \\\n  ".join(parts)


def _type(schema: Json, components: Json) -> str:
    """In words: `string or null`, `list of [Rule](#rule)`, one of the values of an enumeration."""
    if name := _name(schema):
        return _type_of_component(name, components)
    if "enum" in schema or "const" in schema:
        return _values(schema.get("enum", [schema.get("const")]))
    if parts := schema.get("allOf") or schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(part, components) for part in parts))
    kinds = schema.get("type", "anything")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return " or ".join(_plain_type(kind, schema, components) for kind in kinds)


def _type_of_component(name: str, components: Json) -> str:
    component = components[name]
    if "enum" in component:
        return _values(component["enum"])
    if "properties" not in component:
        return _type(component, components)
    if row := _row_of_list(component):
        return f"a {'page' if _is_page(component) else 'list'} of {_type_of_component(row, components)}"
    return f"[{name}](#{anchor_of(name)})"


def _plain_type(kind: str, schema: Json, components: Json) -> str:
    match kind:
        case "array":
            return f"list of {_type(schema.get('items', {}), components)}"
        case "object" if (values := schema.get("additionalProperties")) and isinstance(values, dict):
            return f"object of {_type(values, components)}" if values else "object"
        case "object" if "properties" in schema:
            return f"object of {', '.join(f'`{name}`' for name in schema['properties'])}"
        case "string":
            return {"date-time": "instant", "date": "date", "uri": "URL", "binary": "octets"}.get(
                schema.get("format", ""), "string"
            )
        case "integer" if "minimum" in schema and "maximum" in schema:
            return f"integer from {schema['minimum']} to {schema['maximum']}"
    return kind


def _values(values: Iterable[Any]) -> str:
    return " or ".join(f"`{value}`" for value in values)


def _objects(of: Iterable[Json], components: Json) -> list[str]:
    """The components that these operations answer or take, but what has a table of its own: bodies, lists, problems."""
    found: dict[str, None] = {}
    for operation in of:
        bodies = list(operation.get("requestBody", {}).get("content", {}).values())
        for content in bodies:
            for schema in components.get(_name(content["schema"]), {}).get("properties", {}).values():
                _gather(schema, components, found)
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                _gather(answer.get("content", {}), components, found)
    return [name for name in found if "properties" in components[name] and not _row_of_list(components[name])]


def _gather(of: Any, components: Json, found: dict[str, None]) -> None:
    if isinstance(of, dict):
        name = _name(of)
        if name and name not in found:
            found[name] = None
            _gather(components[name], components, found)
        of = [value for key, value in of.items() if key not in ("example", "examples")]
    if isinstance(of, list):
        for inner in of:
            _gather(inner, components, found)


def _row_of_list(component: Json) -> str:
    properties = component.get("properties", {})
    is_list = properties.keys() in ({"data"}, {"data", "pagination"})
    return _name(properties["data"].get("items", {})) if is_list else ""


def _is_page(component: Json) -> bool:
    return "pagination" in component["properties"]


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["tags"] == [tag]:
                yield path, method, operation


def _scopes(operation: Json) -> str:
    return ", ".join(f"`{scope}`" for scope in operation["x-required-scopes"])


def _examples(content: Json) -> list[Any]:
    named = [example["value"] for example in content.get("examples", {}).values()]
    return [*named, content["example"]] if "example" in content else named


def _name(schema: Json) -> str:
    return str(schema.get("$ref", "")).removeprefix(examples.COMPONENTS)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
