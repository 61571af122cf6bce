"""The drill: back up; then revoke, erase, deliver and rotate all secrets, with one host behind; then restore.

What was revoked stays revoked, what was erased stays gone, nothing is sent again unasked, every secret opens, and
nothing is lost but what came after the backup, as docs/operations/backup.md announces.
"""

import asyncio
import base64
import contextlib
import json
import urllib.error
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import environment, migrated
from tests.installation import Installation, simple_mail, wait_for
from tests.shell import Shell
from tests.webhooks import answers
from tests.webhooks.answers import Received, Receiver

pytestmark = [pytest.mark.on_both, pytest.mark.long]

WITHIN_S = 60
NEXT = f"2:{base64.b64encode(b'n' * 32).decode()}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with answers.receiver(answers.answer(503)) as there:
        yield there


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path, on_postgres=environment.ON_POSTGRES, is_migrated=True) as there:
        there.env["WEBHOOK_ALLOW_NETWORKS"] = "127.0.0.1/32"
        yield there


class Drill:
    """The installation, with a receiver of its own beside the built-in one, and what is known of both."""

    def __init__(self, place: Installation, receiver: Receiver, folder: Path) -> None:
        self.place, self.receiver = place, receiver
        self.backup = folder / "backup"
        self.journals = [place.data_dir / "journal.jsonl", folder / "second_host.jsonl"]
        self.emails: dict[str, str] = {}
        self.took: list[Received] = []

    def let_it_take(self) -> None:
        """The receiver of its own: from now on, what it is sent."""
        ok = answers.answer(200)

        async def take(request: Received, writer: asyncio.StreamWriter) -> None:
            self.took.append(request)
            await ok(request, writer)

        self.receiver.mode = take

    def mail(self, subject: str) -> None:
        """Until the built-in receiver has it."""
        self.place.send(simple_mail(subject))
        self.place.wait_until_received({subject}, within_s=WITHIN_S)
        self.emails = {one["subject"]: one["id"] for one in self.place.get_json("/v1/emails")["data"]}

    def status(self, path: str, *, key: str) -> int:
        try:
            self.place.get(path, key=key)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def taken(self) -> Counter[str]:
        """How often each subject was taken, by both receivers together."""
        there = Counter(entry["subject"] for entry in self.place.received())
        return there + Counter(json.loads(one.body)["data"]["subject"] for one in self.took)

    def deliveries(self, state: str) -> list[str]:
        listed = self.place.manage("deliveries", "list", "--state", state)["data"]
        return [one["id"] for one in listed]

    def settled(self) -> None:
        wait_for(lambda: not self.deliveries("pending"), within_s=WITHIN_S, what="nothing pending")

    def second_host(self, secrets: dict[str, str], *arguments: str) -> Any:
        """One command there, with secrets and a journal of its own."""
        host = Shell(self.place.env | secrets | {"JOURNAL_FILE": str(self.journals[1])})
        try:
            done = host.run(*arguments, "--json")
        finally:
            host.close()
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)

    def secrets(self, *order: int) -> dict[str, str]:
        """Both rings with these numbers, the primary one first."""
        if environment.ON_POSTGRES:
            first = {name: migrated.SECRETS[name] for name in ("API_KEY_PEPPERS", "ENCRYPTION_KEYS")}
        else:
            lines = (self.place.data_dir / "env").read_text().splitlines()
            pairs = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
            first = {name: pairs[name] for name in ("API_KEY_PEPPERS", "ENCRYPTION_KEYS")}
        return {name: ",".join({1: one, 2: NEXT}[number] for number in order) for name, one in first.items()}

    def empty_database(self) -> None:
        """As after the loss of the one that there was."""
        if environment.ON_POSTGRES:
            migrated.drop_postgres(self.place.database_name)
            migrated.create_postgres(self.place.database_name, is_migrated=False)
        else:
            for file in self.place.data_dir.glob("emailgistics.sqlite3*"):
                file.unlink()


def make_key(place: Installation, name: str) -> dict[str, str]:
    made: dict[str, str] = place.manage("apikeys", "create", "--name", name, "--expires", "30d", "--all-mailboxes")
    return made


