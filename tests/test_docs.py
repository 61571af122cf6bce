"""`/docs` and the OpenAPI document over HTTP: who gets them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client

from emailgistics.common.access import Scope
from emailgistics.docs import schema
from tests.apikeys.factories import client_of, make_client
from tests.factories import make_mailbox
from tests.installation import ROOT

PAGES = ["/docs", "/docs/", "/docs/openapi.json", "/docs?script=", "/docs/guide/errors", "/docs/verify/verify.py"]


@pytest.fixture
def person(db: None) -> Client:
    """Signed in, and nobody in particular."""
    client = Client()
    client.force_login(User.objects.create_user("grace"))
    return client


# --- who gets them


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_signed_out_people_are_asked_to_sign_in_and_come_back(path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 302
    assert answer["Location"] == "/admin/login/?next=" + path.replace("?", "%3F").replace("=", "%3D")
    assert answer["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", PAGES)
def test_any_signed_in_person_may_read_them(person: Client, path: str) -> None:
    answer = person.get(path)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-cache"
    assert "Cookie" in answer["Vary"]


@pytest.mark.parametrize("path", PAGES)
def test_a_person_who_was_deactivated_is_signed_out(person: Client, path: str) -> None:
    User.objects.update(is_active=False)
    assert person.get(path).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_a_key_is_not_for_pages(path: str) -> None:
    assert make_client().get(path).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_everybody_may_read_them_where_the_operator_says_so(settings: Any, path: str) -> None:
    settings.DOCS_PUBLIC = True
    assert Client().get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_they_are_for_reading(person: Client, path: str) -> None:
    assert person.post(path).status_code == 405


@pytest.mark.parametrize(
    "given, is_public", [("0", False), ("1", True), ("", None), ("yes", None), ("true", None), ("2", None)]
)
def test_docs_public_is_0_or_1(tmp_path: Path, given: str, is_public: bool | None) -> None:
    code = "from django.conf import settings; print(settings.DOCS_PUBLIC)"
    environ = {"DJANGO_SETTINGS_MODULE": "emailgistics.settings", "DATA_DIR": str(tmp_path), "DOCS_PUBLIC": given}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    if is_public is None:
        assert done.returncode != 0
        assert f"DOCS_PUBLIC is {given!r}; it is a whole number from 0 to 1." in done.stderr
    else:
        assert done.stdout == f"{is_public}\n"


# --- the document for programs


@pytest.mark.django_db
@pytest.mark.parametrize("scopes", [(), (Scope.EMAILS_READ,), tuple(Scope)])
def test_any_valid_key_reads_the_document(scopes: tuple[Scope, ...]) -> None:
    answer = make_client(mailboxes=[make_mailbox()], scopes=scopes or (Scope.DOMAINS_READ,)).get("/v1/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": django_settings.BASE_URL}]
    assert answer["X-Request-Id"].startswith("req_")


@pytest.mark.django_db
def test_without_a_key_the_document_is_a_problem(person: Client) -> None:
    for client in (Client(), person, client_of("emgk_nothing")):
        answer = client.get("/v1/openapi.json")
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
        assert answer["WWW-Authenticate"].startswith("Bearer ")
    assert client.get("/v1/openapi.json").json()["code"] == "malformed_key"


@pytest.mark.django_db
def test_public_pages_do_not_make_the_api_public(settings: Any) -> None:
    settings.DOCS_PUBLIC = True
    assert Client().get("/v1/openapi.json").status_code == 401


@pytest.mark.django_db
def test_whoever_has_the_document_is_told_so_in_a_304() -> None:
    client = make_client()
    etag = client.get("/v1/openapi.json")["ETag"]
    again = client.get("/v1/openapi.json", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
    assert client.get("/v1/openapi.json", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("accept", ["application/json", "application/vnd.oai.openapi+json", "text/html", "*/*"])
def test_the_document_is_json_whatever_the_client_likes(accept: str) -> None:
    answer = make_client().get("/v1/openapi.json", headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


@pytest.mark.django_db
def test_the_document_is_made_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    schema.document.cache_clear()
    made: list[None] = []
    real = schema.SchemaGenerator.get_schema

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(None)
        return real(*args, **kwargs)

    monkeypatch.setattr(schema.SchemaGenerator, "get_schema", counted)
    client = make_client()
    assert len({client.get("/v1/openapi.json").content for _ in range(3)}) == 1
    assert len(made) == 1


@pytest.mark.parametrize("host, server", [(None, "http://127.0.0.1:8000"), ("localhost", "/")])
def test_the_page_speaks_to_the_address_it_was_opened_at(
    person: Client, settings: Any, host: str | None, server: str
) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    answer = person.get("/docs/openapi.json", headers={"Host": host or "127.0.0.1:8000"})
    assert answer.json()["servers"] == [{"url": server}]


# --- the page


def test_the_page_has_only_files_of_ours_and_a_policy_that_says_so(person: Client) -> None:
    answer = person.get("/docs")
    page = answer.content.decode()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) >= 5
    addresses.remove("#main")
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses), addresses
    assert not re.search(r"<script(?! src=)", page)
    policy = dict(directive.split(" ", 1) for directive in answer["Content-Security-Policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert "unsafe-eval" not in answer["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"
