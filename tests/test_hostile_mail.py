"""Hostile mail goes the whole way: accepted over a socket, kept octet for octet, told about, and nobody waits for it.

Right behind such mail, behind each bomb, comes one of an ordinary sender, whose webhook has to arrive within a budget.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.installation import SAMPLE_ALIAS, Installation, simple_mail, wait_for
from tests.mailboxes.hostile import BOMBS, HOSTILE, MEASURED_BOMBS
from tests.mailboxes.smtp_client import Client
from tests.webhooks.mails import made_mails

BUDGET = timedelta(seconds=20)  # what an ordinary mail may wait behind a hostile one, on a machine that is busy as well
AT_ONCE = 36  # more would wait for each other


def on_lines(octets: bytes) -> bytes:
    """As a client has to send it: the last line ends, too."""
    return octets if not octets or octets.endswith(b"\r\n") else octets + b"\r\n"


def standard_library_mails() -> list[bytes]:
    try:
        folder = resources.files("test.test_email.data")
    except ModuleNotFoundError:
        return []  # test_mime_hostile.py says so
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".txt"))
    return [(folder / name).read_bytes() for name in names]


def send(installation: Installation, mails: Sequence[bytes], *, in_a_row: int = 1) -> None:
    """Sends all of them, an ordinary mail right behind so many, and holds what becomes of them against the promises."""
    before = len(installation.received())
    sent: dict[str, datetime] = {}
    with Client(installation.smtp_port) as client:
        for number, octets in enumerate(mails, start=1):
            # each has a sender of its own: the same octets from the same one would be taken for a resend
            reply = client.deliver(octets, SAMPLE_ALIAS, sender=f"sender-{before}-{number}@example.net")
            assert reply.startswith("250 2.0.0 accepted as msg_"), (octets[:100], reply)
            if number % in_a_row == 0 or number == len(mails):
                subject = f"Ordinary {before}/{number}"
                assert client.deliver(simple_mail(subject), SAMPLE_ALIAS).startswith("250")
                sent[subject] = datetime.now(UTC)
            if number % AT_ONCE == 0:
                wait_until_told(installation, before + number + len(sent))
    wait_until_told(installation, before + len(mails) + len(sent))
    told = installation.received()[before:]
    assert all(entry["verified"] for entry in told)
    assert len({entry["email_id"] for entry in told}) == len(told) == len(mails) + len(sent)

    waited = {entry["subject"]: datetime.fromisoformat(entry["at"]) for entry in told if entry["subject"] in sent}
    assert [subject for subject, at in waited.items() if at - sent[subject] > BUDGET] == []
    assert waited.keys() == sent.keys()

    stored = [installation.get(f"/v1/emails/{entry['email_id']}/raw") for entry in told if entry["subject"] not in sent]
    assert sorted(map(digest, stored)) == sorted(map(digest, mails))


def digest(octets: bytes) -> str:
    return sha256(octets).hexdigest()


def wait_until_told(installation: Installation, count: int) -> None:
    wait_for(lambda: len(installation.received()) >= count, within_s=60, what=f"{count} webhooks {installation.tail()}")


def test_the_hostile_set_is_accepted_kept_and_told_and_nobody_waits_for_it(installation: Installation) -> None:
    send(installation, [on_lines(octets) for octets in HOSTILE.values()], in_a_row=6)


def test_the_standard_librarys_mails_go_the_same_way_as_they_are(installation: Installation) -> None:
    send(installation, [on_lines(octets) for octets in standard_library_mails()], in_a_row=6)


@given(mails=st.lists(st.binary(max_size=300), min_size=1, max_size=12), seed=st.integers(0, 2**32))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_any_octets_go_the_same_way(installation: Installation, mails: list[bytes], seed: int) -> None:
    send(installation, [on_lines(octets) for octets in (*mails, *made_mails(4, seed=seed))], in_a_row=6)


@pytest.mark.parametrize("name", MEASURED_BOMBS)
def test_a_bomb_is_accepted_kept_and_told_and_nobody_waits_for_it(installation: Installation, name: str) -> None:
    send(installation, [on_lines(BOMBS[name][0])])
    newest = installation.get_json("/v1/emails?limit=2")["data"]
    assert [entry["status"] for entry in newest] == ["processed", "processed"]
