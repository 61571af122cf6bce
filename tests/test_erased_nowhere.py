"""An address leaves its traces wherever a running installation can have it; then it is erased, and all is searched."""

import base64
import contextlib
import json
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import zstandard

from emailgistics.common.ids import decode_id
from tests import environment
from tests.installation import SAMPLE_ALIAS, Installation, free_ports, wait_for
from tests.shell import ROOT
from tests.test_plaintext_nowhere import PASSWORD, Browser, cells

pytestmark = [pytest.mark.on_both, pytest.mark.long]

WHO = "zq7marker"
ADDRESS = f"{WHO}@example.com"
ANOTHER = "grace@example.org"
ZSTD = b"\x28\xb5\x2f\xfd"
# where it has to be before, or the search finds nothing anywhere
TRACES = {
    "mailboxes_message", "mailboxes_rawmessage", "mailboxes_email", "mailboxes_emailcontent", "mailboxes_attachment",
    "mailboxes_recipient", "mailboxes_searchentry", "mailboxes_transcript", "mailboxes_refusal", "mailboxes_rule",
    "webhooks_eventbody", "webhooks_attempt",
}  # fmt: skip


@dataclass
class Erased:
    """A stopped installation, with where the address was before it was erased."""

    installation: Installation
    before: set[str] = field(default_factory=set)
    rules_named: str = ""
    kept_answers: str = ""


