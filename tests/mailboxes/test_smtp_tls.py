"""STARTTLS (RFC 3207) over real sockets, with certificates made on the spot."""

import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.management import CommandError, call_command

from emailgistics.common.errors import DomainError
from mailboxes.models import Message, Refusal
from mailboxes.raw import read_raw
from mailboxes.services import receive
from mailboxes.services.admit import Admission, Request, admit_all
from mailboxes.smtp.handler import Handler
from mailboxes.smtp.limits import Limits
from mailboxes.smtp.tls import Certificate
from tests.factories import RAW, make_mailbox
from tests.mailboxes.smtp_client import Client, listening, on_the_wire

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]

TO = "support@example.com"
READY = "220 2.0.0 Ready to start TLS"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


def write_certificate(path: Path, *, name: str = "mx.example.com") -> None:
    """A certificate signed by itself and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    octets = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    draft = path.with_suffix(".new")
    draft.write_bytes(octets + certificate.public_bytes(pem))
    draft.replace(path)


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    path = tmp_path / "mx.pem"
    write_certificate(path)
    return path


def encrypted(client: Client, context: ssl.SSLContext | None = None) -> Client:
    assert client.command("STARTTLS") == READY
    client.start_tls(context)
    return client


def common_name(port: int) -> str:
    with Client(port) as client:
        encrypted(client)
        der = client.socket.getpeercert(binary_form=True)  # type: ignore[attr-defined]  # it is one of TLS by now
        return str(x509.load_der_x509_certificate(der).subject.rfc4514_string())


def test_mail_comes_by_tls_and_says_so(pem: Path) -> None:
    make_mailbox()
    raw = b".\r\n" * 100 + os.urandom(3_000_000) + b"\r\n"  # more than the stream holds
    with listening(certificate=Certificate(pem)) as server, Client(server.port) as client:
        assert "250-STARTTLS" in client.command("EHLO client.example.net").splitlines()
        trusting = ssl.create_default_context(cafile=str(pem))
        trusting.check_hostname = False
        encrypted(client, trusting)
        assert "250-STARTTLS" not in client.command("EHLO client.example.net").splitlines()
        assert client.command("STARTTLS") == "503 5.5.1 TLS is on already"
        assert client.deliver(raw, TO).startswith("250 2.0.0")
        assert client.command("QUIT") == "221 2.0.0 Bye"
        assert client.reply() == ""
    message = Message.objects.get()
    assert message.tls == "TLSv1.3"
    assert read_raw(message) == raw
    assert [text for _, _, text in message.transcript.lines][-5:] == [
        "MAIL FROM:<ada@example.net>",
        "250 2.1.0 Sender OK",
        f"RCPT TO:<{TO}>",
        "250 2.1.5 Recipient OK",
        "DATA",
        "354 End data with <CR><LF>.<CR><LF>",
    ][-5:]


def test_what_was_said_in_clear_counts_for_nothing(pem: Path) -> None:
    make_mailbox()
    with listening(certificate=Certificate(pem)) as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        client.command("MAIL FROM:<ada@example.net>")
        client.command(f"RCPT TO:<{TO}>")
        encrypted(client)
        assert client.command("DATA") == "503 5.5.1 Send EHLO first"
        assert client.command("MAIL FROM:<>") == "503 5.5.1 Send EHLO first"


@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"RSET\r\nMAIL FROM:<root@example.com>\r\n", b"EHLO a\r\n" * 20_000])
def test_a_command_behind_starttls_is_never_obeyed(pem: Path, behind: bytes) -> None:
    with listening(certificate=Certificate(pem)) as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        sending = threading.Thread(target=client.send, args=(b"STARTTLS\r\n" + behind,))
        sending.start()
        assert client.reply() == READY
        sending.join()
        try:
            client.start_tls()
        except (ssl.SSLError, OSError):
            return  # what came later than the rest was read as part of the handshake, which it spoils
        # the next reply is the one to this, and MAIL was not heard
        assert client.command("RCPT TO:<a@example.com>") == "503 5.5.1 Send EHLO first"


def test_what_is_sent_by_tls_right_behind_the_handshake_is_obeyed(pem: Path) -> None:
    with listening(certificate=Certificate(pem)) as server, Client(server.port) as client:
        encrypted(client)
        client.send(b"NOOP\r\nNOOP\r\nQUIT\r\n")
        assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "221"]


def test_without_a_certificate_there_is_no_starttls() -> None:
    with listening() as server, Client(server.port) as client:
        assert "STARTTLS" not in client.command("EHLO client.example.net")
        assert client.command("STARTTLS") == "502 5.5.1 Command not offered"


def test_starttls_takes_no_argument(pem: Path) -> None:
    with listening(certificate=Certificate(pem)) as server, Client(server.port) as client:
        assert client.command("STARTTLS now").startswith("501 5.5.4")
        assert client.is_silent()


def test_where_tls_is_required_mail_comes_by_it_only(pem: Path) -> None:
    make_mailbox()
    with listening(certificate=Certificate(pem), requires_tls=True) as server, Client(server.port) as client:
        client.command("EHLO client.example.net")
        assert client.command("MAIL FROM:<ada@example.net>") == "530 5.7.0 Send STARTTLS first"
        assert client.command(f"RCPT TO:<{TO}>").startswith("503")
        encrypted(client)
        assert client.deliver(RAW, TO).startswith("250 2.0.0")
    assert [(refusal.code, refusal.mail_from) for refusal in Refusal.objects.all()] == [
        ("tls_required", "ada@example.net")
    ]


def test_versions_before_1_2_are_not_spoken(pem: Path) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    new = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    new.check_hostname, new.verify_mode = False, ssl.CERT_NONE
    new.maximum_version = ssl.TLSVersion.TLSv1_2
    with listening(certificate=Certificate(pem)) as server:
        with Client(server.port) as client:
            assert client.command("STARTTLS") == READY
            with pytest.raises((ssl.SSLError, OSError)):
                client.start_tls(old)
        with Client(server.port) as client:
            assert encrypted(client, new).is_silent()


def test_a_handshake_that_does_not_come_or_fails_ends_the_connection(pem: Path) -> None:
    limits = Limits(handshake_timeout_s=0.3, max_connections=1)
    with listening(certificate=Certificate(pem), limits=limits) as server:
        for octets in (b"", b"this is no handshake\r\n" * 10):
            with Client(server.port) as client:
                assert client.greeting.startswith("220"), "the place is free again"
                assert client.command("STARTTLS") == READY
                client.send(octets)
                try:
                    while client.socket.recv(1000):
                        pass
                except ConnectionResetError:
                    pass
            until = time.monotonic() + 10
            while server.listener._connections:
                assert time.monotonic() < until
                time.sleep(0.01)


def test_a_changed_certificate_is_used_and_a_broken_one_is_not(pem: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with listening(certificate=Certificate(pem)) as server:
        assert common_name(server.port) == "CN=mx.example.com"
        write_certificate(pem, name="new.example.com")
        assert common_name(server.port) == "CN=new.example.com"
        pem.write_text("broken")
        assert common_name(server.port) == "CN=new.example.com"
        assert common_name(server.port) == "CN=new.example.com"
        pem.unlink()
        assert common_name(server.port) == "CN=new.example.com"
        write_certificate(pem, name="last.example.com")
        assert common_name(server.port) == "CN=last.example.com"
    logged = [record.getMessage() for record in caplog.records]
    assert len([line for line in logged if "smtp.certificate_not_loaded" in line]) == 2
    assert len([line for line in logged if "smtp.certificate_loaded" in line]) == 2


def test_stopping_answers_the_mail_in_flight_by_tls_and_leaves_no_handshake_behind(pem: Path) -> None:
    make_mailbox()
    with (
        listening(certificate=Certificate(pem)) as server,
        Client(server.port) as busy,
        Client(server.port) as idle,
        Client(server.port) as shaking,
    ):
        encrypted(busy)
        busy.open(TO)
        busy.send(RAW)
        encrypted(idle)
        assert shaking.command("STARTTLS") == READY
        stopping = threading.Thread(target=server.stop, kwargs={"within_s": 2})
        stopping.start()
        assert idle.reply() == "421 4.3.2 Shutting down, please try again later"
        assert shaking.socket.recv(100) == b""
        busy.send(b".\r\n")
        assert busy.reply().startswith("250 2.0.0")
        assert busy.reply() == "421 4.3.2 Shutting down, please try again later"
        stopping.join()
    assert Message.objects.count() == 1


def test_the_command_says_what_is_wrong_with_a_certificate(settings: Any, tmp_path: Path) -> None:
    settings.SMTP_TLS_CERT = str(tmp_path / "none.pem")
    with pytest.raises(CommandError, match="SMTP_TLS_CERT and SMTP_TLS_KEY cannot be used: No such file"):
        call_command("smtpd", "--port", "0")
    broken = tmp_path / "broken.pem"
    broken.write_text("broken")
    settings.SMTP_TLS_CERT = str(broken)
    with pytest.raises(CommandError, match="cannot be used"):
        call_command("smtpd", "--port", "0")


def test_a_half_closed_connection_still_hears_its_answer() -> None:
    make_mailbox()
    with listening() as server, Client(server.port) as client:
        client.open(TO)
        client.send(on_the_wire(RAW) + b"NOOP\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.reply().startswith("250 2.0.0")
        assert client.reply() == "250 2.0.0 OK"
        assert client.reply() == ""


@pytest.mark.parametrize("behind", [b"", b"NOOP\r\n"])
def test_starttls_from_who_says_no_more_is_no_fault(pem: Path, behind: bytes, caplog: pytest.LogCaptureFixture) -> None:
    has_ended = threading.Event()

    def admit(requests: Sequence[Request]) -> list[Admission | DomainError]:
        assert has_ended.wait(30)
        return admit_all(requests)

    certificate = Certificate(pem)
    with listening(Handler(admit_all=admit), certificate=certificate) as server, Client(server.port) as client:
        client.send(b"EHLO client.example.net\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nSTARTTLS\r\n" + behind)
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.reply()[:3] for _ in range(2)] == ["250", "250"]
        (connection,) = server.listener._connections
        until = time.monotonic() + 10
        while not connection._has_said_all:
            assert time.monotonic() < until
            time.sleep(0.01)
        has_ended.set()
        assert client.reply().startswith("550")
        assert client.reply() == "", "where there can be no handshake, nobody is asked to begin one"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_mail_by_tls_with_quit_and_close_notify_behind_it_is_no_fault(
    pem: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_mailbox()
    with listening(certificate=Certificate(pem)) as server, Client(server.port) as client:
        encrypted(client)
        client.open(TO)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)  # so that all of it comes in one piece
        client.send(on_the_wire(RAW) + b"QUIT\r\n")
        with contextlib.suppress(OSError):  # the other side may have closed by then
            client.socket.unwrap()  # type: ignore[attr-defined]  # it is one of TLS by now
        until = time.monotonic() + 10
        while server.listener._connections:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert read_raw(Message.objects.get()) == RAW
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
