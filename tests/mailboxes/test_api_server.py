"""The API over real sockets: what only the server in front of Django decides."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from emailgistics.common.requests import MAX_BODY_BYTES
from tests.installation import Installation, found_in


def call(
    installation: Installation, method: str, path: str, body: Any = None, *, chunked: bool = False, **headers: str
) -> tuple[int, http.client.HTTPMessage, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", installation.http_port, timeout=60)
    try:
        connection.request(
            method,
            path,
            body,
            {"Authorization": f"Bearer {installation.key}", **headers},
            encode_chunked=chunked,
        )
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    return answer.status, answer.headers, json.loads(content) if content else None


def pieces(octets: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(octets), size):
        yield octets[start : start + size]


def test_a_domain_lives_its_life_over_http(installation: Installation) -> None:
    created, headers, domain = call(installation, "POST", "/v1/domains", json.dumps({"name": "life.example"}))
    assert (created, domain["name"]) == (201, "life.example")
    assert headers["Location"] == f"http://127.0.0.1:{installation.http_port}/v1/domains/{domain['id']}"
    path = f"/v1/domains/{domain['id']}"
    assert call(installation, "GET", path)[::2] == (200, domain)
    status, headers, nothing = call(installation, "HEAD", path)
    length = len(json.dumps(domain, separators=(",", ":")))
    assert (status, nothing, headers["Content-Length"]) == (200, None, str(length))
    assert call(installation, "OPTIONS", path)[::2] == (
        200,
        {"methods": ["GET", "PATCH", "DELETE", "HEAD", "OPTIONS"]},
    )
    changed = call(installation, "PATCH", path, json.dumps({"active": False}), **{"Content-Type": "application/json"})
    assert changed[::2] == (200, domain | {"active": False})
    assert call(installation, "PUT", path, "{}")[0] == 405
    assert call(installation, "DELETE", path)[::2] == (204, None)
    assert call(installation, "DELETE", path)[0] == 404


@pytest.mark.parametrize("charset", ["hex", "base64", "zlib", "unicode_escape", "punycode", '"utf-8"'])
def test_no_charset_of_a_request_is_a_fault(installation: Installation, charset: str) -> None:
    named = {"Content-Type": f"application/json; charset={charset}"}
    status, headers, page = call(installation, "GET", "/v1/webhooks?url=%5Cud800", **named)
    assert (status, page["data"]) == (200, [])
    for key, code in (("x", "malformed_key"), ("emgk_" + "x" * 40, "malformed_key")):
        status, headers, answer = call(installation, "GET", "/v1/me", Authorization=f"Bearer {key}", **named)
        assert (status, answer["code"]) == (401, code)
        assert headers["Content-Type"] == "application/problem+json"
        assert found_in(r"req_\w{26}", headers["X-Request-Id"])
    status, _, answer = call(installation, "POST", "/v1/domains", '{"name": "ü"}'.encode(), **named)
    assert (status, "“ü”" in answer["detail"]) == (400, True), answer
    assert "Traceback" not in installation.log()


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_in_chunks_is_read_whole(installation: Installation, size: int) -> None:
    body = json.dumps({"name": f"chunks{size}.example", "default_mailbox": "x" * 40}).encode()
    status, _, domain = call(installation, "POST", "/v1/domains", pieces(body, size), chunked=True)
    assert (status, domain["name"]) == (201, f"chunks{size}.example")
    status, _, nothing = call(installation, "DELETE", f"/v1/domains/{domain['id']}", pieces(b"", 1), chunked=True)
    assert (status, nothing) == (204, None)


def test_a_chunked_body_of_exactly_a_mebibyte_is_read_and_a_larger_one_is_413(installation: Installation) -> None:
    frame = b'{"name": "full.example", "x": "'
    full = frame + b"x" * (MAX_BODY_BYTES - len(frame) - 2) + b'"}'
    status, _, answer = call(installation, "POST", "/v1/domains", pieces(full, 65_536), chunked=True)
    assert (status, answer["errors"][0]["pointer"]) == (400, "/x")
    status, headers, answer = call(installation, "POST", "/v1/domains", pieces(full + b" ", 65_536), chunked=True)
    assert (status, answer["code"]) == (413, "body_too_large")
    assert headers["Content-Type"] == "application/problem+json"


def test_who_has_no_key_is_told_that_without_the_body(installation: Installation) -> None:
    request = (
        "POST /v1/domains HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", installation.http_port), timeout=60) as connection:
        connection.sendall(request.encode())
        told = connection.recv(65_536).decode()
    assert told.startswith("HTTP/1.1 401")
    assert "malformed_key" in told


def test_what_says_to_be_too_large_is_refused_before_it_is_sent(installation: Installation) -> None:
    request = (
        f"POST /v1/domains HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {installation.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", installation.http_port), timeout=60) as connection:
        connection.sendall(request.encode())
        head = connection.recv(65_536).decode()  # not an octet of the body was sent
    assert head.startswith("HTTP/1.1 413")
    assert "content-type: application/problem+json" in head.lower()
    assert found_in(r"req_\w{26}", head)


def test_a_client_that_goes_away_in_the_middle_leaves_no_fault(installation: Installation) -> None:
    for framing in ("Content-Length: 1000", "Transfer-Encoding: chunked"):
        request = (
            f"POST /v1/domains HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {installation.key}\r\n"
            f'{framing}\r\n\r\n{"5" + chr(13) + chr(10) if "chunked" in framing else ""}{{"nam'
        )
        with socket.create_connection(("127.0.0.1", installation.http_port), timeout=60) as connection:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65_536)
    assert call(installation, "GET", "/v1/domains")[0] == 200
    assert "Traceback" not in installation.log()
    assert "api.failed" not in installation.log()
