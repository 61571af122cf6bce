"""One mail to two mailboxes: each key, and each mailbox's receiver, gets a copy of its own and no byte of the other's.

What the author wrote is in both: the raw, its headers. What belongs to a copy is in one: its ids, where it was sent to.
"""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests import environment
from tests.installation import Installation, send_octets, wait_for
from webhooks import signing

WAIT_S = 30


@dataclass(slots=True)
class Receiver:
    """Keeps what is posted to it, headers and octets."""

    port: int
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@dataclass(slots=True)
class Party:
    """Somebody with a mailbox, an alias that leads to it, a key for it alone, and a receiver."""

    mailbox: dict[str, Any]
    alias: dict[str, Any]
    hidden_alias: dict[str, Any]
    key_id: str
    key: str
    receiver: Receiver
    webhook: dict[str, Any]

    def get(self, installation: Installation, path: str) -> bytes:
        return installation.get(path, key=self.key)

    def ids(self) -> list[str]:
        """Of what was set up for it."""
        return [self.mailbox["id"], self.alias["id"], self.hidden_alias["id"], self.webhook["id"], self.key_id]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One of the module's own, whose webhooks may go to any port of this machine."""
    with Installation(
        tmp_path_factory.mktemp("two_keys"), on_postgres=environment.ON_POSTGRES, is_migrated=True
    ) as running:
        running.env["WEBHOOK_ALLOW_NETWORKS"] = "127.0.0.1/32"
        running.start()
        yield running


@pytest.fixture(scope="module")
def parties(installation: Installation) -> Iterator[tuple[Party, Party]]:
    with ExitStack() as stack:
        yield (
            make_party(installation, "alpha", stack.enter_context(receiving())),
            make_party(installation, "beta", stack.enter_context(receiving())),
        )


def make_party(installation: Installation, name: str, receiver: Receiver) -> Party:
    address = f"{name}@example.com"
    mailbox = installation.manage("mailboxes", "create", address)
    alias = installation.manage("aliases", "create", f"{name}-help@example.com", "--mailbox", address)
    hidden = installation.manage("aliases", "create", f"{name}-unseen@example.com", "--mailbox", address)
    key = installation.manage("apikeys", "create", "--name", name, "--expires", "1d", "--mailbox", address)
    body = {"mailbox_id": mailbox["id"], "url": receiver.url, "headers": {"X-Tenant": f"tenant-{name}"}}
    webhook = post(installation, "/v1/webhooks", body, key=key["key"])
    return Party(mailbox, alias, hidden, key["id"], key["key"], receiver, webhook)