def test_back_up_revoke_erase_deliver_rotate_and_restore(
    place: Installation, receiver: Receiver, tmp_path: Path
) -> None:
    drill = Drill(place, receiver, tmp_path)
    place.start()
    to_mailbox = place.manage("webhooks", "create", "--url", receiver.url, "--mailbox", "support@example.com")
    to_be_deleted = place.manage("webhooks", "create", "--pull", "--mailbox", "support@example.com")
    here, there = make_key(place, "revoked here"), make_key(place, "revoked there")
    for subject in ("to be erased", "to stay"):
        drill.mail(subject)
    wait_for(lambda: len(receiver.received) >= 2, within_s=WITHIN_S, what="both were tried, and refused")
    wait_for(lambda: len(drill.deliveries("pending")) == 2, within_s=WITHIN_S, what="the others are written down")
    place.manage("backup", str(drill.backup))

    # --- since the backup
    drill.let_it_take()
    for delivery in drill.deliveries("pending"):
        with contextlib.suppress(AssertionError):  # it is just being tried
            place.manage("deliveries", "retry", delivery)
    drill.settled()
    drill.mail("after the backup")
    drill.settled()
    place.manage("apikeys", "revoke", here["id"])
    place.manage("webhooks", "delete", to_be_deleted["id"])
    place.manage("emails", "erase", drill.emails["to be erased"])
    lost = make_key(place, "made since")
    assert drill.status("/v1/me", key=lost["key"]) == 200
    _rotate(drill, revoked_there=there["id"])

    sent = drill.taken()
    assert sent == {"to be erased": 2, "to stay": 2, "after the backup": 2}

    # --- the database is lost, and the backup put in its place
    place.stop()
    drill.empty_database()
    journals = [argument for file in drill.journals for argument in ("--journal", str(file))]
    done = place.manage("restore", str(drill.backup), *journals)
    assert done["journal"]["changed"] == {
        "apikey.created": 2,
        "apikey.revoked": 2,
        "email.erased": 1,
        "webhook.deleted": 1,
    }
    place.start()
    assert [drill.status("/v1/me", key=key) for key in (here["key"], there["key"], lost["key"], place.key)] == [
        401,
        401,
        401,
        200,
    ]
    assert drill.status(f"/v1/emails/{drill.emails['to be erased']}", key=place.key) == 404
    assert drill.status(f"/v1/emails/{drill.emails['after the backup']}", key=place.key) == 404  # as announced
    assert b"Hello." in place.get(f"/v1/emails/{drill.emails['to stay']}/raw")
    place.send(simple_mail("after the restore"))
    wait_for(lambda: len(drill.deliveries("pending")) >= 3, within_s=WITHIN_S, what="its news waits")
    assert drill.taken() == sent

    place.manage("resume", "--since", done["restored_at"])
    place.wait_until_received({"after the restore"}, within_s=WITHIN_S)  # verified: its secret opens
    drill.settled()
    assert drill.taken() == sent + Counter({"after the restore": 2})
    held = place.manage("resume")
    assert (held["is_stopped"], [(one["webhook_id"], one["deliveries"]) for one in held["data"]]) == (
        False,
        [(to_mailbox["id"], 1)],
    )
    assert place.manage("rotate_keys", "--rewrite")["not_opened"] == []
    place.manage("ledger")  # exit status 0: nothing was lost that was counted

    # --- on somebody's word
    place.manage("resume", "--release", to_mailbox["id"])
    drill.settled()
    assert drill.taken() == sent + Counter({"after the restore": 2, "to stay": 1})
    again = [one for one in drill.took if json.loads(one.body)["data"]["subject"] == "to stay"]
    assert len({one.headers["webhook-id"] for one in again}) == 1  # by which a receiver knows it
    assert place.manage("journal", "apply", *map(str, drill.journals))["changed"] == {}


def _rotate(drill: Drill, *, revoked_there: str) -> None:
    """Both rings, step by step as README says, while a second host is one step behind."""
    place = drill.place
    drill.second_host(drill.secrets(1), "apikeys", "revoke", revoked_there)  # no row needs a 2 yet
    place.stop()
    place.env |= drill.secrets(2, 1)
    place.start()
    behind = drill.secrets(1, 2)
    made = drill.second_host(behind, "apikeys", "create", "--name", "there", "--expires", "30d", "--all-mailboxes")
    assert drill.status("/v1/me", key=made["key"]) == 200
    assert place.manage("rotate_keys", "--rewrite")["not_opened"] == []
