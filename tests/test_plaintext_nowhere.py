"""Everything that is shown once is used once, on a running installation; then all that it wrote is searched."""

import contextlib
import http.cookiejar
import json
import re
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from tests import environment, migrated
from tests.apikeys.pages import ADD, LIST, WHOLE_KEY, filled_in, form_token
from tests.installation import Installation, free_ports
from tests.shell import ROOT

pytestmark = [pytest.mark.on_both, pytest.mark.long]

PASSWORD = "a password that is only for this test"
HEADER_VALUE = "hunter2-is-for-the-receiver-alone"
MAIL = b"From: ada@example.net\r\nTo: help@example.com\r\nSubject: Once\r\nMessage-ID: <1@example.net>\r\n\r\nHello\r\n"
HAS_LINKS = "webhooks_eventbody"  # which go out as they are
DESIGNED = ("first-run.txt", "env")  # of the sample; nothing that is made here


@dataclass
class Used:
    """A running installation after all of it, with what was shown, by what it is."""

    installation: Installation
    secrets: dict[str, str] = field(default_factory=dict)
    link_token: str = ""
    pages: list[str] = field(default_factory=list)  # that were shown later
    redis: bytes = b""  # every command that it got
    mails: list[bytes] = field(default_factory=list)  # to the system administrators
    backup: bytes = b""  # of the database

    def needles(self) -> dict[str, bytes]:
        """The part of each that is secret."""
        return {what: text.removeprefix("whsec_").encode()[-30:] for what, text in self.secrets.items()}


class Browser:
    """Signed in at the console."""

    def __init__(self, installation: Installation) -> None:
        self._base = f"http://127.0.0.1:{installation.http_port}"
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        self.get("/admin/login/")
        self.post("/admin/login/", {"username": "admin", "password": PASSWORD, "next": "/"})

    def get(self, path: str) -> str:
        with self._opener.open(self._base + path, timeout=60) as answer:
            page: str = answer.read().decode()
        return page

    def post(self, path: str, fields: dict[str, Any]) -> str:
        token = next(cookie.value for cookie in self._jar if cookie.name == "csrftoken")
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token}, doseq=True).encode()
        request = urllib.request.Request(self._base + path, body, {"Referer": self._base + path})
        with self._opener.open(request, timeout=60) as answer:
            page: str = answer.read().decode()
        return page


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, on_postgres=environment.ON_POSTGRES, is_migrated=True) as running:
        running.env |= {
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "text" if environment.ON_POSTGRES else "json",
            "EMAILGISTICS_ADMIN_PASSWORD": PASSWORD,
        }
        all_used = Used(running)
        with everything_that_redis_gets(running, all_used), mail_to_administrators(running, all_used):
            running.start()
            use(all_used)
            notices_are_mailed(running)
            assert running.stop() == 0
        all_used.backup = backup_of(running)
        yield all_used


@contextlib.contextmanager
def mail_to_administrators(running: Installation, used: Used) -> Iterator[None]:
    """Their mail server, which keeps what it gets."""

    class Keeping:
        async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
            used.mails.append(envelope.original_content or b"")
            return "250 OK"

    (port,) = free_ports(1)
    controller = Controller(Keeping(), hostname="127.0.0.1", port=port)
    controller.start()
    running.env |= {"EMAIL_URL": f"smtp://127.0.0.1:{port}"}
    try:
        yield
    finally:
        controller.stop()


@contextlib.contextmanager
def everything_that_redis_gets(running: Installation, used: Used) -> Iterator[None]:
    if running.redis is None:
        yield
        return
    with socket.create_connection(("127.0.0.1", running.redis.port)) as connection:
        connection.sendall(b"MONITOR\r\n")
        heard: list[bytes] = []

        def listen() -> None:
            while octets := connection.recv(65536):
                heard.append(octets)

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield
        finally:
            connection.shutdown(socket.SHUT_RDWR)
            listener.join(timeout=30)
        used.redis = b"".join(heard)


def use(used: Used) -> None:
    running = used.installation
    if running.on_postgres:
        subprocess.run(
            [sys.executable, "manage.py", "createsuperuser", "--noinput", "--username", "admin", "--email", ""],
            cwd=ROOT, env=running.env | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}, check=True, capture_output=True,
        )  # fmt: skip
    browser = Browser(running)
    scopes = ["emails:read", "webhooks:write", "emails:content"]
    form = filled_in(form_token(browser.get(ADD)), reach="all", mailboxes=None, scopes=scopes)
    (used.secrets["key of the console"],) = set(WHOLE_KEY.findall(browser.post(ADD, form)))
    # its last day begins soon, of which people are told
    expires = (datetime.now(UTC) + timedelta(days=1, seconds=30)).isoformat()
    made = running.manage("apikeys", "create", "--name", "Command", "--expires", expires, "--all-mailboxes")
    used.secrets["key of the command"] = made["key"]
    alias = running.get_json("/v1/aliases")["data"][0]["id"]
    url = f"http://127.0.0.1:{running.sink_port}/other"
    hook = {"url": url, "alias_id": alias, "headers": {"X-Token": HEADER_VALUE}}
    made = post(running, "/v1/webhooks", hook, key=made["key"])
    used.secrets |= {"webhook secret of the API": made["secret"], "header value": HEADER_VALUE}
    path = f"/v1/webhooks/{made['id']}"
    pull = post(running, "/v1/webhooks", {"url": None, "alias_id": alias}, key=used.secrets["key of the command"])
    used.secrets["webhook secret of one to pull from"] = pull["secret"]
    rotated = post(running, f"{path}/rotate-secret", {"overlap_hours": 1}, key=used.secrets["key of the command"])
    used.secrets["rotated webhook secret"] = rotated["secret"]
    running.send(MAIL)
    running.wait_until_received({"Once"}, within_s=60)
    for key in (used.secrets["key of the console"], used.secrets["key of the command"]):
        for where in ("/v1/me", "/v1/emails", path):
            used.pages.append(running.get(where, key=key).decode())
        for where in (f"/v1/me?api_key={key}", f"/v1/emails/{key}", f"/nowhere/{key}?key={key}"):
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{running.http_port}{where}", timeout=60)
    pulled = running.get(f"/v1/webhooks/{pull['id']}/pull", key=used.secrets["key of the command"]).decode()
    link = re.search(r"http://[^\s\"]+/files/[^\s\"]+/raw/(k\d+_[\w-]{43})", pulled)
    assert link
    used.link_token = link[1]
    with urllib.request.urlopen(link[0], timeout=60) as answer:
        assert answer.read() == MAIL
    used.pages += [browser.get(where) for where in ("/", LIST, ADD, "/admin/webhooks/webhook/")]


