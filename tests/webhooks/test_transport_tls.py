import asyncio
import socket
import ssl
import threading
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from tests.webhooks.answers import (
    Receiver,
    receiver,
    silent_port,
)
from tests.webhooks.posting import outgoing, post, post_twice
from webhooks.transport import Answer, Transport


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: ssl.SSLContext) -> None:
    with receiver(tls=tls) as there:
        told = post(there.url)
        assert there.received == []
    assert (told.status, told.error) == (None, "tls")
    assert told.detail == "The certificate of 127.0.0.1 is not valid: self-signed certificate."


def test_an_authority_in_the_bundle_vouches(tls: ssl.SSLContext, authority: Path, settings: Settings) -> None:
    settings.WEBHOOK_CA_BUNDLE = str(authority)
    with receiver(tls=tls) as there:
        answers = post_twice(there.url)
        assert there.connections == 1
    assert [(told.status, told.error, told.peer_ip) for told in answers] == [(200, "", "127.0.0.1")] * 2


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AIOHTTP_CA_BUNDLE", "PIP_CERT"])
def test_variables_of_other_libraries_vouch_for_nobody(
    name: str, tls: ssl.SSLContext, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(authority))
    with receiver(tls=tls) as there:
        assert post(there.url).error == "tls"


def test_the_systems_authorities_are_where_openssl_is_told_they_are(
    tls: ssl.SSLContext, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with receiver(tls=tls) as there:
        assert post(there.url).status == 200


def test_a_certificate_of_another_name_is_refused(tls: ssl.SSLContext, authority: Path, settings: Settings) -> None:
    settings.WEBHOOK_CA_BUNDLE = str(authority)

    async def to(name: str, there: Receiver) -> Answer:
        async with Transport(lookup=lambda host, port: ["127.0.0.1"]) as transport:
            return await transport.post(outgoing(f"https://{name}:{there.port}/"))

    with receiver(tls=tls) as there:
        assert asyncio.run(to("hooks.example.com", there)).status == 200
        assert asyncio.run(to("hooks.example.com.", there)).status == 200
        other = asyncio.run(to("other.example.com", there))
    assert other.error == "tls"
    assert "Hostname mismatch" in other.detail


def test_a_listener_that_speaks_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=refuse)
        answering.start()
        told = post(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        answering.join()
    assert (told.status, told.error) == (None, "tls")
    assert told.detail.startswith("No TLS connection to 127.0.0.1: ")


def test_a_handshake_that_never_ends_is_a_timeout() -> None:
    with silent_port() as port:
        told = post(f"https://127.0.0.1:{port}/", connect_s=0.3)
    assert (told.status, told.error, told.detail) == (None, "timeout", "No connection within 0.3 s.")


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_bundle_that_is_none_stops_everything_and_names_the_variable(
    content: str | None, tmp_path: Path, settings: Settings
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    settings.WEBHOOK_CA_BUNDLE = str(bundle)
    with pytest.raises(ImproperlyConfigured, match="WEBHOOK_CA_BUNDLE"):
        Transport()
