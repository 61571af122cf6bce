"""The table has a row for whatever the API answers, and says no more and no less than the contract."""

import re
from typing import Any, ClassVar

import pytest
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from apikeys.permissions import check_patterns
from emailgistics.common.access import Scope
from emailgistics.docs import texts
from tests.access import table
from tests.access.operations import OF_THE_DOCUMENT, operations, served
from tests.access.table import TABLE

ALLOWED_403 = {"insufficient_scope", "allowlist_restricted"}


def test_every_operation_has_a_row_and_needs_what_it_says() -> None:
    table.check(operations())


def test_whatever_is_served_is_in_the_document() -> None:
    documented = [(operation.method, operation.path) for operation in operations()]
    assert sorted(served()) == sorted(documented)
    assert len(set(documented)) == len(documented) > 50
    assert OF_THE_DOCUMENT in documented


def added(required: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The document of an API with one operation more, and its routes."""

    class Complaints(ViewSet):
        required_scopes: ClassVar = required

        @extend_schema(summary="List complaints", responses={200: dict})
        def list(self, request: Request) -> Response:
            return Response([])

    patterns = [path("v1/complaints", Complaints.as_view({"get": "list"}))]
    made = SchemaGenerator(patterns=patterns).get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made, patterns


def test_an_operation_without_a_row_fails() -> None:
    document, patterns = added({"list": Scope.EMAILS_READ})
    assert check_patterns(patterns) == []  # nothing but the table knows that it is new
    with pytest.raises(AssertionError, match=r"say in tests/access/table\.py what is needed for GET /v1/complaints"):
        table.check([*operations(), *operations(document)])


def test_an_operation_whose_ids_nobody_knows_fails() -> None:
    (operation,) = operations(
        {"paths": {"/v1/notes/{id}": {"get": {"x-required-scopes": []}}}, "components": {"schemas": {}}}
    )
    with pytest.raises(AssertionError, match="say whose ids stand after"):
        _ = operation.kinds


def test_an_operation_that_needs_another_scope_than_its_row_says_fails() -> None:
    changed = [
        type(one)(one.method, one.path, ("emails:write",), one.described, one.components)
        if str(one) == "GET /v1/rules"
        else one
        for one in operations()
    ]
    with pytest.raises(AssertionError, match="other scopes than the table for GET /v1/rules"):
        table.check(changed)


def test_every_scope_is_needed_somewhere() -> None:
    needed = {scope for row in TABLE.values() for scope in row.scopes}
    assert needed == set(Scope)


def test_a_403_has_one_of_two_causes() -> None:
    assert {code for status, code, _ in texts.ERRORS if status == 403} == ALLOWED_403
    for operation in operations():
        told = str(operation.described.get("responses", {}).get("403", {}).get("description", ""))
        named = set(re.findall(r"`([a-z]+_[a-z_]+)`", told)) - {"required_scopes"}
        assert named <= ALLOWED_403, f"{operation} tells of {named}"


def test_what_the_contract_keeps_for_keys_of_all_mailboxes_has_a_row() -> None:
    """Of its list: an operation, or one in some form."""
    always = {name for name, row in TABLE.items() if row.acts_on_whole_domain}
    assert always == {
        "POST /v1/domains", "PATCH /v1/domains/{id}", "DELETE /v1/domains/{id}",
        "POST /v1/domains/{id}/verify", "POST /v1/mailboxes", "POST /v1/routing/explain", "GET /v1/refusals",
    }  # fmt: skip
    in_forms = {form.what: name for name, row in TABLE.items() for form in row.whole_domain_forms}
    assert in_forms.keys() >= {
        "alias named by a catch-all", "alias named by a pattern", "alias named by a tag", "webhook of a domain",
        "rule of a domain",
    }  # fmt: skip
