"""The way of one email over real sockets and processes: SMTP in, signed webhook out, read back with a key."""

import hashlib
import os
import signal
import statistics
import threading
import time
from email.message import EmailMessage
from importlib import resources

import pytest

from tests.installation import Installation, answers, send_octets, simple_mail, wait_for


def test_a_mail_arrives_verified_within_two_seconds_and_is_read_back_octet_for_octet(
    installation: Installation,
) -> None:
    raw = simple_mail("First light", body="One.\r\n.leading dot\r\nlong " + "x" * 3000)
    took = []
    installation.send(simple_mail("Warm-up"))
    installation.wait_until_received({"Warm-up"}, within_s=60)
    for number in range(5):
        mail = raw.replace(b"First light", b"First light %d" % number)
        installation.send(mail)
        took.append(installation.wait_until_received({f"First light {number}"}, within_s=60))
        (entry,) = [e for e in installation.received() if e["subject"] == f"First light {number}"]
        assert entry["verified"] is True
        assert installation.get(f"/v1/emails/{entry['email_id']}/raw") == mail
    assert statistics.median(took) < 2  # the odd one may wait for its turn on a busy machine

    listed = installation.get_json("/v1/emails")
    subjects = [email["subject"] for email in listed["data"]]
    assert subjects == [*(f"First light {number}" for number in reversed(range(5))), "Warm-up"]
    assert {email["status"] for email in listed["data"]} == {"processed"}


def test_any_mail_client_will_do(installation: Installation) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ada@example.net", "help@example.com", "Sent by smtplib"
    message.set_content("Hello.\n.dots and “quotes”\n")
    with installation.smtp() as client:
        client.send_message(message)
    installation.wait_until_received({"Sent by smtplib"}, within_s=60)


def test_a_ten_megabyte_attachment_goes_through_whole(installation: Installation) -> None:
    content = os.urandom(10 * 1024 * 1024)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ada@example.net", "help@example.com", "Ten megabytes"
    message.set_content("See the attachment.")
    message.add_alternative("<p>See the <b>attachment</b>.</p>", subtype="html")
    message.add_attachment(content, maintype="application", subtype="zip", filename="Pläne.zip")
    raw = message.as_bytes().replace(b"\n", b"\r\n")

    installation.send(raw)
    installation.wait_until_received({"Ten megabytes"}, within_s=60)
    (entry,) = [e for e in installation.received() if e["subject"] == "Ten megabytes"]
    assert installation.get(f"/v1/emails/{entry['email_id']}/raw") == raw
    (attachment,) = installation.get_json(f"/v1/emails/{entry['email_id']}/attachments")["data"]
    assert (attachment["filename"], attachment["size"]) == ("Pläne.zip", len(content))
    assert attachment["sha256"] == hashlib.sha256(content).hexdigest()
    assert installation.get(f"/v1/emails/{entry['email_id']}/attachments/{attachment['id']}") == content


def test_every_mail_of_the_standard_librarys_own_tests_goes_through(installation: Installation) -> None:
    mails = standard_library_mails()
    before = len(installation.received())
    with installation.smtp() as client:
        ids = [send_octets(client, mail, to=["help@example.com"]) for mail in mails]
    assert len(set(ids)) == len(mails)
    wait_for(lambda: len(installation.received()) >= before + len(mails), within_s=60, what=installation.tail())
    arrived = installation.received()[before:]
    assert all(entry["verified"] for entry in arrived)
    octets = [installation.get(f"/v1/emails/{entry['email_id']}/raw") for entry in arrived]
    assert sorted(octets) == sorted(mail if mail.endswith(b"\r\n") else mail + b"\r\n" for mail in mails)


def test_stored_mail_is_opened_again_by_a_worker(installation: Installation) -> None:
    installation.send(simple_mail("Opened twice"))
    installation.wait_until_received({"Opened twice"}, within_s=20)
    stored = installation.get_json("/v1/emails?limit=1")["pagination"]["total"]
    done = installation.manage("emails", "reparse", "--since", "1h", "--rate", "6000")
    assert done["data"] == []
    assert done["counts"]["unchanged"] == stored


def test_200_mails_survive_the_death_of_each_process_in_turn(installation: Installation) -> None:
    """Each part's first process, and each of those that it has forked or spawned."""
    sender = Sender(installation, at_least=200)
    sender.start()
    alive = {name: len(pids) for name, pids in installation.pids().items()}
    assert sum(alive.values()) >= 8
    for name, index in [(name, index) for name, count in alive.items() for index in range(count)]:
        victim = installation.pids()[name][index]
        os.kill(victim, signal.SIGKILL)

        def is_whole(name: str = name, victim: int = victim) -> bool:
            pids = installation.pids().get(name, [])
            return victim not in pids and len(pids) == alive[name]

        wait_for(is_whole, within_s=60, what=f"another {name}; {installation.tail()}")
    sender.enough.set()
    sender.join(timeout=120)
    assert not sender.is_alive()
    assert len(sender.accepted) >= 200
    installation.wait_until_received(sender.accepted, within_s=90)

    by_subject: dict[str, set[str]] = {}
    for entry in installation.received():
        if entry["subject"] in sender.accepted:
            by_subject.setdefault(entry["subject"], set()).add(entry["webhook_id"])
    # the sender sends again what it got no answer for, and that may have been stored: two mails, two ids, no more
    doubled = {subject for subject, ids in by_subject.items() if len(ids) > 1}
    assert doubled <= sender.sent_again
    assert installation.get_json("/v1/emails?limit=1")["pagination"]["total"] >= len(sender.accepted)


class Sender(threading.Thread):
    """Sends mails one after the other, each again until it is accepted, as any mail server would.

    Goes on until `enough` is set, and until there were at least so many.
    """

    def __init__(self, installation: Installation, *, at_least: int) -> None:
        super().__init__(daemon=True)
        self._installation = installation
        self._at_least = at_least
        self.enough = threading.Event()
        self.accepted: set[str] = set()
        self.sent_again: set[str] = set()

    def run(self) -> None:
        while not self.enough.is_set() or len(self.accepted) < self._at_least:
            subject = f"Survivor {len(self.accepted)}"
            try:
                self._installation.send(simple_mail(subject))
            except (OSError, AssertionError):
                self.sent_again.add(subject)
                wait_for(lambda: answers(self._installation.smtp_port), within_s=60, what="smtp")
            else:
                self.accepted.add(subject)
            time.sleep(0.1)


def standard_library_mails() -> list[bytes]:
    """The messages in `test.test_email.data`, as they are but for CRLF line ends."""
    try:
        folder = resources.files("test.test_email.data")
    except ModuleNotFoundError:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip("this Python comes without its own tests")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".txt"))
    assert len(names) > 40
    return [(folder / name).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for name in names]
