"""POST /v1/emails through the real web server: what is read of a body, how much memory that takes, and what follows."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.installation import ROOT, SAMPLE_ALIAS, Installation, simple_mail

LIMIT = 40 * 1024 * 1024


def submit(
    installation: Installation, raw: Any, *, to: str = SAMPLE_ALIAS, key: str | None = None, **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", installation.http_port, timeout=120)
    with contextlib.closing(connection):
        said = {"Authorization": f"Bearer {key or installation.key}", "Content-Type": "message/rfc822", **headers}
        connection.request("POST", f"/v1/emails?recipient={quote(to)}", raw, said)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def count(installation: Installation) -> int:
    total: int = installation.get_json("/v1/emails?limit=1")["pagination"]["total"]
    return total


@pytest.fixture(scope="module")
def narrow_key(installation: Installation) -> str:
    """For help@'s mailbox, and nothing but handing mail in."""
    options = ("--mailbox", "support@example.com", "--scope", "emails:submit")
    created = installation.manage("apikeys", "create", "--name", "Submits", "--expires", "1d", *options)
    return str(created["key"])


def test_a_mail_handed_in_by_http_goes_out_as_a_webhook(installation: Installation, narrow_key: str) -> None:
    raw = simple_mail("By HTTP", body="One.\r\n.leading dot\r\n")
    status, taken = submit(installation, raw, key=narrow_key)
    assert (status, taken["resent"], taken["discarded"], len(taken["emails"])) == (201, False, False, 1)
    installation.wait_until_received({"By HTTP"}, within_s=60)
    (email_id,) = [entry["email_id"] for entry in installation.received() if entry["subject"] == "By HTTP"]
    assert [entry["id"] for entry in taken["emails"]] == [email_id]
    assert installation.get(f"/v1/emails/{email_id}/raw") == raw
    email = installation.get_json(f"/v1/emails/{email_id}")
    assert (email["source"], email["accepted_as"], email["status"]) == ("api", taken["id"], "processed")
    assert submit(installation, raw, key=narrow_key) == (200, taken | {"resent": True})
    # the domain's default mailbox is not the key's
    status, answer = submit(installation, simple_mail("Elsewhere"), to="inbox@example.com", key=narrow_key)
    assert (status, answer["code"]) == (404, "not_found")


def test_the_command_in_the_documents_hands_in_a_mail(installation: Installation, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "hand-in.md").read_text()
    (command,) = re.findall(r"^    (curl .*--data-binary @mail.eml.*)$", page, re.MULTILINE)
    (tmp_path / "mail.eml").write_bytes(simple_mail("By curl"))
    command = command.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{installation.http_port}")
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=os.environ | {"KEY": installation.key}, capture_output=True, check=True
    )
    assert json.loads(done.stdout)["id"].startswith("msg_")
    installation.wait_until_received({"By curl"}, within_s=60)


def test_the_largest_mail_takes_a_small_multiple_of_its_size(installation: Installation) -> None:
    submit(installation, simple_mail("Small"))
    raw = b"Subject: Large\r\n\r\n" + os.urandom(LIMIT - 18)
    before = peak_octets(installation)
    status, taken = submit(installation, raw)
    assert status == 201
    assert peak_octets(installation) - before < 4 * LIMIT
    assert installation.get(f"/v1/emails/{taken['emails'][0]['id']}/raw") == raw


def peak_octets(installation: Installation) -> int:
    """What the web part has ever had in memory, with its children."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in installation.pids()["web"]]
    return sum(int(line.split()[1]) for text in statuses for line in text.splitlines() if line.startswith("VmHWM"))


def begun(installation: Installation, *headers: str) -> socket.socket:
    """A connection on which the request has been sent, up to its body."""
    lines = (
        f"POST /v1/emails?recipient={SAMPLE_ALIAS} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {installation.key}",
        "Content-Type: message/rfc822",
        *headers,
    )
    connection = socket.create_connection(("127.0.0.1", installation.http_port), timeout=60)
    connection.sendall("\r\n".join((*lines, "", "")).encode())
    return connection


def test_what_says_to_be_too_large_is_refused_before_it_is_sent(installation: Installation) -> None:
    with begun(installation, f"Content-Length: {LIMIT + 1}") as connection:
        head = connection.recv(65_536).decode()  # not an octet of the body was sent
    assert head.startswith("HTTP/1.1 413")
    assert "content-type: application/problem+json" in head.lower()


def test_who_asks_first_is_told_before_he_sends(installation: Installation) -> None:
    raw = simple_mail("Expected")
    with begun(installation, f"Content-Length: {len(raw)}", "Expect: 100-continue") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(raw)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 201 ")
    with begun(installation, f"Content-Length: {LIMIT + 1}", "Expect: 100-continue") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("raw", [simple_mail("In chunks"), b"x" * (LIMIT + 1)], ids=["small", "too large"])
def test_chunks_are_refused_because_half_a_mail_would_look_like_one(installation: Installation, raw: bytes) -> None:
    before = count(installation)
    with begun(installation, "Transfer-Encoding: chunked") as connection:
        answer = connection.recv(65_536)  # it is known without any of them
        while b'"length_required"' not in answer and (more := connection.recv(65_536)):  # head and body may come apart
            answer += more
        assert answer.startswith(b"HTTP/1.1 411")
        assert b'"length_required"' in answer
        with contextlib.suppress(OSError):
            connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw))
    assert count(installation) == before


@pytest.mark.parametrize("sent", [0, 1, 20, -1])
def test_a_client_that_goes_away_in_the_middle_leaves_nothing(installation: Installation, sent: int) -> None:
    before, raw = count(installation), simple_mail(f"Broken off at {sent}")
    with begun(installation, f"Content-Length: {len(raw)}") as connection:
        connection.sendall(raw[:sent])
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer == b"" or b'"The body ended before it was whole."' in answer
    assert count(installation) == before
    assert submit(installation, raw)[0] == 201
    assert count(installation) == before + 1
