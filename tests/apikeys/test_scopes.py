"""One registry of scopes: whatever names them takes them from there, and no key is without one."""

import json
import secrets
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from apikeys.authentication import lookup, required_scopes, widen
from apikeys.credentials import parse_key
from apikeys.forms import KeyForm
from apikeys.models import ApiKey
from apikeys.permissions import _actions
from apikeys.services import create_api_key, parse_scopes
from emailgistics.common.access import Scope
from emailgistics.common.errors import RefusedError
from emailgistics.common.ids import uuid7
from tests.access.operations import operations, served
from tests.apikeys.factories import make_key
from tests.factories import in_days

NEW = "calendars:write"
# a process, begun with one scope more in the registry: who has a list of his own does not offer it
PROGRAM = f"""
from django.db.models import TextChoices
from emailgistics.common import access
access.Scope = TextChoices("Scope", {{**{{scope.name: (scope.value, scope.name) for scope in access.Scope}},
                                     "NEW": ("{NEW}", "Write calendars")}})
import django, io, json
from contextlib import redirect_stdout, suppress
django.setup()
from django.core.management import call_command
from apikeys import presets, services
from apikeys.authentication import widen
from apikeys.forms import KeyForm
from emailgistics.docs.schema import document
from mailboxes.api.views.rules import RuleViewSet
RuleViewSet.required_scopes = dict(RuleViewSet.required_scopes, list=access.Scope.NEW)
said = io.StringIO()
with redirect_stdout(said), suppress(SystemExit):
    call_command("apikeys", "create", "--help")
rules = json.loads(document(""))["paths"]["/v1/rules"]["get"]
print(json.dumps({{
    "form": [name for name, _ in KeyForm().fields["scopes"].choices],
    "initial": list(KeyForm().fields["scopes"].initial),
    "picker": [scope for row in presets.grid() for scope in (row.read, row.write) if scope] + presets.apart(),
    "presets": {{str(preset.name): sorted(preset.scopes) for preset in presets.PRESETS}},
    "full": sorted(services.parse_scopes(["full"])),
    "command": "".join(said.getvalue().split()),
    "document": [rules["x-required-scopes"], rules["security"]],
    "description": rules["description"],
    "older": sorted(widen({Scope.values!r})),
}}))
"""


def test_a_scope_that_is_added_to_the_registry_is_everywhere_but_in_the_keys_that_there_are() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    told = json.loads(run.stdout)
    everything = sorted([*Scope.values, NEW])
    for place in ("form", "initial", "picker", "full"):
        assert sorted(told[place]) == everything, place
    assert told["presets"]["Full"] == everything
    assert NEW not in told["presets"]["Read-only"]
    assert NEW in told["command"]
    assert told["document"] == [[NEW], [{"bearer": [NEW]}, {"apiKeyHeader": [NEW]}]]
    assert f"`{NEW}`" in told["description"]
    # a key that was made for all scopes there were
    assert told["older"] == sorted(Scope.values)


def test_views_and_the_document_name_the_same_scopes() -> None:
    from django.urls import get_resolver

    by_views = sorted(
        (f"/{route}", action, sorted(required_scopes(view, str(action)) or ()))
        for route, view, action in _actions(get_resolver().url_patterns)
    )
    assert all(scope in Scope for *_, scopes in by_views for scope in scopes)
    documented = operations()
    assert len(by_views) == len(documented) == len(list(served()))
    for operation in documented:
        security = operation.described.get("security", [])
        assert all(list(scheme.values()) == [list(operation.scopes)] for scheme in security), operation
    assert sorted(scopes for *_, scopes in by_views) == sorted(sorted(one.scopes) for one in documented)


@pytest.mark.django_db
def test_full_is_what_there_was_when_the_key_was_made() -> None:
    """Its scopes are stored one by one, so nothing that comes later is among them."""
    key, plaintext = make_key(scopes=parse_scopes(["full"]))
    assert ApiKey.objects.get(pk=key.pk).scopes == sorted(Scope.values)
    assert lookup(parse_key(plaintext), plaintext).principal.scopes == widen(key.scopes) == frozenset(Scope)


# --- a key without a scope


@pytest.mark.django_db
def test_no_service_command_or_form_makes_a_key_without_a_scope() -> None:
    with pytest.raises(RefusedError, match="at least one scope"):
        create_api_key(name="CI", expires_at=in_days(30), scopes=parse_scopes([]), mailboxes=None)
    for given in ([""], ["--scope="], ["emails:read", ""]):
        arguments = [one if one.startswith("--") else f"--scope={one}" for one in given]
        with pytest.raises(CommandError, match="There is no scope ''"):
            call_command("apikeys", "create", "--name=CI", "--expires=30d", "--all-mailboxes", *arguments)
    for scopes in ([], [""]):
        form = KeyForm({"name": "CI", "expiry": "90", "reach": "all", "scopes": scopes})
        assert "scopes" in form.errors
    assert not ApiKey.objects.exists()


def insert_like(key: ApiKey, scopes: str | None) -> None:
    """The row of the key again, as another key with these scopes, in SQL."""
    pk = uuid7()
    own = {
        "id": pk if connection.vendor == "postgresql" else pk.hex,
        "identifier": f"emgk_{secrets.token_hex(5)}",
        "digest": secrets.token_bytes(32),
        "scopes": scopes,
    }
    others = [field.column for field in ApiKey._meta.concrete_fields if field.column and field.column not in own]
    columns = [*own, *others]
    taken = ["%s" if column in own else column for column in columns]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO apikeys_apikey ({', '.join(columns)}) "
            f"SELECT {', '.join(taken)} FROM apikeys_apikey WHERE identifier = %s",
            [*own.values(), key.identifier],
        )


@pytest.mark.django_db
@pytest.mark.parametrize("scopes", ["[]", "[ ]", "{}", "null", "0", '"emails:read"', '""', "[null]", "[[]]", None])
def test_nor_does_raw_sql(scopes: str | None) -> None:
    like, _ = make_key()
    with pytest.raises(IntegrityError, match=r"apikey_has_scope|scopes"):
        insert_like(like, scopes)
    assert list(ApiKey.objects.all()) == [like]
    insert_like(like, '["emails:read"]')  # so it was the scopes
    assert ApiKey.objects.count() == 2
