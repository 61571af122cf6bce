"""The OpenAPI document in docs/ is the one that the code makes."""

from typing import Any

import yaml
from django.conf import settings
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from emailgistics.common.access import Scope

DOCUMENT = settings.BASE_DIR / "docs" / "openapi.yaml"


def generated() -> dict[str, Any]:
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    return schema


def test_the_document_is_up_to_date() -> None:
    # if not: manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
    made = OpenApiYamlRenderer().render(generated(), renderer_context={})  # type: ignore[no-untyped-call]  # theirs
    assert made == DOCUMENT.read_bytes()


def test_the_document_is_made_without_a_warning(tmp_path: Any) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "openapi.yaml"))
    validate_schema(generated())  # type: ignore[no-untyped-call]  # theirs


def test_every_operation_says_who_may_and_what_goes_wrong() -> None:
    operations = [
        operation
        for methods in yaml.safe_load(DOCUMENT.read_text())["paths"].values()
        for operation in methods.values()
    ]
    assert len(operations) >= 6
    for operation in operations:
        assert {name for requirement in operation["security"] for name in requirement} == {"bearer", "apiKeyHeader"}
        for requirement in operation["security"]:
            assert {scope for scopes in requirement.values() for scope in scopes} <= set(Scope.values)
        assert {"200", "401", "403"} <= operation["responses"].keys()
        assert all(operation[name] for name in ("operationId", "summary", "description"))
