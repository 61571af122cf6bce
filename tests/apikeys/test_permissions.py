import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.http import HttpRequest
from django.test import Client
from django.urls import include, path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from apikeys.permissions import check_effects, check_patterns
from emailgistics.common.access import Scope
from emailgistics.common.views import Effect
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import make_mailbox

UNKNOWN = "/v1/emails/email_00000000000000000000000000"


class Named(ViewSet):
    required_scopes: ClassVar[Mapping[str, Any]] = {"list": Scope.EMAILS_READ, "ping": ()}

    def list(self, request: HttpRequest) -> Response:
        return Response({"did": "list"})

    def ping(self, request: HttpRequest) -> Response:
        return Response({"did": "ping"})

    def create(self, request: HttpRequest) -> Response:
        return Response({"did": "create"})


class Open(Named):
    permission_classes = (AllowAny,)


class Plain(APIView):
    required_scopes: ClassVar = {"get": ()}

    def get(self, request: HttpRequest) -> Response:
        return Response({"did": "get"})


def call(view: Any, plaintext: str, method: str = "GET") -> Any:
    request = APIRequestFactory().generic(method, "/", headers={"Authorization": f"Bearer {plaintext}"})
    return view(request)


@pytest.mark.django_db
def test_an_action_passes_with_its_scope_and_is_refused_without() -> None:
    view = Named.as_view({"get": "list"})
    _, may = make_key(scopes=[Scope.EMAILS_READ])
    _, may_more = make_key(scopes=[Scope.EMAILS_WRITE])
    _, lacks = make_key(scopes=[Scope.EMAILS_CONTENT])
    assert call(view, may).data == call(view, may_more).data == {"did": "list"}
    refused = call(view, lacks)
    assert refused.status_code == 403
    assert refused["WWW-Authenticate"] == (
        'Bearer realm="Emailgistics API", error="insufficient_scope", scope="emails:read"'
    )


@pytest.mark.django_db
def test_an_action_that_needs_nothing_passes_with_any_key() -> None:
    _, plaintext = make_key(scopes=[Scope.STATISTICS_READ])
    assert call(Named.as_view({"get": "ping"}), plaintext).data == {"did": "ping"}


@pytest.mark.django_db
def test_an_action_that_is_not_named_is_refused_even_to_a_key_with_all_scopes() -> None:
    _, plaintext = make_key()
    assert call(Named.as_view({"post": "create"}), plaintext, "POST").status_code == 403
    assert call(Plain.as_view(), plaintext).status_code == 403


@pytest.mark.django_db
def test_a_missing_method_is_405_and_options_passes() -> None:
    view = Named.as_view({"get": "list"})
    _, plaintext = make_key(scopes=[Scope.STATISTICS_READ])
    assert call(view, plaintext, "DELETE").status_code == 405
    assert call(view, plaintext, "OPTIONS").status_code == 200
    assert call(view, "nonsense", "DELETE").status_code == 401


@pytest.mark.django_db
def test_401_comes_before_403_and_403_before_404() -> None:
    make_mailbox()
    assert Client().get(UNKNOWN).status_code == 401
    lacks = make_client(scopes=[Scope.STATISTICS_READ])
    answer = lacks.get(UNKNOWN)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert answer.json()["required_scopes"] == ["emails:read"]
    assert make_client(scopes=[Scope.EMAILS_READ]).get(UNKNOWN).status_code == 404


@pytest.mark.django_db
def test_a_403_is_the_same_for_a_mailbox_of_the_key_and_for_no_mailbox() -> None:
    mailbox = make_mailbox()
    _, plaintext = make_key(mailboxes=[mailbox], scopes=[Scope.STATISTICS_READ])
    client = client_of(plaintext)
    answers = [
        client.get("/v1/emails", {"mailbox_id": id_}) for id_ in (mailbox.public_id, "mbx_unknown", "anything at all")
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(403, answers[0].content)}


@pytest.mark.on_both
def test_the_api_names_scopes_for_all_its_actions() -> None:
    assert [message for message in run_checks() if message.id == "apikeys.E001"] == []


def test_the_check_is_there_before_any_view_is_loaded() -> None:
    # a process: here, views have long been loaded
    program = (
        "import django; django.setup(); from django.core.checks.registry import registry; print(registry.get_checks())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    assert "every_api_action_names_its_scopes" in done.stdout


@pytest.mark.parametrize(("route", "view", "named"), [
    ("v1/ok", Named.as_view({"get": "list"}), ""),
    ("v1/none-needed", Named.as_view({"get": "ping"}), ""),
    ("docs/elsewhere", Named.as_view({"post": "create"}), ""),
    ("v1/unnamed", Named.as_view({"get": "list", "post": "create"}), "'create'"),
    ("v1/no-actions", Plain.as_view(), "None"),
    ("v1/open", Open.as_view({"get": "list"}), "'list'"),
])  # fmt: skip
def test_a_view_that_names_no_scope_stops_the_start(route: str, view: Any, named: str) -> None:
    nested = [path("v1/", include([path(route.removeprefix("v1/"), view)]))] if route.startswith("v1/") else None
    for patterns in filter(None, ([path(route, view)], nested)):
        messages = check_patterns(patterns)
        assert [message.id for message in messages] == (["apikeys.E001"] if named else [])
        assert all(named in str(message.msg) and route in str(message.msg) for message in messages)


@pytest.mark.on_both
def test_the_api_says_of_all_its_changes_how_they_are_done_once() -> None:
    assert [message for message in run_checks() if message.id == "apikeys.E003"] == []


def test_a_change_of_which_nobody_says_how_it_is_done_once_stops_the_start() -> None:
    class Said(Named):
        effects: ClassVar[Mapping[str, Effect]] = {"ping": Effect.WHOLE}

    actions: dict[str, Any] = {"get": "list", "post": "ping"}
    (message,) = check_effects([path("v1/things", Named.as_view(actions))])
    assert (message.id, "serves POST v1/things" in str(message.msg)) == ("apikeys.E003", True)
    assert check_effects([path("v1/things", Said.as_view(actions))]) == []
    assert check_effects([path("other/things", Named.as_view(actions))]) == []


@pytest.mark.django_db
def test_a_key_with_an_allowlist_is_told_that_it_has_the_wrong_privileges_and_no_scope_to_ask_for() -> None:
    client = make_client(mailboxes=[make_mailbox()])
    answer = client.post("/v1/domains", data="{}", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "allowlist_restricted")
    assert answer["WWW-Authenticate"] == (
        'Bearer realm="Emailgistics API", error="insufficient_scope", '
        'error_description="This acts on a whole domain, so it needs a key for all mailboxes."'
    )