def post(installation: Installation, path: str, body: dict[str, Any], *, key: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{installation.http_port}{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        created: dict[str, Any] = json.load(answer)
    return created


def mail(subject: str, *, to: str, cc: str) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Cc"], message["Subject"] = "ada@example.net", to, cc, subject
    message["Message-ID"] = f"<{subject.replace(' ', '.')}@example.net>"
    message.set_content("Plans, as agreed.\n")
    message.add_alternative("<p>Plans, as agreed.</p>", subtype="html")
    message.add_attachment(bytes(range(256)), maintype="application", subtype="zip", filename="plans.zip")
    return message.as_bytes().replace(b"\n", b"\r\n")


def deliver(installation: Installation, parties: tuple[Party, Party], raw: bytes, *, to: list[str]) -> str:
    """One DATA; returns what it was accepted as once both receivers have it."""
    counts = [len(party.receiver.requests) for party in parties]
    with installation.smtp() as client:
        accepted = send_octets(client, raw, to=to)
    wait_for(
        lambda: all(len(party.receiver.requests) > n for party, n in zip(parties, counts, strict=True)),
        within_s=WAIT_S,
        what=f"a webhook for each; {installation.tail()}",
    )
    return accepted


def all_that_is_seen(installation: Installation, party: Party, email_id: str) -> tuple[bytes, list[str]]:
    """Every answer that the key can get, all that its receiver got, and the ids that belong to its copy."""
    seen: list[bytes] = [json.dumps(headers).encode() + body for headers, body in party.receiver.requests]
    lists = ["/v1/me", "/v1/domains", "/v1/mailboxes", "/v1/aliases", "/v1/webhooks", "/v1/emails"]
    one = f"/v1/emails/{email_id}"
    included = [f"{one}?include={part}" for part in ("text", "html", "headers", "text,html,headers")]
    deliveries = f"/v1/webhooks/{party.webhook['id']}/deliveries"
    attachments = json.loads(party.get(installation, f"{one}/attachments"))["data"]
    made = json.loads(party.get(installation, deliveries))["data"]
    of_copy = [email_id, *(part["id"] for part in attachments)]
    of_copy += [row[name] for row in made for name in ("id", "event_id") if row["email_id"] == email_id]
    files = [f"{one}/raw", *(f"{one}/attachments/{part['id']}" for part in attachments)]
    details = [f"/v1/deliveries/{row['id']}" for row in made]
    own = [f"/v1/mailboxes/{party.mailbox['id']}", f"/v1/aliases/{party.alias['id']}"]
    own += [f"/v1/emails?mailbox_id={party.mailbox['id']}", f"/v1/emails?alias_id={party.alias['id']}"]
    paths = [*lists, *own, one, *included, f"{one}/attachments", deliveries, *details, *files]
    seen += [party.get(installation, path) for path in paths]
    assert len(of_copy) == 4  # the email, its attachment, its delivery, its event
    return b"\n".join(seen), of_copy


def check_that_each_has_a_copy_of_its_own(
    installation: Installation, parties: tuple[Party, Party], raw: bytes, *, accepted: str
) -> tuple[bytes, bytes]:
    """Returns all that each of them sees."""
    views = []
    for party in parties:
        payload = party.receiver.payloads()[-1]
        email_id = payload["data"]["id"]
        latest = json.loads(party.get(installation, "/v1/emails"))["data"][0]
        assert latest["id"] == email_id
        assert latest["mailbox_id"] == payload["data"]["mailbox"]["id"] == party.mailbox["id"]
        shown = json.loads(party.get(installation, f"/v1/emails/{email_id}"))
        assert shown["accepted_as"] == accepted  # the sender's one DATA, told to both alike
        assert party.get(installation, f"/v1/emails/{email_id}/raw") == raw
        headers, body = party.receiver.requests[-1]
        signing.verify(headers, body, party.webhook["secret"], now=int(headers["webhook-timestamp"]))
        assert headers["x-tenant"].startswith("tenant-")
        views.append((*all_that_is_seen(installation, party, email_id), email_id))

    (mine, my_copy, _), (yours, your_copy, _) = views
    for party, seen, own, others, other in (
        (parties[0], mine, my_copy, your_copy, parties[1]),
        (parties[1], yours, your_copy, my_copy, parties[0]),
    ):
        for id_ in (*own, *party.ids()):
            assert id_.encode() in seen, f"{id_} of its own copy is in nothing that was looked through"
        secrets = [other.key, other.webhook["secret"], other.receiver.url, f"tenant-{other.mailbox['address'][:4]}"]
        for text in (*others, *other.ids(), other.mailbox["address"], *secrets):
            assert text.encode() not in seen, f"{text} of the other's copy is to be seen"
        for id_ in others:
            for path in (f"/v1/emails/{id_}", f"/v1/emails/{id_}/raw", f"/v1/deliveries/{id_}"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    party.get(installation, path)
    return mine, yours


def addresses(party: Party, installation: Installation) -> list[str]:
    """Where the latest mail was sent to, as both ways out tell it."""
    data = party.receiver.payloads()[-1]["data"]
    shown = json.loads(party.get(installation, f"/v1/emails/{data['id']}"))
    told = [entry["address"] for entry in data["recipients"]]
    assert [entry["address"] for entry in shown["recipients"]] == told == data["envelope"]["rcpt_to"]
    return told


def test_a_mail_to_two_mailboxes_is_two_emails_that_know_nothing_of_each_other(
    installation: Installation, parties: tuple[Party, Party]
) -> None:
    alpha, beta = parties
    to, cc = alpha.alias["address"], beta.alias["address"]
    raw = mail("To both", to=to, cc=cc)
    accepted = deliver(installation, parties, raw, to=[to, cc])
    mine, yours = check_that_each_has_a_copy_of_its_own(installation, parties, raw, accepted=accepted)
    assert addresses(alpha, installation) == [to]
    assert addresses(beta, installation) == [cc]
    # what the author wrote, both read: that is no secret between them
    assert all(address.encode() in seen for address in (to, cc) for seen in (mine, yours))
    for party in parties:
        data = party.receiver.payloads()[-1]["data"]
        assert [entry["address"] for entry in (*data["to"], *data["cc"])] == [to, cc]


@pytest.mark.parametrize("bcc", [0, 1])
def test_whoever_stands_in_no_header_is_seen_by_nobody_else(
    installation: Installation, parties: tuple[Party, Party], bcc: int
) -> None:
    unseen, seen_by_all = parties[bcc], parties[1 - bcc]
    hidden = unseen.hidden_alias["address"].replace("@", f"+{bcc}7731@")
    to = seen_by_all.mailbox["address"].replace("@", "+x@")
    raw = mail(f"Blind copy {bcc}", to=seen_by_all.alias["address"], cc="somebody@example.org")
    accepted = deliver(installation, parties, raw, to=[hidden, seen_by_all.alias["address"], to])
    views = check_that_each_has_a_copy_of_its_own(installation, parties, raw, accepted=accepted)
    assert addresses(unseen, installation) == [hidden]
    assert addresses(seen_by_all, installation) == [seen_by_all.alias["address"], to]
    told = views[1 - bcc]
    for text in (hidden, unseen.hidden_alias["address"], hidden.partition("+")[0], f"+{bcc}7731"):
        assert text.encode() not in told, text
        assert text.encode() in views[bcc]
    assert to.encode() not in views[bcc]  # nor does the envelope of the other say more than the headers do
