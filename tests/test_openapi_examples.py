"""The OpenAPI document as programs use it: valid as 3.1, with an example of everything, and each as its schema says."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from drf_spectacular.generators import SchemaGenerator

from apikeys.credentials import parse_webhook_secret
from emailgistics.docs import examples, texts

Json = dict[str, Any]
Example = tuple[Json, Any]  # a schema, and what has to fit it
PROBLEM = "application/problem+json"
FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


@pytest.fixture(scope="module")
def document() -> Json:
    made: Json = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    return made


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Each with its name for messages: of the API, and of what webhooks get."""
    for paths in (document["paths"], document["webhooks"]):
        for path, methods in paths.items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation


def examples_of(of: Json) -> list[Any]:
    """Of a media type, a parameter or a header, in either of the two ways to give them."""
    named = [example["value"] for example in of.get("examples", {}).values()]
    return [*named, of["example"]] if "example" in of else named


def resolved(document: Json, of: Json) -> Json:
    name = of.get("$ref", "").removeprefix("#/components/headers/")
    header: Json = document["components"]["headers"][name] if name else of
    return header


def check(document: Json, of: Json, value: Any) -> None:
    """Raises unless the value fits the schema, which may refer to the document's components."""
    with_components = of | {"components": document["components"]}
    jsonschema.Draft202012Validator(with_components, format_checker=FORMATS).validate(value)


def contents(operation: Json) -> Iterator[tuple[str, str, Json]]:
    """(where, type, media type) of each body, to and fro."""
    for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield "request", content_type, content
    for status, answer in operation["responses"].items():
        for content_type, content in answer.get("content", {}).items():
            yield status, content_type, content


def test_every_body_and_every_answer_has_an_example(document: Json) -> None:
    without = [
        f"{name}: {where}"
        for name, operation in operations(document)
        for where, content_type, content in contents(operation)
        if content_type != PROBLEM and not examples_of(content)
    ]
    assert without == [], "give the request one in extend_schema(examples=…), the answer one in docs/examples.py"


def test_every_problem_has_an_example_of_its_status(document: Json) -> None:
    without = []
    for name, operation in operations(document):
        for where, content_type, content in contents(operation):
            if content_type == PROBLEM:
                (example,) = examples_of(content) or [None]
                if example is None or str(example["status"]) != where:
                    without.append(f"{name}: {where}")
    assert without == [], "name a code of texts.ERRORS first in its description"


def test_every_example_is_what_its_schema_says(document: Json) -> None:
    count = 0
    for name, operation in operations(document):
        given: list[Example] = [
            (content["schema"], example) for _, _, content in contents(operation) for example in examples_of(content)
        ]
        for parameter in operation.get("parameters", ()):
            given += [(parameter["schema"], example) for example in examples_of(parameter)]
        for answer in operation["responses"].values():
            for header in answer.get("headers", {}).values():
                said = resolved(document, header)
                given += [(said["schema"], example) for example in examples_of(said)]
        for of, example in given:
            try:
                check(document, of, example)
            except jsonschema.ValidationError as error:
                pytest.fail(f"{name}: {error.message} at {error.json_path} of {str(example)[:200]}")
        count += len(given)
    assert count > 500


def test_every_example_of_an_answer_has_all_that_is_really_answered(document: Json) -> None:
    """What is left out are fields that are there only if somebody asks for them."""
    asked_for = {"EmailWithContent", "ChangedWebhook"}
    for name, example in examples.OF_COMPONENT.items():
        component = document["components"]["schemas"][name]
        if name not in asked_for:
            assert example.keys() == component["properties"].keys(), name
        assert example.keys() <= component["properties"].keys(), name


def test_the_schemas_are_schemas_of_2020_12(document: Json) -> None:
    for name, component in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(component)
        assert list(keys_of(component, "nullable")) == [], f"{name} has a word of OpenAPI 3.0"
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])
            assert parameter.get("description"), (name, parameter["name"])


def keys_of(of: Any, key: str) -> Iterator[Any]:
    inner = of.values() if isinstance(of, dict) else of if isinstance(of, list) else ()
    if isinstance(of, dict) and key in of and not isinstance(of[key], dict):
        yield of[key]
    for each in inner:
        yield from keys_of(each, key)


def test_the_ids_of_the_examples_have_the_prefix_of_what_they_name(document: Json) -> None:
    for path in document["paths"]:
        assert "{" not in examples.path_of(path), path
    assert examples.path_of("/v1/emails/{id}/attachments/{attachment_id}") == (
        f"/v1/emails/{examples.EMAIL_ID}/attachments/{examples.ATTACHMENT_ID}"
    )
    assert len(set(examples.ID_OF_SEGMENT.values())) == len(examples.ID_OF_SEGMENT)


def test_the_secret_of_the_examples_is_one_in_form(document: Json) -> None:
    assert parse_webhook_secret(examples.SECRET)


def test_every_component_that_has_an_example_is_answered_somewhere(document: Json) -> None:
    answered = {str(of) for _, operation in operations(document) for of in keys_of(operation["responses"], "$ref")}
    listed = {str(of) for component in document["components"]["schemas"].values() for of in keys_of(component, "$ref")}
    named = {name.rpartition("/")[2] for name in answered | listed}
    assert examples.OF_COMPONENT.keys() <= named


def test_a_wrong_example_would_be_noticed(document: Json) -> None:
    of = {"$ref": "#/components/schemas/Domain"}
    mistakes: list[Json] = [{"name": 7}, {"created_at": 1}, {"default_mailbox_id": []}]
    for wrong in mistakes:
        with pytest.raises(jsonschema.ValidationError):
            check(document, of, examples.DOMAIN | wrong)


def test_every_header_of_an_answer_says_what_it_is(document: Json) -> None:
    for name, operation in operations(document):
        for answer in operation["responses"].values():
            for header in answer.get("headers", {}).values():
                assert resolved(document, header)["description"], name
    assert len(document["components"]["headers"]) == len(texts.HEADERS)
