"""A real Postfix in front: what it relays, what it keeps and delivers later, and what it sends back."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.installation import ROOT, Installation, answers, free_ports, wait_for
from tests.mailboxes import postfix
from tests.mailboxes.postfix import Postfix
from tests.mailboxes.smtp_client import Client

# what a mail server hears is the same on both databases
pytestmark = pytest.mark.on_sqlite

WITHIN_S = 30
SENDER = "ada@sender.example"  # bounces come back by LMTP
DOMAINS = ("lmtp.example", "smtp.example", "pipe.example", "sender.example")
AWAY = {
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:9/nowhere",
    "SECRET_KEY": "only-for-tests-only-for-tests-only-for-tests-0123456789",
    "API_KEY_PEPPERS": "1:cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLTEyMzQ=",
    "ENCRYPTION_KEYS": "1:ZW5jcnlwdGlvbi1lbmNyeXB0aW9uLWVuY3J5cHQtMTI=",
}


class Lmtp:
    """`smtpd --lmtp` on a port, to be ended and started as a test wants it."""

    def __init__(self, installation: Installation) -> None:
        (self.port,) = free_ports(1)
        self._installation = installation
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **env: str) -> None:
        command = [sys.executable, "manage.py", "smtpd", "--lmtp", "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._installation.env | env)
        wait_for(lambda: answers(self.port), within_s=WITHIN_S, what="smtpd --lmtp")

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WITHIN_S)
            self._process = None

    @contextlib.contextmanager
    def without_a_database(self) -> Iterator[None]:
        self.end()
        self.start(**AWAY)
        yield
        self.end()
        self.start()


@pytest.fixture(scope="module")
def lmtp(installation: Installation) -> Iterator[Lmtp]:
    for domain in DOMAINS:
        installation.manage("domains", "create", domain)
        for name in ("ada",) if domain == "sender.example" else ("one", "two"):
            installation.manage("mailboxes", "create", f"{name}@{domain}")
    listener = Lmtp(installation)
    listener.start()
    yield listener
    listener.end()


@pytest.fixture(scope="module")
def relay(installation: Installation, lmtp: Lmtp) -> Iterator[Postfix]:
    if missing := postfix.why_not():
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"{missing}, and REQUIRE_SERVICES=1")
        pytest.skip(missing)
    by_lmtp = f"lmtp:inet:127.0.0.1:{lmtp.port}"
    transports = {
        "lmtp.example": by_lmtp,
        "smtp.example": f"smtp:[127.0.0.1]:{installation.smtp_port}",
        "pipe.example": "emailgistics:",
        "sender.example": by_lmtp,
    }
    with Postfix(transports=transports, environment=installation.env) as running:
        yield running


def mail(subject: str, body: str = "Hello.\r\n.dots\r\n..\r\n") -> bytes:
    return f"From: {SENDER}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@sender.example>\r\n\r\n{body}".encode()


def hand_over(relay: Postfix, raw: bytes, *to: str, sender: str = SENDER, parameters: str = "") -> None:
    """To Postfix, which takes it."""
    with Client(relay.port) as client:
        for text in (
            "EHLO client.example.net",
            f"MAIL FROM:<{sender}>{parameters}",
            *(f"RCPT TO:<{one}>" for one in to),
        ):
            assert client.command(text).startswith("250"), text
        assert client.command("DATA").startswith("354")
        client.send((b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        assert client.reply().startswith("250")


def stored(installation: Installation, subject: str) -> list[dict[str, Any]]:
    """Whole emails with that subject."""
    listed = installation.get_json("/v1/emails?limit=100")["data"]
    return [installation.get_json(f"/v1/emails/{email['id']}") for email in listed if email["subject"] == subject]


def arrived(installation: Installation, relay: Postfix, subject: str, *, count: int = 1) -> list[dict[str, Any]]:
    wait_for(
        lambda: len(stored(installation, subject)) >= count,
        within_s=WITHIN_S,
        what=f"{subject}: {relay.queue()} {relay.log()[-3000:]}",
    )
    return stored(installation, subject)


def kept(relay: Postfix, why: str) -> None:
    """Waits until Postfix says that it keeps a mail for that reason."""
    wait_for(
        lambda: why in relay.queue().replace("\n", " "), within_s=WITHIN_S, what=f"{why}: {relay.queue()} {relay.log()}"
    )


@pytest.mark.parametrize(
    "domain, source", [("lmtp.example", "lmtp"), ("smtp.example", "smtp"), ("pipe.example", "pipe")]
)
def test_what_postfix_relays_is_stored_as_it_came_but_for_its_own_field(
    installation: Installation, relay: Postfix, domain: str, source: str
) -> None:
    text = "Grüße ✉\r\n" + "x" * 900 + "\r\n" + "long\r\n" * 20_000
    raw = mail(f"To.{source}", text)
    hand_over(relay, raw, f"one+tag@{domain}", parameters=" BODY=8BITMIME")
    (email,) = arrived(installation, relay, f"To.{source}")
    assert (email["source"], email["mail_from"]) == (source, SENDER)
    assert [entry["address"] for entry in email["recipients"]] == [f"one+tag@{domain}"]
    octets = installation.get(f"/v1/emails/{email['id']}/raw")
    if source == "pipe":
        octets = octets.replace(b"\n", b"\r\n")  # a pipe has the line ends of the system
    trace = octets.removesuffix(raw)
    assert octets.endswith(raw)
    assert trace.startswith(b"Received: from client.example.net ")
    assert trace.count(b"\r\n") == trace.count(b"\r\n\t") + 1, "one field, and nothing else"
    client = {"pipe": ("127.0.0.1", "client.example.net")}.get(source, ("127.0.0.1", "relay.example.net"))
    assert (email["envelope"]["client_ip"], email["envelope"]["helo"]) == client


@pytest.mark.parametrize("domain", ["lmtp.example", "smtp.example", "pipe.example"])
def test_internationalised_mail_and_the_null_sender_pass(
    installation: Installation, relay: Postfix, domain: str
) -> None:
    installation.manage("aliases", "create", f"größe@{domain}", "--mailbox", f"one@{domain}")
    subject = f"Größe.{domain}"
    hand_over(relay, mail(subject), f"größe@{domain}", sender="jürgen@sender.example", parameters=" SMTPUTF8")
    (email,) = arrived(installation, relay, subject)
    assert email["mail_from"] == "jürgen@sender.example"
    hand_over(relay, mail(f"Null.{domain}"), f"one@{domain}", sender="")
    (email,) = arrived(installation, relay, f"Null.{domain}")
    assert email["mail_from"] == ""


@pytest.mark.parametrize("domain", ["lmtp.example", "smtp.example", "pipe.example"])
def test_one_recipient_that_does_not_exist_is_sent_back_and_the_others_get_their_mail(
    installation: Installation, relay: Postfix, domain: str
) -> None:
    subject = f"Some.{domain}"
    bounces = len(stored(installation, "Undelivered Mail Returned to Sender"))
    hand_over(relay, mail(subject), f"one@{domain}", f"nobody@{domain}", f"two@{domain}")
    emails = arrived(installation, relay, subject, count=2)
    led_to = {entry["address"] for email in emails for entry in email["recipients"]}
    assert led_to == {f"one@{domain}", f"two@{domain}"}
    bounce = arrived(installation, relay, "Undelivered Mail Returned to Sender", count=bounces + 1)[0]
    assert (bounce["mail_from"], [entry["address"] for entry in bounce["recipients"]]) == ("", [SENDER])
    said = installation.get(f"/v1/emails/{bounce['id']}/raw").decode()
    assert f"Final-Recipient: rfc822; nobody@{domain}" in said
    assert "Status: 5.1.1" in said
    assert "No such recipient here" in " ".join(said.split())
    assert relay.is_empty


def test_while_no_listener_runs_postfix_keeps_the_mail(installation: Installation, relay: Postfix, lmtp: Lmtp) -> None:
    lmtp.end()
    hand_over(relay, mail("Early"), "one@lmtp.example")
    kept(relay, "Connection refused")
    lmtp.start()
    assert stored(installation, "Early") == []
    relay.flush()
    assert len(arrived(installation, relay, "Early")) == 1
    wait_for(lambda: relay.is_empty, within_s=WITHIN_S, what=relay.log())


def test_while_the_database_is_away_postfix_keeps_the_mail(
    installation: Installation, relay: Postfix, lmtp: Lmtp
) -> None:
    with lmtp.without_a_database():
        hand_over(relay, mail("Kept.451"), "one@lmtp.example", "two@lmtp.example")
        kept(relay, "451 4.3.0 Temporary failure here")
    relay.flush()
    assert len(arrived(installation, relay, "Kept.451", count=2)) == 2
    wait_for(lambda: relay.is_empty, within_s=WITHIN_S, what=relay.log())


def test_while_the_pipe_has_no_database_postfix_keeps_the_mail(installation: Installation, relay: Postfix) -> None:
    relay.set_environment(installation.env | AWAY)
    hand_over(relay, mail("Kept.75"), "one@pipe.example")
    kept(relay, "(Temporary failure here, please try again later (OperationalError))")
    relay.set_environment(installation.env)
    assert stored(installation, "Kept.75") == []
    relay.flush()
    assert len(arrived(installation, relay, "Kept.75")) == 1
    wait_for(lambda: relay.is_empty, within_s=WITHIN_S, what=relay.log())


def test_a_listener_that_stops_in_the_middle_of_many_mails_loses_and_doubles_none(
    installation: Installation, relay: Postfix, lmtp: Lmtp
) -> None:
    for number in range(10):
        hand_over(relay, mail(f"Many.{number}"), "one@lmtp.example", "two@lmtp.example")
        if number == 5:
            lmtp.end()
    lmtp.start()
    time.sleep(0.2)
    relay.flush()
    wait_for(lambda: relay.is_empty, within_s=WITHIN_S, what=relay.log())
    for number in range(10):
        assert len(arrived(installation, relay, f"Many.{number}", count=2)) == 2