class Quoting(BaseHTTPRequestHandler):
    """A receiver that takes nothing, and repeats of what it did not take."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500)
        self.end_headers()
        self.wfile.write(b"no: " + (ADDRESS.encode() if WHO.encode() in body.lower() else body[:100]))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Erased]:
    folder = tmp_path_factory.mktemp("installation")
    with (
        Installation(folder, on_postgres=environment.ON_POSTGRES, is_migrated=True) as running,
        quoting_receiver() as port,
    ):
        networks = f"127.0.0.1/32:{port},127.0.0.1/32:{running.sink_port}"
        running.env |= {
            "LOG_LEVEL": "DEBUG",
            "EMAILGISTICS_ADMIN_PASSWORD": PASSWORD,
            "WEBHOOK_ALLOW_NETWORKS": networks,
        }
        done = Erased(running)
        running.start()
        if running.on_postgres:
            make_administrator(running)
        leave_traces(running, port)
        done.before = set(tables_with_it(running))
        erase(done)
        assert running.stop() == 0
        yield done


@contextlib.contextmanager
def quoting_receiver() -> Iterator[int]:
    (port,) = free_ports(1)
    server = HTTPServer(("127.0.0.1", port), Quoting)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_administrator(running: Installation) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "createsuperuser", "--noinput", "--username", "admin", "--email", ""],
        cwd=ROOT, env=running.env | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}, check=True, capture_output=True,
    )  # fmt: skip


def leave_traces(running: Installation, port: int) -> None:
    running.manage("aliases", "create", "*@example.com", "--mailbox", mailbox_of(running))
    running.manage("webhooks", "create", "--url", f"http://127.0.0.1:{port}/", "--alias", SAMPLE_ALIAS)
    running.manage("webhooks", "create", "--pull", "--alias", SAMPLE_ALIAS)
    running.manage("rules", "create", "quarantine", "attachment", ".exe")
    for mail, sender, to in mails():
        with running.smtp() as client:
            client.sendmail(sender, to, mail, mail_options=["SMTPUTF8"] if not mail.isascii() else [])
    refused(running)
    submit(running)
    count = len(list(mails())) + 1
    wait_for(lambda: is_all_opened(running, count), within_s=60, what="that all mail is opened")
    wait_for(lambda: "webhooks_attempt" in tables_with_it(running), within_s=60, what="an answer that quotes it")
    browser = Browser(running)
    for email in running.get_json("/v1/emails")["data"]:
        pk = decode_id("email", email["id"])
        for tab in ("overview", "text", "raw"):
            browser.get(f"/admin/mailboxes/email/{pk}/change/?show={tab}")
    running.manage("rules", "create", "block", "sender", ADDRESS)


def mails() -> Iterator[tuple[bytes, str, list[str]]]:
    """Of the address, to it, and of others that have it somewhere."""
    yield mail(From=ADDRESS, Subject=f"From {ADDRESS}"), ADDRESS, [SAMPLE_ALIAS]
    yield mail(From=f"Marker <{ADDRESS.upper()}>"), "bounce@example.org", [SAMPLE_ALIAS]
    yield mail(To=ADDRESS), ANOTHER, [ADDRESS]
    yield mail(From=ADDRESS, attached="virus.exe"), ADDRESS, [SAMPLE_ALIAS]  # into quarantine
    for header in ("To", "Cc", "Reply-To", "Sender", "Subject", "X-About"):
        yield mail(**{header: ADDRESS}), ANOTHER, [SAMPLE_ALIAS]
    yield mail(text=f"Ask {ADDRESS}."), ANOTHER, [SAMPLE_ALIAS]
    for coding in ("base64", "quoted-printable"):
        yield mail(text=f"Grüße an <{ADDRESS}> = ja", coding=coding), ANOTHER, [SAMPLE_ALIAS]
    yield mail(html=f"<p>{WHO}&#64;example.com</p>"), ANOTHER, [SAMPLE_ALIAS]
    yield mail(attached=f"{ADDRESS}.pdf"), ANOTHER, [SAMPLE_ALIAS]


def mail(*, text: str = "Hello.", html: str = "", coding: str = "8bit", attached: str = "", **headers: str) -> bytes:
    made = EmailMessage()
    for name, value in {"From": ANOTHER, "To": SAMPLE_ALIAS, "Subject": "Hello", **headers}.items():
        made[name] = value
    made.set_content(text, cte=coding)
    if html:
        made.add_alternative(html, subtype="html")
    if attached:
        made.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename=attached)
    return made.as_bytes()


def refused(running: Installation) -> None:
    """As a sender, as a recipient, and beside another one that is taken."""
    for sender, recipients in (
        (ADDRESS, ["nobody@elsewhere.example"]),
        (ANOTHER, [ADDRESS.replace("com", "net")]),
        (ANOTHER, [f"{WHO}@elsewhere.example", SAMPLE_ALIAS]),
    ):
        with running.smtp() as client:
            client.ehlo()
            client.mail(sender)
            codes = [client.rcpt(recipient)[0] for recipient in recipients]
            if 250 in codes:
                client.data(mail(Subject="Beside another"))


def submit(running: Installation) -> None:
    query = urllib.parse.urlencode({"recipient": SAMPLE_ALIAS, "mail_from": ADDRESS})
    request = urllib.request.Request(f"http://127.0.0.1:{running.http_port}/v1/emails?{query}", mail(From=ADDRESS))
    made = running.manage("apikeys", "create", "--name", "Submits", "--expires", "1d", "--all-mailboxes")
    request.add_header("Authorization", f"Bearer {made['key']}")
    request.add_header("Content-Type", "message/rfc822")
    request.add_header("Idempotency-Key", "once")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201


def mailbox_of(running: Installation) -> str:
    address: str = running.get_json("/v1/mailboxes")["data"][0]["address"]
    return address


def is_all_opened(running: Installation, count: int) -> bool:
    emails = running.get_json("/v1/emails?limit=100")["data"]
    return len(emails) > count and all(email["status"] != "waiting" for email in emails)


def erase(done: Erased) -> None:
    """With all that mention it; the rule is named, and its end leaves nothing of it either."""
    running = done.installation
    for _ in range(2):
        command = ["emails", "erase", "--address", ADDRESS.title(), "--mentions"]
        said = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=running.env,
            check=True,
            capture_output=True,
            text=True,
        )
        for rule in running.manage("rules", "list")["data"]:
            if rule["value"] == ADDRESS:
                done.rules_named = said.stderr
                running.manage("rules", "delete", rule["id"])
    running.manage("emails", "erase", "--address", f"{WHO}@elsewhere.example")
    running.manage("emails", "erase", "--address", ADDRESS.replace("com", "net"))
    code = (
        "from emailgistics.common import idempotency as i\n"
        "from emailgistics.common.models import KeptAnswer\n"
        "print([i._opened(row) for row in KeptAnswer.objects.all()])"
    )
    shown = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=ROOT, env=running.env, check=True, capture_output=True, text=True,
    )  # fmt: skip
    done.kept_answers = shown.stdout


def tables_with_it(running: Installation) -> Iterator[str]:
    for table, octets in cells(running):
        if has_it(octets):
            yield table


def has_it(octets: bytes) -> bool:
    """Plain in any case, unpacked, in the digits that octets become in JSON or a backup, and as base64 has it."""
    if octets.startswith(ZSTD):
        octets = zstandard.ZstdDecompressor().decompress(octets, max_output_size=1 << 24)
    lower = octets.lower()
    return any(needle in lower for needle in NEEDLES) or any(needle in octets for needle in IN_BASE64)


def in_base64(text: bytes) -> Iterator[bytes]:
    """As it stands there, wherever in a text it begins: without the characters that what is around it has a part of."""
    for before in range(3):
        coded = base64.b64encode(b"x" * before + text)
        yield coded[4 if before else 0 : len(coded) // 4 * 4 - 4]


NEEDLES = (WHO.encode(), WHO.encode().hex().encode())
IN_BASE64 = tuple(in_base64(WHO.encode()))


def test_it_was_wherever_it_can_be(erased: Erased) -> None:
    assert erased.before >= TRACES


def test_no_column_of_any_table_has_it(erased: Erased) -> None:
    assert set(tables_with_it(erased.installation)) == set()


def test_no_file_has_it_but_that_of_the_receiver(erased: Erased) -> None:
    data_dir = erased.installation.data_dir
    found = {path.name for path in data_dir.rglob("*") if path.is_file() and has_it(path.read_bytes())}
    assert found == {"received.jsonl"}
    assert [
        line
        for line in erased.installation.log().splitlines()
        if has_it(line.encode()) and not line.startswith("sink ")
    ] == []


def test_no_answer_that_is_kept_for_a_repeated_request_has_it(erased: Erased) -> None:
    assert "emails" in erased.kept_answers
    assert not has_it(erased.kept_answers.encode())


def test_a_rule_that_names_it_is_named(erased: Erased) -> None:
    assert "names the address, and stays: manage.py rules delete rule_" in erased.rules_named


def test_it_is_on_record_that_an_address_was_erased_and_not_which(erased: Erased) -> None:
    said = [octets for table, octets in cells(erased.installation) if table == "common_auditentry"]
    assert b'"email.address_erased"' in said
    assert any(b'"mail.opened"' in octets for octets in said)
    assert json.dumps(ADDRESS).encode() not in said
    assert Path(erased.installation.data_dir).exists()
