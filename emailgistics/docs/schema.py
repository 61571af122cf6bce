"""The OpenAPI document: made once in a process, because it is the same for everybody."""

import json
import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from http import HTTPStatus
from itertools import pairwise
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from rest_framework import exceptions

from apikeys.authentication import HOW, KeyRefusedError
from emailgistics.common import problems
from emailgistics.common.access import Scope
from emailgistics.common.idempotency import HEADER
from emailgistics.docs import events, examples, texts
from emailgistics.docs.links import add_links

Json = dict[str, Any]

MEANINGS = {(status, code): meaning for status, code, meaning in texts.ERRORS}
CODE = re.compile(r"`([a-z_]+)`")
MISSING_CREDENTIALS = f"This needs an API key. {HOW}"
REQUIRED = exceptions.ErrorDetail("This field is required.", "required")

METHODS = frozenset({"get", "post", "put", "patch", "delete"})
REQUEST_ID, RETRY_AFTER, IS_REPLAYED = "RequestId", "RetryAfter", "Replayed"
# of each operation that takes an Idempotency-Key, beside what it says of itself
ONCE_PROBLEMS = {
    HTTPStatus.BAD_REQUEST: f"`validation_error` with `errors`: {HEADER} has 1 to 255 visible ASCII characters.",
    HTTPStatus.NOT_FOUND: "`not_found`: the kept answer is about something that this key may not see any more.",
    HTTPStatus.CONFLICT: f"`idempotency_in_progress`: the one before with this {HEADER} is not done; see Retry-After.",
    HTTPStatus.TOO_MANY_REQUESTS: "Or `idempotency_full`: too much is kept of large answers to this key.",
    HTTPStatus.UNPROCESSABLE_ENTITY: f"`idempotency_mismatch`: this {HEADER} was sent with another request.",
}
HEADER_COMPONENTS = frozenset(component for component, *_ in texts.HEADERS)

_making = threading.Lock()  # drf-spectacular keeps what it is at in globals


@lru_cache(maxsize=2)  # the installation's address, and none
def document(server: str) -> bytes:
    """As JSON, with `server` as the address of the API."""
    with _making:
        made: Json = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    made["servers"] = [{"url": server}]
    return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()


@lru_cache
def event_schema(event_type: str) -> bytes | None:
    """The JSON Schema (draft 2020-12) of what webhooks get for events of that type; None if there are none.

    It is what the OpenAPI document says, cut loose from it. New names may be added to events: nothing is closed.
    """
    made: Json = json.loads(document(""))
    webhook = made["webhooks"].get(event_type)
    if webhook is None:
        return None
    (content,) = webhook["post"]["requestBody"]["content"].values()
    definitions: Json = {}
    _gather(content["schema"], made["components"]["schemas"], definitions)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"/v1/schemas/{event_type}.json",  # of whatever installation: they are the same everywhere
        "title": event_type,
        "description": webhook["post"]["description"],
        **content["schema"],
        "$defs": dict(sorted(definitions.items())),
    }
    return (json.dumps(schema, ensure_ascii=False, indent=2).replace(examples.COMPONENTS, "#/$defs/") + "\n").encode()


def finish(result: Json, **_: Any) -> Json:
    """drf-spectacular's last hook: adds what no view has to say for itself."""
    result["info"]["description"] = texts.DESCRIPTION
    components = result["components"]["schemas"]
    for path, operation in _operations(result):
        _finish_operation(path, operation)
        _describe_ids(path, operation)
        _add_examples(operation, components)
    _say_null_as_in_3_1(components)
    add_links(result["paths"])
    used = {tag for _, operation in _operations(result) for tag in operation["tags"]}
    result["tags"] = [{"name": name, "description": text} for name, text in texts.TAGS.items() if name in used]
    schemes = result["components"]["securitySchemes"]
    result["components"]["securitySchemes"] = {
        name: schemes[name] | {"description": text} for name, text in texts.SECURITY_SCHEMES.items()
    }
    result["components"]["headers"] = {
        component: {"description": description, "schema": {"type": kind}, "example": example}
        for component, _, kind, description, example in texts.HEADERS
    }
    for name, (description, example) in events.HEADERS.items():
        for event in events.EVENTS:
            for operation in result["webhooks"][event.name].values():
                operation.setdefault("parameters", []).append(_signature_header(name, description, example))
    return result


def tag_of(path: str) -> str:
    """`Deliveries` for `/v1/webhooks/{id}/deliveries`. What texts.py does not know is called as in the path."""
    segments = [segment for segment in path.split("/") if segment and not segment.startswith("{")][1:]
    known = [texts.TAG_OF_SEGMENT[segment] for segment in segments if segment in texts.TAG_OF_SEGMENT]
    return known[-1] if known else segments[0].capitalize()


