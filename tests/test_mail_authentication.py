"""A signed mail through real processes: listener, worker, a DNS server, and the body that a webhook gets."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dkim as dkimpy
import pytest
from standardwebhooks import Webhook

from tests import environment
from tests.installation import SAMPLE_ALIAS, Installation, wait_for
from tests.mailboxes.dns_server import DnsServer
from tests.mailboxes.signing import MAIL, pem, record, rsa_key

pytestmark = [pytest.mark.on_both, pytest.mark.long]

ZONE: dict[str, list[tuple[str, Any]]] = {
    "sel._domainkey.example.net": [("TXT", record())],
    "_dmarc.example.net": [("TXT", "v=DMARC1; p=quarantine")],
}


class Receiver(HTTPServer):
    """Keeps what it is sent: headers and octets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.requests: list[tuple[dict[str, str], bytes]] = []


class Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Receiver)
        self.server.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        thread = threading.Thread(target=running.serve_forever, args=[0.05], daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_webhook_says_who_vouches_for_a_mail(tmp_path: Path, receiver: Receiver) -> None:
    running = Installation(tmp_path, on_postgres=environment.ON_POSTGRES, is_migrated=True)
    with DnsServer(ZONE) as server, running:
        running.env |= {
            "MAIL_AUTHENTICATION": "1",
            "DNS_SERVERS": f"127.0.0.1:{server.port}",
            "WEBHOOK_ALLOW_NETWORKS": "127.0.0.1/32",
        }
        running.start()
        url = f"http://127.0.0.1:{receiver.server_port}/"
        webhook = running.manage("webhooks", "create", "--url", url, "--alias", SAMPLE_ALIAS)

        signature = dkimpy.sign(MAIL, b"sel", b"example.net", pem(rsa_key()))
        running.send(signature + MAIL)
        running.send(MAIL.replace(b"Subject: Broken", b"Subject: Forged"))
        wait_for(lambda: len(receiver.requests) == 2, within_s=60, what=running.tail())

        said = {}
        for headers, body in receiver.requests:
            data = Webhook(webhook["secret"]).verify(body, headers)["data"]
            said[data["subject"].split()[0]] = data["auth"]
            assert running.get_json(f"/v1/emails/{data['id']}")["auth"] == data["auth"]
            assert running.manage("emails", "show", data["id"])["auth"] == data["auth"]
        assert {auth.pop("checked_at")[-1] for auth in said.values()} == {"Z"}
        spf = {"result": "none", "domain": None, "scope": None, "reason": "the mail came from a private address"}
        dmarc = {"policy": "quarantine", "domain": "example.net", "pct": 100}
        assert said["Broken"] == {
            "spf": spf,
            "dkim": [{"result": "pass", "domain": "example.net", "selector": "sel", "aligned": True, "reason": None}],
            "dmarc": dmarc | {"result": "pass", "aligned_by": ["dkim"], "reason": None},
        }
        assert said["Forged"] == {
            "spf": spf,
            "dkim": [],
            "dmarc": dmarc | {"result": "fail", "aligned_by": [], "reason": "nothing that passed is aligned with From"},
        }
        # each of the worker's children asks once for each name
        assert server.count("sel._domainkey.example.net") == 1
