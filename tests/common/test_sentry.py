"""What goes out to a Sentry: over a real socket, from a process of its own."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.shell import ROOT

MARK = "Zanzibar"
FAULTS = f"""
import logging
import django
django.setup()
from django.conf import settings
from django.test import Client
from django.urls import path
import emailgistics.urls
from emailgistics.common.logs import get_logger

def fails(request):
    {MARK.lower()}_local = request.body
    raise ValueError("for {MARK}@example.net, whsec_{MARK}0123456789abcdef")

emailgistics.urls.urlpatterns.insert(0, path("fails/{MARK}@example.net", fails))
client = Client(raise_request_exception=False, SERVER_NAME="localhost", headers={{"cookie": "seen={MARK}"}})
answer = client.post("/fails/{MARK}@example.net?q={MARK}", {{"subject": "{MARK}"}}, headers={{"X-Subject": "{MARK}"}})
assert answer.status_code == 500
get_logger("mailboxes").error("mail.lost", email="email_1", reason="{MARK}@example.net")
get_logger("mailboxes").warning("mail.late {MARK}")
raise RuntimeError("the end of {MARK}@example.net")
"""


@pytest.fixture
def sentry() -> Iterator[tuple[str, list[bytes]]]:
    """Its DSN, and what it was sent."""
    got: list[bytes] = []

    class Keeping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://public@127.0.0.1:{server.server_port}/1", got
        server.shutdown()
        serving.join()


def run(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "", "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "emailgistics.settings", **variables}
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def events(got: list[bytes]) -> list[dict[str, Any]]:
    """An envelope is lines: its header, and for each item a header and what it is."""
    lines = [line for envelope in got for line in envelope.splitlines()[1:]]
    return [json.loads(body) for header, body in zip(lines[::2], lines[1::2], strict=True) if b"event" in header]


def test_it_is_told_what_failed_and_where_and_of_nobody(sentry: tuple[str, list[bytes]], tmp_path: Path) -> None:
    dsn, got = sentry
    done = run(FAULTS, tmp_path, SENTRY_DSN=dsn, SENTRY_ENVIRONMENT="staging")
    assert "RuntimeError: the end" in done.stderr
    first, logged, end = events(got)
    (fault,) = first["exception"]["values"]
    assert (fault["type"], fault["value"]) == ("ValueError", "for ***@example.net, whsec_***")
    assert fault["stacktrace"]["frames"][-1]["function"] == "fails"
    assert first["logentry"]["message"] == "Internal Server Error: /fails/***@example.net"
    assert logged["logentry"] == {"message": "mail.lost"}
    assert (logged["tags"], logged["extra"]) == ({"email": "email_1"}, {"reason": "***@example.net"})
    assert end["exception"]["values"][0]["value"] == "the end of ***@example.net"
    assert {one["environment"] for one in (first, logged, end)} == {"staging"}
    assert MARK not in b"".join(got).decode()


def test_a_wrong_dsn_stops_the_start_and_says_how_one_looks(tmp_path: Path) -> None:
    done = run("import django; django.setup()", tmp_path, SENTRY_DSN="sentry.example.com")
    assert "ImproperlyConfigured: SENTRY_DSN: " in done.stderr
    assert "https://KEY@sentry.example.com/1" in done.stderr


def test_without_a_dsn_it_is_not_even_loaded(tmp_path: Path) -> None:
    done = run("import sys, django; django.setup(); print('sentry_sdk' in sys.modules)", tmp_path)
    assert done.stdout == "False\n", done.stderr
