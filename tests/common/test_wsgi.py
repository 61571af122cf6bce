"""The WSGI application, before Django has made a request of what came: no header may end it there."""

import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from emailgistics.wsgi import application, utf8
from tests.apikeys.factories import make_key
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db

# codecs that Python has and no text is in, those that read escapes, and one that is well known
NO_TEXT, ESCAPES = ["hex", "base64", "zlib", "rot13"], ["unicode_escape", "raw_unicode_escape", "punycode"]
CHARSETS = [*NO_TEXT, *ESCAPES, "idna", "utf-7", "undefined", "latin-1", "utf-16", "nonsense"]
UTF8 = ["utf-8", "UTF-8", "utf8", '"utf-8"']
FORMS = [
    "text/plain; charset={}",
    'application/json;CHARSET="{}"',
    "application/json; charset=utf-8; charset={}",
    "application/x-www-form-urlencoded; charset*=us-ascii''{}",
    "multipart/form-data; boundary=x; charset*0={}",
    'multipart/form-data; boundary="a\\"; charset={}; x=\\""',
    "application/json; x*={}''%41%ff",
    "application/json; x*0*={}''%41",
    "application/json; boundary*={}''%ff",
    "; charset={}",
]


def answer_of(
    url: str, *, content_type: str, method: str = "GET", key: str = "", body: bytes = b""
) -> tuple[int, dict[str, str], bytes]:
    path, _, query = url.partition("?")
    told: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        told.extend((int(status[:3]), dict(headers)))
        return lambda _: None

    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
    }
    if key:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    setup_testing_defaults(environ)
    content = b"".join(application(environ, start_response))
    status, headers = told
    return status, headers, content


@pytest.fixture(autouse=True)
def _a_request_leaves_the_connection_open() -> Iterator[None]:
    """As Django's test client sees to it: the test's own transaction is on it."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.parametrize("charset", CHARSETS)
def test_no_charset_of_a_request_is_a_fault(charset: str) -> None:
    _, key = make_key()
    for form in FORMS:
        content_type = form.format(charset)
        for url, used, expected in (
            ("/v1/webhooks?url=%5Cud800", key, 200),
            ("/v1/webhooks?url=%5Cx00%00", key, 200),
            ("/v1/me?%5Cud800=%00", "", 401),
            ("/v1/nothing", "", 404),
        ):
            status, headers, content = answer_of(url, content_type=content_type, key=used)
            assert status == expected, (content_type, url)
            assert headers["Content-Type"] == ("application/json" if used else "application/problem+json")
            assert re.fullmatch(r"req_\w{26}", headers["X-Request-Id"])
            assert json.loads(content).get("data", []) == []
    content_type = f"text/plain; charset={charset}"
    assert answer_of("/admin/login/?next=%5Cud800", content_type=content_type)[0] == 200
    assert answer_of("/nothing?x=%5Cud800", content_type=content_type)[0] == 404


@pytest.mark.parametrize("charset", [*CHARSETS, *UTF8])
def test_a_body_is_utf8_whatever_its_type_says(charset: str) -> None:
    _, key = make_key()
    mailbox = make_mailbox()
    status, _, content = answer_of(
        f"/v1/mailboxes/{mailbox.public_id}",
        content_type=f"application/json; charset={charset}",
        method="PATCH",
        key=key,
        body='{"name": "Zentrale für Ünwahrscheinliches"}'.encode(),
    )
    assert (status, json.loads(content)["name"]) == (200, "Zentrale für Ünwahrscheinliches")


@pytest.mark.parametrize(("given", "becomes"), [
    ("", ""), ("application/json", "application/json"), ("Text/Plain", "text/plain"),
    ("application/json; charset=utf-8", "application/json"), ("application/json; charset=hex", "application/json"),
    ("multipart/form-data; boundary=----WebKitAbC1", 'multipart/form-data; boundary="----WebKitAbC1"'),
    ('multipart/form-data; charset=hex; boundary="a b:c"', 'multipart/form-data; boundary="a b:c"'),
    ('multipart/form-data; boundary="a\\"; charset=hex; x=\\""', "multipart/form-data"),
    ("multipart/form-data; boundary=ü", "multipart/form-data"),
    ("text/plain; x*=nonsense''%41; charset=hex", "text/plain"),
])  # fmt: skip
def test_what_stays_of_a_content_type(given: str, becomes: str) -> None:
    assert utf8(given) == becomes
    assert utf8(becomes) == becomes


def test_a_form_in_parts_is_read_as_before() -> None:
    boundary = "----WebKitFormBoundaryAbC123"
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="username"\r\n\r\nadä\r\n--{boundary}--\r\n'
    content_type = utf8(f"multipart/form-data; boundary={boundary}; charset=hex")
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(part.encode()))}
    setup_testing_defaults(environ)
    request = WSGIRequest({**environ, "wsgi.input": BytesIO(part.encode())})
    assert request.POST.dict() == {"username": "adä"}
