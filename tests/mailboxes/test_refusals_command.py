"""`manage.py refusals`: what was not taken, for whoever looks for it at the shell."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.mailboxes.test_api_refusals import make_refusal

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("refusals", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def found(*arguments: str) -> list[str]:
    return [one["recipient"] for one in run("list", *arguments)["data"]]


def test_a_refusal_is_shown_as_the_api_shapes_it() -> None:
    refusal = make_refusal()
    told = run("show", refusal.public_id)
    assert (told["id"], told["code"], told["reply"]) == (
        refusal.public_id, "unknown_recipient", "550 5.1.1 no such address"
    )  # fmt: skip
    assert run("list") == {"data": [told]}
    for wrong in ("ref_1", "", refusal.public_id.replace("ref_", "email_")):
        with pytest.raises(CommandError, match="There is no refusal"):
            run("show", wrong)


def test_refusals_are_narrowed_down_as_in_the_api() -> None:
    now = timezone.now()
    make_refusal(at=now - timedelta(days=3), recipient="old@example.com")
    make_refusal(at=now - timedelta(hours=2), recipient="Second@Example.com", network="198.51.100.0/24", code="rule")
    make_refusal(at=now - timedelta(hours=1), recipient="third@example.com", outcome="discarded")
    assert found() == ["third@example.com", "Second@Example.com", "old@example.com"]
    assert found("--limit", "1") == ["third@example.com"]
    assert found("--recipient", "second@example.com") == ["Second@Example.com"]
    assert found("--network", "198.51.100.7") == ["Second@Example.com"]
    assert found("--code", "rule") == ["Second@Example.com"]
    assert found("--outcome", "discarded") == ["third@example.com"]
    assert found("--since", "24h") == ["third@example.com", "Second@Example.com"]
    assert found("--until", "24h") == ["old@example.com"]
    assert found("--since", "24h", "--until", (now - timedelta(minutes=90)).isoformat()) == ["Second@Example.com"]
    for wrong in (("--network", "everywhere"), ("--since", "soon")):
        with pytest.raises(CommandError):
            found(*wrong)
