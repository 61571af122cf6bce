"""Mail of every kind, with marks in all that it says, on a running installation; then what it printed is searched."""

import base64
import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from tests import environment
from tests.installation import Installation, send_octets, wait_for
from tests.shell import ROOT

pytestmark = [pytest.mark.on_both, pytest.mark.long]

MARK = "Quetzalcoatl"
WHO = f"{MARK}@example.net"
MAIL = f"""From: "{MARK} One" <{WHO}>
To: help@example.com, {MARK}.to@example.com
Cc: {MARK}.cc@example.org
Reply-To: {MARK}.reply@example.org
Subject: %s {MARK}
Message-ID: <{MARK}.%s@example.net>
X-{MARK}: {MARK}
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

{MARK}, https://example.net/{MARK}
--b
Content-Type: application/pdf; name="{MARK}.pdf"
Content-Disposition: attachment; filename="{MARK}.pdf"
Content-Transfer-Encoding: base64

{base64.b64encode(MARK.encode()).decode()}
--b--
""".replace("\n", "\r\n")
"""With the place of a subject and of an id."""
BROKEN = [
    f"Subject: =?utf-8?b?{MARK}?= =?x?q?{MARK}=FF?=\r\nFrom: {MARK}@@\r\nDate: {MARK}\r\n\r\n{MARK}\x00\x1b[31m",
    f"Content-Type: multipart/{MARK}; boundary={MARK}\r\n\r\n--{MARK}\r\nContent-Transfer-Encoding: {MARK}\r\n\r\n",
    f"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\n{MARK}\r\nDTSTART:{MARK}\r\nEND:{MARK}",
    f"Content-Type: text/plain; charset={MARK}\r\nContent-Transfer-Encoding: base64\r\n\r\n{MARK}=",
]
# how octets look that somebody writes in another way
FORMS = [
    MARK,
    MARK.lower(),
    base64.b64encode(MARK.encode()).decode().rstrip("="),
    MARK.encode().hex(),
    urllib.parse.quote(f"{MARK}@"),
]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """All that the parts and the commands wrote, with the most that can be asked for."""
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, on_postgres=environment.ON_POSTGRES, is_migrated=True) as running:
        running.env |= {"LOG_LEVEL": "DEBUG", "LOG_FORMAT": "text" if environment.ON_POSTGRES else "json"}
        running.start()
        by_smtp(running)
        by_http(running)
        commands = by_commands(running)
        assert running.stop() == 0
        lines = running.log().splitlines() + commands.splitlines()
        # the receiver that comes with it is one, and shows what it gets
        yield "\n".join(line for line in lines if not line.startswith("sink "))


def mail(subject: str) -> bytes:
    return (MAIL % (subject, subject)).encode()


def by_smtp(running: Installation) -> None:
    with running.smtp() as client:
        for subject in ("First", "Second"):
            send_octets(client, mail(subject), to=["help@example.com"], sender=WHO)
        for text in BROKEN:
            send_octets(client, text.encode("latin-1"), to=[f"help+{MARK}@example.com"], sender=WHO)
        client.docmd("MAIL", f"FROM:<{WHO}>")
        assert client.docmd("RCPT", f"TO:<{MARK}@example.com>")[0] == 550
        client.docmd("RCPT", f"TO:<{MARK}@>")
        client.docmd(MARK, MARK)
        client.docmd("AUTH", f"PLAIN {base64.b64encode(MARK.encode()).decode()}")
        client.docmd("DATA")  # 503, or nobody to whom
    running.wait_until_received({f"First {MARK}", f"Second {MARK}"}, within_s=60)


def by_http(running: Installation) -> None:
    query = urllib.parse.urlencode({"recipient": "help@example.com", "mail_from": WHO})
    asked(running, f"/v1/emails?{query}", mail("Third"), kind="message/rfc822")
    wait_for(lambda: asked(running, "/v1/emails?status=waiting")["data"] == [], within_s=60, what="opening")
    emails = asked(running, f"/v1/emails?q={MARK}")["data"]
    assert emails
    for path in (f"/v1/emails?from_address={WHO}", f"/v1/emails/{WHO}", f"/v1/emails?starting_after={MARK}"):
        asked(running, path)
    asked(running, f"/v1/routing/explain?recipient={WHO}")
    asked(
        running, "/v1/rules", json.dumps({"action": "block", "criterion": "sender", "value": WHO, MARK: MARK}).encode()
    )
    asked(running, "/v1/rules", f'{{"{MARK}'.encode())
    asked(running, f"/v1/emails/{emails[0]['id']}/replay", b"{}")


def asked(running: Installation, path: str, body: bytes | None = None, *, kind: str = "application/json") -> dict:  # type: ignore[type-arg] # any JSON
    request = urllib.request.Request(f"http://127.0.0.1:{running.http_port}{path}", body)
    request.add_header("Authorization", f"Bearer {running.key}")
    request.add_header("Content-Type", kind)
    request.add_header("User-Agent", MARK)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict = json.load(answer)  # type: ignore[type-arg]
    except urllib.error.HTTPError as error:
        found = json.load(error)
    return found


def by_commands(running: Installation) -> str:
    """What a mail server and an operator's journal keep: what `receive_mail` and `emails erase` write."""
    # of a mail that is not taken it says so, with the address, on the same stream: the server's bounce quotes it
    taken = subprocess.run(
        [sys.executable, "manage.py", "receive_mail", f"--sender={WHO}", "help@example.com"],
        cwd=ROOT, env=running.env, input=mail("Fourth"), capture_output=True, check=True,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "manage.py", "emails", "erase", "--address", WHO],
        cwd=ROOT, env=running.env, capture_output=True, check=False,
    )  # fmt: skip
    return (taken.stderr + done.stdout + done.stderr).decode()


def test_it_says_much_and_nothing_of_what_the_mail_says(printed: str) -> None:
    for word in ("smtp.accepted", "smtp.recipient_refused", "email.erased", "api.mail_taken"):
        assert word in printed
    for form in FORMS:
        for line in printed.splitlines():
            assert form.lower() not in line.lower(), line


def test_every_line_that_is_about_a_mail_has_its_id(printed: str) -> None:
    taken = [line for line in printed.splitlines() if "smtp.accepted" in line]
    assert taken
    assert all(re.search(r"msg_[0-9a-z]{26}", line) for line in taken)