def _gather(of: Any, components: Json, found: Json) -> None:
    """Adds to `found` every component that the schema refers to, by whatever way."""
    if isinstance(of, list):
        for inner in of:
            _gather(inner, components, found)
    elif isinstance(of, dict):
        name = str(of.get("$ref", "")).removeprefix(examples.COMPONENTS)
        if name and name not in found:
            found[name] = components[name]
            _gather(components[name], components, found)
        _gather(list(of.values()), components, found)


def _operations(result: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in result["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, operation


def _finish_operation(path: str, operation: Json) -> None:
    operation["tags"] = [tag_of(path)]
    scopes = list(
        dict.fromkeys(scope for entry in operation["security"] for names in entry.values() for scope in names)
    )
    operation["x-required-scopes"] = scopes
    # what no list of scopes can say, a view says in words
    said_of_scopes = operation.pop("x-needs", "Any valid key will do.")
    needs = f"Needs the scope{'s' * (len(scopes) > 1)} {' and '.join(f'`{scope}`' for scope in scopes)}."
    is_once = any(parameter["name"] == HEADER for parameter in operation.get("parameters", []))
    if is_once:
        _add_problems_of_once(operation["responses"])
    said = operation.get("description", "")
    operation["description"] = f"{said}\n\n{needs if scopes else said_of_scopes}".strip()
    for status, response in operation["responses"].items():
        response.setdefault("headers", {}).update(_headers_of(int(status), is_once=is_once))
        # a description is required, and "" says nothing
        description = str(response["description"]) or HTTPStatus(int(status)).phrase
        response["description"] = description
        content = response.get("content", {}).get(problems.CONTENT_TYPE)
        if content and (example := _problem_example(int(status), description, scopes)):
            content["example"] = example


def _add_problems_of_once(responses: Json) -> None:
    for status, description in ONCE_PROBLEMS.items():
        if (described := responses.get(str(int(status)))) is None:
            content = {problems.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            responses[str(int(status))] = {"description": description, "content": content}
        elif status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
            described["description"] += f" {description}"


def _describe_ids(path: str, operation: Json) -> None:
    """Says of each id in the path what it begins with, where the view says nothing of it."""
    for before, segment in pairwise(path.split("/")):
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path" and segment == f"{{{parameter['name']}}}" and "description" not in parameter:
                parameter["description"] = f"An id as `{examples.ID_OF_SEGMENT[before].partition('_')[0]}_…`."


def _add_examples(operation: Json, components: Json) -> None:
    """To each answer with a body, unless the view gives one itself."""
    for status, response in operation["responses"].items():
        for content_type, content in response.get("content", {}).items():
            if content_type == problems.CONTENT_TYPE or "example" in content or "examples" in content:
                continue
            example = examples.of_answer(status, content_type, content["schema"], components)
            if example is not None:
                content["example"] = example


def _say_null_as_in_3_1(of: Any) -> None:
    """`nullable`, which drf-spectacular still writes for a TypedDict, is of 3.0 and means nothing any more."""
    if isinstance(of, dict):
        if of.get("nullable") is True:
            del of["nullable"]
            of["type"] = [of["type"], "null"]
        of = list(of.values())
    if isinstance(of, list):
        for inner in of:
            _say_null_as_in_3_1(inner)


def _headers_of(status: int, *, is_once: bool) -> Json:
    """Those about limits are named where they are looked for: on success, and on a 429."""
    left_out = set()
    if status != HTTPStatus.TOO_MANY_REQUESTS:
        left_out = {RETRY_AFTER} if status < HTTPStatus.BAD_REQUEST else {*HEADER_COMPONENTS} - {REQUEST_ID}
    if is_once and status == HTTPStatus.CONFLICT:
        left_out -= {RETRY_AFTER}
    if not is_once or status >= HTTPStatus.MULTIPLE_CHOICES:
        left_out |= {IS_REPLAYED}
    return {
        name: {"$ref": f"#/components/headers/{component}"}
        for component, name, *_ in texts.HEADERS
        if component not in left_out
    }


def _problem_example(status: int, description: str, scopes: list[str]) -> Json | None:
    """The problem that the description names first."""
    named = CODE.search(description)
    code = named[1] if named else ""
    match code:
        case "missing_credentials":
            answer = problems.exception_handler(KeyRefusedError(code, MISSING_CREDENTIALS), {"request": None})
        case "insufficient_scope" if scopes:
            lacking = problems.InsufficientScopeError([Scope(scope) for scope in scopes])
            answer = problems.exception_handler(lacking, {"request": None})
        case "not_found":
            answer = problems.not_found()
        case "validation_error":
            answer = problems.exception_handler(exceptions.ValidationError({"name": [REQUIRED]}), {"request": None})
        case _ if (status, code) in MEANINGS:
            answer = problems.problem(status, code, MEANINGS[status, code])
        case _:
            return None
    example: Json = json.loads(answer.content)
    return example


def _signature_header(name: str, description: str, example: str) -> Json:
    header: Json = {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
    return header | ({"required": True, "example": example} if example else {"required": False})
