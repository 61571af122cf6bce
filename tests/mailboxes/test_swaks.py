"""swaks, which mail administrators try a host with: what it is told, and what is stored."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.installation import SAMPLE_ALIAS, Installation

# what a client hears is the same on both databases
pytestmark = [pytest.mark.on_sqlite, pytest.mark.long]
SENDER = "ada@example.net"

Swaks = Callable[..., subprocess.CompletedProcess[str]]


def certificate(folder: Path) -> Path:
    """One file of certificate and key, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "mx.pem"
    path.write_bytes(text + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def swaks_installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """With a certificate."""
    needed = {"swaks": ["swaks", "--version"], "Perl's Net::SSLeay": ["perl", "-MNet::SSLeay", "-e", "1"]}
    for name, command in needed.items():
        if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True, check=False).returncode:
            if os.environ.get("REQUIRE_SERVICES") == "1":
                pytest.fail(f"{name} is not installed, and REQUIRE_SERVICES=1")
            pytest.skip(f"{name} is not installed")
    folder = tmp_path_factory.mktemp("swaks")
    with Installation(folder, is_migrated=True) as running:
        running.env["SMTP_TLS_CERT"] = str(certificate(folder))
        running.start()
        yield running


@pytest.fixture(scope="module")
def swaks(swaks_installation: Installation) -> Swaks:
    def run(*arguments: str, to: str = SAMPLE_ALIAS) -> subprocess.CompletedProcess[str]:
        server = ("--server", "127.0.0.1", "--port", str(swaks_installation.smtp_port))
        command = ["swaks", *server, "--helo", "client.example.net", "--from", SENDER, "--to", to, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run


def email_of(installation: Installation, said: str) -> dict[str, Any]:
    """What is stored as the id in the last 250."""
    (accepted_as,) = re.findall(r"250 2\.0\.0 accepted as (msg_\w+)", said)
    listed = installation.get_json("/v1/emails?limit=10")["data"]
    emails = [installation.get_json(f"/v1/emails/{email['id']}") for email in listed]
    (email,) = [email for email in emails if email["accepted_as"] == accepted_as]
    return dict(email)


@pytest.mark.parametrize(
    "options, tls",
    [
        ((), None),
        (("--pipeline",), None),
        (("--tls",), "TLSv1.3"),
        (("--tls", "--pipeline"), "TLSv1.3"),
        (("--tls", "--tls-protocol", "tlsv1_2"), "TLSv1.2"),
        (("--protocol", "SMTP"), None),
    ],
)
def test_a_mail_from_swaks_is_taken(
    swaks_installation: Installation, swaks: Swaks, options: tuple[str, ...], tls: str | None
) -> None:
    done = swaks("--header", f"Subject: swaks {' '.join(options)}", "--body", ".one\n..two\n.", *options)
    assert done.returncode == 0, done.stdout
    email = email_of(swaks_installation, done.stdout)
    assert (email["mail_from"], email["envelope"]["helo"], email["envelope"]["client_ip"]) == (
        SENDER, "client.example.net", "127.0.0.1",
    )  # fmt: skip
    assert email["envelope"]["tls"] == tls
    assert b"\r\n\r\n.one\r\n..two\r\n.\r\n" in swaks_installation.get(f"/v1/emails/{email['id']}/raw")


@pytest.mark.parametrize(
    "to, reply",
    [
        ("nobody@example.com", "<** 550 5.1.1 No such recipient here"),
        ("help@elsewhere.example", "<** 550 5.7.1 This domain is not hosted here"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--pipeline",), ("--tls",)])
def test_a_recipient_that_is_not_ours_is_refused(swaks: Swaks, to: str, reply: str, options: tuple[str, ...]) -> None:
    done = swaks(*options, to=to)
    assert done.returncode == 24, "no recipient was accepted"
    assert reply in done.stdout.replace("<~*", "<**")


def test_one_of_two_recipients_is_enough(swaks_installation: Installation, swaks: Swaks) -> None:
    done = swaks(to=f"nobody@example.com,{SAMPLE_ALIAS}")
    assert done.returncode == 0, done.stdout
    recipients = email_of(swaks_installation, done.stdout)["recipients"]
    assert [entry["address"] for entry in recipients] == [SAMPLE_ALIAS]


@pytest.mark.parametrize("options", [(), ("--tls",)])
def test_a_large_attachment_goes_through_and_one_over_the_limit_does_not(
    swaks_installation: Installation, swaks: Swaks, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "large.bin").write_bytes(os.urandom(7_000_000))
    done = swaks("--suppress-data", "--attach", f"@{tmp_path}/large.bin", *options)
    assert done.returncode == 0, done.stdout[-2000:]
    assert email_of(swaks_installation, done.stdout)["size"] > 9_000_000
    (tmp_path / "over.eml").write_bytes(b"Subject: Over\n\n" + b"x" * 78 + b"\n" + (b"x" * 1022 + b"\n") * 41_000)
    done = swaks("--suppress-data", "--data", f"@{tmp_path}/over.eml", *options)
    assert "552 5.3.4" in done.stdout, done.stdout[-2000:]