def notices_are_mailed(running: Installation) -> None:
    """As beat will have it done in a minute, when the last day of a key has begun."""
    code = """
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from apikeys import upkeep
User.objects.filter(username="admin").update(email="admin@example.org")
upkeep.look_after(now=timezone.now() + timedelta(minutes=1))
"""
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code], cwd=ROOT, env=running.env, check=True, capture_output=True
    )


def backup_of(running: Installation) -> bytes:
    """As operators make one: what `pg_dump` writes, or a copy by SQLite itself."""
    if running.on_postgres:
        command = ["pg_dump", "--inserts", migrated.url_of(running.database_name)]
        return subprocess.run(command, check=True, capture_output=True).stdout
    copied = running.data_dir.parent / "backup.sqlite3"
    with contextlib.closing(sqlite3.connect(running.database_name)) as database:
        database.execute("VACUUM INTO ?", [str(copied)])
    return copied.read_bytes()


def post(running: Installation, path: str, body: Any, *, key: str) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{running.http_port}{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {key}")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read()) from error


def test_no_column_of_any_table_has_it(used: Used) -> None:
    names = set()
    for table, octets in cells(used.installation):
        names.add(table)
        for what, needle in used.needles().items():
            assert needle not in octets, (what, table)
        if table != HAS_LINKS:
            assert used.link_token.encode()[-30:] not in octets, table
    assert {"apikeys_apikey", "webhooks_webhook", "django_session", "django_admin_log", "common_auditentry"} <= names


def cells(running: Installation) -> Iterator[tuple[str, bytes]]:
    """(table, what is in a column of a row), of whatever type."""
    if running.on_postgres:
        with psycopg.connect(migrated.url_of(running.database_name)) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
                    yield from ((table, octets_of(value)) for value in row)
                yield table, b""
        return
    with contextlib.closing(sqlite3.connect(running.database_name)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in database.execute(f'SELECT * FROM "{table}"').fetchall():
                yield from ((table, octets_of(value)) for value in row)
            yield table, b""


def octets_of(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else json.dumps(value, default=str).encode()


def test_no_file_has_it(used: Used) -> None:
    """Database, broker, cache, records: whatever is under DATA_DIR, and the log of all parts, at DEBUG."""
    running = used.installation
    files = [path for path in running.data_dir.rglob("*") if path.is_file() and path.name not in DESIGNED]
    log = running.log()
    for path, octets in [*((path, path.read_bytes()) for path in files), (Path("log"), log.encode())]:
        for what, needle in used.needles().items():
            if (what, path.name) != ("header value", "received.jsonl"):  # the receiver is who may have it
                assert needle not in octets, (what, path)
    assert used.link_token[-30:] not in log
    assert "emgk_" in log  # which key it was may be known
    if not running.on_postgres:
        assert any(path.name == "emailgistics.sqlite3" for path in files)


def test_no_page_has_it_again(used: Used) -> None:
    for page in used.pages:
        for what, needle in used.needles().items():
            assert needle.decode() not in page, what
    assert any(used.secrets["key of the console"][:15] in page for page in used.pages)


def test_no_mail_to_administrators_has_it(used: Used) -> None:
    told = b"".join(used.mails)
    assert used.secrets["key of the command"][:15].encode() in told
    for what, needle in used.needles().items():
        assert needle not in told, what


def test_no_backup_has_it(used: Used) -> None:
    """Nor in the digits that octets become in one of PostgreSQL."""
    assert used.secrets["key of the command"][:15].encode() in used.backup
    for what, needle in used.needles().items():
        assert needle not in used.backup, what
        assert needle.hex().encode() not in used.backup, what


@pytest.mark.on_postgres
def test_redis_never_hears_of_it(used: Used) -> None:
    """Broker, cache and limits: every command, so also what is gone from it again."""
    for what, text in {**used.secrets, "link": used.link_token}.items():
        assert text.encode()[-30:] not in used.redis, what
    assert b"mailboxes.tasks.process" in used.redis


@pytest.mark.on_sqlite
def test_nobody_else_may_read_what_it_writes(used: Used) -> None:
    data_dir = used.installation.data_dir
    modes = {
        path.relative_to(data_dir): stat.S_IMODE(path.lstat().st_mode) for path in [data_dir, *data_dir.rglob("*")]
    }
    assert {path: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    assert {Path("env"), Path("first-run.txt"), Path("emailgistics.sqlite3")} <= modes.keys()
